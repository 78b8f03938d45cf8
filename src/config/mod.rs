//! What the program was told: file, environment and flags, merged and validated into one [`Config`].

mod check;
pub mod field_path;
mod file;
mod keys;
mod load;
mod modes;
mod options;
mod parse;
mod secret;
pub mod trusted_proxies;

pub use keys::{Key, Kind, keys};
pub use load::{ConfigError, ConfigErrors, Loaded, Origin, Setting, load};
pub use modes::{Mode, Policies, Policy, Rollback, Share};
pub use options::Options;
pub use parse::has_sound_port;
pub use secret::{Secret, shown_url};

use crate::config::{field_path::FieldPath, trusted_proxies::TrustedProxies};
use std::{borrow::Cow, fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

/// Everything in force, validated; the rest of the program trusts it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect.
    pub listen: ListenAddress,
    /// How they get in there.
    pub door: ListenConfig,
    /// What clients must show to be let in, as `Authorization: Bearer` or `X-API-Key`.
    pub access_token: Option<Secret>,
    /// The server behind.
    pub upstream: UpstreamConfig,
    /// How legacy answers are made.
    pub legacy: LegacyConfig,
    /// Which jobs a history is made of.
    pub history: HistoryConfig,
    /// What is remembered.
    pub cache: CacheConfig,
    /// A folder whose tables replace the built-in ones of the same name.
    pub mappings_dir: Option<PathBuf>,
    /// A folder for what must survive a restart.
    pub state_dir: Option<PathBuf>,
    /// What is kept of `POST /prompt`.
    pub notes: NotesConfig,
    /// Where jobshim shows what it does, if it does.
    pub admin: Option<AdminConfig>,
    /// What clients may take of the listener, and how long.
    pub server: ServerConfig,
    /// What legacy answers tell clients.
    pub notices: NoticesConfig,
    /// How answers are compared.
    pub shadow: ShadowConfig,
    /// How log lines look and how many there are.
    pub log: LogConfig,
}

impl Config {
    /// Where forwarded legacy calls go.
    pub fn legacy_url(&self) -> &http::Uri {
        self.legacy.upstream.as_ref().unwrap_or(&self.upstream.url)
    }
}

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for ListenAddress {
    type Err = Cow<'static, str>;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse::address(text)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "{address}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

/// How clients get in.
#[derive(Clone, Debug)]
pub struct ListenConfig {
    /// The certificate, where the listener speaks TLS.
    pub tls: Option<TlsFiles>,
    /// Every connection begins with a header of the PROXY protocol, by a trusted proxy.
    pub proxy_protocol: bool,
    /// The proxies whose word about their clients counts.
    pub trusted_proxies: TrustedProxies,
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM, the listener's own certificate first.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

/// The server behind, and how patient we are with it.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// Scheme, authority and base path, without a trailing slash, query or fragment.
    pub url: http::Uri,
    /// The Unix socket where it is found instead; the URL then says only what its `Host` is.
    pub socket: Option<PathBuf>,
    /// How it speaks the Jobs API.
    pub dialect: DialectChoice,
    /// How long a connection may take to open, TLS included.
    pub connect_timeout: Duration,
    /// How long the upstream may take to begin an answer that passes through.
    pub first_byte_timeout: Duration,
    /// How long an answer that passes through may lie still.
    pub gap_timeout: Duration,
    /// How long a translated call may take, headers and body together.
    pub answer_timeout: Duration,
    /// The largest answer, in bytes, that a translated call reads.
    pub max_answer_bytes: usize,
    /// Details fetched side by side for one legacy list.
    pub concurrency: usize,
    /// PEM certificates trusted besides the system's and the bundled ones.
    pub ca_file: Option<PathBuf>,
    /// Added to every request that does not have them.
    pub headers: Vec<(http::HeaderName, http::HeaderValue)>,
}

impl UpstreamConfig {
    /// The server as it was configured.
    pub fn name(&self) -> String {
        match &self.socket {
            Some(path) => format!("unix:{}", path.display()),
            None => self.url.to_string().trim_end_matches('/').to_owned(),
        }
    }
}

/// What is kept of `POST /prompt`.
#[derive(Clone, Debug)]
pub struct NotesConfig {
    /// The largest request body, in bytes, that is noted.
    pub max_body: usize,
    /// The most bytes that all notes together may take; 0 keeps none.
    pub max_bytes: usize,
}

/// How forwarded answers are compared with translated ones.
#[derive(Clone, Debug)]
pub struct ShadowConfig {
    /// Comparisons at the same time; further ones are left out.
    pub max_in_flight: usize,
    /// Of the requests that could be compared, those that are.
    pub sample: Share,
    /// Fields that are not looked at, in segments.
    pub ignore: Vec<FieldPath>,
}

/// What legacy answers tell clients; times in seconds since 1970.
#[derive(Clone, Debug)]
pub struct NoticesConfig {
    /// `Deprecation`: since when.
    pub deprecation: Option<u64>,
    /// `Sunset`: until when.
    pub sunset: Option<u64>,
    /// `Link` to the Jobs API's URL for the same.
    pub successor: bool,
    /// `Link` to the guide, and in the body of a 410.
    pub guide: Option<http::Uri>,
    /// `Jobshim-Job-State` on an empty `/history/{id}`.
    pub job_state: bool,
}

/// Where jobshim shows what it does.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Where it is shown.
    pub address: SocketAddr,
    /// Names under which it may be asked, in lower case, besides addresses and `localhost`.
    pub hosts: Vec<String>,
}

