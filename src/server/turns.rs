//! A connection that takes turns: however fast its client reads, it writes so much at a time and then lets other connections
//! go on. A history of 50 MB would hold a thread for 20 ms otherwise, and all that wait for it.

use std::{
    future::Future,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task::yield_now,
};

/// How much is written in one turn, in bytes.
const TURN: usize = 128 << 10;

/// A stream that is written to in turns.
pub(super) struct TakingTurns<S> {
    stream: S,
    /// Bytes that were written in this turn.
    written: usize,
}

impl<S> TakingTurns<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, written: 0 }
    }
}

impl<S: AsyncWrite + Unpin> TakingTurns<S> {
    /// Writes, if it is still this connection's turn.
    fn in_turn(
        &mut self,
        cx: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if self.written >= TURN {
            self.written = 0;
            // It goes on when all that wait now have had their turn, and the sockets were looked at.
            let _ = pin!(yield_now()).poll(cx);
            return Poll::Pending;
        }
        let written = write(Pin::new(&mut self.stream), cx);
        match &written {
            Poll::Ready(Ok(count)) => self.written += count,
            Poll::Ready(Err(_)) => {}
            // The client is waited for, and others go on.
            Poll::Pending => self.written = 0,
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for TakingTurns<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for TakingTurns<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.in_turn(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.in_turn(cx, |stream, cx| stream.poll_write_vectored(cx, slices))
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };
    use tokio::io::AsyncWriteExt;

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
        let writing = tokio::spawn(async move {
            // It never waits.
            let mut stream = TakingTurns::new(tokio::io::sink());
            for _ in 0..TURNS {
                stream.write_all(&vec![0; TURN]).await?;
            }
            stream.flush().await
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
