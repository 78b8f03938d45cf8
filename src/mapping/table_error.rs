//! Why a table file is refused, and where in it.

use crate::{config::field_path::line_of, http::outside::Outside};

/// Why a table is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {}", Outside::many(.reason))]
pub struct TableError {
    /// The file, or the built-in table's name.
    pub file: String,
    /// Counted from 1.
    pub line: usize,
    /// What is wrong, and what was expected.
    pub reason: String,
}

/// Reports problems of one file.
pub(crate) struct Complaint<'a> {
    pub file: &'a str,
    pub source: &'a str,
}

impl Complaint<'_> {
    pub(crate) fn at(&self, offset: usize, reason: impl Into<String>) -> TableError {
        TableError {
            file: self.file.to_owned(),
            line: line_of(self.source, offset),
            reason: reason.into(),
        }
    }
}
