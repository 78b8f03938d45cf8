//! Texts to values: each section of the file by itself, then what they say together.

use super::{
    AdminConfig, CacheConfig, Config, HistoryConfig, LegacyConfig, ListenAddress, ListenConfig, LogConfig, NotesConfig,
    NoticesConfig, Policies, ServerConfig, ShadowConfig, TlsFiles, UpstreamConfig,
    load::{ConfigError, Setting},
    modes,
    parse::{self, InvalidValue},
    secret::{self, Places},
};
use crate::http::buffered::BufferBudget;

/// Turns texts into values; complaints go to `errors`, and `None` comes back when a value is missing for one.
pub fn check(settings: &[Setting], places: Places<'_>, errors: &mut Vec<ConfigError>) -> Option<Config> {
    let mut reader = Reader {
        settings,
        places,
        errors,
    };
    // Every section is read before the first `?`, so that one start shows every complaint.
    let listen = reader.value("listen.address", parse::address);
    let access_token = reader.value("listen.access_token", |text| match text {
        "" => Ok(None),
        _ => secret::secret(text, places).map(Some),
    });
    let open = reader.value("listen.open", parse::flag);
    let door = door(&mut reader);
    let upstream = upstream(&mut reader);
    let legacy = legacy(&mut reader);
    let history = history(&mut reader);
    let cache = cache(&mut reader);
    let mappings_dir = reader.value("mappings_dir", parse::optional_folder);
    let state_dir = reader.value("state_dir", parse::folder_to_be);
    let notes = notes(&mut reader);
    let admin = admin(&mut reader);
    let server = server(&mut reader);
    let notices = notices(&mut reader);
    let shadow = shadow(&mut reader);
    let log = log(&mut reader);
    let config = Config {
        listen: listen?,
        door: door?,
        access_token: access_token?,
        upstream: upstream?,
        legacy: legacy?,
        history: history?,
        cache: cache?,
        mappings_dir: mappings_dir?,
        state_dir: state_dir?,
        notes: notes?,
        admin: admin?,
        server: server?,
        notices: notices?,
        shadow: shadow?,
        log: log?,
    };
    together(&config, open?, &mut reader);
    Some(config)
}

/// What no value can tell by itself.
fn together(config: &Config, open: bool, reader: &mut Reader<'_>) {
    if let (ListenAddress::Unix(listen), Some(socket)) = (&config.listen, &config.upstream.socket)
        && listen == socket
    {
        reader.refuse("upstream.url", "this is where jobshim itself listens");
    }
    if config.door.proxy_protocol && config.door.trusted_proxies.is_empty() {
        reader.refuse(
            "listen.proxy_protocol",
            "whoever connects could say that it is somebody else: name the proxies in listen.trusted_proxies",
        );
    }
    if config.door.tls.is_some() && matches!(config.listen, ListenAddress::Unix(_)) {
        reader.refuse(
            "listen.tls_certificate",
            "a Unix socket does not leave this machine and has no TLS",
        );
    }
    let legacy = config.legacy.upstream.as_ref().map(|url| ("legacy.upstream", url));
    for (key, url) in [("upstream.url", &config.upstream.url)].into_iter().chain(legacy) {
        if parse::is_itself(&config.listen, url) && config.upstream.socket.is_none() {
            reader.refuse(key, "this is where jobshim itself listens");
        }
    }
    if let Some(AdminConfig { address, .. }) = config.admin {
        if address.port() != 0 && config.listen == ListenAddress::Tcp(address) {
            reader.refuse("admin.address", "this is where clients connect");
        }
        if parse::is_itself(&ListenAddress::Tcp(address), &config.upstream.url) {
            reader.refuse("upstream.url", "this is where jobshim shows what it does");
        }
    }
    fits_one_body(config, reader);
    let guarded = config.access_token.is_some() || open || is_of_this_machine(&config.listen);
    if !guarded && !config.upstream.headers.is_empty() {
        reader.refuse(
            "listen.address",
            "whoever reaches this address would use the server with your upstream.headers: set listen.access_token, \
             or give --i-know-this-is-open",
        );
    }
}

/// A body that is allowed by itself must have room at least where there is no other.
fn fits_one_body(config: &Config, reader: &mut Reader<'_>) {
    let all = config.server.max_buffered;
    let requests = BufferBudget::for_requests(all);
    for (key, most, room, whose) in [
        (
            "upstream.max_answer_bytes",
            config.upstream.max_answer_bytes,
            all,
            "answers may take all of it",
        ),
        (
            "legacy.max_body",
            config.legacy.max_body,
            requests,
            "requests may take half of it",
        ),
        (
            "notes.max_body",
            config.notes.max_body,
            requests,
            "requests may take half of it",
        ),
    ] {
        if most > room {
            let reason = format!("a body of the {most} bytes that {key} allows would have no room: {whose}");
            reader.refuse("server.max_buffered", reason);
        }
    }
}

