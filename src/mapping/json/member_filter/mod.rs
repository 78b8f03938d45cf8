//! JSON that comes in pieces and goes on as long as it was, while some members of its outermost object may be changed:
//! each of these is held until it is whole, and nothing else is.

use super::{
    cursor::{Cursor, Mark},
    outgoing::Outgoing,
    text::key_is,
};
use crate::http::buffered::{Buffer, BufferBudget, BufferError};
use bytes::Bytes;

/// The longest key that is compared, in bytes.
const LONGEST_KEY: usize = 1 << 10;

/// Where a text stands with regard to the members of its outermost object.
#[derive(Debug)]
enum Position {
    /// Before that object, in the value of a member that goes on, or behind all.
    GoesOn,
    /// Where a key may begin.
    BeforeKey,
    /// In a key, of which this is the text so far.
    InKey(Vec<u8>),
    /// In what follows a key that is looked for, which is held.
    Held(Buffer),
}

/// A copy of a text in which members of the outermost object are changed.
#[derive(Debug)]
pub struct MemberFilter {
    names: Vec<String>,
    budget: BufferBudget,
    cursor: Cursor,
    position: Position,
    name: Vec<u8>,
}

/// A member that is whole.
pub struct HeldMember<'a> {
    /// Its key, without quotes, as it was written.
    pub key: &'a [u8],
    /// Its value, with the white space around it. It stays as long as it is.
    pub value: &'a mut [u8],
}

impl MemberFilter {
    /// Of the members `names` of a request's body, each of which counts within `budget`.
    pub fn new(names: Vec<String>, budget: &BufferBudget) -> Self {
        Self {
            names,
            budget: budget.clone(),
            cursor: Cursor::default(),
            position: Position::GoesOn,
            name: Vec::new(),
        }
    }

    /// What of the next piece, and of what was held, is to go on; `edit` changes a member once it is whole. A piece in
    /// which there is none of them is not copied.
    ///
    /// # Errors
    /// A member is longer than requests may ever hold, or has no room now.
    pub fn copy(&mut self, piece: &Bytes, edit: &mut impl FnMut(HeldMember<'_>)) -> Result<Vec<Bytes>, BufferError> {
        let mut out = Outgoing::default();
        // What comes from here on has neither been held nor gone on.
        let mut from = 0;
        for (at, &byte) in piece.iter().enumerate() {
            let mark = self.cursor.step(byte);
            match &mut self.position {
                Position::GoesOn => {
                    let begins = match mark {
                        Mark::Opens => self.cursor.depth == 1 && byte == b'{',
                        Mark::Comma => self.cursor.depth == 1,
                        _ => false,
                    };
                    if begins {
                        self.position = Position::BeforeKey;
                    }
                }
                Position::BeforeKey => match mark {
                    Mark::StringBegins => self.position = Position::InKey(Vec::new()),
                    Mark::Inside if byte.is_ascii_whitespace() => {}
                    _ => self.position = Position::GoesOn,
                },
                Position::InKey(key) if mark == Mark::StringEnds => {
                    let key = std::mem::take(key);
                    self.position = match self.names.iter().any(|name| key_is(&key, name)) {
                        false => Position::GoesOn,
                        true => {
                            let until_here = at + 1;
                            out.extend(piece.get(from..until_here).unwrap_or_default());
                            from = until_here;
                            self.name = key;
                            Position::Held(self.budget.request_buffer(self.budget.most_of_requests()))
                        }
                    };
                }
                Position::InKey(key) => match key.len() < LONGEST_KEY {
                    true => key.push(byte),
                    false => self.position = Position::GoesOn,
                },
                Position::Held(held) => {
                    let ends = match mark {
                        Mark::Comma => self.cursor.depth == 1,
                        Mark::Closes => self.cursor.depth == 0,
                        _ => false,
                    };
                    if ends {
                        held.push(piece.get(from..at).unwrap_or_default())?;
                        from = at;
                        self.position = match self.finish(&mut out, edit) {
                            () if mark == Mark::Comma => Position::BeforeKey,
                            () => Position::GoesOn,
                        };
                    }
                }
            }
        }
        let rest = piece.get(from..).unwrap_or_default();
        match &mut self.position {
            Position::Held(held) => held.push(rest)?,
            _ if from == 0 && out.is_empty() => return Ok(vec![piece.clone()]),
            _ => out.extend(rest),
        }
        Ok(out.into_pieces())
    }

    /// The text has come to its end; what is left of one that was cut short goes on.
    pub fn end(&mut self) -> Bytes {
        match std::mem::replace(&mut self.position, Position::GoesOn) {
            Position::Held(held) => held.into_bytes(),
            _ => Bytes::new(),
        }
    }

    fn finish(&mut self, out: &mut Outgoing, edit: &mut impl FnMut(HeldMember<'_>)) {
        let Position::Held(held) = std::mem::replace(&mut self.position, Position::GoesOn) else {
            return;
        };
        let (mut text, share) = held.into_vec();
        if let Some((_, value)) = text
            .iter()
            .position(|byte| *byte == b':')
            .and_then(|colon| text.split_at_mut_checked(colon + 1))
        {
            edit(HeldMember { key: &self.name, value });
        }
        out.held(text, share);
    }
}

#[cfg(test)]
mod tests;
