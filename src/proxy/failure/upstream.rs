//! The server could not be asked, or its answer cannot be passed on.

use super::failure;
use crate::{
    http::{body::Body, idle_timeout::IdleTimeout, proxy_status},
    proxy::answer::Answer,
    upstream::UpstreamError,
};
use http::{HeaderValue, Response, StatusCode, header::RETRY_AFTER};

/// The answer of the upstream, or why there is none.
pub(in crate::proxy) fn passed(outcome: Result<Response<Body>, UpstreamError>) -> Answer {
    outcome.map_or_else(refused, Answer::upstream)
}

/// A request could not be passed on.
pub(in crate::proxy) fn refused(error: UpstreamError) -> Answer {
    tracing::warn!(%error, "a request could not be passed through");
    upstream_failure(&error, None)
}

/// The upstream could not be asked, or what it sent cannot be passed on.
pub(in crate::proxy) fn upstream_failure(error: &UpstreamError, finding: Option<&str>) -> Answer {
    let message = error.to_string();
    let (status, kind, remedy, error_type) = match error {
        UpstreamError::Connect { cause, .. } => (
            StatusCode::BAD_GATEWAY,
            "upstream_unreachable",
            cause.remedy(),
            cause.error_type(),
        ),
        UpstreamError::TimedOut { .. } => (
            StatusCode::GATEWAY_TIMEOUT,
            "upstream_timeout",
            "it may be busy; the limits are connect_timeout, first_byte_timeout, gap_timeout and answer_timeout of upstream",
            "http_response_timeout",
        ),
        UpstreamError::Interrupted { cause, .. } => (
            StatusCode::BAD_GATEWAY,
            "upstream_interrupted",
            cause.remedy(),
            cause.error_type(),
        ),
        UpstreamError::TooLarge { .. } => (
            StatusCode::BAD_GATEWAY,
            "upstream_answer_too_large",
            "the limit is upstream.max_answer_bytes",
            "http_response_body_size",
        ),
        UpstreamError::NoRoom { .. } => (
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "try again in a moment; the limit is server.max_buffered",
            "proxy_internal_response",
        ),
        UpstreamError::Client(error) if error.is::<IdleTimeout>() => (
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "the rest of the request did not come; the limit is server.idle_timeout",
            "http_request_error",
        ),
        UpstreamError::Client(_) => (
            StatusCode::BAD_REQUEST,
            "bad_request_body",
            "the request was not passed on",
            "http_request_error",
        ),
        UpstreamError::BadTarget(_) => (
            StatusCode::BAD_REQUEST,
            "bad_target",
            "the request target cannot be sent on",
            "http_request_error",
        ),
    };
    let mut answer = failure(status, kind, message, finding.unwrap_or(remedy).to_owned());
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer
            .response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    proxy_status::own(answer.response.headers_mut(), error_type);
    answer
}
