//! Values as they were given, and by whom.

use super::{
    key::{Key, Kind},
    values::{shown, shown_headers, shown_url},
};
use std::{fmt, path::PathBuf};

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
}

impl GivenValue {
    /// The value as people may see it.
    pub fn shown(&self) -> String {
        let is_url = self.key.value == "URL" || self.text.contains("://");
        match (self.key.secret, self.key.kind) {
            (false, _) if is_url => shown_url(&self.text),
            (false, _) => self.text.replace('\n', "; "),
            (true, Kind::Table) => shown_headers(&self.text),
            (true, _) => shown(&self.text).to_owned(),
        }
    }
}
