//! JSON in which strings that are ids stand for something else: they are found wherever they stand, as keys and as values, since
//! an id of so many digits stands for nothing but its job. A member of one name may be taken out on the way.

use super::{
    cursor::{Cursor, Mark},
    text::{decode, key_is},
};
use memchr::memchr;
use std::ops::Range;

/// The longest string that is looked at, in bytes, with its quotes: an id, or the name of the member.
const LONGEST: usize = 64;
/// The most white space behind a comma that is held with it, in bytes.
const MOST_SPACE: usize = 1 << 10;
/// The longest value of the member that is told, in bytes, as it was written.
const LONGEST_VALUE: usize = 32 << 10;

/// A part of a text that comes in pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdPiece {
    /// It goes on as it is.
    Text(Vec<u8>),
    /// A string, with its quotes, that has the length of an id.
    Id(Vec<u8>),
    /// The text value of the member that was taken out.
    TakenOut(String),
}

/// Finds strings of the length of ids in a text that comes in pieces, and takes the members of one name out.
#[derive(Debug)]
pub struct IdStrings {
    id_length: usize,
    member: String,
    cursor: Cursor,
    /// A comma, and the white space behind it: it goes with the member that may follow.
    comma: Vec<u8>,
    state: State,
    pieces: Vec<IdPiece>,
}

#[derive(Debug)]
enum State {
    /// What comes goes on, unless it begins something.
    GoesOn,
    /// In a string, or behind one that may be the member's key.
    InString(Vec<u8>),
    MayBeKey(Vec<u8>),
    /// In the member's value, in an object of this depth.
    TakesOut {
        depth: usize,
        value: Vec<u8>,
    },
    /// Behind a member that was the first of its object: the comma goes, and the white space behind it.
    BehindFirst,
}

impl IdStrings {
    /// Of strings with `id_length` bytes; members that are called `member` are taken out.
    pub fn new(id_length: usize, member: &str) -> Self {
        Self {
            id_length,
            member: member.to_owned(),
            cursor: Cursor::default(),
            comma: Vec::new(),
            state: State::GoesOn,
            pieces: Vec::new(),
        }
    }

    /// What of the next piece, and of what was held, goes on or was found.
    pub fn copy(&mut self, piece: &[u8]) -> Vec<IdPiece> {
        for &byte in piece {
            let mark = self.cursor.step(byte);
            self.take(byte, mark);
        }
        std::mem::take(&mut self.pieces)
    }

    /// The text has come to its end; what is left of one that was cut short goes on.
    pub fn end(&mut self) -> Vec<IdPiece> {
        match std::mem::replace(&mut self.state, State::GoesOn) {
            State::InString(text) | State::MayBeKey(text) => self.text(&text),
            State::GoesOn | State::TakesOut { .. } | State::BehindFirst => self.text(b""),
        }
        std::mem::take(&mut self.pieces)
    }

    fn take(&mut self, byte: u8, mark: Mark) {
        match &mut self.state {
            State::GoesOn => self.take_plain(byte, mark),
            State::InString(text) => {
                text.push(byte);
                match mark {
                    Mark::StringEnds => self.end_string(),
                    _ if text.len() > LONGEST => {
                        let text = std::mem::take(text);
                        self.state = State::GoesOn;
                        self.text(&text);
                    }
                    _ => {}
                }
            }
            State::MayBeKey(text) => match mark {
                Mark::Colon => {
                    self.state = State::TakesOut {
                        depth: self.cursor.depth,
                        value: Vec::new(),
                    }
                }
                Mark::Inside if byte.is_ascii_whitespace() && text.len() < MOST_SPACE => text.push(byte),
                _ => {
                    let text = std::mem::take(text);
                    self.state = State::GoesOn;
                    self.text(&text);
                    self.take_plain(byte, mark);
                }
            },
            State::TakesOut { depth, value } => {
                let ends = match mark {
                    Mark::Comma => self.cursor.depth == *depth,
                    Mark::Closes => self.cursor.depth < *depth,
                    _ => false,
                };
                if !ends {
                    if value.len() < LONGEST_VALUE {
                        value.push(byte);
                    }
                    return;
                }
                let value = value.trim_ascii();
                let text = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
                if let Some(text) = text.and_then(decode) {
                    self.pieces.push(IdPiece::TakenOut(text));
                }
                let was_first = self.comma.is_empty();
                self.comma.clear();
                match (mark, was_first) {
                    (Mark::Comma, true) => self.state = State::BehindFirst,
                    _ => {
                        self.state = State::GoesOn;
                        self.take_plain(byte, mark);
                    }
                }
            }
            State::BehindFirst => {
                if !byte.is_ascii_whitespace() {
                    self.state = State::GoesOn;
                    self.take_plain(byte, mark);
                }
            }
        }
    }

    fn take_plain(&mut self, byte: u8, mark: Mark) {
        match mark {
            Mark::StringBegins => self.state = State::InString(vec![byte]),
            Mark::Comma => {
                self.text(b"");
                self.comma.push(byte);
            }
            Mark::Inside if byte.is_ascii_whitespace() && (1..MOST_SPACE).contains(&self.comma.len()) => {
                self.comma.push(byte);
            }
            _ => self.text(&[byte]),
        }
    }

    fn end_string(&mut self) {
        let State::InString(text) = std::mem::replace(&mut self.state, State::GoesOn) else {
            return;
        };
        let inner = text.get(1..text.len() - 1).unwrap_or_default();
        if key_is(inner, &self.member) {
            self.state = State::MayBeKey(text);
        } else if inner.len() == self.id_length {
            self.text(b"");
            self.pieces.push(IdPiece::Id(text));
        } else {
            self.text(&text);
        }
    }

