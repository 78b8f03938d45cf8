//! `POST /prompt`: passes through, and what it says that the Jobs API will not tell later is noted on the way.

use super::{
    ForwardedRequest,
    beginning::Beginning,
    long_prompt::{LongPrompt, log_redacted_key},
    named_prompt::NamedPrompt,
    prompt_recorder::{PromptRecorder, Submission, no_room, redacted, set_text},
    v2_prompt::submit_v2,
};
use crate::{
    http::{
        body::Body,
        body_decoding::{DecodeError, decode, is_plain},
        buffered::BufferError,
    },
    jobs_api::{JobsError, NewJob},
    legacy::{hollow::HollowEvent, notes::note},
    mapping::Chosen,
    upstream::UpstreamError,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode, request::Parts};
use std::sync::Arc;

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
    /// The server did not answer, and may have made a job of it.
    #[error("{0}: the job may exist all the same, and was not sent again")]
    Unknown(UpstreamError),
    /// The server's answer is none to a prompt.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// jobshim ends.
    #[error("jobshim ended while the prompt was on its way: the job may exist all the same")]
    Ended,
}

impl From<BufferError> for PromptError {
    fn from(error: BufferError) -> Self {
        match error {
            BufferError::TooLong(limit) => Self::TooLarge { limit },
            BufferError::NoRoom(limit) => UpstreamError::NoRoom { limit }.into(),
        }
    }
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
            Beginning::Long(again) if recorder.v2.is_some() => {
                let limit = recorder.max_body;
                again.discard(&head.headers).await;
                return Err(PromptError::TooLarge { limit });
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
            Err(error) if recorder.v2.is_some() => return Err(PromptError::Unreadable(error)),
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
        let new = recorder.v2.as_ref().map(|session| {
            let new = NewJob {
                prompt: text.clone(),
                note: noted.clone(),
                place: recorder.table.request.place(&text),
                id: chosen.id.clone(),
            };
            (session, new)
        });
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
        if let Some((session, new)) = new {
            // Another text goes on.
            drop(sent);
            if let Some(name) = chosen.id.as_ref().filter(|id| recorder.names.is_name(id)) {
                // The server knows it by another id, whatever it is.
                recorder.names.taken(recorder.scope, name);
            }
            let submission = Submission::new(recorder, chosen);
            let response = Box::pin(submit_v2(session, new, recorder.max_body)).await?;
            return Ok(under_way.until_written(submission.answered(response, noted, upstream).await?));
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

/// Why a prompt did not go on that is read while it does.
fn long_prompt(error: UpstreamError) -> PromptError {
    let of_body = match &error {
        UpstreamError::Client(error) => error.downcast_ref::<BufferError>().copied(),
        _ => None,
    };
    of_body.map_or_else(|| error.into(), PromptError::from)
}
