//! A legacy write, which goes one way, never both.

use super::{Proxy, pass_through::refused, translation::call};
use crate::{
    auth::scope::Scope,
    http::{
        body::{Body, full},
        body_decoding::{DecodeError, decode},
        buffered::{BufferError, ReadError},
    },
    jobs_api::{Caller, JobsError},
    legacy::{InvalidateOnDrop, LegacyAnswer, LegacyError},
    migration::modes::Decision,
    proxy::{
        response::{legacy_failure, not_implemented, too_large, upstream_failure},
        shutdown::Shutdown,
    },
    routes::LegacyWrite,
    telemetry::{RequestRecord, Source},
    upstream::UpstreamError,
};
use bytes::Bytes;
use http::{Response, request::Parts};
use std::sync::Arc;

/// The body of a write.
struct WriteBody {
    /// As it came, and as it goes on.
    sent: Bytes,
    /// What it says.
    text: Result<Bytes, DecodeError>,
}

impl Proxy {
    /// A write goes one way, never both.
    pub(super) async fn write(
        &self,
        record: &RequestRecord,
        (write, decision): (&LegacyWrite, Decision),
        scope: Scope,
        head: Parts,
        body: Body,
    ) -> Response<Body> {
        let caller = self.caller(record, scope, &head);
        let forwards = match decision {
            Decision::Gone => return self.gone(&head, write.successor(self.names()), &caller).await,
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
        if forwards {
            let touching = InvalidateOnDrop::new(&self.legacy, write, None, caller.scope);
            let response = self.forward(record, head, body).await.unwrap_or_else(refused);
            touching.end().await;
            return response;
        }
        let body = match self.budget.read(body, self.max_write_body).await {
            Ok(body) => body,
            Err(ReadError::Buffer(BufferError::TooLong(limit))) => return too_large(limit),
            Err(ReadError::Buffer(BufferError::NoRoom(limit))) => {
                return upstream_failure(&UpstreamError::NoRoom { limit }, None);
            }
            Err(ReadError::Body(error)) => return upstream_failure(&UpstreamError::Client(error.into()), None),
        };
        let body = WriteBody {
            text: decode(&head.headers, &body, self.max_write_body),
            sent: body,
        };
        self.translate_write(record, write, head, &body, &caller).await
    }

    /// A write is done through the Jobs API. What that cannot do, the server's own legacy endpoint may still do; what
    /// neither can do is a failure that says so (docs/contract.md section 5). History is the other way round: the Jobs API
    /// has nothing for it, so the server's endpoint comes first, and without one the jobs are hidden.
    async fn translate_write(
        &self,
        record: &RequestRecord,
        write: &LegacyWrite,
        mut head: Parts,
        body: &WriteBody,
        caller: &Arc<Caller>,
    ) -> Response<Body> {
        let stop: Option<Shutdown> = head.extensions.remove();
        if *write == LegacyWrite::History {
            return match self.resend(record, write, head, body, caller.scope).await {
                Ok(answer) if matches!(answer.status().as_u16(), 404 | 405 | 410 | 501) => {
                    let Some(outcome) = self.through_jobs_api(write, body, caller, stop).await else {
                        return self.too_busy(write.name());
                    };
                    record.source(Source::JobsApi);
                    self.answered(outcome, None, write, write.name()).await
                }
                Ok(answer) => answer,
                Err(error) => refused(error),
            };
        }
        let Some(outcome) = self.through_jobs_api(write, body, caller, stop).await else {
            return self.too_busy(write.name());
        };
        if !matches!(
            outcome,
            Err(LegacyError::Jobs(JobsError::Missing { .. }) | LegacyError::Twin { .. })
        ) {
            record.source(Source::JobsApi);
            return self.answered(outcome, None, write, write.name()).await;
        }
        let method_and_path = call(&head);
        match self.resend(record, write, head, body, caller.scope).await {
            Ok(answer) if matches!(answer.status().as_u16(), 404 | 405 | 501) => {
                record.source(Source::Jobshim);
                self.modes.translated(write.name(), true);
                match outcome {
                    Err(twin @ LegacyError::Twin { .. }) => legacy_failure(twin, None),
                    _ => not_implemented(&method_and_path),
                }
            }
            Ok(answer) => answer,
            Err(error) => refused(error),
        }
    }

    /// The outcome of a write, which has a turn until it is done and keeps the program from ending; `None` when there is no
    /// turn to be had. Nothing is done on account of a body that cannot be read.
    async fn through_jobs_api(
        &self,
        write: &LegacyWrite,
        body: &WriteBody,
        caller: &Arc<Caller>,
        stop: Option<Shutdown>,
    ) -> Option<Result<LegacyAnswer, LegacyError>> {
        let text = match (write, &body.text) {
            // Its path says all.
            (LegacyWrite::JobCancel(_), _) => &Bytes::new(),
            (_, Ok(text)) => text,
            (_, Err(error)) => return Some(Err(LegacyError::Body(*error))),
        };
        let translation_permit = self.translation_permit().await?;
        Some(self.legacy.write(write, text, caller, (translation_permit, stop)).await)
    }

    /// The legacy call as it came, to the server's own endpoint.
    async fn resend(
        &self,
        record: &RequestRecord,
        write: &LegacyWrite,
        head: Parts,
        body: &WriteBody,
        scope: Scope,
    ) -> Result<Response<Body>, UpstreamError> {
        let touching = InvalidateOnDrop::new(&self.legacy, write, body.text.clone().ok(), scope);
        let answer = self.pass(record, head, full(body.sent.clone())).await;
        touching.end().await;
        answer
    }
}
