//! Values as they were given, and by whom.

use super::{
    key::{Key, Kind},
    values::{flag, shown, shown_headers, shown_url},
};
use std::{fmt, path::PathBuf};

/// What help calls the value of a flag.
const TRUE_FALSE: &str = "true|false";

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
pub struct GivenValue {
    /// Whose value it is.
    pub key: &'static Key,
    /// As written.
    pub text: String,
    /// Who wrote it.
    pub origin: Origin,
    /// Of a table or a list in the file: where each line of the text stands.
    pub(super) places: Vec<Place>,
}

/// Where a line of a text stands in the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    /// Counted from 1.
    pub line: usize,
    /// The same of what is written in it, where that is a table again.
    pub words: Vec<(String, usize)>,
}

impl Place {
    /// The line of what a complaint quotes, or else the line where all of it begins.
    fn of(&self, complaint: &str) -> usize {
        let quoted = self
            .words
            .iter()
            .find(|(word, _)| complaint.contains(&format!("{word:?}")));
        quoted.map_or(self.line, |(_, line)| *line)
    }
}

impl GivenValue {
    /// Its lines, each as if it had been given alone.
    pub(super) fn lines(&self) -> impl Iterator<Item = Self> {
        let places = self.places.iter().map(Some).chain(std::iter::repeat(None));
        self.text.lines().zip(places).map(|(line, place)| Self {
            text: line.to_owned(),
            places: place.cloned().into_iter().collect(),
            ..self.clone()
        })
    }

    /// Where it was written, as near as can be told, what `complaint` is about.
    pub(super) fn origin_of(&self, complaint: &str) -> Origin {
        match (&self.origin, self.places.as_slice()) {
            (Origin::File(path, _), [place]) => Origin::File(path.clone(), place.of(complaint)),
            (origin, _) => origin.clone(),
        }
    }

    /// Where the line of it stands that says this, or all of it where it is no list.
    pub fn origin_of_line(&self, text: &str) -> Origin {
        let line = self.lines().find(|line| line.text.trim() == text);
        line.map_or_else(|| self.origin.clone(), |line| line.origin_of(""))
    }

    /// The value as people may see it; of a flag in the words that help has for it.
    pub fn shown(&self) -> String {
        if (self.key.value == TRUE_FALSE || self.key.kind == Kind::Switch)
            && let Ok(on) = flag(&self.text)
        {
            return on.to_string();
        }
        let is_url = self.key.value == "URL" || self.text.contains("://");
        match (self.key.secret, self.key.kind) {
            (false, _) if is_url => shown_url(&self.text),
            (false, _) => self.text.replace('\n', "; "),
            (true, Kind::Table) => shown_headers(&self.text),
            (true, _) => shown(&self.text).to_owned(),
        }
    }
}
