//! Complaints about a configuration. All of them are made at once.

use super::provenance::Origin;
use std::path::PathBuf;

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
    /// The file cannot be read.
    #[error("{}: {reason}", .path.display())]
    Unreadable {
        /// As given.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file is not TOML, or has a key that does not exist.
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
