//! What is passed on as it came, and where to.

use super::Service;
use crate::{
    forward::{Lesson, Passage, PromptError, target},
    legacy::Hiding,
    observe::{Call, Exchange, Source},
    response::{hollow_prompt, upstream_failure},
    upstream::{Body, UpstreamError},
};
use futures_util::future::Either;
use http::{Request, Response, request::Parts};
use std::borrow::Cow;

impl Service {
    /// How the request of `head` reaches the upstream.
    async fn passage<'a>(&'a self, exchange: &'a Exchange, head: &Parts) -> Result<Passage<'a>, UpstreamError> {
        let jobs = self.legacy.jobs();
        let kind = match jobs.known_dialect() {
            Some(kind) => Some(kind),
            None => Box::pin(jobs.dialect_to_pass(&self.caller(exchange, self.scope(exchange, head), head))).await,
        };
        let uri = match target(&head.uri, &head.headers, jobs, &self.upstream, kind) {
            Cow::Borrowed(_) => self.upstream.uri_as_sent(&head.uri),
            Cow::Owned(target) => self.upstream.uri(&target),
        };
        Ok(Passage {
            upstream: &self.upstream,
            exchange,
            call: Call::Pass,
            own_host: jobs.host_for(kind),
            uri: uri?,
        })
    }

    pub(super) async fn pass(
        &self,
        exchange: &Exchange,
        head: Parts,
        body: Body,
    ) -> Result<Response<Body>, UpstreamError> {
        let passage = self.passage(exchange, &head).await?;
        passage.forward(Request::from_parts(head, body)).await
    }

    /// As [`Service::pass`]; the answer may have hidden jobs in it.
    pub(super) fn pass_hiding(
        &self,
        exchange: &Exchange,
        head: Parts,
        body: Body,
        hiding: Option<Hiding>,
    ) -> impl Future<Output = Result<Response<Body>, UpstreamError>> + Send {
        let passing = self.pass(exchange, head, body);
        match hiding {
            None => Either::Left(passing),
            Some(hiding) => Either::Right(Box::pin(async move {
                let applied = hiding.applied(passing.await?).await;
                applied.map_err(|error| self.upstream.broken_off(&*error))
            })),
        }
    }

    pub(super) async fn prompt(
        &self,
        exchange: &Exchange,
        head: Parts,
        body: Body,
    ) -> Result<Response<Body>, UpstreamError> {
        let scope = self.scope(exchange, &head);
        // First: it may ask which dialect the server speaks.
        let passage = self.passage(exchange, &head).await?;
        let lesson = Lesson {
            notes: self.legacy.notes(),
            runs: self.legacy.runs(),
            hollow: self.legacy.hollow(),
            table: &self.legacy.tables().prompt,
            unlistable: self.names().names.prompt.as_ref(),
            scope,
            max_body: self.most_noted,
            budget: &self.budget,
        };
        match passage.prompt(Request::from_parts(head, body), &lesson).await {
            Ok(response) => Ok(response),
            Err(PromptError::Upstream(error)) => Err(error),
            Err(hollow @ PromptError::Hollow) => {
                exchange.source(Source::Jobshim);
                Ok(hollow_prompt(&hollow))
            }
        }
    }

    /// A legacy call as it came, to the server's own endpoint.
    pub(super) async fn forward(
        &self,
        exchange: &Exchange,
        head: Parts,
        body: Body,
    ) -> Result<Response<Body>, UpstreamError> {
        let passage = match &self.legacy_upstream {
            None => self.passage(exchange, &head).await?,
            Some(upstream) => Passage {
                upstream,
                exchange,
                call: Call::Elsewhere,
                own_host: upstream.is_https().then(|| upstream.authority()),
                uri: upstream.uri_as_sent(&head.uri)?,
            },
        };
        passage.forward(Request::from_parts(head, body)).await
    }
}

pub(super) fn refused(error: UpstreamError) -> Response<Body> {
    tracing::warn!(%error, "a request could not be passed through");
    upstream_failure(&error, None)
}
