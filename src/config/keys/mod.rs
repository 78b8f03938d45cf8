//! Every key of the configuration: its name in the file, its variable, its flag, its default and what it is for.

mod clients;
mod legacy;
mod upstream;
mod watching;

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
pub fn keys() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().copied().flatten()
}

/// In the order of `--help` and `check`.
const SECTIONS: &[&[Key]] = &[
    clients::LISTEN,
    upstream::UPSTREAM,
    legacy::LEGACY,
    legacy::HISTORY,
    legacy::CACHE,
    legacy::FOLDERS,
    legacy::NOTES,
    watching::ADMIN,
    watching::SHADOW,
    legacy::NOTICES,
    clients::SERVER,
    watching::LOG,
];
