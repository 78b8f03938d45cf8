//! A legacy write, which goes one way, never both.

use super::{
    Service,
    passage::refused,
    translation::{call, is_gone},
};
use crate::{
    body_decoding::{DecodeError, decode},
    buffered::{BufferError, ReadError},
    jobs::{Caller, JobsError},
    legacy::{LegacyAnswer, LegacyError, Touching},
    modes::Decision,
    observe::{Exchange, Source},
    response::{legacy_failure, not_implemented, too_large, upstream_failure},
    route::LegacyWrite,
    scope::Scope,
    stop::Stop,
    upstream::{Body, UpstreamError, full},
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

impl Service {
    /// A write goes one way, never both.
    pub(super) async fn write(
        &self,
        exchange: &Exchange,
        (write, decision): (&LegacyWrite, Decision),
        scope: Scope,
        head: Parts,
        body: Body,
    ) -> Response<Body> {
        let caller = self.caller(exchange, scope, &head);
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
            let touching = Touching::new(&self.legacy, write, None, caller.scope);
            let response = self.forward(exchange, head, body).await.unwrap_or_else(refused);
            touching.end().await;
            return response;
        }
        let body = match self.budget.read(body, self.most_ordered).await {
            Ok(body) => body,
            Err(ReadError::Buffer(BufferError::TooLong(limit))) => return too_large(limit),
            Err(ReadError::Buffer(BufferError::NoRoom(limit))) => {
                return upstream_failure(&UpstreamError::NoRoom { limit }, None);
            }
            Err(ReadError::Body(error)) => return upstream_failure(&UpstreamError::Client(error.into()), None),
        };
        let body = WriteBody {
            text: decode(&head.headers, &body, self.most_ordered, &self.budget),
            sent: body,
        };
        self.translate_write(exchange, write, head, &body, &caller).await
    }

    /// A write is done through the Jobs API. What that cannot do, the server's own legacy endpoint may still do; what
    /// neither can do is a failure that says so (CONTRACT.md section 5). History is the other way round: the Jobs API
    /// has nothing for it, so the server's endpoint comes first, and without one the jobs are hidden.
    async fn translate_write(
        &self,
        exchange: &Exchange,
        write: &LegacyWrite,
        mut head: Parts,
        body: &WriteBody,
        caller: &Arc<Caller>,
    ) -> Response<Body> {
        let stop: Option<Stop> = head.extensions.remove();
        if *write == LegacyWrite::History {
            return match self.resend(exchange, write, head, body, caller.scope).await {
                Ok(answer) if matches!(answer.status().as_u16(), 404 | 405 | 410 | 501) => {
                    let Some(outcome) = self.through_jobs_api(write, body, caller, stop).await else {
                        return self.too_busy(write.name());
                    };
                    exchange.source(Source::JobsApi);
                    self.answered(outcome, None, write, write.name()).await
                }
                Ok(answer) => answer,
                Err(error) => refused(error),
            };
        }
        let Some(outcome) = self.through_jobs_api(write, body, caller, stop).await else {
            return self.too_busy(write.name());
        };
        let outcome = match outcome {
            // Nothing was done yet, and the server's own endpoint does not mind that job.
            Err(LegacyError::Jobs(error @ JobsError::Unlistable { .. })) => {
                self.adviser.say(&error.to_string());
                return match self.resend(exchange, write, head, body, caller.scope).await {
                    Ok(answer) if !is_gone(answer.status()) => {
                        self.modes.translated(write.name(), true);
                        answer
                    }
                    _ => {
                        exchange.source(Source::JobsApi);
                        self.answered(Err(error.into()), None, write, write.name()).await
                    }
                };
            }
            outcome => outcome,
        };
        if !matches!(
            outcome,
            Err(LegacyError::Jobs(JobsError::Missing { .. }) | LegacyError::Twin { .. })
        ) {
            exchange.source(Source::JobsApi);
            return self.answered(outcome, None, write, write.name()).await;
        }
        let method_and_path = call(&head);
        match self.resend(exchange, write, head, body, caller.scope).await {
            Ok(answer) if matches!(answer.status().as_u16(), 404 | 405 | 501) => {
                exchange.source(Source::Jobshim);
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
        stop: Option<Stop>,
    ) -> Option<Result<LegacyAnswer, LegacyError>> {
        let text = match (write, &body.text) {
            // Its path says all.
            (LegacyWrite::JobCancel(_), _) => &Bytes::new(),
            (_, Ok(text)) => text,
            (_, Err(error)) => return Some(Err(LegacyError::Body(*error))),
        };
        let turn = self.turn().await?;
        Some(self.legacy.write(write, text, caller, (turn, stop)).await)
    }

    /// The legacy call as it came, to the server's own endpoint.
    async fn resend(
        &self,
        exchange: &Exchange,
        write: &LegacyWrite,
        head: Parts,
        body: &WriteBody,
        scope: Scope,
    ) -> Result<Response<Body>, UpstreamError> {
        let touching = Touching::new(&self.legacy, write, body.text.clone().ok(), scope);
        let answer = self.pass(exchange, head, full(body.sent.clone())).await;
        touching.end().await;
        answer
    }
}
