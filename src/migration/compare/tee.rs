//! A body that is sent on as it comes, and kept for a comparison if it is whole and not too long.

use crate::http::{
    body::{Body, BoxError},
    buffered::Buffer,
};
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::sync::oneshot;

/// What is left of a body's way to the client, and what of it went by.
struct Tee {
    body: Body,
    kept: Option<(Buffer, oneshot::Sender<Bytes>)>,
}

/// `body` again, and what it was once all of it has gone by; nothing of one that breaks, is given up, or has no room in
/// `buffer`.
pub(super) fn tee(body: Body, buffer: Buffer) -> (Body, oneshot::Receiver<Bytes>) {
    let (sender, whole) = oneshot::channel();
    let tee = Tee {
        body,
        kept: Some((buffer, sender)),
    };
    (tee.boxed_unsync(), whole)
}

impl Tee {
    fn finish(&mut self) {
        if let Some((kept, sender)) = self.kept.take() {
            // Nobody may be waiting any more.
            let _ = sender.send(kept.into_bytes());
        }
    }
}

impl HttpBody for Tee {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        match &frame {
            None => self.finish(),
            Some(Err(_)) => self.kept = None,
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref()
                    && let Some((kept, _)) = &mut self.kept
                    && kept.push(data).is_err()
                {
                    self.kept = None;
                }
                // A body of a known length is not asked for what comes after its last byte.
                if self.body.is_end_stream() {
                    self.finish();
                }
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
