//! What stands behind the content of an answer, for the clients that take it.

use crate::http::headers::{Trailers, clean_trailers};
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

/// A body whose trailers are dropped, or cleaned.
pub(super) struct Ending<B> {
    body: B,
    trailers: Trailers,
}

impl<B> Ending<B> {
    /// `body`, of whose trailers that comes.
    pub(super) fn new(body: B, trailers: Trailers) -> Self {
        Self { body, trailers }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Ending<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        loop {
            let frame = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) if frame.is_trailers() => frame,
                other => return Poll::Ready(other),
            };
            if self.trailers == Trailers::Passed
                && let Ok(mut trailers) = frame.into_trailers()
            {
                clean_trailers(&mut trailers);
                if !trailers.is_empty() {
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
