//! Everything in force: each section of the file by itself, then what they say together.

use super::{
    reader::Reader,
    settings::{
        ADMIN, AdminSection, CacheConfig, FOLDERS, FolderConfig, HistoryConfig, LEGACY, LISTEN, LegacyConfig,
        ListenConfig, LogConfig, NOTES, NotesConfig, NoticesConfig, SERVER, STATE, ServerConfig, ShadowConfig,
        StateSection, UPSTREAM, UpstreamConfig,
    },
    values::{ListenAddress, Mode, Policy, Secret, StatePlace},
};
use crate::{http::buffered::BufferBudget, routes::RouteName};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

/// Everything in force, validated; the rest of the program trusts it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients connect, and who may.
    pub listen: ListenConfig,
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
    /// Where what must outlive a request is kept.
    pub state: StateConfig,
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
        self.legacy.upstream.as_ref().unwrap_or(&self.upstream.url.uri)
    }

    /// Reads every section, then what they say together. Each complaint goes to the reader; `None` comes back when a value is
    /// missing for one.
    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        // Every section is read before the first `?`, so that one start shows every complaint.
        let listen = ListenConfig::read(reader);
        let upstream = UpstreamConfig::read(reader);
        let legacy = LegacyConfig::read(reader);
        let history = HistoryConfig::read(reader);
        let cache = CacheConfig::read(reader);
        let folders = FolderConfig::read(reader);
        let state = StateSection::read(reader);
        let notes = NotesConfig::read(reader);
        let admin = AdminSection::read(reader);
        let server = ServerConfig::read(reader);
        let notices = NoticesConfig::read(reader);
        let shadow = ShadowConfig::read(reader);
        let log = LogConfig::read(reader);
        check_certificate(reader);
        let (folders, admin, state) = (folders?, admin?, state?);
        check_state(reader, &state.store);
        let config = Self {
            listen: listen?,
            upstream: upstream?,
            legacy: legacy?,
            history: history?,
            cache: cache?,
            mappings_dir: folders.mappings_dir,
            state: StateConfig::from_sections(state, folders.state_dir),
            notes: notes?,
            admin: AdminConfig::from_section(admin),
            server: server?,
            notices: notices?,
            shadow: shadow?,
            log: log?,
        };
        config.check(reader);
        Some(config)
    }

    /// What no section can tell by itself.
    fn check(&self, reader: &mut Reader<'_>) {
        let (listen, upstream) = (&self.listen.address, &self.upstream.url);
        if let (ListenAddress::Unix(listen), Some(socket)) = (listen, &upstream.socket)
            && listen == socket
        {
            reader.refuse(&UPSTREAM.url.key, "this is where jobshim itself listens");
        }
        let legacy = self.legacy.upstream.as_ref().map(|url| (&LEGACY.upstream.key, url));
        for (key, url) in [(&UPSTREAM.url.key, &upstream.uri)].into_iter().chain(legacy) {
            if listen.is_at(url) && upstream.socket.is_none() {
                reader.refuse(key, "this is where jobshim itself listens");
            }
        }
        if self.listen.proxy_protocol && self.listen.trusted_proxies.is_empty() {
            reader.refuse(
                &LISTEN.proxy_protocol.key,
                "whoever connects could say that it is somebody else: name the proxies in listen.trusted_proxies",
            );
        }
        if self.listen.tls().is_some() && matches!(listen, ListenAddress::Unix(_)) {
            reader.refuse(
                &LISTEN.tls_certificate.key,
                "a Unix socket does not leave this machine and has no TLS",
            );
        }
        if let Some(AdminConfig { address, .. }) = self.admin {
            let admin = ListenAddress::Tcp(address);
            if address.port() != 0 && *listen == admin {
                reader.refuse(&ADMIN.address.key, "this is where clients connect");
            }
            if admin.is_at(&upstream.uri) {
                reader.refuse(&UPSTREAM.url.key, "this is where jobshim shows what it does");
            }
        }
        self.check_room(reader);
        let is_guarded = self.listen.access_token.is_some() || self.listen.open || listen.is_of_this_machine();
        if !is_guarded && !self.upstream.headers.is_empty() {
            reader.refuse(
                &LISTEN.address.key,
                "whoever reaches this address would use the server with your upstream.headers: set listen.access_token, \
                 or give --i-know-this-is-open",
            );
        }
    }
}

