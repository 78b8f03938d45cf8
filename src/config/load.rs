//! Flags, environment, file and defaults, merged key by key; every value remembers where it came from.

use super::{
    Config, LegacyConfig, LogConfig, NotesConfig, UpstreamConfig,
    parse::{self, Wrong},
    secret::{self, Environment},
};
use crate::cli::Options;
use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};
use toml::de::{DeTable, DeValue};

/// One key of the configuration.
pub struct Key {
    /// In the file, such as `upstream.url`.
    pub name: &'static str,
    /// In the environment.
    pub variable: &'static str,
    /// On the command line.
    pub flag: &'static str,
    /// What holds when nobody says anything; empty for nothing.
    pub default: &'static str,
    from_flags: fn(&Options) -> Option<String>,
    /// Its value is shown to nobody, only where it is kept.
    secret: bool,
}

/// The key that is a table of its own in the file.
const HEADERS: &str = "upstream.headers";

macro_rules! key {
    ($name:literal, $variable:literal, $flag:literal, $default:literal, $field:ident, secret) => {
        Key {
            secret: true,
            ..key!($name, $variable, $flag, $default, $field)
        }
    };
    ($name:literal, $variable:literal, $flag:literal, $default:literal, $field:ident) => {
        Key {
            name: $name,
            variable: $variable,
            flag: $flag,
            default: $default,
            from_flags: |options| options.$field.clone(),
            secret: false,
        }
    };
}

/// Every key there is.
pub const KEYS: &[Key] = &[
    key!("listen.address", "JOBSHIM_LISTEN", "--listen", "127.0.0.1:8187", listen),
    key!(
        "listen.access_token",
        "JOBSHIM_ACCESS_TOKEN",
        "--access-token",
        "",
        access_token,
        secret
    ),
    Key {
        name: "listen.open",
        variable: "JOBSHIM_I_KNOW_THIS_IS_OPEN",
        flag: "--i-know-this-is-open",
        default: "false",
        from_flags: |options| options.i_know_this_is_open.then(|| "true".to_owned()),
        secret: false,
    },
    key!(
        "upstream.url",
        "JOBSHIM_UPSTREAM",
        "--upstream",
        "http://127.0.0.1:8188",
        upstream
    ),
    key!("upstream.dialect", "JOBSHIM_DIALECT", "--dialect", "auto", dialect),
    key!(
        "upstream.connect_timeout",
        "JOBSHIM_CONNECT_TIMEOUT",
        "--connect-timeout",
        "5s",
        connect_timeout
    ),
    key!(
        "upstream.answer_timeout",
        "JOBSHIM_ANSWER_TIMEOUT",
        "--answer-timeout",
        "30s",
        answer_timeout
    ),
    key!(
        "upstream.max_answer_bytes",
        "JOBSHIM_MAX_ANSWER_BYTES",
        "--max-answer-bytes",
        "256MiB",
        max_answer_bytes
    ),
    key!(
        "upstream.concurrency",
        "JOBSHIM_CONCURRENCY",
        "--concurrency",
        "16",
        concurrency
    ),
    key!("upstream.ca_file", "JOBSHIM_CA_FILE", "--ca-file", "", ca_file),
    Key {
        name: HEADERS,
        variable: "JOBSHIM_UPSTREAM_HEADERS",
        flag: "--upstream-header",
        default: "",
        from_flags: |options| (!options.upstream_header.is_empty()).then(|| options.upstream_header.join("\n")),
        secret: true,
    },
    key!("legacy.surface", "JOBSHIM_SURFACE", "--surface", "auto", surface),
    key!(
        "mappings_dir",
        "JOBSHIM_MAPPINGS_DIR",
        "--mappings-dir",
        "",
        mappings_dir
    ),
    key!("state_dir", "JOBSHIM_STATE_DIR", "--state-dir", "", state_dir),
    key!(
        "notes.max_body",
        "JOBSHIM_NOTES_MAX_BODY",
        "--notes-max-body",
        "8MiB",
        notes_max_body
    ),
    key!(
        "notes.max_bytes",
        "JOBSHIM_NOTES_MAX_BYTES",
        "--notes-max-bytes",
        "64MiB",
        notes_max_bytes
    ),
    key!(
        "server.drain_timeout",
        "JOBSHIM_DRAIN_TIMEOUT",
        "--drain-timeout",
        "10s",
        drain_timeout
    ),
    key!("log.format", "JOBSHIM_LOG_FORMAT", "--log-format", "text", log_format),
    Key {
        name: "log.verbosity",
        variable: "JOBSHIM_VERBOSITY",
        flag: "-v",
        default: "0",
        from_flags: |options| (options.verbose > 0).then(|| options.verbose.to_string()),
        secret: false,
    },
];

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A flag.
    Flag(&'static str),
    /// An environment variable.
    Environment(&'static str),
    /// The configuration file, and the line in it.
    File(PathBuf, usize),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(flag) => write!(out, "flag {flag}"),
            Self::Environment(variable) => write!(out, "environment {variable}"),
            Self::File(path, line) => write!(out, "{}:{line}", path.display()),
            Self::Default => write!(out, "default"),
        }
    }
}