    /// Adds the comma that was held, and `text`.
    fn text(&mut self, text: &[u8]) {
        if self.comma.is_empty() && text.is_empty() {
            return;
        }
        if !matches!(self.pieces.last(), Some(IdPiece::Text(_))) {
            self.pieces.push(IdPiece::Text(Vec::new()));
        }
        if let Some(IdPiece::Text(all)) = self.pieces.last_mut() {
            all.append(&mut self.comma);
            all.extend_from_slice(text);
        }
    }
}

/// `text` with other strings in the place of those of `id_length` bytes that `other` knows; `None` where it knows none.
pub fn replace_ids(text: &[u8], id_length: usize, mut other: impl FnMut(&[u8]) -> Option<String>) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = next_id(text, at, id_length) {
        let inner = text.get(found.clone()).unwrap_or_default();
        let Some(string) = other(inner) else {
            // What ends here may begin another one.
            at = found.end;
            continue;
        };
        let out = out.get_or_insert_with(|| Vec::with_capacity(text.len() + string.len()));
        out.extend_from_slice(text.get(copied..found.start - 1).unwrap_or_default());
        out.extend_from_slice(string.as_bytes());
        copied = found.end + 1;
        at = copied;
    }
    out.map(|mut out| {
        out.extend_from_slice(text.get(copied..).unwrap_or_default());
        out
    })
}

/// The next stretch of `length` bytes between quotes, without them.
fn next_id(text: &[u8], mut at: usize, length: usize) -> Option<Range<usize>> {
    loop {
        let start = at + memchr(b'"', text.get(at..)?)? + 1;
        let end = start + length;
        if text.get(end) == Some(&b'"') && memchr(b'"', text.get(start..end)?).is_none() {
            return Some(start..end);
        }
        at = start;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "abcd";

    /// What is left of `text` that comes in two pieces, with "x y" for the id, and what was taken out.
    fn copied(text: &str, cut: usize) -> (String, Vec<String>) {
        let mut strings = IdStrings::new(ID.len(), "name");
        let (one, other) = text.as_bytes().split_at(cut);
        let mut pieces = strings.copy(one);
        pieces.extend(strings.copy(other));
        pieces.extend(strings.end());
        let (mut out, mut taken) = (Vec::new(), Vec::new());
        for piece in pieces {
            match piece {
                IdPiece::Text(text) => out.extend(text),
                IdPiece::Id(text) if text == b"\"abcd\"" => out.extend(b"\"x y\""),
                IdPiece::Id(text) => out.extend(text),
                IdPiece::TakenOut(text) => taken.push(text),
            }
        }
        (String::from_utf8(out).expect("text"), taken)
    }

    #[test]
    fn ids_are_found_and_members_taken_out_wherever_the_pieces_are_cut() {
        for (text, left, taken) in [
            (
                r#"{"abcd": ["abcd" , "abcde", "\"abcd", "ab\\c"]}"#,
                r#"{"x y": ["x y" , "abcde", "\"abcd", "ab\\c"]}"#,
                &[][..],
            ),
            (r#"{"name": "a\"b"}"#, r#"{}"#, &["a\"b"]),
            (r#"{ "name" : "n", "b": 1}"#, r#"{ "b": 1}"#, &["n"]),
            (r#"{"a": {} , "name": "n" , "b": 1}"#, r#"{"a": {} , "b": 1}"#, &["n"]),
            (r#"{"a": [1, 2], "name": "n"}"#, r#"{"a": [1, 2]}"#, &["n"]),
            (r#"{"name": {"a": [1, "name"]}, "name": 1}"#, r#"{}"#, &[]),
            (
                r#"["name", "name"  , {"a": "name"}]"#,
                r#"["name", "name"  , {"a": "name"}]"#,
                &[],
            ),
            (
                r#"{"na\u006de": "\ud83c\udf88", "abcd": "a, \"name\": 1"}"#,
                r#"{"x y": "a, \"name\": 1"}"#,
                &["\u{1f388}"],
            ),
            (r#"{"a": "ab"#, r#"{"a": "ab"#, &[]),
            (r#"{"a": 1, "#, r#"{"a": 1, "#, &[]),
            ("", "", &[]),
        ] {
            for cut in 0..=text.len() {
                let (out, found) = copied(text, cut);
                assert_eq!(out, left, "{text} cut at {cut}");
                assert_eq!(found, taken, "{text} cut at {cut}");
            }
        }
        let long = format!(r#"{{"a": "{}", "name": "b"}}"#, "abcd\\\"".repeat(100));
        assert_eq!(copied(&long, 50).0, long.replace(r#", "name": "b""#, ""));
    }

    #[test]
    fn strings_of_a_whole_text_are_replaced() {
        let replaced = |text: &str| {
            let replaced = replace_ids(text.as_bytes(), ID.len(), |id| {
                (id == b"abcd").then(|| "\"x\"".to_owned())
            });
            replaced.map(|text| String::from_utf8(text).expect("text"))
        };
        assert_eq!(
            replaced(r#"{"abcd": "abcd", "dcba": "abcdabcd"}"#).as_deref(),
            Some(r#"{"x": "x", "dcba": "abcdabcd"}"#)
        );
        for text in [r#"{"dcba": 1}"#, "", "\"", "\"abcd", r#"["ab","d"]"#] {
            assert_eq!(replaced(text), None, "{text}");
        }
    }
}
