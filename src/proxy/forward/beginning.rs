//! The beginning of a body that is looked into on its way: all of it, where it is short enough to be held.

use crate::http::{
    body::{Body, BoxError},
    buffered::{Buffer, BufferError},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::HeaderMap;
use http_body_util::{BodyExt, BodyStream, StreamBody};
use hyper::body::{Body as _, Frame};

/// What of a body came within its limit.
pub(super) enum Beginning {
    /// All of it, and the trailers behind it.
    Whole(Bytes, Option<HeaderMap>),
    /// More than the limit: the body again, from its beginning.
    Long(Body),
    /// There was no room for it beside all others, whose limit this is, in bytes: the body again.
    NoRoom(Body, usize),
}

impl Beginning {
    /// Reads a body to its end, or to where it is longer than `read` may be, or has no room beside all others.
    ///
    /// # Errors
    /// The body broke off.
    pub(super) async fn read(mut body: Body, mut read: Buffer) -> Result<Self, BoxError> {
        match read.announce(body.size_hint().lower()) {
            Ok(()) => {}
            Err(BufferError::TooLong(_)) => return Ok(Self::Long(body)),
            Err(BufferError::NoRoom(limit)) => return Ok(Self::NoRoom(body, limit)),
        }
        while let Some(frame) = body.frame().await {
            let data = match frame?.into_data() {
                Ok(data) => data,
                Err(last) => return Ok(Self::Whole(read.into_bytes(), last.into_trailers().ok())),
            };
            let Err(error) = read.push(&data) else {
                continue;
            };
            let first = (!read.is_empty()).then(|| Ok(Frame::data(read.into_bytes())));
            let again = stream::iter(first.into_iter().chain([Ok(Frame::data(data))])).chain(BodyStream::new(body));
            let again = StreamBody::new(again).boxed_unsync();
            return Ok(match error {
                BufferError::TooLong(_) => Self::Long(again),
                BufferError::NoRoom(limit) => Self::NoRoom(again, limit),
            });
        }
        Ok(Self::Whole(read.into_bytes(), None))
    }
}
