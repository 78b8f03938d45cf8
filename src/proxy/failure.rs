//! The one place where an error becomes an answer.

use super::answer::Answer;
use crate::{
    http::{
        body::{Body, full},
        body_decoding::DecodeError,
        headers::{Trailers, carried, remove_hop_by_hop},
        idle_timeout::IdleTimeout,
        outside::Outside,
        proxy_status::{self, PROXY_STATUS},
        validate::InvalidRequest,
    },
    jobs_api::JobsError,
    legacy::LegacyError,
    proxy::forward::PromptError,
    store::StoreError,
    upstream::UpstreamError,
};
use http::{
    HeaderValue, Method, Response, StatusCode,
    header::{ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};

/// What the upstream answers by its origin rule.
pub(super) fn forbidden() -> Response<Body> {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::FORBIDDEN;
    proxy_status::own(response.headers_mut(), "http_request_denied");
    response
}

/// The request is refused before anything was done with it, and its connection ends: where one request ends and the
/// next begins is in doubt.
pub(super) fn refused_unread(invalid: InvalidRequest) -> Answer {
    let (status, kind) = match invalid {
        InvalidRequest::Connect => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
        InvalidRequest::Headers => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large"),
        InvalidRequest::Long => (StatusCode::URI_TOO_LONG, "uri_too_long"),
        _ => (StatusCode::BAD_REQUEST, "unclear_request"),
    };
    let details = "it was not passed on, and this connection ends".to_owned();
    let mut answer = failure(status, kind, invalid.to_string(), details);
    answer
        .response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// A legacy path does not know this method; `allow` are those it knows, and without them there is nothing at the path.
pub(super) fn wrong_method(method: &Method, allow: Option<&'static str>) -> Answer {
    let Some(allow) = allow else {
        return failure(
            StatusCode::NOT_FOUND,
            "not_found",
            format!("there is nothing to {method} here"),
            "allowed: OPTIONS, POST".to_owned(),
        );
    };
    let mut answer = failure(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{} is not allowed here", Outside::new(method)),
        format!("allowed: {allow}"),
    );
    answer
        .response
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static(allow));
    answer
}

/// The route is in mode `gone`.
pub(super) fn gone(call: &str, successor: Option<&str>, guide: Option<&str>) -> Answer {
    let instead = match successor {
        Some(successor) => format!("use {successor}"),
        None => "the Jobs API has nothing in its place".to_owned(),
    };
    let details = match guide {
        Some(guide) => format!("how to move to the Jobs API: {guide}"),
        None => "whoever runs this server has switched the old endpoint off".to_owned(),
    };
    let error = serde_json::json!({
        "type": "gone",
        "message": format!("jobshim: {call} is gone: {instead}"),
        "details": details,
        "successor": successor,
        "guide": guide,
    });
    failure_of(StatusCode::GONE, &error)
}

/// The access token is missing or wrong.
pub(super) fn not_admitted() -> Answer {
    let mut answer = failure(
        StatusCode::UNAUTHORIZED,
        "no_access",
        "this jobshim wants its access token".to_owned(),
        "send it as Authorization: Bearer or as X-API-Key; it is listen.access_token of jobshim, not the server's key"
            .to_owned(),
    );
    answer
        .response
        .headers_mut()
        .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"jobshim\""));
    answer
}

/// The body of a write is longer than `limit` bytes.
pub(super) fn too_large(limit: usize) -> Answer {
    failure(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("the body is longer than {limit} bytes"),
        "nothing was done".to_owned(),
    )
}

/// The body of a write cannot be read; the codings that can are named (RFC 9110 section 15.5.16).
fn unreadable(error: DecodeError) -> Answer {
    let mut answer = failure(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "unreadable_body",
        format!("the body cannot be read: {error}"),
        "nothing was done".to_owned(),
    );
    if error == DecodeError::Coding {
        answer
            .response
            .headers_mut()
            .insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate"));
    }
    answer
}

/// As many answers are being made as may be, and none was ready in time.
pub(super) fn busy() -> Answer {
    let mut answer = failure(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "too many answers are being made at the same time".to_owned(),
        "try again in a moment; the limit is legacy.max_translations".to_owned(),
    );
    answer
        .response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    answer
}

/// Neither the Jobs API nor the server's own legacy endpoint can do it: never a 200 that did nothing.
pub(super) fn not_implemented(call: &str) -> Answer {
    failure(
        StatusCode::NOT_IMPLEMENTED,
        "not_implemented",
        format!("the server can no longer do {call}, and its Jobs API cannot cancel"),
        "cancel calls came with ComfyUI 0.26.0".to_owned(),
    )
}

/// A prompt that does not go on.
pub(super) fn refused_prompt(error: &PromptError) -> Answer {
    let (status, kind, details) = match error {
        PromptError::TooLarge { .. } => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "no job was made; the limit is notes.max_body, and for extra_data half of server.max_buffered",
        ),
        PromptError::Upstream(error) => return upstream_failure(error, None),
        PromptError::Unreadable(error) => return unreadable(*error),
        PromptError::Hollow => (
            StatusCode::BAD_REQUEST,
            "empty_prompt",
            "the job is where it was; GET /queue of the server itself, or the client that submitted it, has its prompt",
        ),
    };
    failure(status, kind, error.to_string(), details.to_owned())
}

