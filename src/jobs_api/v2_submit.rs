//! A prompt as a job of Comfy API v2, answered as ComfyUI answers `POST /prompt`. It is sent once, whatever comes of it.

use super::{JobsError, JobsSession, KnownJob, accept, page::is_text};
use crate::{
    http::headers::carried,
    mapping::{
        QueuePlace,
        json::{MemberPath, find},
    },
    telemetry::Call,
    upstream::Answer,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use std::sync::Arc;

/// What is said of an answer after which nobody knows whether there is a job.
const MAY_EXIST: &str = "the job may exist all the same, and was not sent again";

/// The longest id that a client may choose, in bytes.
const LONGEST_ID: usize = 4_096;

/// A prompt that is to become a job.
pub struct NewJob {
    /// As its client sent it, in JSON, with [assets](JobsSession::with_assets) in the place of names.
    pub prompt: Bytes,
    /// What is kept of it; see [`crate::mapping::PromptTable`].
    pub note: Option<Bytes>,
    /// What its client wants of the queue.
    pub place: QueuePlace,
    /// What its client calls it, where that chose an id. The server chooses ids itself.
    pub id: Option<String>,
}

impl JobsSession {
    /// Submits a job, and keeps that it was. The answer is the one that ComfyUI would give: 200, or why not.
    ///
    /// # Errors
    /// There is no answer, or none that says which job it is: the job may exist.
    pub async fn submit(&self, new: NewJob) -> Result<Answer, JobsError> {
        let tables = &self.jobs.of_v2;
        let path = &self.dialect().names.list.path;
        let body = match tables.submit.written(&new.prompt, None) {
            Ok(body) => body,
            Err(error) => {
                let said = serde_json::json!({ "error": { "code": "invalid_prompt", "message": error.to_string() } });
                return self.refused(StatusCode::BAD_REQUEST, said.to_string().as_bytes(), HeaderMap::new());
            }
        };
        let mut headers = self.jobs.headers(&self.caller, Some(self.kind));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let target = self.caller.target(path, "");
        let answer = self
            .jobs
            .call(Call::Pass, &self.caller, Method::POST, &target, headers, body.into())
            .await?;
        match answer.status.as_u16() {
            200..=299 => self.taken(new, answer).await,
            // It has no such path, and may be another server by now.
            404 | 405 | 410 if !self.says_v2(&answer.body) => accept(&Method::POST, path, answer).inspect_err(|_| {
                self.jobs.doubt_dialect();
            }),
            _ => {
                let status = match answer.status {
                    StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
                    status => status,
                };
                self.refused(status, &answer.body, answer.headers)
            }
        }
    }

    async fn taken(&self, new: NewJob, answer: Answer) -> Result<Answer, JobsError> {
        let path = &self.dialect().names.list.path;
        let unclear = |reason: String| JobsError::Shape {
            call: format!("POST {path}"),
            reason: format!("{reason}: {MAY_EXIST}"),
        };
        is_text(path, &answer.body).map_err(|error| unclear(error.to_string()))?;
        let listed = self
            .v2_listed(&answer.body, None)
            .map_err(|error| unclear(error.to_string()))?;
        let job = self.dialect().job_in(&listed);
        let job = job.ok_or_else(|| unclear("it does not say which job it made".to_owned()))?;
        let created = job.created;
        let is_another = |id: &String| !id.is_empty() && id.len() <= LONGEST_ID && **id != *job.id;
        let (id, server_id) = match new.id.filter(is_another) {
            Some(id) => (Arc::from(id), Some(job.id.to_string())),
            None => (job.id, None),
        };
        let scope = self.caller.scope;
        let number = new.place.number.unwrap_or_else(|| {
            let counted = self.jobs.known.next_number(scope);
            if new.place.front { -counted } else { counted }.to_string()
        });
        let [extra_data, client_id] = noted(new.note.as_deref());
        let job = KnownJob {
            server_id,
            created_ms: created as i64,
            ..KnownJob::new(number, extra_data, client_id)
        };
        let observed = job.observed(&id);
        if let Err(error) = self.jobs.known.submitted(scope, &id, job).await {
            // There it is: its client must hear of it.
            tracing::warn!(%error, "a job was submitted, and will not be listed after a restart");
        }
        let body = self
            .jobs
            .of_v2
            .submitted
            .written(&answer.body, Some(observed.as_bytes()));
        let body = body.map_err(|error| unclear(error.to_string()))?;
        let mut headers = carried(&answer.headers);
        headers.insert(CONTENT_TYPE, self.jobs.of_v2.submitted.content_type.clone());
        Ok(Answer {
            status: StatusCode::OK,
            headers,
            body: body.into(),
        })
    }

    /// The server's error as ComfyUI's. What is none of the server's own goes on as it came.
    fn refused(&self, status: StatusCode, body: &[u8], told: HeaderMap) -> Result<Answer, JobsError> {
        let observed = serde_json::json!({ "details": status.is_server_error().then_some(MAY_EXIST) });
        let table = &self.jobs.of_v2.refused;
        let mut headers = carried(&told);
        for name in [CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE] {
            headers.extend(told.get(&name).map(|value| (name, value.clone())));
        }
        let body = match table.written(body, Some(observed.to_string().as_bytes())) {
            Ok(written) => {
                headers.insert(CONTENT_TYPE, table.content_type.clone());
                written.into()
            }
            Err(_) => Bytes::copy_from_slice(body),
        };
        Ok(Answer { status, headers, body })
    }
}

/// `extra_data` and the client of a note.
fn noted(note: Option<&[u8]>) -> [Option<String>; 2] {
    let paths = ["extra_data", "client_id"].map(|name| MemberPath::parse(name).ok());
    let found = note.and_then(|note| find(note, paths.each_ref().map(Option::as_ref)).ok());
    let text = |value: Option<&[u8]>| Some(String::from_utf8_lossy(value?).into_owned());
    found.unwrap_or_default().map(text)
}
