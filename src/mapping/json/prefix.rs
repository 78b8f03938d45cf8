//! The beginning of an object that comes in pieces: it is held until so much of it is known that it can be judged.

use super::cursor::{Cursor, Mark};
use crate::http::buffered::{BufferBudget, BufferError, Share};
use bytes::Bytes;

/// The most that is held of an object, in bytes.
pub(super) const MOST: usize = 1 << 20;

/// The room that the beginning of an object gets at first, in bytes.
const FIRST: usize = 512;

/// Why an object cannot be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Undecided {
    /// Nothing in its beginning tells what is to become of it.
    #[error("the first {MOST} bytes of a job do not tell which one it is")]
    Untold,
    /// There is no room to hold its beginning.
    #[error("{0}")]
    NoRoom(#[from] BufferError),
}

/// Whether an object is to be left out, by what is known of it: `None` while that is not enough. When it is `whole`, it
/// is all that there is to know.
pub trait ElementFilter {
    /// `object` is well formed; of one that is not whole, members are missing.
    fn excludes(&self, object: &[u8], whole: bool) -> Option<bool>;
}

/// An object that is held until it is judged.
#[derive(Debug)]
pub(super) struct HeldObject {
    pub text: Vec<u8>,
    judge_at: usize,
    share: Share,
}

impl HeldObject {
    /// One that is judged once it is longer than `judge_at`, in bytes.
    pub(super) fn judged_from(judge_at: usize, budget: &BufferBudget) -> Self {
        Self {
            text: Vec::new(),
            judge_at,
            share: budget.share(),
        }
    }

    pub(super) fn push(&mut self, byte: u8) -> Result<(), Undecided> {
        if self.text.len() == self.text.capacity() {
            if self.text.len() >= MOST {
                return Err(Undecided::Untold);
            }
            let more = self.text.len().max(FIRST);
            self.share.grow(more)?;
            self.text.reserve_exact(more);
        }
        self.text.push(byte);
        Ok(())
    }

    /// What is held, with its share of the budget.
    pub(super) fn into_parts(self) -> (Vec<u8>, Share) {
        (self.text, self.share)
    }

    /// Judges the members so far, behind one of them, if there is enough that is new.
    pub(super) fn judge_so_far(&mut self, judge: &impl ElementFilter) -> Result<Option<bool>, Undecided> {
        if self.text.len() < self.judge_at {
            return Ok(None);
        }
        self.judge_at = self.text.len().saturating_mul(2);
        self.push(b'}')?;
        let verdict = judge.excludes(&self.text, false);
        self.text.pop();
        Ok(verdict)
    }
}

/// The beginning of one object, such as a job's detail, until it is judged.
pub struct ObjectPrefix {
    cursor: Cursor,
    held: HeldObject,
    verdict: Option<bool>,
}

impl ObjectPrefix {
    /// Nothing yet; what comes is held within `budget`.
    pub fn new(budget: &BufferBudget) -> Self {
        Self {
            cursor: Cursor::default(),
            held: HeldObject::judged_from(0, budget),
            verdict: None,
        }
    }

    /// Takes of a piece what is needed to judge by all that came so far, and says how many bytes of it that is.
    pub fn take(&mut self, piece: &[u8], judge: &impl ElementFilter) -> Result<usize, Undecided> {
        for (taken, &byte) in piece.iter().enumerate() {
            if self.cursor.step(byte) == Mark::Comma && self.cursor.depth == 1 {
                self.verdict = self.held.judge_so_far(judge)?;
                if self.verdict.is_some() {
                    return Ok(taken);
                }
            }
            self.held.push(byte)?;
        }
        Ok(piece.len())
    }

    /// Whether the object is left out, once its beginning told.
    pub fn verdict(&self) -> Option<bool> {
        self.verdict
    }

    /// Judges by all of the object.
    pub fn end(&self, judge: &impl ElementFilter) -> bool {
        let whole = || judge.excludes(&self.held.text, true).unwrap_or(false);
        self.verdict.unwrap_or_else(whole)
    }

    /// All that was taken.
    pub fn into_bytes(self) -> Bytes {
        let (text, share) = self.held.into_parts();
        share.with(text)
    }
}
