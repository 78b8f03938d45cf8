//! The names in the bodies of the legacy writes.

use super::{
    json::MemberPath,
    limits,
    table::header_value,
    table_error::{Complaint, TableError},
};
use http::HeaderValue;
use serde::Deserialize;

/// The table of the legacy writes.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteNames {
    /// One line for people.
    pub about: String,
    /// Members of request bodies.
    pub request: WriteRequest,
    /// The cloud's answer to a write to its queue.
    pub cloud_queue: CloudQueue,
}

/// Members of request bodies.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WriteRequest {
    /// All of them are meant.
    pub clear: MemberPath,
    /// The list of ids that are meant.
    pub delete: MemberPath,
    /// The one job that is meant.
    pub id: MemberPath,
}

/// The cloud's answer to a write to its queue.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CloudQueue {
    /// `Content-Type`.
    #[serde(deserialize_with = "header_value")]
    pub content_type: Option<HeaderValue>,
    /// The member that lists what was cancelled.
    pub deleted: String,
    /// The member that says whether the queue was cleared.
    pub cleared: String,
}

impl WriteNames {
    /// Reads and checks the table. `file` is what errors call it.
    pub fn parse(file: &str, source: &str) -> Result<Self, TableError> {
        let complaint = Complaint { file, source };
        limits::check(&complaint)?;
        toml::from_str(source).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            complaint.at(at, error.message().to_owned())
        })
    }
}
