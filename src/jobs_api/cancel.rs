//! `POST /api/jobs/{id}/cancel` and `POST /api/jobs/cancel`: stops jobs, one by one or many at a time.

use super::{JobsError, JobsSession, accept, caller::filled, unreadable};
use crate::{
    http::{outside::Outside, segments::has_dots},
    mapping::json::{elements, find, string_value},
    telemetry::Call,
    upstream::Answer,
};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use std::collections::HashSet;

/// What the server said to a batch.
enum Batch {
    /// These were cancelled.
    Cancelled(Vec<String>),
    /// It would not take the batch as it is, for one id in it or because it takes none.
    NotTaken,
}

/// What was done of a cancel: it ends early when the program does.
struct CancelProgress<'a> {
    ids: &'a [String],
    cancelled: Vec<String>,
    asked_all: bool,
}

impl CancelProgress<'_> {
    /// What was done and what was not, for the log.
    fn shown(&self) -> (String, String) {
        let left: Vec<&str> = self.left().into_iter().map(String::as_str).collect();
        let shown = |ids: String| Outside::many(ids).to_string();
        (shown(self.cancelled.join(", ")), shown(left.join(", ")))
    }

    fn left(&self) -> Vec<&String> {
        let done: HashSet<&String> = self.cancelled.iter().collect();
        self.ids.iter().filter(|id| !done.contains(id)).collect()
    }
}

impl Drop for CancelProgress<'_> {
    fn drop(&mut self) {
        if !self.asked_all {
            let (done, left) = self.shown();
            tracing::warn!(done, not_done = left, "jobshim ended while jobs were being cancelled");
        }
    }
}

impl JobsSession {
    /// Cancels `ids` and gives those that were; one that had ended meanwhile is none of them. When a call fails, the
    /// log says what was done before.
    pub async fn cancel(&self, ids: &[String]) -> Result<Vec<String>, JobsError> {
        let mut stats = CancelProgress {
            ids,
            cancelled: Vec::new(),
            asked_all: false,
        };
        let outcome = self.cancel_all(ids, &mut stats.cancelled).await;
        stats.asked_all = true;
        if let Err(error) = &outcome {
            let (done, left) = stats.shown();
            tracing::warn!(%error, done, not_done = left, "jobs could not be cancelled");
        }
        outcome.map(|()| std::mem::take(&mut stats.cancelled))
    }

    async fn cancel_all(&self, ids: &[String], cancelled: &mut Vec<String>) -> Result<(), JobsError> {
        // A malformed id would have the whole batch refused.
        let (batched, alone): (Vec<&String>, Vec<&String>) = ids.iter().partition(|id| is_uuid(id));
        for batch in batched.chunks(self.dialect().names.cancel.batch) {
            match self.cancel_batch(batch).await? {
                Batch::Cancelled(ids) => cancelled.extend(ids),
                Batch::NotTaken => self.cancel_each(batch, cancelled).await?,
            }
        }
        self.cancel_each(&alone, cancelled).await
    }

    async fn cancel_batch(&self, ids: &[&String]) -> Result<Batch, JobsError> {
        let names = &self.dialect().names.cancel;
        if ids.len() == 1 {
            return Ok(Batch::NotTaken);
        }
        let list = serde_json::json!({ &names.ids: ids });
        let answer = self.post(&names.many, list.to_string()).await?;
        if matches!(answer.status.as_u16(), 400 | 404 | 405 | 501) {
            return Ok(Batch::NotTaken);
        }
        let path = &names.many;
        let answer = accept(&Method::POST, path, answer)?;
        let said = self.said(path, &answer.body)?;
        let mut cancelled = Vec::new();
        elements(said, |id| cancelled.extend(string_value(id))).map_err(|error| unreadable(path, &error))?;
        if said == b"true" {
            cancelled.extend(ids.iter().map(|id| (*id).clone()));
        }
        Ok(Batch::Cancelled(cancelled))
    }

    async fn cancel_each(&self, ids: &[&String], cancelled: &mut Vec<String>) -> Result<(), JobsError> {
        for id in ids {
            let Some(answer) = self.cancel_one(id).await? else {
                continue;
            };
            // Unknown by now: not a job that could go on.
            if answer.status == StatusCode::NOT_FOUND {
                continue;
            }
            let path = &self.dialect().names.cancel.path;
            let answer = accept(&Method::POST, path, answer)?;
            if self.said(path, &answer.body)? == b"true" {
                cancelled.push((*id).clone());
            }
        }
        Ok(())
    }

    /// Cancels one job and gives the answer as it came, or `None` for what can be no job's id;
    /// [`JobsError::Missing`] when the server cannot cancel, [`JobsError::Refused`] when it will not.
    pub async fn cancel_one(&self, id: &str) -> Result<Option<Answer>, JobsError> {
        if has_dots(id) {
            return Ok(None);
        }
        // What errors call it: they get into the log, which names no job.
        let path = &self.dialect().names.cancel.path;
        let known = self.known(id);
        let server_id = known.as_deref().and_then(|known| known.server_id.as_deref());
        let at_server = filled(path, server_id.unwrap_or(id));
        let answer = self.post(&at_server, Bytes::new()).await?;
        let unknown_job = answer.status == StatusCode::NOT_FOUND && self.says_unknown(&answer.body);
        let answer = match &self.dialect().names.v2 {
            Some(v2) => self.v2_cancelled(v2, answer)?,
            None => answer,
        };
        match answer.status.as_u16() {
            404 | 405 | 501 if !unknown_job => Err(JobsError::Missing {
                call: format!("POST {path}"),
                status: answer.status,
            }),
            401..=403 | 429 | 500..=599 => accept(&Method::POST, path, answer).map(Some),
            _ => Ok(Some(answer)),
        }
    }

    /// What an answer says was cancelled.
    fn said<'a>(&self, path: &str, body: &'a [u8]) -> Result<&'a [u8], JobsError> {
        let cancelled = &self.dialect().names.cancel.cancelled;
        let [said] = find(body, [cancelled]).map_err(|error| unreadable(path, &error))?;
        said.ok_or_else(|| JobsError::Shape {
            call: format!("POST {path}"),
            reason: "it does not say what was cancelled".to_owned(),
        })
    }

    async fn post(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer, JobsError> {
        let mut headers: HeaderMap = self.jobs.headers(&self.caller, Some(self.kind));
        headers.insert(
            http::header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/json"),
        );
        let target = self.caller.target(path, "");
        Ok(self
            .jobs
            .call(Call::Cancel, &self.caller, Method::POST, &target, headers, body.into())
            .await?)
    }
}

/// 8-4-4-4-12 hexadecimal digits.
fn is_uuid(id: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let groups: Vec<&str> = id.split('-').collect();
    groups.len() == lengths.len()
        && groups
            .iter()
            .zip(lengths)
            .all(|(group, length)| group.len() == length && group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