/// The table of docs/contract.md section 4; `finding` is what the upstream was found to be, where that is known better.
pub(super) fn legacy_failure(error: LegacyError, finding: Option<&str>) -> Answer {
    let message = error.to_string();
    let found = |otherwise: &str| finding.unwrap_or(otherwise).to_owned();
    match error {
        LegacyError::Query { .. } => failure(
            StatusCode::BAD_REQUEST,
            "invalid_query",
            message,
            "a whole number is expected".to_owned(),
        ),
        LegacyError::Order { .. } => failure(
            StatusCode::BAD_REQUEST,
            "invalid_body",
            message,
            "nothing was done".to_owned(),
        ),
        LegacyError::Twin { .. } => failure(
            StatusCode::NOT_IMPLEMENTED,
            "not_implemented",
            message,
            "nothing was done; it can be deleted once the running one has ended".to_owned(),
        ),
        LegacyError::Hollow { .. } => failure(
            StatusCode::CONFLICT,
            "empty_prompt",
            message,
            "nothing was done; the same delete sent once more is carried out".to_owned(),
        ),
        LegacyError::Body(DecodeError::TooLarge { limit }) => too_large(limit),
        LegacyError::Body(DecodeError::NoRoom { limit }) => upstream_failure(&UpstreamError::NoRoom { limit }, None),
        LegacyError::Body(error) => unreadable(error),
        LegacyError::State(StoreError::Full(_)) => failure(
            StatusCode::INSUFFICIENT_STORAGE,
            "hidden_full",
            message,
            "no further job was hidden".to_owned(),
        ),
        LegacyError::State(StoreError::Stopping) => not_kept(message),
        // Where the store is, and what is wrong with it, is for whoever runs jobshim: the log says it.
        LegacyError::State(_) => not_kept("what is hidden could not be stored".to_owned()),
        LegacyError::Jobs(JobsError::Refused { answer, .. }) => {
            let length = answer.body.len();
            let mut response = Response::new(full(answer.body));
            *response.status_mut() = answer.status;
            let headers = response.headers_mut();
            if answer.status.is_redirection() {
                // Where to, and the cookies that a login page may need.
                *headers = answer.headers;
                remove_hop_by_hop(headers, Trailers::Dropped);
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
                return Answer::upstream(response);
            }
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            headers.extend(carried(&answer.headers));
            for name in [CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, PROXY_STATUS] {
                for value in answer.headers.get_all(&name) {
                    headers.append(&name, value.clone());
                }
            }
            Answer::upstream(response)
        }
        LegacyError::Jobs(JobsError::Upstream(error)) => upstream_failure(&error, finding),
        LegacyError::Jobs(JobsError::TooLong { limit, .. }) => failure(
            StatusCode::BAD_GATEWAY,
            "list_too_long",
            message,
            format!("raise {limit} of jobshim if the list is as long as it should be"),
        ),
        LegacyError::Jobs(JobsError::Unlistable { .. }) => failure(
            StatusCode::BAD_GATEWAY,
            "unlistable_job",
            message,
            found(
                "other jobs can be read by their ids; the list works again without that job: POST /queue {\"delete\": [id]} \
                 while it waits, POST /interrupt {\"prompt_id\": id} while it runs, POST /history {\"delete\": [id]} or a \
                 restart of the server once it has ended",
            ),
        ),
        LegacyError::Jobs(JobsError::Missing { .. }) => failure(
            StatusCode::BAD_GATEWAY,
            "no_jobs_api",
            message,
            found(
                "check the upstream's address and version with jobshim doctor; --mode auto uses the server's own legacy endpoints \
                 while it has no Jobs API",
            ),
        ),
        LegacyError::Jobs(JobsError::Shape { .. }) | LegacyError::Render { .. } => failure(
            StatusCode::BAD_GATEWAY,
            "bad_upstream_answer",
            message,
            found("jobshim could not make the legacy answer from it"),
        ),
    }
}

fn not_kept(message: String) -> Answer {
    failure(
        StatusCode::INTERNAL_SERVER_ERROR,
        "state_not_kept",
        message,
        "nothing was hidden; see state_dir, and the log of jobshim".to_owned(),
    )
}

/// The answer of the upstream, or why there is none.
pub(super) fn passed(outcome: Result<Response<Body>, UpstreamError>) -> Answer {
    outcome.map_or_else(refused, Answer::upstream)
}

/// A request could not be passed on.
pub(super) fn refused(error: UpstreamError) -> Answer {
    tracing::warn!(%error, "a request could not be passed through");
    upstream_failure(&error, None)
}

/// The upstream could not be asked, or what it sent cannot be passed on.
pub(super) fn upstream_failure(error: &UpstreamError, finding: Option<&str>) -> Answer {
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

/// Making the answer panicked.
pub(super) fn panicked() -> Answer {
    failure(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal_error",
        "the request could not be answered, by a mistake in jobshim".to_owned(),
        "the log says more; please report it".to_owned(),
    )
}

/// The request has been here before: it would go round for ever.
pub(super) fn looped() -> Answer {
    let mut answer = failure(
        StatusCode::BAD_GATEWAY,
        "upstream_is_jobshim",
        "the request came back to the jobshim that sent it".to_owned(),
        "upstream.url leads to jobshim itself, by another name or through another proxy: write the ComfyUI server's \
         address there"
            .to_owned(),
    );
    proxy_status::own(answer.response.headers_mut(), "proxy_loop_detected");
    answer
}

/// An error of jobshim's own making; the message says so, as the server's own errors look alike.
pub(super) fn failure(status: StatusCode, kind: &str, message: String, details: String) -> Answer {
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
