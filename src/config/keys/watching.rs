//! What is shown to whoever runs jobshim.

use super::{Key, Kind, key};

/// The second listener.
pub(super) const ADMIN: &[Key] = &[
    key([
        "admin.address",
        "JOBSHIM_ADMIN",
        "--admin",
        "ADDR",
        "127.0.0.1:8186",
        "Where health, metrics, usage and a page about them are shown; off for nowhere",
    ]),
    key([
        "admin.hosts",
        "JOBSHIM_ADMIN_HOSTS",
        "--admin-hosts",
        "NAMES",
        "",
        "Names under which --admin may be asked, besides addresses and localhost, with commas between them",
    ]),
];

/// How answers are compared.
pub(super) const SHADOW: &[Key] = &[
    key([
        "shadow.max_in_flight",
        "JOBSHIM_SHADOW_MAX_IN_FLIGHT",
        "--shadow-max-in-flight",
        "N",
        "4",
        "Comparisons at the same time, 1 to 256; further ones are left out",
    ])
    .live(),
    key([
        "shadow.sample",
        "JOBSHIM_SHADOW_SAMPLE",
        "--shadow-sample",
        "PERCENT",
        "100%",
        "Of the requests that could be compared, those that are",
    ])
    .live(),
    key([
        "shadow.ignore",
        "JOBSHIM_SHADOW_IGNORE",
        "--shadow-ignore",
        "PATH",
        "",
        "A field that comparisons pass over, such as prompt[3].client_id or outputs.*.text; may be repeated",
    ])
    .kind(Kind::List)
    .live(),
];

/// What is logged.
pub(super) const LOG: &[Key] = &[
    key([
        "log.format",
        "JOBSHIM_LOG_FORMAT",
        "--log-format",
        "WORD",
        "text",
        "Log lines as text or json",
    ]),
    key([
        "log.access",
        "JOBSHIM_LOG_ACCESS",
        "--log-access",
        "WORD",
        "on",
        "A log line for each request: on or off",
    ]),
    key([
        "log.verbosity",
        "JOBSHIM_VERBOSITY",
        "--verbose",
        "",
        "0",
        "More log lines; twice for still more",
    ])
    .kind(Kind::Count)
    .live(),
];
