//! jobshim: a reverse proxy that answers ComfyUI's legacy history and queue endpoints from the Jobs API.
//!
//! Every folder is a layer. A layer imports only layers below it; `tests/it/layers.rs` reads the imports and fails on any other.
//! From top to bottom:

/// The commands, one file each, and their exit codes.
pub mod cli;

/// The second listener: health, metrics, usage, the page, the configuration in force, the guide.
pub mod admin;

/// Listeners: TLS, PROXY protocol, limits on connections, idle clients, draining. It knows nothing of endpoints.
pub mod server;

/// One request from head to answer: the pipeline, pass-through, and the one place where an error becomes a response.
pub mod proxy;

/// Who answers a legacy call: modes, canary, rollback, shadow comparison, notices.
pub mod migration;

/// What each legacy endpoint means: reads, writes, pagination, hidden jobs, the cache of entries.
pub mod legacy;

/// The upstream's API: list, detail, cancel, dialects and how they are told apart, calls shared by many.
pub mod jobs_api;

/// A simulated upstream, for `jobshim demo` and the tests.
pub mod demo;

/// Tables, plans, derivations, the JSON scanner. Pure: no sockets, no tokio.
pub mod mapping;

/// What outlives a restart, in typed tables.
pub mod store;

/// Connections to a server: pool, HTTP/1.1, TLS, timeouts, circuit breaker.
pub mod upstream;

/// Who asks: scope, access token, trusted proxies.
pub mod auth;

/// Request log, metrics, usage, time series, events, traces. It is told, and asks nobody.
pub mod telemetry;

/// File, environment and flags: one validated `Config`.
pub mod config;

/// Rules of HTTP as functions: hop-by-hop headers, `Via`, `Origin`, validation, encodings, entity tags; and bodies.
pub mod http;

/// The table of endpoints.
pub mod routes;

/// What differs between systems: signals, Unix sockets, folders, the console. Nothing else asks which system it is on.
pub mod os;
