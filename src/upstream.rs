//! The client side: one pooled HTTP/1.1 client for one fixed upstream, with TLS and timeouts.

use crate::config::UpstreamConfig;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;

/// What any body error is on its way to hyper.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The one body type that answers and upstream requests share.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// Why the upstream could not be asked. Section 4 of the contract maps these to 502 and 504.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Refused, no such host, TLS failure.
    #[error("cannot connect to the upstream {upstream}: {reason}")]
    Connect { upstream: String, reason: String },
    /// No answer within the time allowed, in ms.
    #[error("the upstream {upstream} did not answer within {after_ms} ms")]
    TimedOut { upstream: String, after_ms: u128 },
    /// Reset, cut short, or not HTTP.
    #[error("the upstream {upstream} broke off its answer: {reason}")]
    Interrupted { upstream: String, reason: String },
    /// The answer is larger than `upstream.max_answer_bytes`.
    #[error("the upstream {upstream} sent more than {limit} bytes")]
    TooLarge { upstream: String, limit: usize },
    /// The path or query cannot be sent.
    #[error("not a target that can be sent: {0}")]
    BadTarget(String),
}

/// The upstream could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The extra CA file cannot be read or holds no certificate.
    #[error("upstream.ca_file {path}: {reason}")]
    CaFile { path: String, reason: String },
}

/// A whole answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    /// As the upstream gave it.
    pub status: StatusCode,
    /// As the upstream gave them.
    pub headers: HeaderMap,
    /// At most `upstream.max_answer_bytes` long.
    pub body: Bytes,
}

/// The server behind.
pub struct Upstream {}

impl Upstream {
    /// Builds the client; opens no connection.
    pub fn new(_config: &UpstreamConfig) -> Result<Self, SetupError> {
        todo!()
    }
    /// The upstream's `host[:port]`, for `Host` where it must be the upstream's own.
    pub fn authority(&self) -> &str {
        todo!()
    }
    /// The URI of `target` (origin-form, begins with `/`) below the upstream's base path.
    pub fn uri(&self, _target: &str) -> Result<Uri, UpstreamError> {
        todo!()
    }
    /// Sends one request, whose URI came from [`Upstream::uri`]; waits for the head of the answer without a time limit.
    pub async fn send(&self, _request: Request<Body>) -> Result<Response<Incoming>, UpstreamError> {
        todo!()
    }
    /// GETs `target` and reads the whole answer, within the time and size that the configuration allows.
    pub async fn get(&self, _target: &str, _headers: HeaderMap) -> Result<Answer, UpstreamError> {
        todo!()
    }
}
