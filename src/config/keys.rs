//! Every key of the configuration: its name in the file, its variable, its flag, its default and what it is for.

/// One key of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// In the file, such as `upstream.url`.
    pub name: &'static str,
    /// In the environment.
    pub variable: &'static str,
    /// On the command line, with its dashes.
    pub flag: &'static str,
    /// What its value is called in `--help`, such as `TIME`.
    pub value: &'static str,
    /// What holds when nobody says anything; empty for nothing.
    pub default: &'static str,
    /// One sentence for `--help`.
    pub help: &'static str,
    /// How its flag is given.
    pub kind: Kind,
    /// Its value is shown to nobody, only where it is kept.
    pub secret: bool,
    /// A running program takes a change over; others wait for a restart.
    pub live: bool,
}

/// How a flag is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With a value.
    Value,
    /// With a value, any number of times; a table of its own in the file.
    Table,
    /// As [`Kind::Table`], and a value in the file may be a table again.
    Tables,
    /// With a value, any number of times; a list in the file.
    List,
    /// Alone: given means true.
    Switch,
    /// Alone, any number of times, and also by its first letter.
    Count,
}

/// `[name in the file, variable, flag, name of the value, default, help]`
const fn key(texts: [&'static str; 6]) -> Key {
    let [name, variable, flag, value, default, help] = texts;
    Key {
        name,
        variable,
        flag,
        value,
        default,
        help,
        kind: Kind::Value,
        secret: false,
        live: false,
    }
}

impl Key {
    const fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    const fn live(self) -> Self {
        Self { live: true, ..self }
    }

    const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

/// Every key there is, in the order of `--help` and `check`.
pub const KEYS: &[Key] = &[
    key([
        "listen.address",
        "JOBSHIM_LISTEN",
        "--listen",
        "ADDR",
        "127.0.0.1:8187",
        "Where clients connect",
    ]),
    key([
        "listen.access_token",
        "JOBSHIM_ACCESS_TOKEN",
        "--access-token",
        "SECRET",
        "",
        "What clients must show, as Authorization: Bearer or X-API-Key; env:NAME or file:PATH says where it is kept",
    ])
    .secret(),
    key([
        "listen.open",
        "JOBSHIM_I_KNOW_THIS_IS_OPEN",
        "--i-know-this-is-open",
        "",
        "false",
        "Lets anyone who reaches the address use --upstream-header",
    ])
    .kind(Kind::Switch),
    key([
        "listen.tls_certificate",
        "JOBSHIM_TLS_CERTIFICATE",
        "--tls-certificate",
        "FILE",
        "",
        "PEM certificate, which makes the listener speak TLS; read again when it changes",
    ]),
    key([
        "listen.tls_key",
        "JOBSHIM_TLS_KEY",
        "--tls-key",
        "FILE",
        "",
        "PEM key of --tls-certificate",
    ]),
    key([
        "listen.trusted_proxies",
        "JOBSHIM_TRUSTED_PROXIES",
        "--trusted-proxies",
        "NETWORKS",
        "",
        "Proxies whose X-Forwarded-* are believed, such as 127.0.0.1,10.0.0.0/8, or unix for the socket's clients",
    ]),
    key([
        "listen.proxy_protocol",
        "JOBSHIM_PROXY_PROTOCOL",
        "--proxy-protocol",
        "",
        "false",
        "Every connection begins with a PROXY header, version 1 or 2, by one of --trusted-proxies",
    ])
    .kind(Kind::Switch),
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
        "How long a connection to the server may take to open, as 500ms, 5s or 2m",
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
    key([
        "history.longest_job",
        "JOBSHIM_LONGEST_JOB",
        "--longest-job",
        "TIME",
        "24h",
        "The longest that a job may take from its creation to its end: how far back a short history looks",
    ]),
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
    key([
        "server.header_timeout",
        "JOBSHIM_HEADER_TIMEOUT",
        "--header-timeout",
        "TIME",
        "30s",
        "How long a client may take to send the head of a request",
    ]),
    key([
        "server.idle_timeout",
        "JOBSHIM_IDLE_TIMEOUT",
        "--idle-timeout",
        "TIME",
        "2m",
        "How long a client may let nothing move",
    ]),
    key([
        "server.max_header_bytes",
        "JOBSHIM_MAX_HEADER_BYTES",
        "--max-header-bytes",
        "SIZE",
        "64KiB",
        "The most bytes of a request's headers, names and values",
    ]),
    key([
        "server.max_headers",
        "JOBSHIM_MAX_HEADERS",
        "--max-headers",
        "N",
        "100",
        "The most headers of a request, 1 to 1000",
    ]),
    key([
        "server.max_uri_bytes",
        "JOBSHIM_MAX_URI_BYTES",
        "--max-uri-bytes",
        "SIZE",
        "16KiB",
        "The longest path and query, at most 60KiB",
    ]),
    key([
        "server.max_connections",
        "JOBSHIM_MAX_CONNECTIONS",
        "--max-connections",
        "N",
        "10000",
        "The most connections of clients",
    ]),
    key([
        "server.max_connections_per_address",
        "JOBSHIM_MAX_CONNECTIONS_PER_ADDRESS",
        "--max-connections-per-address",
        "N",
        "0",
        "The most connections from one address; 0 is no limit of its own",
    ]),
    key([
        "server.max_requests",
        "JOBSHIM_MAX_REQUESTS",
        "--max-requests",
        "N",
        "0",
        "The most requests on one connection; 0 is no limit",
    ]),
    key([
        "server.drain_delay",
        "JOBSHIM_DRAIN_DELAY",
        "--drain-delay",
        "TIME",
        "0s",
        "How long connections are still taken after a stop signal, until a load balancer has noticed it",
    ]),
    key([
        "server.drain_timeout",
        "JOBSHIM_DRAIN_TIMEOUT",
        "--drain-timeout",
        "TIME",
        "10s",
        "How long in-flight answers may take to finish after a stop signal",
    ]),
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