fn is_of_this_machine(listen: &ListenAddress) -> bool {
    match listen {
        ListenAddress::Tcp(address) => address.ip().is_loopback(),
        ListenAddress::Unix(_) => true,
    }
}

fn door(reader: &mut Reader<'_>) -> Option<ListenConfig> {
    let certificate = reader.value("listen.tls_certificate", parse::optional_file);
    let key = reader.value("listen.tls_key", parse::optional_file);
    let proxy_protocol = reader.value("listen.proxy_protocol", parse::flag);
    let trusted_proxies = reader.value("listen.trusted_proxies", parse::trusted_proxies);
    let tls = match (certificate?, key?) {
        (Some(certificate), Some(key)) => Some(TlsFiles { certificate, key }),
        (None, None) => None,
        (Some(_), None) => {
            reader.refuse(
                "listen.tls_key",
                "the certificate's key is expected beside listen.tls_certificate",
            );
            None
        }
        (None, Some(_)) => {
            reader.refuse(
                "listen.tls_certificate",
                "the key's certificate is expected beside listen.tls_key",
            );
            None
        }
    };
    Some(ListenConfig {
        tls,
        proxy_protocol: proxy_protocol?,
        trusted_proxies: trusted_proxies?,
    })
}

fn upstream(reader: &mut Reader<'_>) -> Option<UpstreamConfig> {
    let places = reader.places;
    let server = reader.value("upstream.url", parse::server);
    let dialect = reader.value("upstream.dialect", parse::dialect);
    let headers = reader.value("upstream.headers", |text| secret::headers(text, places));
    let ca_file = reader.value("upstream.ca_file", parse::optional_file);
    let connect_timeout = reader.value("upstream.connect_timeout", parse::duration);
    let first_byte_timeout = reader.value("upstream.first_byte_timeout", parse::duration);
    let gap_timeout = reader.value("upstream.gap_timeout", parse::duration);
    let answer_timeout = reader.value("upstream.answer_timeout", parse::duration);
    let max_answer_bytes = reader.value("upstream.max_answer_bytes", parse::size);
    let concurrency = reader.value("upstream.concurrency", parse::concurrency);
    let (url, socket) = server?;
    Some(UpstreamConfig {
        url,
        socket,
        dialect: dialect?,
        headers: headers?,
        ca_file: ca_file?,
        connect_timeout: connect_timeout?,
        first_byte_timeout: first_byte_timeout?,
        gap_timeout: gap_timeout?,
        answer_timeout: answer_timeout?,
        max_answer_bytes: max_answer_bytes?,
        concurrency: concurrency?,
    })
}

fn legacy(reader: &mut Reader<'_>) -> Option<LegacyConfig> {
    let surface = reader.value("legacy.surface", parse::surface);
    let default = reader.value("legacy.mode", modes::policy);
    let routes = reader.value("legacy.routes", modes::routes);
    let upstream = reader.value("legacy.upstream", parse::optional_url);
    let ask_again = reader.value("legacy.ask_again", parse::duration);
    let compress = reader.value("legacy.compress", parse::flag);
    let max_body = reader.value("legacy.max_body", parse::size);
    let max_pages = reader.value("legacy.max_pages", parse::count);
    let max_jobs = reader.value("legacy.max_jobs", parse::count);
    let max_translations = reader.value("legacy.max_translations", parse::count);
    Some(LegacyConfig {
        surface: surface?,
        modes: Policies {
            default: default?,
            routes: routes?,
        },
        upstream: upstream?,
        ask_again: ask_again?,
        compress: compress?,
        max_body: max_body?,
        max_pages: max_pages?,
        max_jobs: max_jobs?,
        max_translations: max_translations?,
    })
}

fn history(reader: &mut Reader<'_>) -> Option<HistoryConfig> {
    let longest_job = reader.value("history.longest_job", parse::duration);
    let max_hidden = reader.value("history.max_hidden", parse::size);
    let hide_in_jobs_api = reader.value("history.hide_in_jobs_api", parse::flag);
    Some(HistoryConfig {
        longest_job: longest_job?,
        max_hidden: max_hidden?,
        hide_in_jobs_api: hide_in_jobs_api?,
    })
}

