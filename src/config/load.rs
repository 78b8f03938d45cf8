//! Flags, environment, file and defaults, merged key by key; every value remembers where it came from.

use super::{
    error::{ConfigError, ConfigErrors},
    file::{self, Written},
    key::Key,
    options::Options,
    provenance::{GivenValue, Origin},
    reader::Reader,
    setting::Setting,
    settings::keys,
    validated::Config,
    values::{Pipes, Places},
};
use std::path::PathBuf;

/// A configuration, and where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the program runs by.
    pub config: Config,
    /// One for each key, in the order of [`keys`].
    pub values: Vec<GivenValue>,
    /// What of it can be read only once.
    pipes: Pipes,
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
        let both = self.values.iter().zip(&new.values);
        let values: Vec<GivenValue> = both
            .map(|(running, new)| match new.key.live || running.text == new.text {
                true => new.clone(),
                false => {
                    waiting.push(new.key.name);
                    running.clone()
                }
            })
            .collect();
        let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
        let places = Places {
            environment: &variable,
            pipes: &self.pipes,
        };
        Ok((Self::validate(values, places, Vec::new())?, waiting))
    }

    /// The keys whose values differ.
    pub fn changed(&self, other: &Self) -> Vec<&'static str> {
        let both = self.values.iter().zip(&other.values);
        both.filter(|(one, other)| one.text != other.text)
            .map(|(one, _)| one.key.name)
            .collect()
    }

    /// Refuses `values` with all complaints, those that there are already among them.
    fn validate(
        values: Vec<GivenValue>,
        places: Places<'_>,
        mut errors: Vec<ConfigError>,
    ) -> Result<Self, ConfigErrors> {
        match Config::read(&mut Reader::new(&values, places, &mut errors)) {
            Some(config) if errors.is_empty() => Ok(Self {
                config,
                values,
                pipes: places.pipes.clone(),
            }),
            _ => Err(ConfigErrors(errors)),
        }
    }
}

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
    let (values, errors) = merge(options, &variable);
    let places = Places {
        environment: &variable,
        pipes: &pipes,
    };
    Loaded::validate(values, places, errors)
}

/// The value of one setting alone, whatever the others are.
pub fn load_one<T>(
    setting: &Setting<T>,
    options: &Options,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<T, ConfigErrors> {
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    let (values, mut errors) = merge(options, &variable);
    let places = Places {
        environment: &variable,
        pipes: &Pipes::default(),
    };
    let value = Reader::new(&values, places, &mut errors).read(&setting.key, setting.parse);
    value.filter(|_| errors.is_empty()).ok_or(ConfigErrors(errors))
}

/// A value for each key, and what is wrong with the file.
fn merge(options: &Options, variable: &dyn Fn(&str) -> Option<String>) -> (Vec<GivenValue>, Vec<ConfigError>) {
    let path = options
        .config
        .clone()
        .or_else(|| variable("JOBSHIM_CONFIG").map(PathBuf::from));
    let (mut file, errors) = path.as_deref().map(file::read).unwrap_or_default();
    let given = |key: &'static Key| {
        let flag = options.get(key).map(|value| (value.to_owned(), Origin::Flag(key.flag)));
        let from_environment = || variable(key.variable).map(|value| (value, Origin::Environment(key.variable)));
        let ((text, origin), places) = match flag.or_else(from_environment) {
            Some(given) => (given, Vec::new()),
            None => match file.remove(key.name) {
                Some(Written { text, origin, places }) => ((text, origin), places),
                None => ((key.default.to_owned(), Origin::Default), Vec::new()),
            },
        };
        GivenValue {
            key,
            text,
            origin,
            places,
        }
    };
    (keys().map(given).collect(), errors)
}
