//! One request, from its head to the last byte of its answer.

use super::{
    Observer,
    client::ClientFingerprint,
    labels::{Mode, Source, StatusClass},
    log_line::RequestName,
    metrics::RequestKind,
    request_stats::RequestStats,
};
use crate::http::{
    body::{Body, BoxError},
    idle_timeout::IdleTimeoutBody,
    peer::Peer,
};
use crate::routes::Endpoint;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Response, StatusCode, header::CONTENT_LENGTH, request::Parts};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// Names a request on its way through several programs.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// One request while it is answered. It is counted when this is dropped, however that comes about.
pub struct RequestRecord {
    /// Who watches it.
    pub observer: Arc<Observer>,
    /// The counts that go along with everything done for this request.
    pub stats: Arc<RequestStats>,
    /// Whom it comes from.
    pub peer: Peer,
    /// A page of another site asks, which a self-hosted server would refuse (docs/contract.md section 6).
    pub foreign: bool,
    /// What log lines call it.
    pub name: Arc<RequestName>,
    pub(super) started: Instant,
    pub(super) route: Endpoint,
    pub(super) mode: AtomicU8,
    pub(super) source: AtomicU8,
    pub(super) status: Option<StatusCode>,
    pub(super) sent: u64,
    /// The client, if this is a call of the legacy surface.
    pub(super) client: Option<ClientFingerprint>,
    /// The whole answer was handed over.
    pub(super) complete: bool,
}

impl RequestRecord {
    /// Writes the request's id and its trace on what goes to the upstream.
    pub fn put_name(&self, headers: &mut HeaderMap) {
        self.put_id(headers);
        self.stats.span().put(headers);
    }

    /// Writes the request's id.
    pub fn put_id(&self, headers: &mut HeaderMap) {
        headers.insert(REQUEST_ID, self.name.id.clone());
    }

    /// Says which mode is in force for the request.
    pub fn under(&self, mode: Mode) {
        self.mode.store(mode as u8, Relaxed);
    }

    /// Says where the answer comes from.
    pub fn source(&self, source: Source) {
        self.source.store(source as u8, Relaxed);
    }

    /// Says who calls the legacy surface; `credential` is the hash of what it carries.
    pub fn called_by(&mut self, head: &Parts, credential: Option<[u8; 32]>) {
        self.client = Some(ClientFingerprint::of(head, credential, &self.peer));
    }

    fn log(&self, kind: RequestKind, received: u64, elapsed: Duration) {
        tracing::info!(
            target: "jobshim::access",
            request_id = self.name.id(),
            method = self.name.method.as_str(),
            path = self.name.path.as_deref(),
            route = kind.route.name(),
            mode = kind.mode.name(),
            source = kind.source.name(),
            status = self.status.map_or(0, |status| status.as_u16()),
            bytes = self.sent,
            received,
            duration_ms = (elapsed.as_micros() as f64) / 1000.0,
            upstream_calls = self.stats.calls(),
            cache = self.stats.cache_result(),
            complete = self.complete,
            "answered"
        );
    }

    fn kind(&self) -> RequestKind {
        let mode = Mode::ALL.get(usize::from(self.mode.load(Relaxed)));
        let source = Source::ALL.get(usize::from(self.source.load(Relaxed)));
        RequestKind {
            route: self.route,
            mode: mode.copied().unwrap_or(Mode::Pass),
            source: source.copied().unwrap_or(Source::Jobshim),
            status: StatusClass::of(self.status),
        }
    }

    /// The body of the request, counted as it is read.
    pub fn receiving(&self, body: IdleTimeoutBody<Incoming>) -> Body {
        if body.is_end_stream() {
            // Which takes no memory.
            return Empty::new().map_err(|never| match never {}).boxed_unsync();
        }
        let stats = Arc::clone(&self.stats);
        Upload { body, stats }.boxed_unsync()
    }

    /// The answer, watched to its end.
    pub fn watch(mut self, mut response: Response<Body>) -> Response<RecordedBody> {
        self.status = Some(response.status());
        response
            .headers_mut()
            .entry(REQUEST_ID)
            .or_insert_with(|| self.name.id.clone());
        let length = response.body().size_hint().exact().or_else(|| {
            // Of a body in several pieces.
            let announced = response.headers().get(CONTENT_LENGTH)?;
            announced.to_str().ok()?.parse().ok()
        });
        response.map(|body| {
            self.complete = body.is_end_stream();
            RecordedBody {
                length,
                body,
                record: self,
            }
        })
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        self.observer.metrics.in_flight.dec();
        if std::thread::panicking() {
            self.observer.panicked();
        }
        let received = self.stats.received();
        let (kind, elapsed) = (self.kind(), self.started.elapsed());
        self.observer.metrics.request(kind, elapsed, received, self.sent);
        if let Some(client) = &self.client {
            let usage = &self.observer.usage;
            usage.note(client, kind.route, kind.source, kind.status);
        }
        let span = self.stats.span();
        span.note("jobshim.mode", kind.mode.name());
        span.note("jobshim.source", kind.source.name());
        span.note("jobshim.cache", self.stats.cache_result());
        span.answered(self.status);
        if self.observer.log_access {
            self.log(kind, received, elapsed);
        }
    }
}

/// An answer's body on its way to the client.
pub struct RecordedBody {
    body: Body,
    length: Option<u64>,
    record: RequestRecord,
}

impl HttpBody for RecordedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self { body, record, .. } = &mut *self;
        let frame = record.name.around_now(|| Pin::new(body).poll_frame(context));
        let frame = ready!(frame);
        match &frame {
            Some(Ok(frame)) => {
                self.record.sent += frame.data_ref().map_or(0, |data| data.len() as u64);
                // Nobody asks again for what has come in full.
                self.record.complete = self.length == Some(self.record.sent) || self.body.is_end_stream();
            }
            Some(Err(_)) => self.record.complete = false,
            None => self.record.complete = true,
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A request's body on its way to the upstream.
struct Upload {
    body: IdleTimeoutBody<Incoming>,
    stats: Arc<RequestStats>,
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.stats.receive(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