/// `upstream.dialect`: `auto` asks the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DialectChoice {
    /// Found out by asking.
    Auto,
    /// Self-hosted ComfyUI.
    Comfyui,
    /// The cloud.
    Cloud,
}

/// How legacy answers are made.
#[derive(Clone, Debug)]
pub struct LegacyConfig {
    /// Which items `/api/queue` shows (CONTRACT.md section 1).
    pub surface: Surface,
    /// Who answers which route.
    pub modes: Policies,
    /// Where forwarded legacy calls go, when it is not [`UpstreamConfig::url`].
    pub upstream: Option<http::Uri>,
    /// How long mode `auto` forwards before it asks for the Jobs API again.
    pub ask_again: Duration,
    /// The largest body of a write, in bytes.
    pub max_body: usize,
    /// The most pages read for one list.
    pub max_pages: usize,
    /// Answers made at the same time.
    pub max_translations: usize,
    /// Whether they are compressed for clients that take that.
    pub compress: bool,
}

/// Which jobs a history is made of.
#[derive(Clone, Debug)]
pub struct HistoryConfig {
    /// The longest that a job may take from its creation to its end.
    pub longest_job: Duration,
    /// The most bytes that the jobs may take which are hidden from it.
    pub max_hidden: usize,
    /// They are hidden in passing answers of the Jobs API, too.
    pub hide_in_jobs_api: bool,
}

/// What is remembered of jobs that do not change any more.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// The most bytes that it may take; 0 remembers nothing.
    pub max_bytes: usize,
    /// How long it is believed.
    pub ttl: Duration,
    /// How much longer it may be shown while the upstream cannot be reached.
    pub max_stale: Duration,
}

/// `legacy.surface`: `auto` is the upstream's dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surface {
    /// The upstream's dialect.
    Auto,
    /// Self-hosted queue items.
    Comfyui,
    /// Cloud queue items.
    Cloud,
}

/// What clients may take of the listener, and how long.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// How long the head of a request may take, from its first byte.
    pub header_timeout: Duration,
    /// How long a client may let nothing move: between requests, in a body it sends, or in an answer it reads.
    pub idle_timeout: Duration,
    /// The most bytes of a request's headers, names and values.
    pub max_header_bytes: usize,
    /// The most headers of a request.
    pub max_headers: usize,
    /// The longest path and query, in bytes.
    pub max_uri_bytes: usize,
    /// The most connections.
    pub max_connections: usize,
    /// The most connections from one address; 0 is no limit of its own.
    pub max_connections_per_address: usize,
    /// The most bytes of bodies that are held to be read whole, all together.
    pub max_buffered: usize,
    /// The most requests on one connection; 0 is no limit.
    pub max_requests: usize,
    /// How long connections are still taken after a stop signal.
    pub drain_delay: Duration,
    /// How long in-flight answers may take to finish after that.
    pub drain_timeout: Duration,
}

/// How log lines look and how many there are.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// Text or JSON.
    pub format: LogFormat,
    /// Whether each request is a line.
    pub access: bool,
    /// 0: info, 1: debug, 2 and more: trace.
    pub verbosity: u8,
}

/// `log.format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For collectors, one object a line.
    Json,
}
