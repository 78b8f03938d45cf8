//! The options of the command line: one flag for each key.

use super::{
    key::{Key, Kind},
    settings::{SECTIONS, keys},
};
use clap::{
    Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, ValueHint,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};
use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::PathBuf,
};

/// The options of serve, as text: one flag for each of [`keys`]. The configuration reads and checks them together with
/// environment and file.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// A configuration file.
    pub config: Option<PathBuf>,
    given: BTreeMap<&'static str, String>,
}

impl Options {
    /// As if `--config` had been given, and nothing else.
    pub fn in_file(path: impl Into<PathBuf>) -> Self {
        Self::of_file(Some(path.into()))
    }

    /// The same, if it was.
    pub fn of_file(config: Option<PathBuf>) -> Self {
        Self {
            config,
            ..Self::default()
        }
    }

    /// As if the flag of `key` had been given, if there is a value.
    pub fn given(self, key: &Key, value: Option<String>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// As if the flag of `key` had been given with `value`.
    pub fn with(mut self, key: &Key, value: impl Into<String>) -> Self {
        self.given.insert(key.name, value.into());
        self
    }

    /// These, and `later` ones, which win; what may be repeated is joined.
    pub fn followed_by(mut self, later: Self) -> Self {
        self.config = later.config.or(self.config);
        for key in keys() {
            let Some(new) = later.given.get(key.name) else {
                continue;
            };
            let joined = match (self.given.get(key.name), key.kind) {
                (Some(old), Kind::Table | Kind::Tables | Kind::List) => format!("{old}\n{new}"),
                (Some(old), Kind::Count) => number(old).saturating_add(number(new)).to_string(),
                _ => new.clone(),
            };
            self.given.insert(key.name, joined);
        }
        self
    }

    /// The first flag that was given and is none of `keys`.
    pub fn other_than(&self, keys: &[&Key]) -> Option<&'static str> {
        let is_other = |key: &&Key| self.given.contains_key(key.name) && !keys.iter().any(|one| one.name == key.name);
        self::keys().find(is_other).map(|key| key.flag)
    }

    /// What a command line would be that gives these.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut arguments = Vec::new();
        if let Some(file) = &self.config {
            arguments.extend(["--config".into(), file.into()]);
        }
        for key in keys() {
            let Some(value) = self.given.get(key.name) else {
                continue;
            };
            match key.kind {
                Kind::Switch => arguments.push(key.flag.into()),
                Kind::Count => arguments.extend((0..number(value)).map(|_| OsString::from(key.flag))),
                // In one word, as a value may begin like a flag.
                Kind::Value | Kind::Table | Kind::Tables | Kind::List => {
                    arguments.push(format!("{}={value}", key.flag).into());
                }
            }
        }
        arguments
    }

    /// What the flag of `key` was given, if it was.
    pub fn get(&self, key: &Key) -> Option<&str> {
        self.given.get(key.name).map(String::as_str)
    }
}

impl Args for Options {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(clap::value_parser!(PathBuf))
            .value_hint(ValueHint::FilePath)
            .help("A configuration file [env: JOBSHIM_CONFIG]");
        let settings = SECTIONS.iter().flat_map(|section| {
            section
                .keys
                .iter()
                .map(|key| argument(key).help_heading(section.heading))
        });
        command.arg(file).args(settings)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Options {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |key: &Key| match key.kind {
            Kind::Value => matches.get_one::<String>(key.name).cloned(),
            Kind::Table | Kind::Tables | Kind::List => {
                let lines = matches.get_many::<String>(key.name)?;
                Some(lines.cloned().collect::<Vec<_>>().join("\n"))
            }
            Kind::Switch => matches.get_flag(key.name).then(|| "true".to_owned()),
            Kind::Count => Some(matches.get_count(key.name))
                .filter(|&count| count > 0)
                .map(|count| count.to_string()),
        };
        Ok(Self {
            config: matches.get_one("config").cloned(),
            given: keys().filter_map(|key| Some((key.name, given(key)?))).collect(),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn number(count: &str) -> u8 {
    count.parse().unwrap_or(0)
}

/// A text of which a shell knows the beginnings. Whether it can be used is for the configuration to say, with all other
/// complaints.
#[derive(Clone, Copy, Debug)]
pub struct Words(pub &'static [&'static str]);

impl TypedValueParser for Words {
    type Value = String;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<String, clap::Error> {
        StringValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(self.0.iter().copied().map(PossibleValue::new)))
    }
}

fn argument(key: &Key) -> Arg {
    let long = key.flag.trim_start_matches("--");
    let default = match key.default {
        "" => String::new(),
        value => format!(" [default: {value}]"),
    };
    let argument = Arg::new(key.name)
        .long(long)
        .help(format!("{}{default} [env: {}]", key.help(), key.variable))
        .hide_short_help(!key.common);
    let argument = match (key.words, key.value) {
        ([], "FILE") => argument.value_hint(ValueHint::FilePath),
        ([], "DIR") => argument.value_hint(ValueHint::DirPath),
        ([], "true|false") => argument
            .value_parser(Words(&["true", "false"]))
            .hide_possible_values(true),
        ([], _) => argument,
        (words, _) => argument.value_parser(Words(words)).hide_possible_values(true),
    };
    match key.kind {
        Kind::Value => argument.value_name(key.value).action(ArgAction::Set),
        Kind::Table | Kind::Tables | Kind::List => argument.value_name(key.value).action(ArgAction::Append),
        Kind::Switch => argument.action(ArgAction::SetTrue),
        Kind::Count => argument.short(long.chars().next()).action(ArgAction::Count),
    }
}
