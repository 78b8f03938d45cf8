//! Paths that rows take values from.

use super::json::MemberPath;
use crate::config::field_path::InvalidPath;
use serde::Deserialize;

/// Paths that begin with this name are in what was observed of a job when it was submitted, all others in the job.
const OBSERVED: &str = "observed";

/// Where a row takes a value from.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum SourcePath {
    /// In the job.
    Job(MemberPath),
    /// In what was observed of it.
    Observed(MemberPath),
}

impl SourcePath {
    /// Reads a path, such as `workflow.prompt` or `observed.prompt`.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidPath> {
        let path = MemberPath::parse(text)?;
        Ok(match path.below(OBSERVED) {
            Some(path) => Self::Observed(path),
            None => Self::Job(path),
        })
    }

    /// The path `inner` below this one.
    pub(super) fn join(&self, inner: &MemberPath) -> Self {
        match self {
            Self::Job(path) => Self::Job(path.join(inner)),
            Self::Observed(path) => Self::Observed(path.join(inner)),
        }
    }
}

impl TryFrom<String> for SourcePath {
    type Error = InvalidPath;

    fn try_from(text: String) -> Result<Self, InvalidPath> {
        Self::parse(&text)
    }
}