impl Config {
    /// A body that is allowed by itself must have room at least where there is no other.
    fn check_room(&self, reader: &mut Reader<'_>) {
        let all = self.server.max_buffered;
        // What is kept of a list's page is there beside the page.
        let answers = all / 2;
        let requests = BufferBudget::for_requests(all);
        let (of_answers, of_requests) = (
            "a list may take twice its length while it is read",
            "requests may take half of it",
        );
        for (key, most, room, whose) in [
            (
                &UPSTREAM.max_answer_bytes.key,
                self.upstream.max_answer_bytes,
                answers,
                of_answers,
            ),
            (&LEGACY.max_body.key, self.legacy.max_body, requests, of_requests),
            (&NOTES.max_body.key, self.notes.max_body, requests, of_requests),
        ] {
            if most > room {
                let name = key.name;
                let reason = format!("a body of the {most} bytes that {name} allows would have no room: {whose}");
                reader.refuse(&SERVER.max_buffered.key, reason);
            }
        }
    }
}

/// The state is in one place. Beside a Valkey, the folder is that of a jobshim in the background.
fn check_state(reader: &mut Reader<'_>, store: &StatePlace) {
    let (key, folder) = (&STATE.store.key, &FOLDERS.state_dir.key);
    let is_elsewhere = !reader.is_default(key) && !matches!(store, StatePlace::Valkey(_));
    if reader.is_given(folder) && is_elsewhere {
        reader.refuse(folder, "state.store says where the state is kept: give one of both");
    }
}

/// A certificate goes with its key, whatever else is wrong.
fn check_certificate(reader: &mut Reader<'_>) {
    let (certificate, key) = (&LISTEN.tls_certificate.key, &LISTEN.tls_key.key);
    match (reader.is_given(certificate), reader.is_given(key)) {
        (true, false) => reader.refuse(key, "the certificate's key is expected beside listen.tls_certificate"),
        (false, true) => reader.refuse(certificate, "the key's certificate is expected beside listen.tls_key"),
        (true, true) | (false, false) => {}
    }
}

/// A certificate and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// PEM, the listener's own certificate first.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}

impl ListenConfig {
    /// The certificate, where the listener speaks TLS.
    pub fn tls(&self) -> Option<TlsFiles> {
        let (certificate, key) = self.tls_certificate.clone().zip(self.tls_key.clone())?;
        Some(TlsFiles { certificate, key })
    }
}

impl UpstreamConfig {
    /// The server as it was configured.
    pub fn name(&self) -> String {
        match &self.url.socket {
            Some(path) => format!("unix:{}", path.display()),
            None => self.url.uri.to_string().trim_end_matches('/').to_owned(),
        }
    }
}

impl LegacyConfig {
    /// Those of all routes.
    pub fn modes(&self) -> impl Iterator<Item = Mode> {
        RouteName::ALL.iter().map(|&route| self.policy(route).mode)
    }

    /// Who answers `route`: its own mode, or that of all.
    pub fn policy(&self, route: RouteName) -> &Policy {
        self.routes.get(&route).unwrap_or(&self.mode)
    }
}

/// Where what must outlive a request is kept, and how.
#[derive(Clone, Debug)]
pub struct StateConfig {
    /// Where.
    pub place: StatePlace,
    /// The folder of a jobshim in the background, if one was named.
    pub folder: Option<PathBuf>,
    /// The password of a Valkey.
    pub password: Option<Secret>,
    /// PEM certificates by which a Valkey is trusted, in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// How long one call to a Valkey may take.
    pub timeout: Duration,
    /// How long what is known is good while a Valkey does not answer.
    pub max_stale: Duration,
    /// By this all values are encrypted.
    pub key: Option<Secret>,
}

impl StateConfig {
    /// `folder` is another name for it.
    fn from_sections(section: StateSection, folder: Option<PathBuf>) -> Self {
        let place = match (section.store, &folder) {
            (StatePlace::Valkey(url), _) => StatePlace::Valkey(url),
            (_, Some(folder)) => StatePlace::Folder(folder.clone()),
            (store, None) => store,
        };
        Self {
            folder: folder.or_else(|| place.folder().map(Path::to_owned)),
            place,
            password: section.password,
            ca_file: section.ca_file,
            timeout: section.timeout,
            max_stale: section.max_stale,
            key: section.key,
        }
    }

    /// The same, in the process alone.
    pub fn in_memory(&self) -> Self {
        Self {
            place: StatePlace::Memory,
            ..self.clone()
        }
    }
}

/// Where jobshim shows what it does.
#[derive(Clone, Debug)]
pub struct AdminConfig {
    /// Where it is shown.
    pub address: SocketAddr,
    /// Names under which it may be asked, in lower case, besides addresses and `localhost`.
    pub hosts: Vec<String>,
}

impl AdminConfig {
    fn from_section(section: AdminSection) -> Option<Self> {
        let AdminSection { address, hosts } = section;
        address.map(|address| Self { address, hosts })
    }
}
