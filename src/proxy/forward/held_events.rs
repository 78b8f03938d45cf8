//! The server's side of a WebSocket, on which an event never overtakes the answer to the prompt that it belongs to.

use super::client_sockets::{ClientSocket, Prompts, WaitsFor};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, ReadBuf},
    time::{Instant, sleep_until},
};

/// The longest that what was said waits, whatever is under way.
const LONGEST: Duration = Duration::from_secs(1);

/// Bytes pass as they are, and in their order; some wait.
pub(super) struct HeldEvents<S> {
    server: S,
    socket: ClientSocket,
    held: Option<Held>,
    /// Up to this prompt, what was said has waited long enough.
    passed: u64,
}

/// What was said while a prompt was under way. Nothing more is read while it waits.
struct Held {
    bytes: Vec<u8>,
    /// So many of them have been passed on.
    read: usize,
    /// The newest prompt when they were read.
    newest: u64,
    /// Until they have waited long enough.
    wait: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// Resolves when what was said `since` waits for nothing any more: `newest` was the newest prompt of `socket` then. Up to prompt
/// `passed`, what was said has waited long enough.
pub async fn until_answered(socket: &ClientSocket, passed: &mut u64, newest: u64, since: Instant) {
    answered(Arc::clone(socket.prompts()), *passed, newest, since + LONGEST).await;
    *passed = newest.max(*passed);
}

async fn answered(prompts: Arc<Prompts>, passed: u64, newest: u64, deadline: Instant) {
    loop {
        // Before the look: an answer in between is not missed.
        let answer = prompts.next_answer();
        let end = match prompts.waits_for(passed, newest) {
            WaitsFor::Nothing => return,
            WaitsFor::Answer => deadline,
            WaitsFor::Moment(end) => end.min(deadline),
        };
        if deadline <= Instant::now() {
            return;
        }
        tokio::select! {
            () = answer => {}
            () = sleep_until(end) => {}
        }
    }
}

impl<S> HeldEvents<S> {
    /// What `server` says on `socket`.
    pub(super) fn new(server: S, socket: ClientSocket) -> Self {
        Self {
            server,
            socket,
            held: None,
            passed: 0,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for HeldEvents<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.held.is_none() {
            let before = into.filled().len();
            ready!(Pin::new(&mut this.server).poll_read(cx, into))?;
            let said = into.filled().get(before..).unwrap_or_default();
            // After the reading: what the server says of a prompt comes after the prompt was counted.
            let Some(newest) = this.socket.prompts().newest_under_way(this.passed) else {
                return Poll::Ready(Ok(()));
            };
            if said.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let prompts = Arc::clone(this.socket.prompts());
            let wait = answered(prompts, this.passed, newest, Instant::now() + LONGEST);
            this.held = Some(Held {
                bytes: said.to_vec(),
                read: 0,
                newest,
                wait: Some(Box::pin(wait)),
            });
            into.set_filled(before);
        }
        if let Some(held) = &mut this.held {
            if let Some(wait) = &mut held.wait {
                ready!(wait.as_mut().poll(cx));
                held.wait = None;
                this.passed = held.newest.max(this.passed);
            }
            let rest = held.bytes.get(held.read..).unwrap_or_default();
            let now = rest.get(..into.remaining()).unwrap_or(rest);
            into.put_slice(now);
            held.read += now.len();
            if held.read == held.bytes.len() {
                this.held = None;
            }
        }
        Poll::Ready(Ok(()))
    }
}

write_to_server!(HeldEvents);
