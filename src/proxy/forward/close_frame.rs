//! WebSockets at the program's end: the client gets a close frame (RFC 6455 section 5.5.1) between two frames of the
//! server's, and the server hears of it by the client's answer to it.

use super::frame_head::{CLOSE, FrameHead};
use std::{
    future::Future,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};

/// A close frame with status 1001, going away.
const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xe9];
/// How much is read at once where the end of a frame must not be passed.
const PIECE: usize = 4096;

/// Where one frame ends and the next begins.
#[derive(Default)]
struct Frames {
    /// What has come of a frame's head.
    head: Vec<u8>,
    /// What is still to come of its payload.
    payload: u64,
    /// A close frame was among them.
    closed: bool,
}

impl Frames {
    fn follow(&mut self, mut bytes: &[u8]) {
        while let Some((first, after_first)) = bytes.split_first() {
            if self.payload > 0 {
                let skipped = usize::try_from(self.payload).unwrap_or(usize::MAX).min(bytes.len());
                self.payload -= skipped as u64;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            self.head.push(*first);
            bytes = after_first;
            if let Some(head) = FrameHead::parse(&self.head) {
                self.closed |= head.opcode == CLOSE;
                self.payload = head.length;
                self.head.clear();
            }
        }
    }

    fn is_between(&self) -> bool {
        self.head.is_empty() && self.payload == 0
    }

    /// How much may be read without passing the end of the frame: at least one byte.
    fn most(&self) -> usize {
        usize::try_from(self.payload).unwrap_or(usize::MAX).clamp(1, PIECE)
    }
}

/// The server's side of a WebSocket. Once `stop` resolves, a close frame is read from it, and nothing more.
pub(super) struct CloseFrameInjector<S> {
    server: S,
    frames: Frames,
    stop: Pin<Box<dyn Future<Output = ()> + Send>>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// The frame under way is the last.
    Ending,
    /// So much of the close frame has been read.
    Saying(usize),
    Said,
}

impl<S> CloseFrameInjector<S> {
    /// Until `stop`, nothing but `server`.
    pub(super) fn new(server: S, stop: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            server,
            frames: Frames::default(),
            stop: Box::pin(stop),
            state: State::Open,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for CloseFrameInjector<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.state == State::Open && this.stop.as_mut().poll(cx).is_ready() {
            this.state = State::Ending;
        }
        if this.state == State::Ending && this.frames.is_between() {
            this.state = match this.frames.closed {
                true => State::Said,
                false => State::Saying(0),
            };
        }
        match this.state {
            State::Open => {
                let before = into.filled().len();
                let read = Pin::new(&mut this.server).poll_read(cx, into);
                this.frames.follow(into.filled().get(before..).unwrap_or_default());
                read
            }
            State::Ending => {
                let mut piece = [0; PIECE];
                let most = this.frames.most().min(into.remaining());
                let mut piece = ReadBuf::new(piece.get_mut(..most).unwrap_or_default());
                ready!(Pin::new(&mut this.server).poll_read(cx, &mut piece))?;
                this.frames.follow(piece.filled());
                into.put_slice(piece.filled());
                Poll::Ready(Ok(()))
            }
            State::Saying(said) => {
                let rest = GOING_AWAY.get(said..).unwrap_or_default();
                let now = rest.get(..into.remaining()).unwrap_or(rest);
                into.put_slice(now);
                this.state = match said + now.len() {
                    all if all == GOING_AWAY.len() => State::Said,
                    part => State::Saying(part),
                };
                Poll::Ready(Ok(()))
            }
            // What the server still says, its own close frame too, is for nobody; its end is the tunnel's.
            State::Said => loop {
                let mut piece = [0; PIECE];
                let mut piece = ReadBuf::new(&mut piece);
                ready!(Pin::new(&mut this.server).poll_read(cx, &mut piece))?;
                if piece.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
            },
        }
    }
}

write_to_server!(CloseFrameInjector);

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        sync::oneshot,
    };

    fn frame(opcode: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![0x80 | opcode];
        match length {
            0..126 => frame.push(length as u8),
            126..65536 => {
                frame.push(126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend(vec![b'x'; length]);
        frame
    }

    #[test]
    fn frames_are_followed_however_they_are_cut() {
        let lengths = [0, 1, 125, 126, 127, 65535, 65536, 3];
        let all: Vec<u8> = lengths.iter().flat_map(|length| frame(2, *length)).collect();
        for size in [1, 2, 3, 7, 1000, all.len()] {
            let mut frames = Frames::default();
            let (mut at, mut ends) = (0, Vec::new());
            for piece in all.chunks(size) {
                frames.follow(piece);
                at += piece.len();
                if frames.is_between() {
                    ends.push(at);
                }
            }
            let mut expected = Vec::new();
            for length in lengths {
                expected.push(expected.last().unwrap_or(&0) + frame(2, length).len());
            }
            expected.retain(|end| end % size == 0 || *end == all.len());
            assert_eq!(ends, expected, "in pieces of {size}");
        }
    }

    #[tokio::test]
    async fn the_frame_under_way_is_finished_before_the_farewell_and_nothing_follows_it() {
        for cut in [1, 2, 3, 4, 300] {
            let (mut server, end) = duplex(1 << 16);
            let (stop, stopped) = oneshot::channel::<()>();
            let mut injector = CloseFrameInjector::new(end, async { drop(stopped.await) });
            let (first, second) = (frame(1, 5), frame(2, 300));
            server.write_all(&first).await.expect("sent");
            server.write_all(&second[..cut]).await.expect("sent");
            let mut got = vec![0; first.len() + cut];
            injector.read_exact(&mut got).await.expect("read");
            stop.send(()).expect("a listener");
            server.write_all(&second[cut..]).await.expect("sent");
            server.write_all(&first).await.expect("sent");
            drop(server);
            injector.read_to_end(&mut got).await.expect("read");
            assert_eq!(got, [&first[..], &second, &GOING_AWAY].concat(), "cut after {cut}");
        }
    }

    #[tokio::test]
    async fn a_socket_that_the_server_has_closed_gets_no_second_farewell() {
        let (mut server, end) = duplex(64);
        let mut injector = CloseFrameInjector::new(end, std::future::ready(()));
        injector.state = State::Open;
        let close = frame(CLOSE, 2);
        injector.frames.follow(&close);
        server.write_all(b"more").await.expect("sent");
        drop(server);
        let mut got = Vec::new();
        injector.read_to_end(&mut got).await.expect("read");
        assert_eq!(got, b"");
    }
}