/// A value in force.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Such as `upstream.url`.
    pub key: &'static str,
    /// As written.
    pub value: String,
    /// Who wrote it.
    pub origin: Origin,
    secret: bool,
}

impl Setting {
    /// The value as people may see it.
    pub fn shown(&self) -> String {
        match self.secret && !self.value.is_empty() {
            true => secret::shown(&self.value),
            false => self.value.clone(),
        }
    }
}

/// A configuration, and where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the program runs by.
    pub config: Config,
    /// One for each key, in the order of [`KEYS`].
    pub settings: Vec<Setting>,
}

/// What is wrong with a configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A value cannot be used.
    #[error("{key} = {value:?} ({origin}): {reason}")]
    Value {
        /// Such as `upstream.url`.
        key: String,
        /// As written.
        value: String,
        /// Who wrote it.
        origin: Origin,
        /// What was expected.
        reason: String,
    },
    /// The file cannot be read, is not TOML, or has a key that does not exist.
    #[error("{}:{line}: {reason}", .path.display())]
    File {
        /// As given.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// Every complaint about a configuration, one a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// Merges and checks everything; `environment` looks a variable up. An empty variable counts as unset.
pub fn load(options: &Options, environment: impl Fn(&str) -> Option<String>) -> Result<Loaded, ConfigErrors> {
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    let mut errors = Vec::new();
    let path = options
        .config
        .clone()
        .or_else(|| variable("JOBSHIM_CONFIG").map(PathBuf::from));
    let mut file = match path.as_deref().map(read_file).transpose() {
        Ok(file) => file.unwrap_or_default(),
        Err(mut found) => {
            errors.append(&mut found);
            BTreeMap::new()
        }
    };
    let settings: Vec<Setting> = KEYS
        .iter()
        .map(|key| {
            let flag = (key.from_flags)(options).map(|value| (value, Origin::Flag(key.flag)));
            let from_environment = || variable(key.variable).map(|value| (value, Origin::Environment(key.variable)));
            let (value, origin) = flag
                .or_else(from_environment)
                .or_else(|| file.remove(key.name))
                .unwrap_or_else(|| (key.default.to_owned(), Origin::Default));
            Setting {
                key: key.name,
                value,
                origin,
                secret: key.secret,
            }
        })
        .collect();
    let config = check(&settings, &variable, &mut errors);
    match config {
        Some(config) if errors.is_empty() => Ok(Loaded { config, settings }),
        _ => Err(ConfigErrors(errors)),
    }
}

type FileValues = BTreeMap<String, (String, Origin)>;

fn read_file(path: &Path) -> Result<FileValues, Vec<ConfigError>> {
    let refuse = |line, reason| ConfigError::File {
        path: path.to_owned(),
        line,
        reason,
    };
    let text = fs::read_to_string(path).map_err(|error| vec![refuse(1, error.to_string())])?;
    let line = |offset| crate::mapping::line_of(&text, offset);
    let root = DeTable::parse(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        vec![refuse(line(at), error.message().to_owned())]
    })?;
    let mut values = FileValues::new();
    let mut errors = Vec::new();
    let mut take = |name: String, value: &toml::Spanned<DeValue<'_>>, at: usize| {
        let text = match value.get_ref() {
            DeValue::Table(headers) if name == HEADERS => {
                let lines = headers
                    .iter()
                    .map(|(name, value)| Ok(format!("{}={}", name.get_ref(), text_of(value)?)));
                lines.collect::<Result<Vec<_>, _>>().map(|lines| lines.join("\n"))
            }
            _ => text_of(value),
        };
        match text {
            _ if !KEYS.iter().any(|key| key.name == name) => {
                let known: Vec<_> = KEYS.iter().map(|key| key.name).collect();
                errors.push(refuse(
                    line(at),
                    format!("unknown key {name}; there are {}", known.join(", ")),
                ));
            }
            Ok(text) => drop(values.insert(name, (text, Origin::File(path.to_owned(), line(at))))),
            Err(reason) => errors.push(refuse(line(at), format!("{name}: {reason}"))),
        }
    };
    for (name, value) in root.get_ref() {
        match value.get_ref() {
            DeValue::Table(section) => {
                for (below, value) in section {
                    take(
                        format!("{}.{}", name.get_ref(), below.get_ref()),
                        value,
                        below.span().start,
                    );
                }
            }
            _ => take(name.get_ref().to_string(), value, name.span().start),
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

/// A value as text; `{ env = "NAME" }` and `{ file = "PATH" }` are where a secret is kept.
fn text_of(value: &toml::Spanned<DeValue<'_>>) -> Result<String, &'static str> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Boolean(flag) => Ok(flag.to_string()),
        DeValue::Table(reference) if reference.len() == 1 => reference
            .iter()
            .find_map(|(kind, place)| match (&**kind.get_ref(), place.get_ref()) {
                (kind @ ("env" | "file"), DeValue::String(place)) => Some(format!("{kind}:{place}")),
                _ => None,
            })
            .ok_or("{ env = \"NAME\" } or { file = \"PATH\" } is expected"),
        _ => Err("a text or a whole number is expected"),
    }
}

/// Turns texts into values; complaints go to `errors`, and `None` comes back when a value is missing for one.
fn check(settings: &[Setting], environment: Environment<'_>, errors: &mut Vec<ConfigError>) -> Option<Config> {
    let mut reader = Reader { settings, errors };
    let listen = reader.value("listen.address", parse::address);
    let access_token = reader.value("listen.access_token", |text| match text {
        "" => Ok(None),
        _ => secret::secret(text, environment).map(Some),
    });
    let open = reader.value("listen.open", parse::flag);
    let headers = reader.value(HEADERS, |text| secret::headers(text, environment));
    let state_dir = reader.value("state_dir", parse::optional_path);
    let max_body = reader.value("notes.max_body", parse::size);
    let max_bytes = reader.value("notes.max_bytes", parse::size_or_none);
    let url = reader.value("upstream.url", parse::url);
    let dialect = reader.value("upstream.dialect", parse::dialect);
    let connect_timeout = reader.value("upstream.connect_timeout", parse::duration);
    let answer_timeout = reader.value("upstream.answer_timeout", parse::duration);
    let max_answer_bytes = reader.value("upstream.max_answer_bytes", parse::size);
    let concurrency = reader.value("upstream.concurrency", parse::concurrency);
    let ca_file = reader.value("upstream.ca_file", parse::optional_file);
    let surface = reader.value("legacy.surface", parse::surface);
    let mappings_dir = reader.value("mappings_dir", parse::optional_folder);
    let drain_timeout = reader.value("server.drain_timeout", parse::duration);
    let format = reader.value("log.format", parse::log_format);
    let verbosity = reader.value("log.verbosity", parse::verbosity);
    if let (Some(listen), Some(url)) = (listen, &url)
        && parse::is_itself(listen, url)
    {
        reader.value::<()>("upstream.url", |_| Err("this is where jobshim itself listens".into()));
    }
    if let (Some(listen), Some(None), Some(false), Some(headers)) = (listen, &access_token, open, &headers)
        && !listen.ip().is_loopback()
        && !headers.is_empty()
    {
        reader.value::<()>("listen.address", |_| {
            Err("whoever reaches this address would use the server with your upstream.headers: set listen.access_token, \
                 or give --i-know-this-is-open"
                .into())
        });
    }
    Some(Config {
        listen: listen?,
        access_token: access_token?,
        upstream: UpstreamConfig {
            url: url?,
            dialect: dialect?,
            connect_timeout: connect_timeout?,
            answer_timeout: answer_timeout?,
            max_answer_bytes: max_answer_bytes?,
            concurrency: concurrency?,
            ca_file: ca_file?,
            headers: headers?,
        },
        legacy: LegacyConfig { surface: surface? },
        mappings_dir: mappings_dir?,
        state_dir: state_dir?,
        notes: NotesConfig {
            max_body: max_body?,
            max_bytes: max_bytes?,
        },
        drain_timeout: drain_timeout?,
        log: LogConfig {
            format: format?,
            verbosity: verbosity?,
        },
    })
}

struct Reader<'a> {
    settings: &'a [Setting],
    errors: &'a mut Vec<ConfigError>,
}

impl Reader<'_> {
    fn value<T>(&mut self, key: &str, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        let setting = self.settings.iter().find(|setting| setting.key == key)?;
        match parse(&setting.value) {
            Ok(value) => Some(value),
            Err(reason) => {
                self.errors.push(ConfigError::Value {
                    key: setting.key.to_owned(),
                    value: setting.shown(),
                    origin: setting.origin.clone(),
                    reason: reason.into_owned(),
                });
                None
            }
        }
    }
}
