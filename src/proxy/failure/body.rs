//! Bodies of requests that are not read.

use super::{failure, upstream::upstream_failure};
use crate::{
    http::{
        body_decoding::DecodeError,
        buffered::{BufferError, ReadError},
    },
    proxy::answer::Answer,
    upstream::UpstreamError,
};
use http::{HeaderValue, StatusCode, header::ACCEPT_ENCODING};

/// The body of a write is longer than `limit` bytes.
pub(super) fn too_large(limit: usize) -> Answer {
    failure(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_large",
        format!("the body is longer than {limit} bytes"),
        "nothing was done".to_owned(),
    )
}

/// The body of a request cannot be held.
pub(in crate::proxy) fn unread(error: ReadError) -> Answer {
    match error {
        ReadError::Buffer(BufferError::TooLong(limit)) => too_large(limit),
        ReadError::Buffer(BufferError::NoRoom(limit)) => upstream_failure(&UpstreamError::NoRoom { limit }, None),
        ReadError::Body(error) => upstream_failure(&UpstreamError::Client(error.into()), None),
    }
}

/// The body of a write cannot be read; the codings that can are named (RFC 9110 section 15.5.16).
pub(in crate::proxy) fn unreadable(error: DecodeError) -> Answer {
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
