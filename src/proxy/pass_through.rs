//! What is passed on as it came, and where to.

use super::{
    Pipeline,
    answer::Answer,
    request::{ClientRequest, caller},
    shutdown::Shutdown,
};
use crate::{
    http::{body::Body, buffered::discard_unread, header_flags::HeaderFlags, request_head::RequestHead},
    jobs_api::{Caller, DialectKind, JobsSession},
    legacy::Hiding,
    proxy::{
        failure::{refused_prompt, state_failure},
        forward::{
            ClientSocket, ForwardedRequest, PromptError, PromptRecorder, SocketNames, depends_on_dialect, target,
        },
    },
    telemetry::{Call, RequestRecord, Source},
    upstream::UpstreamError,
};
use futures_util::{FutureExt, future::Either};
use http::{Request, Response, Uri, request::Parts};
use std::{borrow::Cow, sync::Arc};
use tokio::time::Instant;

impl Pipeline {
    /// How the request of `head` reaches the upstream.
    async fn forwarded_request<'a>(
        &'a self,
        record: &'a RequestRecord,
        head: &RequestHead,
    ) -> Result<ForwardedRequest<'a>, UpstreamError> {
        let jobs = self.legacy.jobs();
        let kind = match jobs.known_dialect() {
            Some(kind) => Some(kind),
            None => {
                // A write at the wrong place is lost: who only reads can read again.
                let must = !head.method().is_safe() && depends_on_dialect(head.uri(), &jobs.dialects());
                let caller = caller(record, head, self.scope(head));
                Box::pin(jobs.dialect_to_pass(&caller, must)).await
            }
        };
        self.passage_to(record, head, kind)
    }

    /// The same to a server of `kind`, if that is known.
    pub(super) fn passage_to<'a>(
        &'a self,
        record: &'a RequestRecord,
        head: &RequestHead,
        kind: Option<DialectKind>,
    ) -> Result<ForwardedRequest<'a>, UpstreamError> {
        let jobs = self.legacy.jobs();
        let uri = match target(head.uri(), head.headers(), jobs, &self.shared.upstream, kind) {
            Cow::Borrowed(_) => self.shared.upstream.uri_as_sent(head.uri()),
            Cow::Owned(target) => self.shared.upstream.uri(&target),
        };
        Ok(ForwardedRequest {
            upstream: &self.shared.upstream,
            record,
            call: Call::Pass,
            own_host: jobs.host_for(kind),
            bearer: jobs.bearer_in(kind),
            progress: head.progress().cloned(),
            shutdown: None,
            socket: None,
            names: None,
            uri: uri?,
        })
    }

    /// The way of a request that was sent at `sent` to a place which the server does not know, if the server turns out to
    /// be another one that has it elsewhere than at `before`.
    async fn passage_elsewhere<'a>(
        &'a self,
        record: &'a RequestRecord,
        head: RequestHead,
        before: Uri,
        sent: Instant,
        shutdown: Option<Shutdown>,
    ) -> Option<(ForwardedRequest<'a>, Parts)> {
        let caller = caller(record, &head, self.scope(&head));
        let kind = self.legacy.jobs().dialect_after(sent, &caller).await?;
        let forwarded = ForwardedRequest {
            shutdown,
            ..self.passage_to(record, &head, Some(kind)).ok()?
        };
        (forwarded.uri != before).then(|| (forwarded, head.into_parts()))
    }

    pub(super) async fn pass(&self, request: ClientRequest<'_>) -> Result<Response<Body>, UpstreamError> {
        let ClientRequest {
            record,
            head,
            body,
            shutdown,
        } = request;
        let forwarded = ForwardedRequest {
            shutdown,
            socket: self.socket(&head),
            names: self.socket_names(&head),
            ..self.forwarded_request(record, &head).await?
        };
        forwarded.forward(Request::from_parts(head.into_parts(), body)).await
    }

    /// The WebSocket that a client may be opening.
    fn socket(&self, head: &RequestHead) -> Option<ClientSocket> {
        head.has(HeaderFlags::UPGRADE).then(|| {
            let name = self.legacy.tables().prompt.request.client_of(head.query());
            self.shared.sockets.open(self.scope(head), name.as_deref())
        })
    }

    /// The names that may be spoken on it.
    fn socket_names(&self, head: &RequestHead) -> Option<SocketNames> {
        let names = self.legacy.names();
        (head.has(HeaderFlags::UPGRADE) && names.is_on()).then(|| SocketNames {
            names: Arc::clone(names),
            scope: self.scope(head),
            budget: self.shared.budget.clone(),
        })
    }

    /// As [`Pipeline::pass`]; the answer may have hidden jobs in it.
    pub(super) fn pass_hiding<'a>(
        &'a self,
        request: ClientRequest<'a>,
        hiding: Option<Hiding>,
    ) -> impl Future<Output = Result<Response<Body>, UpstreamError>> + Send {
        let keeping = self.legacy.keeping(&request.head, || self.session(&request));
        if let Some(keeping) = keeping {
            return Either::Right(self.pass_keeping(request, keeping, hiding).boxed());
        }
        if let Some(call) = self.legacy.cancel_call(&request.head) {
            let cancelling = async move {
                let response = self.pass(request).await?;
                if response.status().is_success() {
                    self.legacy.may_have_cancelled(&call).await;
                }
                Ok(response)
            };
            return Either::Right(cancelling.boxed());
        }
        let passing = self.pass(request);
        match hiding {
            None => Either::Left(passing),
            Some(hiding) => {
                let hidden = async move {
                    let applied = hiding.applied(passing.await?, &self.shared.budget).await;
                    applied.map_err(|error| self.shared.upstream.broken_off(&*error))
                };
                Either::Right(hidden.boxed())
            }
        }
    }

    /// What asks a server of Comfy API v2 for `caller`, if it is one. A prompt must not go elsewhere: so it is found out first.
    pub(super) async fn v2_session(&self, caller: &Arc<Caller>) -> Option<JobsSession> {
        let jobs = self.legacy.jobs();
        let kind = match jobs.known_dialect() {
            Some(kind) => Some(kind),
            None => Box::pin(jobs.dialect_to_pass(caller, true)).await,
        };
        (kind == Some(DialectKind::V2)).then(|| jobs.on_behalf_of(caller, DialectKind::V2))
    }

    pub(super) async fn prompt(&self, request: ClientRequest<'_>) -> Result<Answer, UpstreamError> {
        let ClientRequest {
            record,
            head,
            body,
            shutdown,
        } = request;
        let scope = self.scope(&head);
        let jobs = self.legacy.jobs();
        let caller = caller(record, &head, scope);
        let v2 = self.v2_session(&caller).await;
        let is_v2 = v2.is_some();
        if is_v2 && let Err(error) = self.shared.store.confirm_for_write().await {
            // Once there is a job, it must be known.
            discard_unread(head.headers(), body).await;
            record.source(Source::Jobshim);
            return Ok(state_failure(&error));
        }
        let kept = self.legacy.kept().map(|kept| {
            let kind = jobs.known_dialect().unwrap_or(DialectKind::Comfyui);
            (kept, jobs.on_behalf_of(&caller, kind))
        });
        let recorder = PromptRecorder {
            kept,
            v2,
            notes: self.legacy.notes(),
            names: self.legacy.names(),
            runs: self.legacy.runs(),
            hollow: self.legacy.hollow(),
            replicas: self.legacy.replicas(),
            table: &self.legacy.tables().prompt,
            jobs,
            scope,
            max_body: self.shared.max_noted,
            budget: &self.shared.budget,
            sockets: &self.shared.sockets,
        };
        let forwarded = ForwardedRequest {
            shutdown: shutdown.clone(),
            ..self.forwarded_request(record, &head).await?
        };
        let elsewhere = self.legacy.jobs().may_change().then(|| {
            let (before, sent) = (forwarded.uri.clone(), Instant::now());
            move |head| self.passage_elsewhere(record, RequestHead::new(head), before, sent, shutdown)
        });
        let request = Request::from_parts(head.into_parts(), body);
        match forwarded.prompt(request, &recorder, elsewhere).await {
            Ok(response) => {
                if is_v2 {
                    record.source(Source::JobsApi);
                }
                Ok(Answer::upstream(response))
            }
            Err(PromptError::Upstream(error)) => Err(error),
            Err(refused) => {
                record.source(Source::Jobshim);
                Ok(refused_prompt(refused))
            }
        }
    }

    /// A legacy call as it came, to the server's own endpoint. Its answer may be the list of all jobs that have ended.
    pub(super) async fn forward(
        &self,
        mut request: ClientRequest<'_>,
        is_whole_list: bool,
    ) -> Result<Response<Body>, UpstreamError> {
        let naming = self.naming(&mut request, is_whole_list);
        let response = self.forward_as_it_is(request).await?;
        self.named(naming, response).await
    }

    async fn forward_as_it_is(&self, request: ClientRequest<'_>) -> Result<Response<Body>, UpstreamError> {
        let Some(upstream) = &self.shared.legacy_upstream else {
            return self.pass(request).await;
        };
        let ClientRequest {
            record,
            head,
            body,
            shutdown,
        } = request;
        let forwarded = ForwardedRequest {
            upstream,
            record,
            call: Call::Elsewhere,
            own_host: upstream.is_https().then(|| upstream.authority()),
            bearer: None,
            progress: head.progress().cloned(),
            shutdown,
            socket: None,
            names: None,
            uri: upstream.uri_as_sent(head.uri())?,
        };
        forwarded.forward(Request::from_parts(head.into_parts(), body)).await
    }
}
