//! The beginning of a body that is looked into on its way: all of it, where it is short enough to be held.

use crate::http::{
    body::{Body, BoxError},
    buffered::{Buffer, BufferError, discard, discard_unread},
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
    Long(Again),
    /// There was no room for it beside all others, whose limit this is, in bytes: the body again.
    NoRoom(Again, usize),
}

/// A body again, from its beginning.
pub(super) struct Again {
    pub body: Body,
    /// Some of it was read.
    pub has_begun: bool,
}

impl Again {
    /// Reads the body of a request with `headers` that is refused, as far as it is discarded.
    pub(super) async fn discard(self, headers: &HeaderMap) {
        match self.has_begun {
            true => discard(self.body).await,
            false => discard_unread(headers, self.body).await,
        }
    }
}

impl Beginning {
    /// Reads a body to its end, or to where it is longer than `read` may be, or has no room beside all others.
    ///
    /// # Errors
    /// The body broke off.
    pub(super) async fn read(mut body: Body, mut read: Buffer) -> Result<Self, BoxError> {
        match read.announce(body.size_hint().lower()) {
            Ok(()) => {}
            Err(error) => return Ok(Self::refused(error, body, false)),
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
            return Ok(Self::refused(error, StreamBody::new(again).boxed_unsync(), true));
        }
        Ok(Self::Whole(read.into_bytes(), None))
    }

    fn refused(error: BufferError, body: Body, has_begun: bool) -> Self {
        let again = Again { body, has_begun };
        match error {
            BufferError::TooLong(_) => Self::Long(again),
            BufferError::NoRoom(limit) => Self::NoRoom(again, limit),
        }
    }
}
