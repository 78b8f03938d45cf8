//! What the server says on a WebSocket, with the names that its client gave to jobs in the place of their UUIDs.
//!
//! Only messages of text are read, and only while some job has a name. All else goes on as it came, byte for byte.

use super::frame_head::{CLOSE, CONTINUATION, CONTROL, FrameHead, TEXT};
use crate::{
    auth::scope::Scope,
    http::buffered::{BufferBudget, Share},
    legacy::names::Names,
};
use std::{
    io,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};

/// The longest message that is read, in bytes with the heads of its frames. A longer one goes on as it came.
const LONGEST: usize = 1 << 20;
/// How much is read at once.
const PIECE: usize = 8 << 10;

/// The names that a client's WebSocket speaks.
pub struct SocketNames {
    /// Those of all scopes.
    pub names: Arc<Names>,
    /// Whose socket it is.
    pub scope: Scope,
    /// What is held of a message counts within it.
    pub budget: BufferBudget,
}

/// The server's side of a WebSocket whose extensions change nothing of a message.
pub(super) struct NamedEvents<S> {
    server: S,
    names: Option<SocketNames>,
    messages: Messages,
    /// What is to be read, from `read` on.
    ready: Vec<u8>,
    read: usize,
}

/// Follows frames, and holds messages of text.
#[derive(Default)]
struct Messages {
    /// What has come of a frame's head.
    head: Vec<u8>,
    /// How much of it went on already: where nothing is read, nothing waits.
    head_gone: usize,
    /// What is still to come of the frame's payload.
    left: u64,
    /// Where the frame goes, and whether the message ends with it.
    frame: Frame,
    held: Option<Held>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Frame {
    /// It goes on as it comes.
    #[default]
    GoesOn,
    /// It is held, and more of its message is to come.
    Held,
    /// It is held, and is the last one of its message.
    HeldLast,
}

/// A message, as it came so far.
struct Held {
    bytes: Vec<u8>,
    payloads: Vec<Range<usize>>,
    share: Share,
}

impl Messages {
    /// Takes what came next. What goes on is added to `out`; a message is held where `reads` is there, and is `renamed`
    /// once it is whole.
    fn take(
        &mut self,
        mut bytes: &[u8],
        reads: Option<&BufferBudget>,
        renamed: impl Fn(&[u8]) -> Option<Vec<u8>>,
        out: &mut Vec<u8>,
    ) {
        while let Some((first, after_first)) = bytes.split_first() {
            if self.left == 0 {
                self.head.push(*first);
                bytes = after_first;
                if reads.is_none() && self.held.is_none() {
                    self.head_goes_on(out);
                }
                if let Some(head) = FrameHead::parse(&self.head) {
                    self.begin(head, reads, out);
                }
            } else {
                let most = usize::try_from(self.left).unwrap_or(usize::MAX);
                let (now, later) = bytes.split_at(most.min(bytes.len()));
                self.left -= now.len() as u64;
                bytes = later;
                match &mut self.held {
                    Some(held) if self.frame != Frame::GoesOn => held.bytes.extend_from_slice(now),
                    _ => out.extend_from_slice(now),
                }
            }
            if self.left == 0 && self.head.is_empty() && self.frame == Frame::HeldLast {
                self.frame = Frame::GoesOn;
                if let Some(held) = self.held.take() {
                    held.end(&renamed, out);
                }
            }
        }
    }

    /// A frame begins, whose head is whole.
    fn begin(&mut self, head: FrameHead, reads: Option<&BufferBudget>, out: &mut Vec<u8>) {
        self.left = head.length;
        let is_control = head.opcode >= CONTROL;
        let goes_on = match &mut self.held {
            // Frames of the connection stand between those of a message, and behind the last of it.
            Some(_) if is_control => head.opcode == CLOSE,
            Some(held) => head.opcode != CONTINUATION || !head.plain || !held.makes_room(self.head.len(), head.length),
            None => false,
        };
        if goes_on && let Some(held) = self.held.take() {
            out.extend(held.bytes);
        }
        if let Some(budget) = reads
            && head.opcode == TEXT
            && head.plain
            && self.head_gone == 0
        {
            let mut held = Held::none(budget);
            self.held = held.makes_room(self.head.len(), head.length).then_some(held);
        }
        self.frame = match &mut self.held {
            Some(held) if !is_control => {
                held.bytes.append(&mut self.head);
                let start = held.bytes.len();
                let length = usize::try_from(head.length).unwrap_or(usize::MAX);
                held.payloads.push(start..start.saturating_add(length));
                if head.last { Frame::HeldLast } else { Frame::Held }
            }
            _ => {
                self.head_goes_on(out);
                Frame::GoesOn
            }
        };
        self.head.clear();
        self.head_gone = 0;
    }

    fn head_goes_on(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.head.get(self.head_gone..).unwrap_or_default());
        self.head_gone = self.head.len();
    }

    /// What was held of a message that is not to end.
    fn end(&mut self, out: &mut Vec<u8>) {
        if let Some(held) = self.held.take() {
            out.extend(held.bytes);
        }
        self.head_goes_on(out);
    }
}

impl Held {
    fn none(budget: &BufferBudget) -> Self {
        Self {
            bytes: Vec::new(),
            payloads: Vec::new(),
            share: budget.share(),
        }
    }

    /// Whether a frame can be held, too.
    fn makes_room(&mut self, head: usize, payload: u64) -> bool {
        let more = usize::try_from(payload).unwrap_or(usize::MAX).saturating_add(head);
        self.bytes.len().saturating_add(more) <= LONGEST && self.share.grow(more).is_ok()
    }

