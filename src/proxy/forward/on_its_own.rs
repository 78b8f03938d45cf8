//! A request that is sent on a task of its own: it comes to its end also where its client leaves.

use super::{ForwardedRequest, passed_on};
use crate::{
    http::{body::Body, headers::Trailers, idle_timeout::BodyProgress},
    telemetry::{Call, Observer, RequestStats},
    upstream::{Upstream, UpstreamError},
};
use http::{Request, Response};
use std::sync::Arc;

/// A request that is ready to be sent.
pub struct OwnRequest {
    upstream: Arc<Upstream>,
    observer: Arc<Observer>,
    stats: Arc<RequestStats>,
    call: Call,
    progress: Option<BodyProgress>,
    trailers: Trailers,
    request: Request<Body>,
}

impl ForwardedRequest<'_> {
    /// `request` as it goes to `upstream`, which is the one that it would be forwarded to.
    pub fn on_its_own(mut self, upstream: &Arc<Upstream>, request: Request<Body>) -> OwnRequest {
        let (mut head, body) = request.into_parts();
        let trailers = self.complete(&mut head);
        OwnRequest {
            upstream: Arc::clone(upstream),
            observer: Arc::clone(&self.record.observer),
            stats: Arc::clone(&self.record.stats),
            call: self.call,
            progress: self.progress.take(),
            trailers,
            request: Request::from_parts(head, body),
        }
    }
}

impl OwnRequest {
    /// Sends it, and gives the answer.
    pub async fn send(self) -> Result<Response<Body>, UpstreamError> {
        let Self {
            upstream,
            observer,
            stats,
            call,
            progress,
            trailers,
            mut request,
        } = self;
        let method = request.method().clone();
        let calling = observer.calling(call, &stats, upstream.authority(), &method, request.headers_mut());
        let sent = upstream.pass(request, progress).await;
        match &sent {
            Ok(response) => calling.answered(response.status()),
            Err(error) => calling.failed(error.into(), error),
        }
        passed_on(sent?, trailers, &upstream)
    }
}
