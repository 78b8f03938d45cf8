//! Whether a client's connection is alive: what moves on it, and when nothing has for too long.
//!
//! Nothing here looks at a clock when something moves: flags are raised, and looked at a few times in the time allowed.
//! A connection is waited for by jobshim, or jobshim itself is waited for: only the first has a limit here; how long the
//! upstream may take is `pace`'s and `upstream`'s. A tunnel is no connection of hyper's any more, and has none.

use super::crowd::Place;
use crate::{observe::Watched, upstream::BoxError};
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
#[derive(Default)]
pub struct Pulse {
    read: AtomicBool,
    wrote: AtomicBool,
    requests: AtomicU64,
    /// Answers, or parts of them, that the client waits for.
    waiting: AtomicUsize,
    /// Told when the connection has had all the requests that it may have.
    pub spent: Notify,
}

/// How long a client may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// To send the head of a request, from its first byte, or from the connection's beginning.
    pub header: Duration,
    /// To let anything move.
    pub idle: Duration,
}

/// Why a connection is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Still {
    /// No head came in time.
    #[error("no whole request came within the header timeout")]
    Header,
    /// Nothing moved.
    #[error("nothing moved for the idle timeout")]
    Idle,
}

impl Pulse {
    /// Counts one more request, and says how many there were with it.
    pub fn request(&self) -> u64 {
        self.requests.fetch_add(1, Relaxed) + 1
    }

    /// Says that the client waits for jobshim until the guard is dropped.
    pub fn wait(self: &Arc<Self>) -> Waiting {
        self.waiting.fetch_add(1, Relaxed);
        Waiting(Arc::clone(self))
    }

    /// Resolves when the client has taken too long.
    pub async fn stops(&self, patience: Patience) -> Still {
        let look = patience.header.min(patience.idle) / LOOKS;
        let (mut requests, mut still) = (0, Duration::ZERO);
        // From the beginning on, a head is expected.
        let mut head = Some(Duration::ZERO);
        loop {
            tokio::time::sleep(look).await;
            let read = self.read.swap(false, Relaxed);
            let wrote = self.wrote.swap(false, Relaxed);
            let waiting = self.waiting.load(Relaxed) > 0;
            let now = self.requests.load(Relaxed);
            let begun = now != requests;
            requests = now;
            still = if read || wrote || waiting {
                Duration::ZERO
            } else {
                still + look
            };
            head = match head {
                _ if begun || waiting => None,
                Some(since) => Some(since + look),
                None if read && !wrote => Some(look),
                None => None,
            };
            if head.is_some_and(|since| since >= patience.header) {
                return Still::Header;
            }
            if still >= patience.idle {
                return Still::Idle;
            }
        }
    }
}

/// See [`Pulse::wait`].
pub struct Waiting(Arc<Pulse>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

/// A connection whose pulse can be felt, and its place in the crowd.
pub struct Felt<S> {
    stream: S,
    pulse: Arc<Pulse>,
    _place: Place,
}

impl<S> Felt<S> {
    /// Raises the flags of `pulse` whenever something moves on `stream`.
    pub fn new(stream: S, pulse: Arc<Pulse>, place: Place) -> Self {
        Self {
            stream,
            pulse,
            _place: place,
        }
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.pulse.wrote.store(true, Relaxed);
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Felt<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, into));
        self.pulse.read.store(true, Relaxed);
        Poll::Ready(read)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Felt<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wrote(written)
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
pub struct Awaited {
    body: Watched,
    pulse: Arc<Pulse>,
    waiting: Option<Waiting>,
}

impl Awaited {
    /// The same body, felt.
    pub fn new(body: Watched, pulse: Arc<Pulse>) -> Self {
        Self {
            body,
            pulse,
            waiting: None,
        }
    }
}

impl HttpBody for Awaited {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match polled.is_pending() {
            false => self.waiting = None,
            true if self.waiting.is_none() => self.waiting = Some(self.pulse.wait()),
            true => {}
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
