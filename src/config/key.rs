//! What people see of a setting: its key in the file, its flag, its variable, its default and what it is for.

/// One setting, as people give it.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// In the file, such as `upstream.url`.
    pub name: &'static str,
    /// On the command line, with its dashes.
    pub flag: &'static str,
    /// What its value is called in `--help`, such as `TIME`.
    pub value: &'static str,
    /// In the environment.
    pub variable: &'static str,
    /// What holds when nobody says anything; empty for nothing.
    pub default: &'static str,
    /// How its flag is given.
    pub kind: Kind,
    /// What its value may be, or begin with, for shells to complete; empty where that cannot be listed.
    pub words: &'static [&'static str],
    /// Its value is shown to nobody, only where it is kept.
    pub secret: bool,
    /// A running program takes a change over; others wait for a restart.
    pub live: bool,
    /// It is one of the few that `-h` shows.
    pub common: bool,
    /// The lines that describe it: a sentence for `--help`, then what more there is to say, then an example.
    pub docs: &'static [&'static str],
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

impl Key {
    /// What most settings have in common.
    pub const PLAIN: Self = Self {
        name: "",
        flag: "",
        value: "",
        variable: "",
        default: "",
        kind: Kind::Value,
        words: &[],
        secret: false,
        live: false,
        common: false,
        docs: &[],
    };

    /// One sentence for `--help`.
    pub fn help(&self) -> String {
        joined(self.docs.iter().take_while(|line| !line.is_empty()))
    }

    /// What the help leaves out.
    pub fn details(&self) -> String {
        let after_help = self.docs.iter().skip_while(|line| !line.is_empty());
        joined(after_help.take_while(|line| !is_fence(line)))
    }

    /// Lines of the file that show how it is used.
    pub fn example(&self) -> impl Iterator<Item = &'static str> {
        let lines = self.docs.iter().skip_while(|line| !is_fence(line)).skip(1);
        lines
            .take_while(|line| !is_fence(line))
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
    }
}

/// A part of the file, and of `--help`.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Such as `upstream`; empty where the keys stand outside of all sections.
    pub name: &'static str,
    /// Above its flags in `--help`.
    pub heading: &'static str,
    /// The lines that describe it.
    pub docs: &'static [&'static str],
    /// In the order of `--help` and `check`.
    pub keys: &'static [&'static Key],
}

impl Section {
    /// What it is about.
    pub fn about(&self) -> String {
        joined(self.docs.iter())
    }
}

fn is_fence(line: &str) -> bool {
    line.trim_start().starts_with("```")
}

fn joined<'a>(lines: impl Iterator<Item = &'a &'a str>) -> String {
    let lines: Vec<&str> = lines.map(|line| line.trim()).filter(|line| !line.is_empty()).collect();
    lines.join(" ")
}
