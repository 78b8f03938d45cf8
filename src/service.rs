//! One request: which way it goes, and the one place where an error becomes a response.

use crate::{
    config::Config,
    forward::{Peer, forward},
    jobs::{Caller, Jobs, JobsError},
    legacy::{Legacy, LegacyAnswer, LegacyError},
    mapping::{TableError, Tables},
    route::{LegacyRoute, Way, route},
    upstream::{Body, SetupError, Upstream, UpstreamError},
};
use bytes::Bytes;
use futures_util::stream;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, VARY, WWW_AUTHENTICATE},
};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use std::sync::Arc;

/// Everything a request needs; shared by all connections.
pub struct Service {
    upstream: Arc<Upstream>,
    legacy: Legacy,
}

/// The service could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A table is broken.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The upstream client cannot be built.
    #[error(transparent)]
    Setup(#[from] SetupError),
}

impl Service {
    /// Compiles the tables and builds the upstream client.
    pub fn new(config: &Config) -> Result<Self, StartError> {
        let tables = Tables::load(config.mappings_dir.as_deref())?;
        let upstream = Arc::new(Upstream::new(&config.upstream)?);
        let jobs = Jobs::new(Arc::clone(&upstream), &tables, config.upstream.dialect);
        let legacy = Legacy::new(jobs, tables, config.legacy.surface, config.upstream.concurrency);
        Ok(Self { upstream, legacy })
    }

    /// Asks the upstream what it is, and logs the answer, or why there is none.
    pub async fn greet_upstream(&self) {
        if let Err(error) = self.legacy.jobs().dialect(&Caller::default()).await {
            tracing::warn!(reason = %error, "the upstream's dialect is not known yet; it is asked again with the first legacy request");
        }
    }

    /// Answers one request. Never fails: every failure is a response.
    pub async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        match route(request.method(), request.uri().path()) {
            Way::PassThrough => {
                let own_host = self.legacy.jobs().own_host();
                forward(&self.upstream, request, peer, own_host)
                    .await
                    .unwrap_or_else(|error| {
                        tracing::warn!(%error, "a request could not be passed through");
                        upstream_failure(&error)
                    })
            }
            Way::WrongMethod(allow) => {
                let mut response = failure(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "method_not_allowed",
                    format!("{} is not allowed here", request.method()),
                    format!("allowed: {allow}"),
                );
                response.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
                response
            }
            Way::Legacy(legacy_route) => self.translate(&legacy_route, &request, peer).await,
        }
    }

    async fn translate(&self, route: &LegacyRoute, request: &Request<Incoming>, peer: Peer) -> Response<Body> {
        let caller = Caller::new(request.headers(), request.uri(), peer.address.ip());
        let query = request.uri().query().unwrap_or_default();
        let response = match self.legacy.answer(route, query, &caller).await {
            Ok(answer) => translated(answer),
            Err(error) => {
                tracing::warn!(?route, %error, "a legacy request could not be answered");
                legacy_failure(error)
            }
        };
        match *request.method() {
            Method::HEAD => response.map(|_| empty()),
            _ => response,
        }
    }
}

fn empty() -> Body {
    Full::default().map_err(|never| match never {}).boxed_unsync()
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// What of an upstream's answer every answer made from it carries: browsers need its CORS headers, and caches need to
/// know what it varies by (CONTRACT.md section 6).
fn carried(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    headers
        .iter()
        .filter(|(name, _)| name.as_str().starts_with("access-control-") || **name == VARY)
}

fn translated(answer: LegacyAnswer) -> Response<Body> {
    let length: usize = answer.body.iter().map(Bytes::len).sum();
    let pieces = answer.body.into_iter().map(|piece| Ok(Frame::data(piece)));
    let mut response = Response::new(StreamBody::new(stream::iter(pieces)).boxed_unsync());
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    for (name, value) in carried(&answer.upstream_headers) {
        headers.append(name, value.clone());
    }
    if let Ok(content_type) = HeaderValue::from_str(&answer.content_type) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

/// The table of CONTRACT.md section 4.
fn legacy_failure(error: LegacyError) -> Response<Body> {
    let message = error.to_string();
    match error {
        LegacyError::Query { .. } => failure(
            StatusCode::BAD_REQUEST,
            "invalid_query",
            message,
            "a whole number is expected".to_owned(),
        ),
        LegacyError::Jobs(JobsError::Refused { answer, .. }) => {
            let length = answer.body.len();
            let mut response = Response::new(full(answer.body));
            *response.status_mut() = answer.status;
            let headers = response.headers_mut();
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            for (name, value) in carried(&answer.headers) {
                headers.append(name, value.clone());
            }
            for name in [CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE] {
                for value in answer.headers.get_all(&name) {
                    headers.append(&name, value.clone());
                }
            }
            response
        }
        LegacyError::Jobs(JobsError::Upstream(error)) => upstream_failure(&error),
        LegacyError::Jobs(JobsError::Missing { .. }) => failure(
            StatusCode::BAD_GATEWAY,
            "no_jobs_api",
            message,
            "check the upstream's address and version".to_owned(),
        ),
        LegacyError::Jobs(JobsError::Shape { .. }) | LegacyError::Render { .. } => failure(
            StatusCode::BAD_GATEWAY,
            "bad_upstream_answer",
            message,
            "jobshim could not make the legacy answer from it".to_owned(),
        ),
    }
}

fn upstream_failure(error: &UpstreamError) -> Response<Body> {
    let message = error.to_string();
    let (status, kind, hint) = match error {
        UpstreamError::Connect { .. } => (
            StatusCode::BAD_GATEWAY,
            "upstream_unreachable",
            "is the upstream running, and is upstream.url right?",
        ),
        UpstreamError::TimedOut { .. } => (
            StatusCode::GATEWAY_TIMEOUT,
            "upstream_timeout",
            "it may be busy; the limits are upstream.connect_timeout and upstream.answer_timeout",
        ),
        UpstreamError::Interrupted { .. } => (
            StatusCode::BAD_GATEWAY,
            "upstream_interrupted",
            "the upstream's own log may say why",
        ),
        UpstreamError::TooLarge { .. } => (
            StatusCode::BAD_GATEWAY,
            "upstream_answer_too_large",
            "the limit is upstream.max_answer_bytes",
        ),
        UpstreamError::BadTarget(_) => (
            StatusCode::BAD_REQUEST,
            "bad_target",
            "the request target cannot be sent on",
        ),
    };
    failure(status, kind, message, hint.to_owned())
}

/// An error of jobshim's own making.
fn failure(status: StatusCode, kind: &str, message: String, details: String) -> Response<Body> {
    let body = serde_json::json!({"error": {"type": kind, "message": message, "details": details}}).to_string();
    let length = body.len();
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    response
}
