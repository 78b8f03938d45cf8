//! What jobshim itself refuses, or cannot do, whatever the server would say.

use super::{failure, failure_of};
use crate::{
    http::{outside::Outside, proxy_status, validate::InvalidRequest},
    proxy::answer::Answer,
};
use http::{
    HeaderValue, Method, StatusCode,
    header::{ALLOW, CONNECTION, RETRY_AFTER, WWW_AUTHENTICATE},
};

/// The request is refused before anything was done with it, and its connection ends: where one request ends and the
/// next begins is in doubt.
pub(in crate::proxy) fn refused_unread(invalid: InvalidRequest) -> Answer {
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
pub(in crate::proxy) fn wrong_method(method: &Method, allow: Option<&'static str>) -> Answer {
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
pub(in crate::proxy) fn gone(call: &str, successor: Option<&str>, guide: Option<&str>) -> Answer {
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
pub(in crate::proxy) fn not_admitted() -> Answer {
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

/// As many answers are being made as may be, and none was ready in time.
pub(in crate::proxy) fn busy() -> Answer {
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
pub(in crate::proxy) fn not_implemented(call: &str) -> Answer {
    failure(
        StatusCode::NOT_IMPLEMENTED,
        "not_implemented",
        format!("the server can no longer do {call}, and its Jobs API cannot cancel"),
        "cancel calls came with ComfyUI 0.26.0".to_owned(),
    )
}

/// Comfy API v2 has nothing for it: never a 404 that looks like an answer.
pub(in crate::proxy) fn no_such_thing(call: &str, instead: &str) -> Answer {
    failure(
        StatusCode::NOT_IMPLEMENTED,
        "not_implemented",
        format!("the server speaks Comfy API v2, which has nothing for {call}"),
        instead.to_owned(),
    )
}

/// No file of that name was uploaded by this client, or made by one of its jobs.
pub(in crate::proxy) fn no_such_file() -> Answer {
    failure(
        StatusCode::NOT_FOUND,
        "not_found",
        "there is no such file of this client".to_owned(),
        "a file is known by the filename, subfolder and type that an upload or the history has told".to_owned(),
    )
}

/// A request for a WebSocket that opens none.
pub(in crate::proxy) fn no_upgrade(call: &str) -> Answer {
    failure(
        StatusCode::BAD_REQUEST,
        "no_upgrade",
        format!("{call} opens a WebSocket, and the request is none for one"),
        "it takes a GET of HTTP/1.1 with Connection: Upgrade, Upgrade: websocket, Sec-WebSocket-Version: 13 and a \
         Sec-WebSocket-Key"
            .to_owned(),
    )
}

/// Making the answer panicked.
pub(in crate::proxy) fn panicked() -> Answer {
    failure(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal_error",
        "the request could not be answered, by a mistake in jobshim".to_owned(),
        "the log says more; please report it".to_owned(),
    )
}

/// The request has been here before: it would go round for ever.
pub(in crate::proxy) fn looped() -> Answer {
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
