//! What is noted of a prompt on its way, and what it became.

use super::{beginning::Beginning, client_sockets::ClientSockets, long_prompt::log_unlistable};
use crate::{
    auth::scope::Scope,
    http::{
        body::{Body, full},
        body_decoding::{DecodeError, decode, set_decoded},
        buffered::{BufferBudget, BufferError},
    },
    jobs_api::{Jobs, JobsSession},
    legacy::{Kept, Replicas, hollow::Hollow, names::Names, notes::Notes, runs::Runs},
    mapping::{
        Chosen, PromptTable, RequestRules,
        json::{find, string_value},
    },
    upstream::{Upstream, UpstreamError},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header::CONTENT_LENGTH, request::Parts};
use http_body_util::{BodyExt, Full};
use std::{future::ready, sync::Arc};

/// The largest answer to `POST /prompt` that is looked into, in bytes: it holds an id, and what a few nodes object to.
const MAX_ANSWER: usize = 64 << 10;

/// What is noted, for whom, and where.
pub struct PromptRecorder<'a> {
    /// Keeps it.
    pub notes: &'a Notes,
    /// Knows the jobs that go on with other ids than those that their clients chose.
    pub names: &'a Names,
    /// Is told of every submission.
    pub runs: &'a Runs,
    /// Knows to whom an empty prompt was shown.
    pub hollow: &'a Hollow,
    /// Are told of every submission.
    pub replicas: &'a Arc<Replicas>,
    /// Table `prompt`.
    pub table: &'a PromptTable,
    /// Knows what of a prompt the server could not list afterwards.
    pub jobs: &'a Jobs,
    /// Whose job it is.
    pub scope: Scope,
    /// The largest request body, in bytes, that is held whole and noted.
    pub max_body: usize,
    /// What is read is held within it.
    pub budget: &'a BufferBudget,
    /// Keep jobs answerable, and on whose behalf they look after this one.
    pub kept: Option<(&'a Arc<Kept>, JobsSession)>,
    /// Submits it, where the server speaks Comfy API v2.
    pub v2: Option<JobsSession>,
    /// Know whose events wait for the answer.
    pub sockets: &'a Arc<ClientSockets>,
}

impl PromptRecorder<'_> {
    /// A prompt whose job the server can list, as far as it is known by now which server that is.
    pub(super) fn listable(&self, mut head: Parts, body: Bytes) -> Result<Request<Body>, UpstreamError> {
        let Some(rules) = &self.jobs.known_names().names.prompt else {
            return Ok(Request::from_parts(head, full(body)));
        };
        let text = match decode(&head.headers, &body, self.max_body, self.budget) {
            Ok(text) => text,
            Err(DecodeError::NoRoom { limit }) => return Err(UpstreamError::NoRoom { limit }),
            // It was read before, or the server cannot read it either.
            Err(_) => return Ok(Request::from_parts(head, full(body))),
        };
        let Some(rest) = redacted(rules, &text) else {
            return Ok(Request::from_parts(head, full(body)));
        };
        log_unlistable();
        set_text(&mut head, rest.len());
        // One of them is held from now on.
        drop((body, text));
        let rest = self.budget.counted(rest).map_err(no_room)?;
        Ok(Request::from_parts(head, full(rest)))
    }
}

/// Makes `head` that of a plain body of this length, in bytes.
pub(in crate::proxy) fn set_text(head: &mut Parts, length: usize) {
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    set_decoded(&mut head.headers);
}

/// A prompt on its way. When it is dropped before its answer has said which job it became, the server may have taken it all
/// the same.
pub(super) struct Submission<'a> {
    pub(super) recorder: &'a PromptRecorder<'a>,
    pub(super) chosen: Chosen,
}

impl<'a> Submission<'a> {
    pub(super) fn new(recorder: &'a PromptRecorder<'a>, chosen: Chosen) -> Self {
        Self { recorder, chosen }
    }

