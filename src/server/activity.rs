//! Whether a client's connection is alive: what moves on it, and when nothing has for too long.
//!
//! Nothing here looks at a clock when something moves: flags are raised, and looked at a few times in the time allowed.
//! A connection is waited for by jobshim, or jobshim itself is waited for: only the first has a limit here; how long the
//! upstream may take is `pace`'s and `upstream`'s. A tunnel is no connection of hyper's any more, and has none.

use super::{
    accepted::Accepted,
    connection_limiter::ConnectionPermit,
    frames::Frames,
    turns::{LargeAnswer, Turn, Turns},
};
use crate::{http::body::BoxError, telemetry::RecordedBody};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
};

/// How many looks are taken in the shortest time allowed.
const LOOKS: u32 = 4;

/// What moves on one connection.
pub(super) struct ConnectionActivity {
    read: AtomicBool,
    wrote: AtomicBool,
    requests: AtomicU64,
    /// Those of them whose answer has not ended.
    under_way: AtomicUsize,
    /// Answers, or parts of them, that the client waits for.
    waiting: AtomicUsize,
    /// Bytes of answers.
    answered: AtomicU64,
    /// The client speaks HTTP/2, in which not every byte is of a request.
    http2: AtomicBool,
    large: LargeAnswer,
    /// Told when the connection has had all the requests that it may have.
    pub spent: Notify,
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct IdleLimits {
    /// To send the head of a request, from its first byte, or from the connection's beginning.
    pub header: Duration,
    /// To let anything move; and to begin a request, in HTTP/2.
    pub idle: Duration,
}

/// Why a connection is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum IdleReason {
    /// No head came in time.
    #[error("no whole request came within the header timeout")]
    Header,
    /// Nothing moved.
    #[error("nothing moved for the idle timeout")]
    Idle,
}

impl ConnectionActivity {
    /// Nothing has moved yet on a connection that takes `turns` with others.
    pub(super) fn new(turns: Arc<Turns>) -> Self {
        Self {
            read: AtomicBool::default(),
            wrote: AtomicBool::default(),
            requests: AtomicU64::default(),
            under_way: AtomicUsize::default(),
            waiting: AtomicUsize::default(),
            answered: AtomicU64::default(),
            http2: AtomicBool::default(),
            large: LargeAnswer::new(turns),
            spent: Notify::new(),
        }
    }

    fn is_under_way(&self) -> bool {
        self.under_way.load(Relaxed) > 0
    }

    /// Begins one more request, under way until the guard is dropped, and says how many there were with it.
    pub(super) fn request(self: &Arc<Self>) -> (u64, UnderWay) {
        self.under_way.fetch_add(1, Relaxed);
        (self.requests.fetch_add(1, Relaxed) + 1, UnderWay(Arc::clone(self)))
    }

    /// Says that the client waits for jobshim until the guard is dropped.
    pub(super) fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Relaxed);
        Waiting(Arc::clone(self))
    }

    /// Resolves when the client has taken too long.
    pub(super) async fn stops(&self, timeout: IdleLimits) -> IdleReason {
        let look = timeout.header.min(timeout.idle) / LOOKS;
        let (mut requests, mut still) = (0, Duration::ZERO);
        // From the beginning on, a head is expected.
        let mut head = Some(Duration::ZERO);
        loop {
            tokio::time::sleep(look).await;
            let read = self.read.swap(false, Relaxed);
            let wrote = self.wrote.swap(false, Relaxed);
            let waiting = self.waiting.load(Relaxed) > 0;
            let under_way = self.is_under_way();
            // Else only pings and their like move.
            let counts = under_way || !self.http2.load(Relaxed);
            let now = self.requests.load(Relaxed);
            let begun = now != requests;
            requests = now;
            still = if waiting || begun || (counts && (read || wrote)) {
                Duration::ZERO
            } else {
                still + look
            };
            head = match head {
                _ if begun || under_way => None,
                Some(since) => Some(since + look),
                None if counts && read && !wrote => Some(look),
                None => None,
            };
            if head.is_some_and(|since| since >= timeout.header) {
                return IdleReason::Header;
            }
            if still >= timeout.idle {
                return IdleReason::Idle;
            }
        }
    }
}

/// See [`ConnectionActivity::wait`].
pub(super) struct Waiting(Arc<ConnectionActivity>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// See [`ConnectionActivity::request`].
pub(super) struct UnderWay(Arc<ConnectionActivity>);

impl UnderWay {
    /// Says that the connection has had all the requests that it may have.
    pub(super) fn is_the_last(&self) {
        self.0.spent.notify_one();
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Relaxed);
        self.0.large.end();
    }
}

/// A connection that notes when something moves on it and is written to in turns, and its permit.
pub(super) struct TrackedIo {
    stream: Accepted,
    turn: Turn,
    activity: Arc<ConnectionActivity>,
    frames: Frames,
    _place: ConnectionPermit,
}

impl TrackedIo {
    /// Raises the flags of `activity` whenever something moves on `stream`.
    pub(super) fn new(stream: Accepted, activity: Arc<ConnectionActivity>, place: ConnectionPermit) -> Self {
        Self {
            stream,
            turn: Turn::default(),
            activity,
            frames: Frames::default(),
            _place: place,
        }
    }

    fn read(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.activity.read.store(true, Relaxed);
        self.frames.follow(bytes);
        if self.frames.are_followed() {
            self.activity.http2.store(true, Relaxed);
            if self.frames.are_noise(self.activity.answered.load(Relaxed)) {
                return Err(io::Error::other("its frames are hardly any of requests"));
            }
        } else if !bytes.is_empty() {
            self.turn.asked(&self.activity.large);
        }
        Ok(())
    }

    fn write(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut Accepted>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let (large, is_under_way) = (&self.activity.large, self.activity.is_under_way());
        // Frames that come say nothing of when another request has, and what is left of an answer is little.
        if self.frames.are_followed() && !is_under_way {
            self.turn.begin();
        }
        let stream = Pin::new(&mut self.stream);
        let written = self.turn.write(cx, large, is_under_way, |cx| write(stream, cx));
        if written.is_ready() {
            self.activity.wrote.store(true, Relaxed);
        }
        written
    }
}

impl AsyncRead for TrackedIo {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, into))?;
        let come = into.filled().get(before..).unwrap_or_default();
        Poll::Ready(self.read(come))
    }
}

impl AsyncWrite for TrackedIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// An answer's body: while it has nothing to give, the client waits for jobshim.
pub(super) struct Awaited {
    body: RecordedBody,
    request: UnderWay,
    waiting: Option<Waiting>,
}

impl Awaited {
    /// The same body, the answer to `request`.
    pub(super) fn new(body: RecordedBody, request: UnderWay) -> Self {
        Self {
            body,
            request,
            waiting: None,
        }
    }
}

impl HttpBody for Awaited {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let activity = &self.request.0;
        match &polled {
            Poll::Pending if self.waiting.is_none() => self.waiting = Some(activity.wait()),
            Poll::Pending => {}
            Poll::Ready(frame) => {
                if let Some(Ok(frame)) = frame {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    activity.answered.fetch_add(bytes as u64, Relaxed);
                }
                self.waiting = None;
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
