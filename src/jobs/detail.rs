//! `GET /api/jobs/{id}`: one job, or the knowledge that there is none.

use super::{Caller, DialectKind, Jobs, JobsError, Listed, Run, State, accept, caller::filled, shape};
use crate::{mapping::Searched, observe::Call, segments::has_dots};
use http::{HeaderMap, Method, StatusCode};
use std::sync::Arc;

/// What the upstream says of one id.
#[derive(Debug)]
pub enum Detail {
    /// The job, as sent.
    Found {
        /// Where it stands.
        state: State,
        /// Which run of its id it is.
        run: Run,
        /// The job's JSON.
        body: Searched,
        /// For the CORS headers that the answer must carry on.
        headers: HeaderMap,
    },
    /// There is no such job; `None` when there can be none by that id, and nobody was asked.
    Absent(Option<HeaderMap>),
}

impl Jobs {
    /// Asks for one job.
    pub async fn detail(&self, caller: &Caller, kind: DialectKind, id: &str) -> Result<Detail, JobsError> {
        if has_dots(id) {
            return Ok(Detail::Absent(None));
        }
        let dialect = self.names(kind);
        let path = filled(&dialect.names.detail.path, id);
        let answer = self.ask(Call::Detail, caller, Some(kind), &path, "").await?;
        // A server without the Jobs API says 404 too, but in words; an unknown job is an object.
        if answer.status == StatusCode::NOT_FOUND && answer.body.trim_ascii_start().starts_with(b"{") {
            return Ok(Detail::Absent(Some(answer.headers)));
        }
        let outcome = accept(&Method::GET, &path, answer);
        if matches!(outcome, Err(JobsError::Missing { .. })) {
            self.doubt_dialect();
        }
        let answer = outcome?;
        let body = Searched::new(answer.body, Arc::clone(&dialect.detail.paths));
        let body = body.map_err(|error| shape(&path, &error))?;
        let (state, run) = dialect.state_of(&body, &path)?;
        Ok(Detail::Found {
            state,
            run,
            body,
            headers: answer.headers,
        })
    }

    /// What the list told of a queued job, in place of its detail.
    pub fn listed_detail(&self, kind: DialectKind, listed: &Listed) -> Result<Searched, JobsError> {
        let dialect = self.names(kind);
        let body = Searched::new(listed.text.clone(), Arc::clone(&dialect.detail.paths));
        body.map_err(|error| shape(&dialect.names.list.path, &error))
    }
}