    /// The message is whole.
    fn end(self, renamed: impl Fn(&[u8]) -> Option<Vec<u8>>, out: &mut Vec<u8>) {
        let parts = self
            .payloads
            .iter()
            .map(|range| self.bytes.get(range.clone()).unwrap_or_default());
        let parts: Vec<&[u8]> = parts.collect();
        let renamed = match &parts[..] {
            [whole] => renamed(whole),
            parts => renamed(&parts.concat()),
        };
        match renamed {
            Some(text) => {
                FrameHead::write_text(text.len(), out);
                out.extend(text);
            }
            None => out.extend(self.bytes),
        }
    }
}

impl<S> NamedEvents<S> {
    /// As `server` says it, where there are no `names`.
    pub(super) fn new(server: S, names: Option<SocketNames>) -> Self {
        Self {
            server,
            names,
            messages: Messages::default(),
            ready: Vec::new(),
            read: 0,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for NamedEvents<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(SocketNames { names, scope, budget }) = &this.names else {
            return Pin::new(&mut this.server).poll_read(cx, into);
        };
        while this.read == this.ready.len() {
            this.ready.clear();
            this.read = 0;
            let mut piece = [0; PIECE];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.server).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                this.messages.end(&mut this.ready);
                if this.ready.is_empty() {
                    return Poll::Ready(Ok(()));
                }
                break;
            }
            let reads = names.are_in_play().then_some(budget);
            let renamed = |text: &[u8]| names.spoken(*scope, text);
            this.messages.take(piece.filled(), reads, renamed, &mut this.ready);
        }
        let rest = this.ready.get(this.read..).unwrap_or_default();
        let now = rest.get(..into.remaining()).unwrap_or(rest);
        into.put_slice(now);
        this.read += now.len();
        Poll::Ready(Ok(()))
    }
}

write_to_server!(NamedEvents);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A frame as a server writes it.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        FrameHead::write_text(payload.len(), &mut frame);
        frame[0] = first;
        frame.extend_from_slice(payload);
        frame
    }

    fn renamed(text: &[u8]) -> Option<Vec<u8>> {
        let text = std::str::from_utf8(text).ok()?;
        text.contains("ID")
            .then(|| text.replace("ID", "a longer name").into_bytes())
    }

    /// A message as it is said and as it is to be heard: its text in frames as long as `cuts` has them.
    fn message(text: &str, cuts: &[usize], pings: bool) -> (Vec<u8>, Vec<u8>) {
        let mut parts = Vec::new();
        let mut rest = text.as_bytes();
        for cut in cuts {
            let (part, left) = rest.split_at((*cut).min(rest.len()));
            parts.push(part);
            rest = left;
        }
        parts.push(rest);
        let last = parts.len() - 1;
        let (mut said, mut between) = (Vec::new(), Vec::new());
        for (nth, part) in parts.iter().enumerate() {
            let first = if nth == last { 0x80 } else { 0 } | if nth == 0 { TEXT } else { CONTINUATION };
            said.extend(frame(first, part));
            if pings && nth != last {
                said.extend(frame(0x89, b"ping"));
                between.extend(frame(0x89, b"ping"));
            }
        }
        let heard = match renamed(text.as_bytes()) {
            Some(text) => [between, frame(0x80 | TEXT, &text)].concat(),
            None if pings => {
                let whole: Vec<u8> = parts
                    .iter()
                    .enumerate()
                    .flat_map(|(nth, part)| {
                        let first = if nth == last { 0x80 } else { 0 } | if nth == 0 { TEXT } else { CONTINUATION };
                        frame(first, part)
                    })
                    .collect();
                [between, whole].concat()
            }
            None => said.clone(),
        };
        (said, heard)
    }

    proptest! {
        #[test]
        fn what_is_heard_does_not_depend_on_how_the_bytes_come(
            messages in prop::collection::vec(
                ("[aID]{0,300}", prop::collection::vec(0_usize..200, 0..4), any::<bool>(), any::<bool>()), 0..6),
            cuts in prop::collection::vec(1_usize..400, 1..20),
        ) {
            let (mut said, mut expected) = (Vec::new(), Vec::new());
            for (text, frames, pings, is_binary) in &messages {
                let (mut one, mut heard) = message(text, frames, *pings);
                if *is_binary {
                    one = frame(0x82, text.as_bytes());
                    heard = one.clone();
                }
                said.extend(one);
                expected.extend(heard);
            }
            let budget = BufferBudget::new(8 << 20);
            let (mut messages, mut heard) = (Messages::default(), Vec::new());
            let (mut rest, mut cuts) = (&said[..], cuts.iter().cycle());
            while !rest.is_empty() {
                let (piece, left) = rest.split_at((*cuts.next().expect("a cut")).min(rest.len()));
                messages.take(piece, Some(&budget), renamed, &mut heard);
                rest = left;
            }
            prop_assert_eq!(&heard, &expected);
            prop_assert_eq!(budget.held(), 0);
            // Where nothing is read, every byte goes on at once.
            let (mut messages, mut heard) = (Messages::default(), Vec::new());
            for (nth, byte) in said.iter().enumerate() {
                messages.take(&[*byte], None, renamed, &mut heard);
                prop_assert_eq!(heard.len(), nth + 1);
            }
            prop_assert_eq!(heard, said);
        }
    }
}
