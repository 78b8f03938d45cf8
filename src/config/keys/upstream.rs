//! The server behind.

use super::{Key, Kind, key};

/// The server behind, and how it is asked.
pub(super) const UPSTREAM: &[Key] = &[
    key([
        "upstream.url",
        "JOBSHIM_UPSTREAM",
        "--upstream",
        "URL",
        "http://127.0.0.1:8188",
        "The server behind: http or https, with a base path if it has one, or unix:/path",
    ]),
    key([
        "upstream.dialect",
        "JOBSHIM_DIALECT",
        "--dialect",
        "WORD",
        "auto",
        "How the server speaks the Jobs API: auto asks it, comfyui, or cloud",
    ]),
    key([
        "upstream.headers",
        "JOBSHIM_UPSTREAM_HEADERS",
        "--upstream-header",
        "NAME=SECRET",
        "",
        "A header for the server that clients do not send, such as X-API-Key=env:COMFY_CLOUD_API_KEY; may be repeated",
    ])
    .kind(Kind::Table)
    .secret(),
    key([
        "upstream.ca_file",
        "JOBSHIM_CA_FILE",
        "--ca-file",
        "FILE",
        "",
        "PEM certificates to trust besides the system's and the bundled ones",
    ]),
    key([
        "upstream.connect_timeout",
        "JOBSHIM_CONNECT_TIMEOUT",
        "--connect-timeout",
        "TIME",
        "5s",
        "How long a connection to the server may take to open, TLS included, as 500ms, 5s or 2m",
    ]),
    key([
        "upstream.first_byte_timeout",
        "JOBSHIM_FIRST_BYTE_TIMEOUT",
        "--first-byte-timeout",
        "TIME",
        "10m",
        "How long the server may take to begin an answer that passes through",
    ]),
    key([
        "upstream.gap_timeout",
        "JOBSHIM_GAP_TIMEOUT",
        "--gap-timeout",
        "TIME",
        "10m",
        "How long an answer that passes through may lie still",
    ]),
    key([
        "upstream.answer_timeout",
        "JOBSHIM_ANSWER_TIMEOUT",
        "--answer-timeout",
        "TIME",
        "30s",
        "How long a translated call may take as a whole",
    ]),
    key([
        "upstream.max_answer_bytes",
        "JOBSHIM_MAX_ANSWER_BYTES",
        "--max-answer-bytes",
        "SIZE",
        "256MiB",
        "The largest answer that a translated call reads, as bytes, KiB, MiB or GiB",
    ]),
    key([
        "upstream.concurrency",
        "JOBSHIM_CONCURRENCY",
        "--concurrency",
        "N",
        "16",
        "Job details fetched side by side for one list, 1 to 256",
    ]),
];
