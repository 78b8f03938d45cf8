//! The one place where an error becomes an answer. What all such answers look like is here; each file has the errors of one
//! origin.

mod body;
mod legacy;
mod local;
mod sent;
mod upstream;

pub(super) use body::{unread, unreadable};
pub(super) use legacy::{legacy_failure, state_failure};
pub(super) use local::{
    busy, gone, looped, no_such_file, no_such_thing, no_upgrade, not_admitted, not_implemented, panicked,
    refused_unread, wrong_method,
};
pub(super) use sent::{refused_prompt, refused_upload, unclear_upload};
pub(super) use upstream::{passed, refused};

use super::answer::Answer;
use crate::http::{
    body::{Body, full},
    proxy_status,
};
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};

/// What the upstream answers by its origin rule.
pub(super) fn forbidden() -> Response<Body> {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::FORBIDDEN;
    proxy_status::own(response.headers_mut(), "http_request_denied");
    response
}

/// An error of jobshim's own making; the message says so, as the server's own errors look alike.
fn failure(status: StatusCode, kind: &str, message: String, details: String) -> Answer {
    let message = format!("jobshim: {message}");
    failure_of(
        status,
        &serde_json::json!({"type": kind, "message": message, "details": details}),
    )
}

fn failure_of(status: StatusCode, error: &serde_json::Value) -> Answer {
    let body = serde_json::json!({"error": error}).to_string();
    let length = body.len();
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    let error_type = match status.as_u16() {
        401 | 403 | 429 => "http_request_denied",
        400..=499 => "http_request_error",
        _ => "proxy_internal_error",
    };
    proxy_status::own(headers, error_type);
    Answer::local(response)
}
