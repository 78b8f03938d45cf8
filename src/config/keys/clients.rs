//! Clients: where they connect, who may, and how much they may take up.

use super::{Key, Kind, key};

/// Where clients connect, and who may.
pub(super) const LISTEN: &[Key] = &[
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
];

/// What clients may take up, and for how long.
pub(super) const SERVER: &[Key] = &[
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
        "server.max_buffered",
        "JOBSHIM_MAX_BUFFERED",
        "--max-buffered",
        "SIZE",
        "512MiB",
        "The most bytes of bodies that are read whole, all requests and all answers of the server together",
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
];
