//! The beginning of an object that comes in pieces: it is held until so much of it is known that it can be judged.

use super::cursor::{Cursor, Mark};

/// The most that is held of an object, in bytes.
pub(super) const MOST: usize = 1 << 20;

/// Nothing in the beginning of an object tells what is to become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the first {MOST} bytes of a job do not tell which one it is")]
pub struct Undecided;

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
}

impl HeldObject {
    pub(super) fn judged_from(judge_at: usize) -> Self {
        Self {
            text: Vec::new(),
            judge_at,
        }
    }

    /// Judges the members so far, behind one of them, if there is enough that is new.
    pub(super) fn judge_so_far(&mut self, judge: &impl ElementFilter) -> Option<bool> {
        if self.text.len() < self.judge_at {
            return None;
        }
        self.judge_at = self.text.len().saturating_mul(2);
        self.text.push(b'}');
        let verdict = judge.excludes(&self.text, false);
        self.text.pop();
        verdict
    }
}

/// The beginning of one object, such as a job's detail, until it is judged.
pub struct ObjectPrefix {
    cursor: Cursor,
    held: HeldObject,
}

/// Nothing yet.
impl Default for ObjectPrefix {
    fn default() -> Self {
        Self {
            cursor: Cursor::default(),
            held: HeldObject::judged_from(0),
        }
    }
}

impl ObjectPrefix {
    /// Takes a piece, and judges by all that came so far.
    pub fn take(&mut self, piece: &[u8], judge: &impl ElementFilter) -> Result<Option<bool>, Undecided> {
        let mut verdict = None;
        for &byte in piece {
            if verdict.is_none() && self.cursor.step(byte) == Mark::Comma && self.cursor.depth == 1 {
                verdict = self.held.judge_so_far(judge);
            }
            self.held.text.push(byte);
        }
        match verdict {
            None if self.held.text.len() > MOST => Err(Undecided),
            verdict => Ok(verdict),
        }
    }

    /// Judges by all of the object.
    pub fn end(&self, judge: &impl ElementFilter) -> bool {
        judge.excludes(&self.held.text, true).unwrap_or(false)
    }

    /// All that came so far.
    pub fn text(self) -> Vec<u8> {
        self.held.text
    }
}
