//! What of a text that comes in pieces is to go on.

use crate::http::buffered::Share;
use bytes::Bytes;

/// From this length on, in bytes, what was held goes on as it is; what is shorter is copied beside the rest.
const SEPARATE: usize = 16 << 10;

/// Bytes that are to go on, in their order. What was held counts until it is sent.
#[derive(Default)]
pub(super) struct Outgoing {
    pieces: Vec<Bytes>,
    /// What goes on behind them.
    text: Vec<u8>,
    /// Of what was held of that text.
    share: Option<Share>,
}

impl Outgoing {
    /// Whether nothing was added.
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.text.is_empty()
    }

    /// Adds bytes that were not held.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    /// Adds one byte that was not held.
    pub(super) fn push(&mut self, byte: u8) {
        self.text.push(byte);
    }

    /// Adds what was held, with its share of the budget.
    pub(super) fn held(&mut self, mut text: Vec<u8>, share: Share) {
        if text.len() < SEPARATE {
            self.text.append(&mut text);
            match &mut self.share {
                Some(all) => all.absorb(share),
                none => *none = Some(share),
            }
        } else {
            self.close();
            self.pieces.push(share.with(text));
        }
    }

    /// Ends the piece that grows.
    fn close(&mut self) {
        let text = std::mem::take(&mut self.text);
        let share = self.share.take();
        if !text.is_empty() {
            self.pieces.push(match share {
                Some(share) => share.with(text),
                None => text.into(),
            });
        }
    }

    /// All of it; none is empty.
    pub(super) fn into_pieces(mut self) -> Vec<Bytes> {
        self.close();
        self.pieces
    }
}
