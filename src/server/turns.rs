//! Turns: however fast a client reads, its connection writes so much at a time and then lets other connections go on. A history
//! of 50 MB would hold a thread for 20 ms otherwise, and all that wait for it.

use std::{
    future::Future,
    io,
    pin::pin,
    task::{Context, Poll},
};
use tokio::task::yield_now;

/// How much is written in one turn, in bytes.
const TURN: usize = 128 << 10;

/// A connection's turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    /// Bytes that were written in it.
    written: usize,
}

impl Turn {
    /// Writes, if the turn is not over.
    pub(super) fn write(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.written >= TURN {
            self.written = 0;
            // It goes on when all that wait now have had their turn, and the sockets were looked at.
            let _ = pin!(yield_now()).poll(cx);
            return Poll::Pending;
        }
        let written = write(cx);
        match &written {
            Poll::Ready(Ok(count)) => self.written += count,
            Poll::Ready(Err(_)) => {}
            // The client is waited for, and others go on.
            Poll::Pending => self.written = 0,
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        future::poll_fn,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
    };

    #[tokio::test]
    async fn others_have_a_turn_while_a_client_takes_all_that_there_is() {
        const TURNS: usize = 40;
        let others = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&others);
        let other = tokio::spawn(async move {
            loop {
                counted.fetch_add(1, Relaxed);
                yield_now().await;
            }
        });
        let writing = tokio::spawn(async {
            let mut turn = Turn::default();
            for _ in 0..TURNS {
                // It never waits.
                let takes_all = |_: &mut Context<'_>| Poll::Ready(Ok(TURN));
                poll_fn(|cx| turn.write(cx, takes_all)).await?;
            }
            Ok::<_, io::Error>(())
        });
        writing.await.expect("a task").expect("written");
        let turns = others.load(Relaxed);
        assert!(
            turns >= TURNS - 1,
            "{turns} turns while {TURNS} times a turn's bytes were written"
        );
        other.abort();
    }
}
