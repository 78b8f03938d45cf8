//! `GET /api/jobs/{id}`: one job, or the knowledge that there is none.

use super::{
    DialectKind, Jobs, JobsError, JobsSession, Listed, Run, accept, caller::filled, page::is_text, unreadable,
};
use crate::mapping::dialect::State;
use crate::{
    http::{outside::Outside, segments::has_dots},
    mapping::ParsedJob,
    telemetry::Call,
    upstream::Answer,
};
use http::{HeaderMap, Method, StatusCode};
use std::fmt::Display;

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
        body: ParsedJob,
        /// For the CORS headers that the answer must carry on.
        headers: HeaderMap,
    },
    /// There is no such job; `None` when there can be none by that id, and nobody was asked.
    Absent(Option<HeaderMap>),
    /// A 404 that does not speak of jobs, of a server that has the Jobs API: it knows no such job, unless it has just listed
    /// it, when this is the failure.
    NoSuchPath(Box<Answer>, JobsError),
}

/// Whether the workflow of a job is wanted, where that takes a call of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workflow {
    /// In any case.
    Wanted,
    /// If it has ended: whoever waits for that asks often.
    OnceEnded,
}

impl JobsSession {
    /// Asks for one job, and all that there is of it.
    pub async fn detail(&self, id: &str) -> Result<Detail, JobsError> {
        self.detail_with(id, Workflow::Wanted).await
    }

    /// Asks for one job.
    pub async fn detail_with(&self, id: &str, workflow: Workflow) -> Result<Detail, JobsError> {
        if has_dots(id) {
            return Ok(Detail::Absent(None));
        }
        let dialect = self.dialect();
        // What errors call it: they get into the log, which names no job.
        let path = &dialect.names.detail.path;
        let known = self.known(id);
        let server_id = known.as_deref().and_then(|known| known.server_id.as_deref());
        let at_server = filled(path, server_id.unwrap_or(id));
        let answer = match &dialect.names.v2 {
            Some(v2) => Box::pin(self.v2_ask_job(v2, &at_server)).await?,
            None => self.ask(Call::Detail, &at_server, "").await?,
        };
        // A server without the Jobs API says 404 too, but in words; an unknown job is an object.
        if answer.status == StatusCode::NOT_FOUND && self.says_unknown(&answer.body) {
            return Ok(Detail::Absent(Some(answer.headers)));
        }
        let answer = match answer.status {
            StatusCode::NOT_FOUND => return self.no_such_path(path, answer).await,
            _ => accept(&Method::GET, path, answer).inspect_err(|error| self.jobs.doubt_if_missing(error))?,
        };
        is_text(path, &answer.body)?;
        let text = match &dialect.names.v2 {
            Some(v2) => match Box::pin(self.v2_detail(v2, id, known.as_deref(), answer.body, workflow)).await? {
                Some(text) => text,
                None => return Ok(Detail::Absent(Some(answer.headers))),
            },
            None => answer.body,
        };
        let body = dialect.parse_job(text);
        let body = body.map_err(|error| unreadable(path, &error))?;
        let (state, run) = dialect.state_of(&body, path, id)?;
        Ok(Detail::Found {
            state,
            run,
            body,
            headers: answer.headers,
        })
    }

    /// What a 404 in words says of a job: that it is unknown, where the Jobs API is there all the same.
    async fn no_such_path(&self, path: &str, answer: Answer) -> Result<Detail, JobsError> {
        let error = JobsError::Missing {
            call: format!("GET {path}"),
            status: answer.status,
        };
        match self.jobs.probe(&self.caller).await {
            Ok(spoken) if spoken == self.kind => Ok(Detail::NoSuchPath(Box::new(answer), error)),
            _ => {
                self.jobs.doubt_dialect();
                Err(error)
            }
        }
    }

    /// Refuses an `id` that the router of a self-hosted server does not take, by its 404 in words for the detail: its own
    /// history says the same. aiohttp takes no id with a brace since 3.10.
    pub fn if_takes(&self, id: &str, answer: Box<Answer>) -> Result<(), JobsError> {
        match self.kind == DialectKind::Comfyui && id.contains(['{', '}']) {
            true => Err(JobsError::Refused {
                call: format!("GET {}", self.dialect().names.detail.path),
                answer,
            }),
            false => Ok(()),
        }
    }

    /// The list and the detail of one job say different things, again and again.
    pub fn contradiction(&self, id: &str) -> JobsError {
        let error = JobsError::Shape {
            call: format!("GET {}", self.dialect().names.detail.path),
            reason: "the list says that a job has ended, and its own detail that it has not".to_owned(),
        };
        log_job(id, &error);
        error
    }

    /// What the list told of a queued job, in place of its detail.
    pub fn listed_detail(&self, listed: &Listed) -> Result<ParsedJob, JobsError> {
        let dialect = self.dialect();
        let body = dialect.parse_job(listed.text.clone());
        body.map_err(|error| unreadable(&dialect.names.list.path, &error))
    }
}

/// Says which job an error is about. The error itself does not: the log names a job only where it is to say more.
pub fn log_job(id: &str, error: &dyn Display) {
    tracing::debug!(id = %Outside::new(id), %error, "a job cannot be shown");
}

impl Jobs {
    fn doubt_if_missing(&self, error: &JobsError) {
        if matches!(error, JobsError::Missing { .. }) {
            self.doubt_dialect();
        }
    }
}
