//! A legacy write, which goes one way, never both.

use super::{
    Pipeline,
    answer::Answer,
    failure::{legacy_failure, not_implemented, unread},
    failure::{passed, refused, state_failure},
    forward::set_text,
    request::{ClientRequest, LegacyRequest},
    shutdown::Shutdown,
    translation::{call, is_gone},
};
use crate::{
    http::{
        body::{Body, full},
        body_decoding::{DecodeError, decode},
        request_head::RequestHead,
    },
    jobs_api::{Caller, DialectKind, JobsError},
    legacy::{InvalidateOnDrop, LegacyAnswer, LegacyError, Naming, Reach},
    migration::modes::Decision,
    routes::LegacyWrite,
    store::StoreError,
    telemetry::{RequestRecord, Source},
    upstream::UpstreamError,
};
use bytes::Bytes;
use http::Response;
use std::sync::Arc;

/// A write whose body was read.
struct ReadWrite<'a> {
    record: &'a RequestRecord,
    write: &'a LegacyWrite,
    head: RequestHead,
    /// The body as it goes on.
    sent: Bytes,
    /// What the body says.
    text: Result<Bytes, DecodeError>,
    caller: Arc<Caller>,
    shutdown: Option<Shutdown>,
}

impl Pipeline {
    /// A write goes one way, never both.
    pub(super) async fn write(&self, write: &LegacyWrite, mut call: LegacyRequest<'_>) -> Answer {
        let caller = call.caller();
        let forwards = match call.decision {
            Decision::Gone => {
                return self
                    .gone(&call.request.head, write.successor(self.names()), &caller)
                    .await;
            }
            Decision::Forward { .. } => true,
            Decision::Translate => false,
            Decision::TranslateIfThere => {
                let asked = self.legacy.jobs().dialect(&caller).await;
                let missing = matches!(asked, Err(JobsError::Missing { .. }));
                if missing || asked.is_ok() {
                    self.modes.jobs_api.found(!missing);
                }
                missing
            }
        };
        let write = &Box::pin(self.write_to(write, &mut call)).await;
        if forwards {
            if *write == LegacyWrite::History && self.legacy.kept().is_some() {
                return self.forward_history(write, call, &caller).await;
            }
            let invalidation = InvalidateOnDrop::new(&self.legacy, write, None, caller.scope);
            if let Err(error) = self.order_for_server(write, &mut call.request, &caller).await {
                return refused(error);
            }
            let answer = passed(self.forward(call.request, false).await);
            invalidation.end_passed().await;
            if answer.response.status().is_success()
                && let Err(error) = self.legacy.written(write, None, Reach::Scope(caller.scope)).await
            {
                return state_failure(&error);
            }
            return answer;
        }
        let ClientRequest {
            record,
            mut head,
            body,
            shutdown,
        } = call.request;
        let limit = self.shared.max_write_body;
        let body = match self.shared.budget.read(head.headers(), body, limit).await {
            Ok(body) => body,
            Err(error) => return unread(error),
        };
        let (mut sent, mut text) = (body.clone(), decode(head.headers(), &body, limit, &self.shared.budget));
        if let Ok(known) = &text
            && let Some(changed) = Box::pin(self.legacy.order_at_server(write, known, &caller)).await
        {
            set_text(head.parts_mut(), changed.len());
            sent = changed.into();
            text = Ok(sent.clone());
        }
        let naming = self
            .legacy
            .names()
            .are_in_play()
            .then(|| Naming::new(&self.legacy, &caller));
        let write = ReadWrite {
            record,
            write,
            head,
            sent,
            text,
            caller,
            shutdown,
        };
        let answer = match write.write {
            LegacyWrite::History => self.write_history(write).await,
            _ => self.write_by_jobs_api(write).await,
        };
        let Answer { response, origin } = answer;
        match self.named(naming, response).await {
            Ok(response) => Answer { response, origin },
            Err(error) => refused(error),
        }
    }

    /// A delete that goes to the server's own endpoint, as it came. What is kept of its jobs is deleted, too: it is read for that.
    async fn forward_history(&self, write: &LegacyWrite, mut call: LegacyRequest<'_>, caller: &Arc<Caller>) -> Answer {
        if let Err(error) = self.order_for_server(write, &mut call.request, caller).await {
            return refused(error);
        }
        let headers = call.request.head.headers().clone();
        let limit = self.shared.max_write_body;
        let body = match self.shared.budget.read(&headers, call.request.body, limit).await {
            Ok(body) => body,
            Err(error) => return unread(error),
        };
        let text = decode(&headers, &body, limit, &self.shared.budget).ok();
        let delete = self.legacy.pending_delete(write, text.clone(), caller);
        let invalidation = InvalidateOnDrop::new(&self.legacy, write, text, caller.scope);
        let request = ClientRequest {
            body: full(body),
            ..call.request
        };
        let answer = passed(self.forward(request, false).await);
        invalidation.end_passed().await;
        match delete {
            None => answer,
            Some(delete) => match delete.answered(answer.response.status()).await {
                Ok(()) => answer,
                // What was deleted would be shown again.
                Err(error) => state_failure(&error),
            },
        }
    }

