//! Waiting that ends: for the head of an answer, and for the next bytes of a body, which may not lie still however long it
//! is as a whole.

use crate::http::body::BoxError;
use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
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
pub struct IdleTimeout(pub Duration);

/// Whether a body moved since it was last asked.
#[derive(Clone, Default)]
pub struct BodyProgress(Arc<AtomicBool>);

impl BodyProgress {
    /// Asks.
    pub fn moved(&self) -> bool {
        self.0.swap(false, Relaxed)
    }
}

/// A clock that is set far oftener than it rings. Set for an earlier time, it stays so and looks again when that is over:
/// setting it anew each time costs more than all that the waiting is for.
#[derive(Default)]
pub struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready once it is `until`.
    pub fn poll(&mut self, until: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if timer.deadline() > until {
            timer.as_mut().reset(until);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            if timer.deadline() >= until {
                return Poll::Ready(());
            }
            timer.as_mut().reset(until);
        }
    }
}

/// How long to wait for the head of an answer, while what is sent does not move either.
pub struct ResponseTimeout {
    /// As configured.
    pub limit: Duration,
    /// The body of the request.
    pub progress: Option<BodyProgress>,
}

/// It took longer than that.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("no answer began within {} ms", .0.as_millis())]
pub struct HeaderTimeout(pub Duration);

impl ResponseTimeout {
    /// What comes of `work`, or that it did not come in time.
    pub async fn wait<T, E: From<HeaderTimeout>>(
        &self,
        alarm: &mut Alarm,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut work = pin!(work);
        let mut until = None;
        poll_fn(|cx| {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            loop {
                ready!(alarm.poll(*until.get_or_insert_with(|| Instant::now() + self.limit), cx));
                if !self.progress.as_ref().is_some_and(BodyProgress::moved) {
                    return Poll::Ready(Err(HeaderTimeout(self.limit).into()));
                }
                until = None;
            }
        })
        .await
    }
}

/// A body from a connection, with a limit on its gaps.
pub struct IdleTimeoutBody<B> {
    body: B,
    gap: Duration,
    progress: Option<BodyProgress>,
    /// Since when there is nothing.
    since: Option<Instant>,
    alarm: Alarm,
}

impl<B> IdleTimeoutBody<B> {
    /// `body`, with gaps of at most `gap`.
    pub fn new(body: B, gap: Duration) -> Self {
        Self {
            body,
            gap,
            progress: None,
            since: None,
            alarm: Alarm::default(),
        }
    }

    /// Lets another see whether it moves.
    pub fn watched(&mut self) -> BodyProgress {
        self.progress.get_or_insert_default().clone()
    }

    fn poll_gap(&mut self, cx: &mut Context<'_>) -> Poll<IdleTimeout> {
        let until = *self.since.get_or_insert_with(Instant::now) + self.gap;
        self.alarm.poll(until, cx).map(|()| IdleTimeout(self.gap))
    }
}

impl<B> Body for IdleTimeoutBody<B>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Unpin,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.since = None;
                if let Some(progress) = &self.progress {
                    progress.0.store(true, Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_alarm_that_was_set_for_later_rings_in_time() {
        let mut alarm = Alarm::default();
        let limit = Duration::from_millis(20);
        let timeout = |limit| ResponseTimeout { limit, progress: None };
        let nothing = || std::future::pending::<Result<(), HeaderTimeout>>();
        let later = timeout(Duration::from_secs(600));
        let given_up = later.wait(&mut alarm, nothing());
        assert!(tokio::time::timeout(limit, given_up).await.is_err());
        let sooner = timeout(limit);
        let late = tokio::time::timeout(Duration::from_secs(20), sooner.wait(&mut alarm, nothing()));
        assert!(matches!(late.await, Ok(Err(HeaderTimeout(limit))) if limit == limit));
    }
}
