//! What is passed on as it came, and where to.

use super::Proxy;
use crate::{
    http::body::Body,
    legacy::Hiding,
    proxy::{
        forward::{ForwardedRequest, PromptError, PromptRecorder, target},
        response::{hollow_prompt, upstream_failure},
    },
    telemetry::{Call, RequestRecord, Source},
    upstream::UpstreamError,
};
use futures_util::future::Either;
use http::{Request, Response, request::Parts};
use std::borrow::Cow;

impl Proxy {
    /// How the request of `head` reaches the upstream.
    async fn passage<'a>(
        &'a self,
        record: &'a RequestRecord,
        head: &Parts,
    ) -> Result<ForwardedRequest<'a>, UpstreamError> {
        let jobs = self.legacy.jobs();
        let kind = match jobs.known_dialect() {
            Some(kind) => Some(kind),
            None => Box::pin(jobs.dialect_to_pass(&self.caller(record, self.scope(record, head), head))).await,
        };
        let uri = match target(&head.uri, &head.headers, jobs, &self.upstream, kind) {
            Cow::Borrowed(_) => self.upstream.uri_as_sent(&head.uri),
            Cow::Owned(target) => self.upstream.uri(&target),
        };
        Ok(ForwardedRequest {
            upstream: &self.upstream,
            record,
            call: Call::Pass,
            own_host: jobs.host_for(kind),
            uri: uri?,
        })
    }

    pub(super) async fn pass(
        &self,
        record: &RequestRecord,
        head: Parts,
        body: Body,
    ) -> Result<Response<Body>, UpstreamError> {
        let passage = self.passage(record, &head).await?;
        passage.forward(Request::from_parts(head, body)).await
    }

    /// As [`Proxy::pass`]; the answer may have hidden jobs in it.
    pub(super) fn pass_hiding(
        &self,
        record: &RequestRecord,
        head: Parts,
        body: Body,
        hiding: Option<Hiding>,
    ) -> impl Future<Output = Result<Response<Body>, UpstreamError>> + Send {
        let passing = self.pass(record, head, body);
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
        record: &RequestRecord,
        head: Parts,
        body: Body,
    ) -> Result<Response<Body>, UpstreamError> {
        let scope = self.scope(record, &head);
        let lesson = PromptRecorder {
            notes: self.legacy.notes(),
            runs: self.legacy.runs(),
            hollow: self.legacy.hollow(),
            table: &self.legacy.tables().prompt,
            scope,
            max_body: self.max_noted,
            budget: &self.budget,
        };
        let passage = self.passage(record, &head).await?;
        match passage.prompt(Request::from_parts(head, body), &lesson).await {
            Ok(response) => Ok(response),
            Err(PromptError::Upstream(error)) => Err(error),
            Err(hollow @ PromptError::Hollow) => {
                record.source(Source::Jobshim);
                Ok(hollow_prompt(&hollow))
            }
        }
    }

    /// A legacy call as it came, to the server's own endpoint.
    pub(super) async fn forward(
        &self,
        record: &RequestRecord,
        head: Parts,
        body: Body,
    ) -> Result<Response<Body>, UpstreamError> {
        let passage = match &self.legacy_upstream {
            None => self.passage(record, &head).await?,
            Some(upstream) => ForwardedRequest {
                upstream,
                record,
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