    /// The Jobs API has nothing for history, so the server's own endpoint comes first; without one the jobs are hidden
    /// (docs/contract.md section 5).
    async fn write_history(&self, mut write: ReadWrite<'_>) -> Answer {
        let has_one = self.legacy.jobs().known_dialect() != Some(DialectKind::V2);
        let sent = match has_one {
            true => Some(self.resend(&write).await),
            false => None,
        };
        match sent {
            Some(Ok(response)) if !is_gone(response.status()) => Answer::upstream(response),
            Some(Err(error)) => error.into(),
            Some(Ok(_)) | None => {
                let Some(outcome) = self.through_jobs_api(&mut write).await else {
                    return self.too_busy(write.write.name(), self.number_of(&write));
                };
                self.translated(&write, outcome).await
            }
        }
    }

    /// A write is done through the Jobs API. What that cannot do, the server's own legacy endpoint may still do; what
    /// neither can do is a failure that says so (docs/contract.md section 5).
    async fn write_by_jobs_api(&self, mut write: ReadWrite<'_>) -> Answer {
        let name = write.write.name();
        let Some(outcome) = self.through_jobs_api(&mut write).await else {
            return self.too_busy(name, self.number_of(&write));
        };
        let missing = match outcome {
            // Nothing was done yet, and the server's own endpoint does not mind that job.
            Err(LegacyError::Jobs(error @ JobsError::Unlistable { .. })) => {
                self.shared.log_hint.say(&error.to_string());
                return match self.resend(&write).await {
                    Ok(response) if !is_gone(response.status()) => {
                        // What the client was spared is a failure all the same.
                        self.modes.failed(name, self.number_of(&write));
                        Answer::upstream(response)
                    }
                    _ => self.translated(&write, Err(error.into())).await,
                };
            }
            Err(error @ (LegacyError::Jobs(JobsError::Missing { .. }) | LegacyError::Twin { .. })) => error,
            outcome => return self.translated(&write, outcome).await,
        };
        match self.resend(&write).await {
            Ok(response) if matches!(response.status().as_u16(), 404 | 405 | 501) => {
                write.record.source(Source::Jobshim);
                self.modes.failed(name, self.number_of(&write));
                match missing {
                    twin @ LegacyError::Twin { .. } => legacy_failure(twin, None),
                    _ => not_implemented(&call(&write.head)),
                }
            }
            Ok(response) => Answer::upstream(response),
            Err(error) => error.into(),
        }
    }

    /// A write as a number, which is the same when its client sends the same again.
    fn number_of(&self, write: &ReadWrite<'_>) -> u64 {
        self.modes
            .request_number(write.caller.scope, write.record.peer.client, (write.write, &write.sent))
    }

    async fn translated(&self, write: &ReadWrite<'_>, outcome: Result<LegacyAnswer, LegacyError>) -> Answer {
        write.record.source(Source::JobsApi);
        self.answered(outcome, None, write.write.name(), self.number_of(write))
            .await
    }

    /// The outcome of a write, which has a permit until it is done and keeps the program from ending; `None` when there is
    /// no permit to be had. Nothing is done on account of a body that cannot be read.
    async fn through_jobs_api(&self, write: &mut ReadWrite<'_>) -> Option<Result<LegacyAnswer, LegacyError>> {
        let text = match (write.write, &write.text) {
            // Its path says all.
            (LegacyWrite::JobCancel(_), _) => &Bytes::new(),
            (_, Ok(text)) => text,
            (_, Err(error)) => return Some(Err(LegacyError::Body(*error))),
        };
        let until_done = (self.translation_permit().await?, write.shutdown.take());
        Some(self.legacy.write(write.write, text, &write.caller, until_done).await)
    }

    /// The legacy call as it came, to the server's own endpoint.
    async fn resend(&self, write: &ReadWrite<'_>) -> Result<Response<Body>, ResendError> {
        let text = write.text.clone().ok();
        let delete = self.legacy.pending_delete(write.write, text.clone(), &write.caller);
        let invalidation = InvalidateOnDrop::new(&self.legacy, write.write, text, write.caller.scope);
        let mut request = ClientRequest {
            record: write.record,
            head: write.head.clone(),
            body: full(write.sent.clone()),
            shutdown: None,
        };
        let naming = self.naming(&mut request, false);
        let answer = match self.pass(request).await {
            Ok(response) => self.named(naming, response).await,
            error => error,
        };
        invalidation.end().await?;
        let answer = answer?;
        match delete {
            Some(delete) => delete.answered(answer.status()).await?,
            None if answer.status().is_success() => {
                let (text, reach) = (write.text.as_deref().ok(), Reach::Scope(write.caller.scope));
                self.legacy.written(write.write, text, reach).await?;
            }
            None => {}
        }
        Ok(answer)
    }
}

/// Why there is no answer of the server's own endpoint that its client may have.
#[derive(Debug, thiserror::Error)]
enum ResendError {
    /// It did not answer.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// It did what it was asked for, and other jobshims of the same store could not be told.
    #[error(transparent)]
    Untold(#[from] StoreError),
}

impl From<ResendError> for Answer {
    fn from(error: ResendError) -> Self {
        match error {
            ResendError::Upstream(error) => refused(error),
            ResendError::Untold(error) => state_failure(&error),
        }
    }
}