    /// The server has answered.
    pub(super) async fn answered(
        mut self,
        response: Response<Body>,
        noted: Option<Bytes>,
        upstream: &Upstream,
    ) -> Result<Response<Body>, UpstreamError> {
        match response.status() {
            StatusCode::OK => keep(response, noted, self, upstream).await,
            refused if refused.is_client_error() => {
                self.chosen.id = None;
                Ok(response)
            }
            _ => Ok(response),
        }
    }

    /// It became job `id` with this number.
    async fn became(mut self, id: &str, number: Option<f64>, noted: Option<Bytes>) {
        let PromptRecorder {
            notes,
            runs,
            replicas,
            scope,
            ..
        } = self.recorder;
        if let Some((kept, session)) = &self.recorder.kept {
            kept.submitted(session, id, number, noted.clone());
        }
        if let Some(noted) = noted {
            notes.keep(*scope, id, number, noted);
        }
        // After the note: what is asked for from now on has it.
        let given = number.filter(|_| !self.chosen.numbered);
        runs.submitted(id, given);
        self.chosen.id = None;
        replicas.submitted(*scope, id, given).await;
    }
}

impl Drop for Submission<'_> {
    fn drop(&mut self) {
        if let Some(id) = &self.chosen.id {
            let PromptRecorder {
                runs, replicas, scope, ..
            } = self.recorder;
            runs.submitted(id, None);
            replicas.perhaps_submitted(*scope, id);
        }
    }
}

/// Keeps the note under the id that the answer carries, before the client has the answer: it may ask at once.
async fn keep(
    response: Response<Body>,
    noted: Option<Bytes>,
    submission: Submission<'_>,
    upstream: &Upstream,
) -> Result<Response<Body>, UpstreamError> {
    let (mut head, body) = response.into_parts();
    let body = match Beginning::read(body, submission.recorder.budget.buffer(MAX_ANSWER))
        .await
        .map_err(|error| upstream.broken_off(&*error))?
    {
        // The job is there: its client must hear of it.
        Beginning::NoRoom(again, limit) => {
            tracing::warn!(error = %BufferError::NoRoom(limit), "an answer passes unread");
            again.body
        }
        Beginning::Long(again) => again.body,
        Beginning::Whole(whole, trailers) => {
            let PromptRecorder {
                names, scope, table, ..
            } = *submission.recorder;
            if let Some((id, number)) = job_in(&whole, table) {
                submission.became(&id, number, noted).await;
            }
            let spoken = names.are_in_play().then(|| names.spoken(scope, &whole)).flatten();
            match spoken {
                None => with_trailers(whole, trailers),
                Some(spoken) => {
                    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(spoken.len()));
                    with_trailers(spoken.into(), trailers)
                }
            }
        }
    };
    Ok(Response::from_parts(head, body))
}

fn with_trailers(data: Bytes, trailers: Option<HeaderMap>) -> Body {
    match trailers {
        None => full(data),
        Some(trailers) => Full::new(data)
            .map_err(|never| match never {})
            .with_trailers(ready(Some(Ok(trailers))))
            .boxed_unsync(),
    }
}

/// The id and the number of the job that a prompt became.
fn job_in(answer: &[u8], table: &PromptTable) -> Option<(String, Option<f64>)> {
    let [id, number] = find(answer, [Some(&table.id), table.number.as_ref()]).ok()?;
    let number = number.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
    Some((string_value(id?)?, number))
}

/// A prompt without what `rules` keep from going on, if it has any of that; it is copied only then. What is no JSON passes
/// as it came.
pub(super) fn redacted(rules: &RequestRules, text: &[u8]) -> Option<Vec<u8>> {
    let kept = rules.kept(text).ok().filter(|kept| kept.len() > 1)?;
    let mut copy = Vec::with_capacity(kept.iter().map(|part| part.of(text).len()).sum());
    for part in kept {
        copy.extend_from_slice(part.of(text));
    }
    Some(copy)
}

pub(super) fn no_room(error: BufferError) -> UpstreamError {
    let (BufferError::NoRoom(limit) | BufferError::TooLong(limit)) = error;
    UpstreamError::NoRoom { limit }
}
