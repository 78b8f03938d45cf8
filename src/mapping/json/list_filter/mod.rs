//! JSON that comes in pieces and goes on as it came, but for elements of one of its lists: nothing is held but the beginning
//! of an element, until so much of it is known that it can be judged.

use super::{
    cursor::{Cursor, Mark},
    member_path::MemberPath,
    outgoing::Outgoing,
    prefix::{ElementFilter, HeldObject, Undecided},
    text::key_is,
};
use crate::http::buffered::BufferBudget;
use bytes::Bytes;

/// How much of an object is held, in bytes, before its beginning is judged: most are shorter, and judged whole.
const USUAL: usize = 4 << 10;
/// The longest key that is compared, in bytes.
const LONGEST_KEY: usize = 1 << 10;

/// What becomes of the element that is being read.
#[derive(Debug)]
enum Element {
    Held(HeldObject),
    GoesOn,
    LeftOut,
}

/// Where a text stands with regard to its list.
#[derive(Debug)]
enum ListPosition {
    /// Outside of it. The innermost object on the way to it is at this depth; the key there is being read, or was, and
    /// is the next on the way.
    Outside {
        on: usize,
        key: Option<Vec<u8>>,
        is_next: bool,
    },
    /// In it.
    Inside {
        depth: usize,
        element: Element,
        /// An element went on already.
        some: bool,
    },
}

/// A copy of a text, without some elements of the list at a path.
pub struct ListFilter<J> {
    path: MemberPath,
    judge: J,
    budget: BufferBudget,
    cursor: Cursor,
    position: ListPosition,
}

impl<J: ElementFilter> ListFilter<J> {
    /// Of the list at `path`; what is held is held within `budget`.
    pub fn new(path: MemberPath, judge: J, budget: &BufferBudget) -> Self {
        Self {
            path,
            judge,
            budget: budget.clone(),
            cursor: Cursor::default(),
            position: ListPosition::outside(1),
        }
    }

    /// What of the next piece is to go on, and what of those before it that was held.
    ///
    /// # Errors
    /// An element cannot be judged, or has no room to be held.
    pub fn copy(&mut self, piece: &[u8]) -> Result<Vec<Bytes>, Undecided> {
        let mut outgoing = Outgoing::default();
        let out = &mut outgoing;
        for &byte in piece {
            let mark = self.cursor.step(byte);
            match &mut self.position {
                ListPosition::Outside { on, key, is_next } => {
                    out.push(byte);
                    let here = self.cursor.depth;
                    match mark {
                        Mark::StringBegins if here == *on && !*is_next => *key = Some(Vec::new()),
                        Mark::StringEnds => {
                            let next = self.path.names().get(on.saturating_sub(1));
                            if let (Some(key), Some(next)) = (key.take(), next) {
                                *is_next = key_is(&key, next);
                            }
                        }
                        Mark::Inside => {
                            if let Some(key) = key.as_mut().filter(|key| key.len() < LONGEST_KEY) {
                                key.push(byte);
                            }
                        }
                        Mark::Opens if *is_next && here == *on + 1 => {
                            let last = *on == self.path.names().len();
                            self.position = match (last, byte) {
                                (true, b'[') => ListPosition::inside(here, &self.budget),
                                (false, b'{') => ListPosition::outside(here),
                                _ => ListPosition::outside(*on),
                            };
                        }
                        Mark::Closes if here < *on => self.position = ListPosition::outside(here),
                        // Behind a value on the way, whatever it was.
                        Mark::Comma if here == *on => *is_next = false,
                        _ => {}
                    }
                }
                ListPosition::Inside { depth, element, some } => {
                    let at_end = match mark {
                        Mark::Comma => self.cursor.depth == *depth,
                        Mark::Closes => self.cursor.depth < *depth,
                        _ => false,
                    };
                    if at_end {
                        element.end(&self.judge, some, out);
                        *element = Element::next(&self.budget);
                        if mark == Mark::Closes {
                            out.push(byte);
                            self.position = ListPosition::outside(self.cursor.depth);
                        }
                        continue;
                    }
                    if mark == Mark::Comma && self.cursor.depth == *depth + 1 {
                        element.judge(&self.judge, some, out)?;
                    }
                    element.take(byte, out)?;
                }
            }
        }
        Ok(outgoing.into_pieces())
    }

    /// The text has come to its end; what is left of one that was cut short goes on.
    pub fn end(&mut self) -> Vec<Bytes> {
        let mut out = Outgoing::default();
        if let ListPosition::Inside { element, some, .. } = &mut self.position {
            element.end(&self.judge, some, &mut out);
        }
        out.into_pieces()
    }
}

impl ListPosition {
    fn outside(on: usize) -> Self {
        Self::Outside {
            on,
            key: None,
            is_next: false,
        }
    }

    fn inside(depth: usize, budget: &BufferBudget) -> Self {
        Self::Inside {
            depth,
            element: Element::next(budget),
            some: false,
        }
    }
}

impl Element {
    /// Of which nothing has come.
    fn next(budget: &BufferBudget) -> Self {
        Self::Held(HeldObject::judged_from(USUAL, budget))
    }

    fn take(&mut self, byte: u8, out: &mut Outgoing) -> Result<(), Undecided> {
        match self {
            Self::Held(held) => held.push(byte)?,
            Self::GoesOn => out.push(byte),
            Self::LeftOut => {}
        }
        Ok(())
    }

    /// Judges by the members so far, behind one of them.
    fn judge(&mut self, judge: &impl ElementFilter, some: &mut bool, out: &mut Outgoing) -> Result<(), Undecided> {
        if let Self::Held(held) = self
            && let Some(left_out) = held.judge_so_far(judge)?
        {
            self.settle(left_out, some, out);
        }
        Ok(())
    }

    fn settle(&mut self, left_out: bool, some: &mut bool, out: &mut Outgoing) {
        let becomes = if left_out { Self::LeftOut } else { Self::GoesOn };
        let Self::Held(held) = std::mem::replace(self, becomes) else {
            return;
        };
        if left_out {
            return;
        }
        if *some {
            out.push(b',');
        }
        // White space alone is no element: the list is empty.
        *some |= !held.text.trim_ascii().is_empty();
        let (text, share) = held.into_parts();
        out.held(text, share);
    }

    /// The element is whole.
    fn end(&mut self, judge: &impl ElementFilter, some: &mut bool, out: &mut Outgoing) {
        if let Self::Held(held) = self {
            let left_out = judge.excludes(&held.text, true).unwrap_or(false);
            self.settle(left_out, some, out);
        }
    }
}

#[cfg(test)]
mod tests;
