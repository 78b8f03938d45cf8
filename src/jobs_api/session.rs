//! The Jobs API as one client is answered by it: its credentials, and the dialect that the server speaks.

use super::{Caller, DialectKind, EndedJob, Jobs, JobsError, ListQuery, Listed, unreadable};
use crate::mapping::{
    ParsedJob,
    dialect::{DetailNames, Dialect},
    json_text,
};
use bytes::Bytes;
use std::sync::Arc;

/// What is asked of the server on behalf of one client; a clone is the same.
#[derive(Clone)]
pub struct JobsSession {
    pub(super) jobs: Arc<Jobs>,
    pub(super) caller: Arc<Caller>,
    pub(super) kind: DialectKind,
}

impl Jobs {
    /// Asks for `caller`, in a dialect that is known by now.
    pub fn on_behalf_of(self: &Arc<Self>, caller: &Arc<Caller>, kind: DialectKind) -> JobsSession {
        JobsSession {
            jobs: Arc::clone(self),
            caller: Arc::clone(caller),
            kind,
        }
    }
}

impl JobsSession {
    /// For whom it asks.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Which dialect it asks in.
    pub fn kind(&self) -> DialectKind {
        self.kind
    }

    /// The same for work beside the client's request, which counts nothing of it.
    pub fn beside(&self) -> Self {
        Self {
            caller: Arc::new(self.caller.beside()),
            ..self.clone()
        }
    }

    /// The same in the dialect that the server speaks now.
    ///
    /// # Errors
    /// It cannot be found out.
    pub async fn renewed(&self) -> Result<Self, JobsError> {
        let kind = self.jobs.dialect(&self.caller).await?;
        Ok(Self { kind, ..self.clone() })
    }

    /// The job that a detail is of, as a list would tell of it.
    pub fn job_in(&self, detail: &[u8]) -> Option<Listed> {
        self.dialect().job_in(detail)
    }

    /// What a client asks a list for; `None` where it is not understood, or lists are not completed.
    pub fn list_query(&self, query: &str) -> Option<ListQuery> {
        ListQuery::parse(query, self.dialect())
    }

    /// What a list tells of a job, made of its detail; and what it is filtered by. `None` where lists are not completed.
    pub fn list_entry(&self, detail: &[u8]) -> Option<(Vec<u8>, EndedJob)> {
        self.dialect().list_entry(detail)
    }

    /// Reads a detail that the server sent once, in the dialect that it spoke then.
    ///
    /// # Errors
    /// It is no job.
    pub fn detail_of_before(&self, kind: DialectKind, detail: Bytes) -> Result<ParsedJob, JobsError> {
        let dialect = self.jobs.names(kind);
        let body = dialect.parse_job(detail);
        body.map_err(|error| unreadable(&dialect.names.detail.path, &error))
    }

    /// The detail of a job that the server has lost before it had ended; submitted at `created` and lost at `now`, in ms.
    /// `None` where the dialect has none.
    pub fn lost_detail(&self, id: &str, created: u64, number: Option<f64>, now: u64) -> Option<Bytes> {
        let text = json_text(self.detail_names().lost.as_ref()?);
        // An id that is no UUID may need escapes, which are the same in any text.
        let id = json_text(&toml::Value::String(id.to_owned()));
        let text = text
            .replace("\"{number}\"", &number.unwrap_or_default().to_string())
            .replace("\"{created}\"", &created.to_string())
            .replace("\"{now}\"", &now.to_string())
            .replace("\"{id}\"", &id);
        Some(text.into())
    }

    /// How the server tells of one job.
    pub fn detail_names(&self) -> &DetailNames {
        &self.dialect().names.detail
    }

    pub(super) fn dialect(&self) -> &Dialect {
        self.jobs.names(self.kind)
    }
}
