//! The Jobs API, answered here where the server speaks Comfy API v2 in its place.

use super::{
    Legacy, LegacyError,
    kept::{KeptJob, no_room},
    kept_answers::entries_of,
    passing::JobsCall,
};
use crate::{
    http::{body_decoding::DecodeError, headers::carried},
    jobs_api::{Detail, DialectKind, JobsSession, Listed, State},
    mapping::{
        json::{MemberPath, elements, find, string_value},
        json_text,
    },
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::time::Duration;

/// An answer of the Jobs API.
pub struct ServedAnswer {
    /// 200, or 404 of a job that there is not.
    pub status: StatusCode,
    /// What the server's answers make it carry.
    pub headers: HeaderMap,
    /// JSON.
    pub body: Bytes,
    /// For how long the longest kept of its jobs has been kept, where the server has lost some.
    pub kept_for: Option<Duration>,
}

impl ServedAnswer {
    fn ok(headers: &HeaderMap, body: Bytes) -> Self {
        Self {
            status: StatusCode::OK,
            headers: carried(headers),
            body,
            kept_for: None,
        }
    }
}

impl Legacy {
    /// Answers `call` for `session`, which has a query, and of a cancel of many a body.
    ///
    /// # Errors
    /// The server cannot be asked, what is kept cannot be read, or the call is not understood.
    pub async fn serve(
        &self,
        session: &JobsSession,
        call: &JobsCall,
        query: &str,
        body: Result<Bytes, DecodeError>,
    ) -> Result<ServedAnswer, LegacyError> {
        let answer = match call {
            JobsCall::List => return self.serve_list(session, query).await,
            JobsCall::One(id) => return self.serve_one(session, id).await,
            JobsCall::Cancel(id) => {
                let answer = session.cancel_one(id).await?;
                match answer {
                    Some(answer) if answer.status.is_success() => ServedAnswer::ok(&answer.headers, answer.body),
                    // Of a job that there is not a self-hosted server says the same as of one that has ended.
                    _ => ServedAnswer::ok(&HeaderMap::new(), self.cancelled(false)),
                }
            }
            JobsCall::CancelMany => {
                let cancelled = session.cancel(&self.ids_in(&body?)?).await?;
                ServedAnswer::ok(&HeaderMap::new(), self.cancelled(!cancelled.is_empty()))
            }
        };
        self.may_have_cancelled(call).await;
        Ok(answer)
    }

    fn cancelled(&self, cancelled: bool) -> Bytes {
        let name = &self.jobs.names(DialectKind::Comfyui).names.cancel.cancelled;
        serde_json::json!({ name.to_string(): cancelled }).to_string().into()
    }

    /// The ids that a cancel of many names.
    fn ids_in(&self, body: &[u8]) -> Result<Vec<String>, LegacyError> {
        let name = &self.jobs.names(DialectKind::Comfyui).names.cancel.ids;
        let wrong = || LegacyError::Order {
            reason: format!("it has no list {name:?} of texts"),
        };
        let path = MemberPath::parse(name).map_err(|_| wrong())?;
        let [ids] = find(body, [Some(&path)]).map_err(|_| wrong())?;
        let ids = ids.filter(|ids| ids.starts_with(b"[")).ok_or_else(wrong)?;
        let mut read = Vec::new();
        elements(ids, |id| read.push(string_value(id))).map_err(|_| wrong())?;
        read.into_iter().collect::<Option<Vec<String>>>().ok_or_else(wrong)
    }

    async fn serve_list(&self, session: &JobsSession, query: &str) -> Result<ServedAnswer, LegacyError> {
        let asked = session.list_query(query).ok_or_else(|| LegacyError::List {
            reason: "limit and offset are whole numbers, and limit is more than 0".to_owned(),
        })?;
        if let Some(word) = session.unknown_state(&asked) {
            return Err(LegacyError::List {
                reason: format!("there is no status {word:?}"),
            });
        }
        let scope = session.caller().scope;
        let listed = session
            .v2_whole_list(&asked, |job| self.is_served(session, job))
            .await?;
        let kept = self.kept.as_ref();
        let (mut lost, kept_for) = kept
            .map(|kept| kept.lost(scope, &listed.known, |ended| asked.wants(ended)))
            .unwrap_or_default();
        lost.retain(|job| self.is_served(session, job));
        asked.sort(&mut lost);
        let has_lost = !lost.is_empty();
        let text = session
            .completed_list(&asked, &listed.list, &lost, entries_of(kept, scope))
            .await?;
        let text = self.budget.counted(text).map_err(no_room)?;
        Ok(ServedAnswer {
            kept_for: has_lost.then_some(kept_for),
            ..ServedAnswer::ok(&listed.headers, text)
        })
    }

    /// Whether a job is not hidden.
    fn is_served(&self, session: &JobsSession, job: &Listed) -> bool {
        let scope = session.caller().scope;
        let is_hidden = self.hides_in_jobs_api && self.hidden.is_hidden(scope, &job.id, job.created);
        job.state != State::Finished || !is_hidden
    }

    async fn serve_one(&self, session: &JobsSession, id: &str) -> Result<ServedAnswer, LegacyError> {
        let scope = session.caller().scope;
        let (detail, headers, kept_for) = match session.detail(id).await? {
            Detail::Found { body, headers, .. } => (body.text().clone(), headers, None),
            Detail::NoSuchPath(_, error) => return Err(error.into()),
            Detail::Absent(headers) => {
                let kept = match &self.kept {
                    Some(kept) => kept.read(scope, id, &self.budget).await?,
                    None => None,
                };
                let headers = headers.unwrap_or_default();
                match kept {
                    Some(KeptJob { detail, age, .. }) => (detail, headers, Some(age)),
                    None => return Ok(self.no_such_job(&headers)),
                }
            }
        };
        match session.job_in(&detail) {
            Some(job) if !self.is_served(session, &job) => Ok(self.no_such_job(&headers)),
            _ => Ok(ServedAnswer {
                kept_for,
                ..ServedAnswer::ok(&headers, detail)
            }),
        }
    }

    fn no_such_job(&self, headers: &HeaderMap) -> ServedAnswer {
        let unknown = self.jobs.names(DialectKind::Comfyui).names.detail.unknown.as_ref();
        ServedAnswer {
            status: StatusCode::NOT_FOUND,
            ..ServedAnswer::ok(headers, unknown.map(json_text).unwrap_or_default().into())
        }
    }
}
