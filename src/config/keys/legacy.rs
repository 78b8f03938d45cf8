//! The legacy surface: how it is answered, and what is remembered for it.

use super::{Key, Kind, key};

/// How legacy calls are answered.
pub(super) const LEGACY: &[Key] = &[
    key([
        "legacy.surface",
        "JOBSHIM_SURFACE",
        "--surface",
        "WORD",
        "auto",
        "Which items /api/queue shows: auto is the dialect's, comfyui, or cloud",
    ])
    .live(),
    key([
        "legacy.mode",
        "JOBSHIM_MODE",
        "--mode",
        "MODE",
        "translate",
        "How legacy calls are answered: translate, forward, shadow, canary:PERCENT, auto, or gone[:PERCENT]",
    ])
    .live(),
    key([
        "legacy.routes",
        "JOBSHIM_ROUTES",
        "--route",
        "ROUTE=MODE",
        "",
        "Another mode for one route, such as history=canary:30; may be repeated",
    ])
    .kind(Kind::Tables)
    .live(),
    key([
        "legacy.upstream",
        "JOBSHIM_LEGACY_UPSTREAM",
        "--legacy-upstream",
        "URL",
        "",
        "Where forwarded legacy calls go, when it is not --upstream",
    ]),
    key([
        "legacy.ask_again",
        "JOBSHIM_ASK_AGAIN",
        "--ask-again",
        "TIME",
        "1m",
        "How long mode auto forwards before it asks again whether the server has the Jobs API",
    ])
    .live(),
    key([
        "legacy.max_body",
        "JOBSHIM_LEGACY_MAX_BODY",
        "--legacy-max-body",
        "SIZE",
        "1MiB",
        "The largest body of a legacy write",
    ]),
    key([
        "legacy.max_pages",
        "JOBSHIM_MAX_PAGES",
        "--max-pages",
        "N",
        "1000",
        "The most pages of jobs read for one list",
    ]),
    key([
        "legacy.max_jobs",
        "JOBSHIM_MAX_JOBS",
        "--max-jobs",
        "N",
        "200000",
        "The most jobs read for one list",
    ]),
    key([
        "legacy.max_translations",
        "JOBSHIM_MAX_TRANSLATIONS",
        "--max-translations",
        "N",
        "64",
        "Translated answers made at the same time; others wait their turn",
    ]),
    key([
        "legacy.compress",
        "JOBSHIM_COMPRESS",
        "--compress",
        "true|false",
        "true",
        "Compress translated answers over 1 KiB for clients that take gzip or zstd",
    ]),
];

/// Which jobs a history is made of.
pub(super) const HISTORY: &[Key] = &[
    key([
        "history.longest_job",
        "JOBSHIM_LONGEST_JOB",
        "--longest-job",
        "TIME",
        "24h",
        "The longest that a job may take from its creation to its end: how far back a short history looks",
    ]),
    key([
        "history.max_hidden",
        "JOBSHIM_MAX_HIDDEN",
        "--max-hidden",
        "SIZE",
        "64MiB",
        "The most memory that deleted and cleared jobs may take; further ones are refused, and none is shown again",
    ]),
    key([
        "history.hide_in_jobs_api",
        "JOBSHIM_HIDE_IN_JOBS_API",
        "--hide-in-jobs-api",
        "true|false",
        "true",
        "Hide deleted and cleared jobs in answers of the Jobs API as well, for the client that deleted them",
    ]),
];

/// What is remembered of the server.
pub(super) const CACHE: &[Key] = &[
    key([
        "cache.max_bytes",
        "JOBSHIM_CACHE_MAX_BYTES",
        "--cache-max-bytes",
        "SIZE",
        "128MiB",
        "The most memory that remembered entries may take; 0 remembers none",
    ]),
    key([
        "cache.ttl",
        "JOBSHIM_CACHE_TTL",
        "--cache-ttl",
        "TIME",
        "10m",
        "How long an entry is remembered before the server is asked for it again",
    ]),
    key([
        "cache.max_stale",
        "JOBSHIM_CACHE_MAX_STALE",
        "--cache-max-stale",
        "TIME",
        "0s",
        "How much longer a finished job may be shown while the server cannot be reached; 0s is never",
    ]),
];

/// Folders of whoever runs jobshim.
pub(super) const FOLDERS: &[Key] = &[
    key([
        "mappings_dir",
        "JOBSHIM_MAPPINGS_DIR",
        "--mappings-dir",
        "DIR",
        "",
        "A folder whose tables replace the built-in ones of the same name",
    ])
    .live(),
    key([
        "state_dir",
        "JOBSHIM_STATE_DIR",
        "--state-dir",
        "DIR",
        "",
        "A folder for what must survive a restart, such as which jobs were deleted",
    ]),
];

/// What is noted of prompts.
pub(super) const NOTES: &[Key] = &[
    key([
        "notes.max_body",
        "JOBSHIM_NOTES_MAX_BODY",
        "--notes-max-body",
        "SIZE",
        "8MiB",
        "The largest POST /prompt that is noted for later answers",
    ]),
    key([
        "notes.max_bytes",
        "JOBSHIM_NOTES_MAX_BYTES",
        "--notes-max-bytes",
        "SIZE",
        "64MiB",
        "The most memory that all notes may take; 0 keeps none",
    ]),
];

/// What legacy answers say about their end.
pub(super) const NOTICES: &[Key] = &[
    key([
        "notices.deprecation",
        "JOBSHIM_DEPRECATION",
        "--deprecation",
        "DAY",
        "2025-12-01",
        "Header Deprecation of legacy answers: since when, as 2025-12-01 or a Unix time; off for none",
    ])
    .live(),
    key([
        "notices.sunset",
        "JOBSHIM_SUNSET",
        "--sunset",
        "DAY",
        "off",
        "Header Sunset of legacy answers: when the legacy endpoints end",
    ])
    .live(),
    key([
        "notices.successor",
        "JOBSHIM_SUCCESSOR",
        "--successor",
        "true|false",
        "true",
        "Header Link of legacy answers: the Jobs API's URL for the same",
    ])
    .live(),
    key([
        "notices.guide",
        "JOBSHIM_GUIDE",
        "--guide",
        "URL",
        "",
        "Header Link of legacy answers: a page that tells how to move to the Jobs API",
    ])
    .live(),
    key([
        "notices.job_state",
        "JOBSHIM_JOB_STATE",
        "--job-state",
        "true|false",
        "true",
        "Header Jobshim-Job-State of an empty /history/ID: pending, in_progress or unknown",
    ])
    .live(),
];
