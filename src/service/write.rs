//! A legacy write, which goes one way, never both.

use super::{Service, passage::refused, translation::call};
use crate::{
    jobs::{Caller, JobsError},
    legacy::{LegacyError, Touching},
    modes::Decision,
    observe::{Exchange, Source},
    response::{busy, not_implemented, too_large, upstream_failure},
    route::LegacyWrite,
    upstream::{Body, UpstreamError},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{Response, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use std::sync::Arc;

impl Service {
    /// A write goes one way, never both.
    pub(super) async fn write(
        &self,
        exchange: &Exchange,
        write: &LegacyWrite,
        head: Parts,
        body: Body,
    ) -> Response<Body> {
        let caller = self.caller(exchange, self.scope(&head), &head);
        let forwards = match self.decide(exchange, write.name(), &head, caller.scope) {
            Decision::Gone => {
                let successor = write.successor(self.names());
                return self.gone(&head, successor.as_deref(), &caller).await;
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
        if forwards {
            let touching = Touching::new(&self.legacy, write, None, caller.scope);
            let response = self.forward(exchange, head, body).await.unwrap_or_else(refused);
            touching.end().await;
            return response;
        }
        // Boxed, as the compiler does not see otherwise that reading a boxed body may move to another thread.
        let body = match Limited::new(body, self.most_ordered).collect().boxed().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return too_large(self.most_ordered),
            Err(error) => return upstream_failure(&UpstreamError::Client(error.into()), None),
        };
        let touching = Touching::new(&self.legacy, write, Some(body.clone()), caller.scope);
        let response = self.translate_write(exchange, write, head, &body, &caller).await;
        touching.end().await;
        response
    }

    /// A write is done through the Jobs API. What that cannot do, the server's own legacy endpoint may still do; what
    /// neither can do is a failure that says so (CONTRACT.md section 5). History is the other way round: the Jobs API
    /// has nothing for it, so the server's endpoint comes first, and without one the jobs are hidden.
    async fn translate_write(
        &self,
        exchange: &Exchange,
        write: &LegacyWrite,
        head: Parts,
        body: &Bytes,
        caller: &Arc<Caller>,
    ) -> Response<Body> {
        let method_and_path = call(&head);
        let Some(_turn) = self.turn().await else {
            return busy();
        };
        if *write == LegacyWrite::History {
            return match self.resend(exchange, head, body).await {
                Ok(answer) if !matches!(answer.status().as_u16(), 404 | 405 | 410 | 501) => answer,
                Ok(_) => {
                    exchange.source(Source::JobsApi);
                    let outcome = self.legacy.write(write, body, caller).await;
                    self.answer(outcome, None, write).await
                }
                Err(error) => refused(error),
            };
        }
        match self.legacy.write(write, body, caller).await {
            Err(LegacyError::Jobs(JobsError::Missing { .. })) => match self.resend(exchange, head, body).await {
                Ok(answer) if matches!(answer.status().as_u16(), 404 | 405 | 501) => {
                    exchange.source(Source::Jobshim);
                    not_implemented(&method_and_path)
                }
                Ok(answer) => answer,
                Err(error) => refused(error),
            },
            outcome => {
                exchange.source(Source::JobsApi);
                self.answer(outcome, None, write).await
            }
        }
    }
}
