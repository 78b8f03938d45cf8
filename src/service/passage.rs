//! What is passed on as it came, and where to.

use super::Service;
use crate::{
    forward::{Lesson, Passage, PromptError, depends_on_dialect, target},
    jobs::DialectKind,
    legacy::Hiding,
    observe::{Call, Exchange, Source},
    response::{hollow_prompt, upstream_failure},
    upstream::{Body, UpstreamError},
};
use futures_util::future::Either;
use http::{Request, Response, Uri, request::Parts};
use std::{borrow::Cow, time::Instant};

impl Service {
    /// How the request of `head` reaches the upstream.
    async fn passage<'a>(&'a self, exchange: &'a Exchange, head: &Parts) -> Result<Passage<'a>, UpstreamError> {
        let jobs = self.legacy.jobs();
        let kind = match jobs.known_dialect() {
            Some(kind) => Some(kind),
            None => {
                // A write at the wrong place is lost: who only reads can read again.
                let must = !head.method.is_safe() && depends_on_dialect(&head.uri, &jobs.dialects());
                let caller = self.caller(exchange, self.scope(exchange, head), head);
                Box::pin(jobs.dialect_to_pass(&caller, must)).await
            }
        };
        self.passage_to(exchange, head, kind)
    }

    fn passage_to<'a>(
        &'a self,
        exchange: &'a Exchange,
        head: &Parts,
        kind: Option<DialectKind>,
    ) -> Result<Passage<'a>, UpstreamError> {
        let jobs = self.legacy.jobs();
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

    /// The way of a request that was sent at `sent` to a place which the server does not know, if the server turns out to
    /// be another one that has it elsewhere than at `before`.
    async fn passage_elsewhere<'a>(
        &'a self,
        exchange: &'a Exchange,
        head: Parts,
        before: Uri,
        sent: Instant,
    ) -> Option<(Passage<'a>, Parts)> {
        let caller = self.caller(exchange, self.scope(exchange, &head), &head);
        let kind = self.legacy.jobs().dialect_after(sent, &caller).await?;
        let passage = self.passage_to(exchange, &head, Some(kind)).ok()?;
        (passage.uri != before).then_some((passage, head))
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
        let lesson = Lesson {
            notes: self.legacy.notes(),
            runs: self.legacy.runs(),
            hollow: self.legacy.hollow(),
            table: &self.legacy.tables().prompt,
            jobs: self.legacy.jobs(),
            scope,
            max_body: self.most_noted,
            budget: &self.budget,
        };
        let passage = self.passage(exchange, &head).await?;
        let elsewhere = self.legacy.jobs().may_change().then(|| {
            let (before, sent) = (passage.uri.clone(), Instant::now());
            move |head| self.passage_elsewhere(exchange, head, before, sent)
        });
        let request = Request::from_parts(head, body);
        match passage.prompt(request, &lesson, elsewhere).await {
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