fn cache(reader: &mut Reader<'_>) -> Option<CacheConfig> {
    let max_bytes = reader.value("cache.max_bytes", parse::size_or_none);
    let ttl = reader.value("cache.ttl", parse::duration);
    let max_stale = reader.value("cache.max_stale", parse::duration_or_none);
    Some(CacheConfig {
        max_bytes: max_bytes?,
        ttl: ttl?,
        max_stale: max_stale?,
    })
}

fn notes(reader: &mut Reader<'_>) -> Option<NotesConfig> {
    let max_body = reader.value("notes.max_body", parse::size);
    let max_bytes = reader.value("notes.max_bytes", parse::size_or_none);
    Some(NotesConfig {
        max_body: max_body?,
        max_bytes: max_bytes?,
    })
}

fn admin(reader: &mut Reader<'_>) -> Option<Option<AdminConfig>> {
    let address = reader.value("admin.address", parse::address_or_off);
    let hosts = reader.value("admin.hosts", parse::host_names);
    let hosts = hosts?;
    Some(address?.map(|address| AdminConfig { address, hosts }))
}

fn server(reader: &mut Reader<'_>) -> Option<ServerConfig> {
    let header_timeout = reader.value("server.header_timeout", parse::duration);
    let idle_timeout = reader.value("server.idle_timeout", parse::duration);
    let max_header_bytes = reader.value("server.max_header_bytes", parse::size);
    let max_headers = reader.value("server.max_headers", parse::headers);
    let max_uri_bytes = reader.value("server.max_uri_bytes", parse::uri_size);
    let max_connections = reader.value("server.max_connections", parse::count);
    let max_connections_per_address = reader.value("server.max_connections_per_address", parse::count_or_none);
    let max_buffered = reader.value("server.max_buffered", parse::size);
    let max_requests = reader.value("server.max_requests", parse::count_or_none);
    let drain_delay = reader.value("server.drain_delay", parse::duration_or_none);
    let drain_timeout = reader.value("server.drain_timeout", parse::duration);
    Some(ServerConfig {
        header_timeout: header_timeout?,
        idle_timeout: idle_timeout?,
        max_header_bytes: max_header_bytes?,
        max_headers: max_headers?,
        max_uri_bytes: max_uri_bytes?,
        max_connections: max_connections?,
        max_connections_per_address: max_connections_per_address?,
        max_buffered: max_buffered?,
        max_requests: max_requests?,
        drain_delay: drain_delay?,
        drain_timeout: drain_timeout?,
    })
}

fn notices(reader: &mut Reader<'_>) -> Option<NoticesConfig> {
    let deprecation = reader.value("notices.deprecation", parse::day_or_off);
    let sunset = reader.value("notices.sunset", parse::day_or_off);
    let successor = reader.value("notices.successor", parse::flag);
    let guide = reader.value("notices.guide", parse::optional_link);
    let job_state = reader.value("notices.job_state", parse::flag);
    Some(NoticesConfig {
        deprecation: deprecation?,
        sunset: sunset?,
        successor: successor?,
        guide: guide?,
        job_state: job_state?,
    })
}

fn shadow(reader: &mut Reader<'_>) -> Option<ShadowConfig> {
    let max_in_flight = reader.value("shadow.max_in_flight", parse::concurrency);
    let sample = reader.value("shadow.sample", modes::share);
    let ignore = reader.value("shadow.ignore", modes::paths);
    Some(ShadowConfig {
        max_in_flight: max_in_flight?,
        sample: sample?,
        ignore: ignore?,
    })
}

fn log(reader: &mut Reader<'_>) -> Option<LogConfig> {
    let format = reader.value("log.format", parse::log_format);
    let access = reader.value("log.access", parse::on_off);
    let verbosity = reader.value("log.verbosity", parse::verbosity);
    Some(LogConfig {
        format: format?,
        access: access?,
        verbosity: verbosity?,
    })
}

/// Reads settings one by one, and keeps the complaints.
struct Reader<'a> {
    settings: &'a [Setting],
    places: Places<'a>,
    errors: &'a mut Vec<ConfigError>,
}

impl Reader<'_> {
    fn value<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, InvalidValue>) -> Option<T> {
        let setting = self.settings.iter().find(|setting| setting.key == key)?;
        parse(&setting.value).map_err(|reason| self.refuse(key, reason)).ok()
    }

    fn refuse(&mut self, key: &str, reason: impl Into<InvalidValue>) {
        let found = self.settings.iter().find(|setting| setting.key == key);
        self.errors.extend(found.map(|setting| ConfigError::Value {
            key: setting.key.to_owned(),
            value: setting.shown(),
            origin: setting.origin.clone(),
            reason: reason.into().into_owned(),
        }));
    }
}
