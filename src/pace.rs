//! Bodies that may not lie still: a gap between two bytes of one ends it with an error, however long it is as a whole.

use crate::upstream::BoxError;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep_until};

/// A body lay still for too long.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("nothing came for {} ms", .0.as_millis())]
pub struct Gap(pub Duration);

/// Whether a body moved since it was last asked.
#[derive(Clone, Default)]
pub struct Moves(Arc<AtomicBool>);

impl Moves {
    /// Asks.
    pub fn moved(&self) -> bool {
        self.0.swap(false, Relaxed)
    }
}

/// A body from a connection, with a limit on its gaps.
pub struct Paced {
    body: Incoming,
    gap: Duration,
    moves: Option<Moves>,
    /// Since when there is nothing.
    since: Option<Instant>,
    /// Made when a body is first waited for: most come with their heads.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Paced {
    /// `body`, with gaps of at most `gap`.
    pub fn new(body: Incoming, gap: Duration) -> Self {
        Self {
            body,
            gap,
            moves: None,
            since: None,
            timer: None,
        }
    }

    /// Lets another see whether it moves.
    pub fn watched(&mut self) -> Moves {
        self.moves.get_or_insert_default().clone()
    }

    fn poll_gap(&mut self, cx: &mut Context<'_>) -> Poll<Gap> {
        let until = *self.since.get_or_insert_with(Instant::now) + self.gap;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
        loop {
            // Set for an earlier wait, it is due too early, never too late.
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= until {
                return Poll::Ready(Gap(self.gap));
            }
            timer.as_mut().reset(until);
        }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.since = None;
                if let Some(moves) = &self.moves {
                    moves.0.store(true, Relaxed);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                let gap = ready!(self.poll_gap(cx));
                Poll::Ready(Some(Err(gap.into())))
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
