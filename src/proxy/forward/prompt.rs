//! `POST /prompt`: passes through, and what it says that the Jobs API will not tell later is noted on the way.

use super::{
    ForwardedRequest,
    beginning::Beginning,
    client_sockets::ClientSockets,
    long_prompt::{LongPrompt, log_redacted_key, log_unlistable},
    named_prompt::NamedPrompt,
};
use crate::{
    auth::scope::Scope,
    http::{
        body::{Body, full},
        body_decoding::{DecodeError, decode, is_plain, set_decoded},
        buffered::{BufferBudget, BufferError},
    },
    jobs_api::Jobs,
    legacy::{
        Replicas,
        hollow::{Hollow, HollowEvent},
        names::Names,
        notes::{Notes, note},
        runs::Runs,
    },
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

/// Why a prompt has no answer of the server.
#[derive(Debug, thiserror::Error)]
pub enum PromptError {
    /// It could not be passed on.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// Of what must not go on unread, there is more than is read.
    #[error("more than {limit} bytes of the prompt would have to be read before it goes on")]
    TooLarge {
        /// The most bytes that are read.
        limit: usize,
    },
    /// The server may read it, and jobshim cannot.
    #[error("the body cannot be read: {0}")]
    Unreadable(DecodeError),
    /// It is the empty one that its client was shown in place of a job's own.
    #[error("the prompt is the empty one that is shown where a queued job's own is not known: it cannot be sent back")]
    Hollow,
}

impl ForwardedRequest<'_> {
    /// Forwards a `POST /prompt`. Whatever cannot be understood passes as it came and is not noted; the body decides,
    /// not `Content-Type`, as several clients send JSON without one. Where the server has no such endpoint, nothing was
    /// done, and the request is sent once more to where `elsewhere` finds it.
    pub async fn prompt<'a, E, F>(
        self,
        request: Request<Body>,
        recorder: &PromptRecorder<'_>,
        elsewhere: Option<E>,
    ) -> Result<Response<Body>, PromptError>
    where
        E: FnOnce(Parts) -> F,
        F: Future<Output = Option<(ForwardedRequest<'a>, Parts)>>,
    {
        let upstream = self.upstream;
        let (mut head, body) = request.into_parts();
        let buffer = recorder.budget.request_buffer(recorder.max_body);
        let whole = match Beginning::read(body, buffer)
            .await
            .map_err(|error| UpstreamError::Client(error.into()))?
        {
            // Unread, it could carry what must not go on.
            Beginning::NoRoom(again, limit) => {
                again.discard(&head.headers).await;
                return Err(UpstreamError::NoRoom { limit }.into());
            }
            Beginning::Long(again) => {
                let under_way = recorder.sockets.prompt(recorder.scope);
                let body = match is_plain(&head.headers) {
                    Ok(true) => {
                        let (request, names) = (&recorder.table.request, recorder.jobs.known_names());
                        let unlistable = names.names.prompt.as_ref();
                        let (budget, under_way) = (recorder.budget, Arc::clone(&under_way));
                        LongPrompt::new(again.body, request, unlistable, budget, under_way).into_body()
                    }
                    Ok(false) => {
                        let limit = recorder.max_body;
                        again.discard(&head.headers).await;
                        return Err(PromptError::TooLarge { limit });
                    }
                    Err(error) => {
                        again.discard(&head.headers).await;
                        return Err(PromptError::Unreadable(error));
                    }
                };
                let submission = Submission::new(recorder, Chosen::unread());
                let response = self
                    .forward(Request::from_parts(head, body))
                    .await
                    .map_err(long_prompt)?;
                return Ok(under_way.until_written(submission.answered(response, None, upstream).await?));
            }
            Beginning::Whole(whole, _) => whole,
        };
        let mut text = match decode(&head.headers, &whole, recorder.max_body, recorder.budget) {
            Ok(text) => text,
            Err(DecodeError::NoRoom { limit }) => return Err(UpstreamError::NoRoom { limit }.into()),
            Err(DecodeError::TooLarge { limit }) => return Err(PromptError::TooLarge { limit }),
            // The server may know more codings and charsets, and takes an unknown coding for none.
            Err(error @ (DecodeError::Coding | DecodeError::Charset)) => return Err(PromptError::Unreadable(error)),
            // Nor can the server read it.
            Err(_) => {
                let submission = Submission::new(recorder, Chosen::unread());
                let response = self.submit(head, whole, recorder, elsewhere).await?;
                return Ok(submission.answered(response, None, upstream).await?);
            }
        };
        let sent = match redacted(&recorder.table.request, &text) {
            Some(redacted) => {
                log_redacted_key();
                set_text(&mut head, redacted.len());
                // One of them is held from now on.
                drop((whole, text));
                text = recorder.budget.counted(redacted).map_err(no_room)?;
                text.clone()
            }
            None => whole,
        };
        let observed = recorder.table.request.observed(&head.headers);
        let noted = note(recorder.table, &text, observed.as_deref());
        let chosen = recorder.table.request.chosen(&text);
        drop(text);
        if chosen.hollow && recorder.hollow.was_shown_to(recorder.scope) {
            recorder.hollow.sent_back();
            recorder.replicas.hollow(HollowEvent::SentBack).await;
            return Err(PromptError::Hollow);
        }
        let under_way = recorder.sockets.prompt(recorder.scope);
        if let Some(client) = &chosen.client {
            under_way.is_of(client);
        }
        let name = chosen.id.clone().filter(|id| recorder.names.is_name(id));
        let mut submission = Submission::new(recorder, chosen);
        let response = match name {
            None => self.submit(head, sent, recorder, elsewhere).await?,
            Some(name) => {
                let prompt = NamedPrompt { name, head, sent };
                self.submit_named(prompt, &mut submission, elsewhere).await?
            }
        };
        Ok(under_way.until_written(submission.answered(response, noted, upstream).await?))
    }

    /// Sends a prompt, and once more to `elsewhere` where there is no such endpoint.
    pub(super) async fn submit<'a, E, F>(
        self,
        head: Parts,
        body: Bytes,
        recorder: &PromptRecorder<'_>,
        elsewhere: Option<E>,
    ) -> Result<Response<Body>, UpstreamError>
    where
        E: FnOnce(Parts) -> F,
        F: Future<Output = Option<(ForwardedRequest<'a>, Parts)>>,
    {
        let again = elsewhere.map(|elsewhere| (elsewhere, head.clone(), body.clone()));
        let response = self.forward(recorder.listable(head, body)?).await?;
        let is_absent = matches!(
            response.status(),
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
        );
        if is_absent
            && let Some((elsewhere, head, body)) = again
            && let Some((forwarded, head)) = elsewhere(head).await
        {
            return forwarded.forward(recorder.listable(head, body)?).await;
        }
        Ok(response)
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
    fn new(recorder: &'a PromptRecorder<'a>, chosen: Chosen) -> Self {
        Self { recorder, chosen }
    }

    /// The server has answered.
    async fn answered(
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
fn redacted(rules: &RequestRules, text: &[u8]) -> Option<Vec<u8>> {
    let kept = rules.kept(text).ok().filter(|kept| kept.len() > 1)?;
    let mut copy = Vec::with_capacity(kept.iter().map(|part| part.of(text).len()).sum());
    for part in kept {
        copy.extend_from_slice(part.of(text));
    }
    Some(copy)
}

/// Why a prompt did not go on that is read while it does.
fn long_prompt(error: UpstreamError) -> PromptError {
    let of_body = match &error {
        UpstreamError::Client(error) => error.downcast_ref::<BufferError>().copied(),
        _ => None,
    };
    match of_body {
        Some(BufferError::TooLong(limit)) => PromptError::TooLarge { limit },
        Some(BufferError::NoRoom(limit)) => UpstreamError::NoRoom { limit }.into(),
        None => error.into(),
    }
}

pub(super) fn no_room(error: BufferError) -> UpstreamError {
    let (BufferError::NoRoom(limit) | BufferError::TooLong(limit)) = error;
    UpstreamError::NoRoom { limit }
}
