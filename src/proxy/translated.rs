//! The response of a translated answer.

use super::answer::{Answer, Origin};
use crate::{
    http::{
        body::{Body, BoxError, full},
        encoding::{Encoding, NOT_WORTH_IT},
        proxy_status,
    },
    legacy::{Cached, LegacyAnswer, LegacyBody, LegacyError},
    migration::notices::{put_job_state, put_kept},
};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt, stream};
use http::{
    HeaderMap, HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, VARY},
};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

/// `Cache-Status` (RFC 9211).
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// A translated answer, compressed if `encoding` says so. `varies`: another client might have got it compressed
/// otherwise.
pub(super) fn translated(answer: LegacyAnswer, encoding: Option<Encoding>, varies: bool) -> Answer {
    // Room for all that is added here and on the way out: a map that grows hashes all names again.
    let mut headers = HeaderMap::with_capacity(answer.upstream_headers.len() + 12);
    for (name, value) in &*answer.upstream_headers {
        headers.append(name, value.clone());
    }
    if let Some(content_type) = answer.content_type {
        headers.append(CONTENT_TYPE, content_type);
    }
    if let Some(state) = answer.empty_for {
        put_job_state(&mut headers, state);
    }
    if let Some(kept_for) = answer.kept_for {
        put_kept(&mut headers, kept_for);
    }
    if let Some(tag) = answer.tag {
        headers.append(ETAG, tag);
    }
    if let Some(status) = cache_status(answer.cached) {
        headers.append(CACHE_STATUS, status);
    }
    if varies {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
    let (body, encoding) = match answer.body {
        LegacyBody::Whole(pieces) => {
            let length: usize = pieces.iter().map(Bytes::len).sum();
            match encoding.filter(|_| answer.encoding.is_none() && length > NOT_WORTH_IT) {
                Some(encoding) => {
                    let pieces = stream::iter(pieces.into_iter().map(Ok));
                    (streamed(encoding.stream(pieces)), Some(encoding))
                }
                None => {
                    if answer.status != StatusCode::NOT_MODIFIED {
                        let length = answer.content_length.unwrap_or_else(|| length.into());
                        headers.append(CONTENT_LENGTH, length);
                    }
                    (whole(pieces), answer.encoding)
                }
            }
        }
        LegacyBody::Stream(pieces) => {
            let pieces = pieces.map_err(broke_off);
            match encoding.filter(|_| answer.encoding.is_none()) {
                Some(encoding) => (streamed(encoding.stream(pieces)), Some(encoding)),
                None => (streamed(pieces), answer.encoding),
            }
        }
    };
    headers.extend(encoding.map(|encoding| (CONTENT_ENCODING, encoding.name())));
    let mut response = Response::new(body);
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers;
    // What is in memory was looked up for no page of another site.
    let asked = answer.asked || matches!(answer.cached, Cached::Hit | Cached::Stale);
    let is_refusal = answer.status.is_client_error();
    if is_refusal {
        proxy_status::own(response.headers_mut(), "http_request_error");
    }
    let origin = match asked && !is_refusal {
        true => Origin::Upstream,
        false => Origin::Jobshim { asked },
    };
    Answer { response, origin }
}

/// An answer with the headers that the same text was sent with before.
pub(super) fn repeated(answer: LegacyAnswer, headers: HeaderMap) -> Answer {
    let mut response = Response::new(match answer.body {
        LegacyBody::Whole(pieces) => whole(pieces),
        LegacyBody::Stream(pieces) => streamed(pieces.map_err(broke_off)),
    });
    *response.status_mut() = answer.status;
    *response.headers_mut() = headers;
    Answer::upstream(response)
}

fn broke_off(error: LegacyError) -> BoxError {
    tracing::warn!(%error, "an answer broke off: the rest of it could not be asked for");
    error.into()
}

fn whole(mut pieces: Vec<Bytes>) -> Body {
    match pieces.len() {
        0 | 1 => full(pieces.pop().unwrap_or_default()),
        _ => {
            let frames = pieces.into_iter().map(|piece| Ok(Frame::data(piece)));
            StreamBody::new(stream::iter(frames)).boxed_unsync()
        }
    }
}

/// A failure on the way breaks the connection: what came before it must not look whole.
fn streamed(pieces: impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static) -> Body {
    StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync()
}

/// What the memory had to do with it (RFC 9211).
fn cache_status(cached: Cached) -> Option<HeaderValue> {
    let status = match cached {
        Cached::No => return None,
        Cached::Hit => HeaderValue::from_static("jobshim; hit"),
        Cached::Stale => HeaderValue::from_static("jobshim; hit; detail=stale"),
        Cached::Miss { shared, stored } => HeaderValue::from_static(match (shared, stored) {
            (false, false) => "jobshim; fwd=miss",
            (false, true) => "jobshim; fwd=miss; stored",
            (true, false) => "jobshim; fwd=miss; collapsed",
            (true, true) => "jobshim; fwd=miss; stored; collapsed",
        }),
        Cached::Entries { kept, of } => HeaderValue::from_str(&format!(
            "jobshim; fwd=request; detail=\"{kept} of {of} entries from memory\""
        ))
        .ok()?,
    };
    Some(status)
}
