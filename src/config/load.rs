//! Flags, environment, file and defaults, merged key by key; every value remembers where it came from.

use super::{
    Config, check, file,
    keys::{Kind, keys},
    secret::{self, Pipes, Places},
};
use crate::config::Options;
use std::{collections::BTreeMap, fmt, path::PathBuf};

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
    pub(super) secret: bool,
    pub(super) table: bool,
    pub(super) url: bool,
}

impl Setting {
    /// The value as people may see it.
    pub fn shown(&self) -> String {
        match (self.secret, self.table) {
            (false, _) if self.url || self.value.contains("://") => secret::shown_url(&self.value),
            (false, _) => self.value.replace('\n', "; "),
            (true, false) => secret::shown(&self.value).to_owned(),
            (true, true) => secret::shown_headers(&self.value),
        }
    }
}

/// A configuration, and where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the program runs by.
    pub config: Config,
    /// One for each key, in the order of [`keys`].
    pub settings: Vec<Setting>,
    /// What of it can be read only once.
    pub(super) pipes: Pipes,
}

impl Loaded {
    /// As [`load`], of a program that runs by this one: a secret that came through a pipe stays in force.
    pub fn again(&self, options: &Options, environment: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigErrors> {
        load_knowing(options, environment, self.pipes.clone())
    }

    /// Whether some secret can be read only once.
    pub fn has_pipes(&self) -> bool {
        self.pipes.any()
    }

    /// What a running program has once it took over of `new` what it can, and the keys that wait for a restart.
    pub fn taking_over(
        &self,
        new: &Self,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<(Self, Vec<&'static str>), ConfigErrors> {
        let mut waiting = Vec::new();
        let both = keys().zip(self.settings.iter().zip(&new.settings));
        let settings: Vec<Setting> = both
            .map(|(key, (running, new))| match key.live || running.value == new.value {
                true => new.clone(),
                false => {
                    waiting.push(key.name);
                    running.clone()
                }
            })
            .collect();
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let mut errors = Vec::new();
        let places = Places {
            environment: &variable,
            pipes: &self.pipes,
        };
        match check::check(&settings, places, &mut errors) {
            Some(config) if errors.is_empty() => {
                let pipes = self.pipes.clone();
                let taken = Self {
                    config,
                    settings,
                    pipes,
                };
                Ok((taken, waiting))
            }
            _ => Err(ConfigErrors(errors)),
        }
    }

    /// The keys whose values differ.
    pub fn changed(&self, other: &Self) -> Vec<&'static str> {
        let both = self.settings.iter().zip(&other.settings);
        both.filter(|(one, other)| one.value != other.value)
            .map(|(one, _)| one.key)
            .collect()
    }
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
    load_knowing(options, environment, Pipes::default())
}

fn load_knowing(
    options: &Options,
    environment: impl Fn(&str) -> Option<String>,
    pipes: Pipes,
) -> Result<Loaded, ConfigErrors> {
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    let mut errors = Vec::new();
    let path = options
        .config
        .clone()
        .or_else(|| variable("JOBSHIM_CONFIG").map(PathBuf::from));
    let mut file = match path.as_deref().map(file::read).transpose() {
        Ok(file) => file.unwrap_or_default(),
        Err(mut found) => {
            errors.append(&mut found);
            BTreeMap::new()
        }
    };
    let settings: Vec<Setting> = keys()
        .map(|key| {
            let flag = options
                .get(key.name)
                .map(|value| (value.to_owned(), Origin::Flag(key.flag)));
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
                table: key.kind == Kind::Table,
                url: key.value == "URL",
            }
        })
        .collect();
    let places = Places {
        environment: &variable,
        pipes: &pipes,
    };
    let config = check::check(&settings, places, &mut errors);
    match config {
        Some(config) if errors.is_empty() => Ok(Loaded {
            config,
            settings,
            pipes,
        }),
        _ => Err(ConfigErrors(errors)),
    }
}
