//! What of a text that comes in pieces is to go on.

use crate::http::buffered::{BufferBudget, Share};
use bytes::Bytes;

/// From this length on, in bytes, what was held goes on as it is; what is shorter is copied beside the rest.
const SEPARATE: usize = 16 << 10;

/// Bytes that are to go on, in their order. What was held counts until it is sent.
pub(super) struct Outgoing {
    pieces: Vec<Bytes>,
    /// What goes on behind them.
    text: Vec<u8>,
    share: Share,
    budget: BufferBudget,
}

impl Outgoing {
    /// Nothing yet.
    pub(super) fn new(budget: &BufferBudget) -> Self {
        Self {
            pieces: Vec::new(),
            text: Vec::new(),
            share: budget.share(),
            budget: budget.clone(),
        }
    }

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
            self.share.absorb(share);
        } else {
            self.close();
            self.pieces.push(share.with(text));
        }
    }

    /// Ends the piece that grows.
    fn close(&mut self) {
        let text = std::mem::take(&mut self.text);
        let share = std::mem::replace(&mut self.share, self.budget.share());
        if !text.is_empty() {
            self.pieces.push(share.with(text));
        }
    }

    /// All of it; none is empty.
    pub(super) fn into_pieces(mut self) -> Vec<Bytes> {
        self.close();
        self.pieces
    }
}
