//! Prompts and uploads that do not go on, or of which nobody knows what became.

use super::{body::unreadable, failure, legacy::legacy_failure, upstream::upstream_failure};
use crate::{
    proxy::{answer::Answer, forward::PromptError},
    upstream::UpstreamError,
};
use http::StatusCode;

/// The body is no upload.
pub(in crate::proxy) fn refused_upload(reason: &str) -> Answer {
    failure(
        StatusCode::BAD_REQUEST,
        "bad_request_body",
        format!("this is no upload: {reason}"),
        "nothing was done".to_owned(),
    )
}

/// The server has taken an upload, or may have, which has no name.
pub(in crate::proxy) fn unclear_upload(why: &str) -> Answer {
    failure(
        StatusCode::BAD_GATEWAY,
        "upstream_interrupted",
        why.to_owned(),
        "it cannot be used by a name; it may be uploaded again".to_owned(),
    )
}

/// What to do where nobody knows whether there is a job.
const UNKNOWN: &str = "look for the job before you send it again: it would run, and cost, twice";

/// A prompt that does not go on.
pub(in crate::proxy) fn refused_prompt(error: PromptError) -> Answer {
    let message = error.to_string();
    let (status, kind, details) = match error {
        PromptError::TooLarge { .. } => (
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "no job was made; the limit is notes.max_body, and for extra_data half of server.max_buffered",
        ),
        PromptError::Upstream(error) => return upstream_failure(&error, None),
        PromptError::Unreadable(error) => return unreadable(error),
        PromptError::Hollow => (
            StatusCode::BAD_REQUEST,
            "empty_prompt",
            "the job is where it was; GET /queue of the server itself, or the client that submitted it, has its prompt",
        ),
        PromptError::Jobs(error) => return legacy_failure(error.into(), None),
        PromptError::Unknown(UpstreamError::TimedOut { .. }) => {
            (StatusCode::GATEWAY_TIMEOUT, "upstream_timeout", UNKNOWN)
        }
        PromptError::Unknown(_) => (StatusCode::BAD_GATEWAY, "upstream_interrupted", UNKNOWN),
        PromptError::Ended => (StatusCode::SERVICE_UNAVAILABLE, "stopping", UNKNOWN),
    };
    failure(status, kind, message, details.to_owned())
}
