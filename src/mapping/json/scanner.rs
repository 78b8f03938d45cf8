//! The JSON scanner: finds where values begin and end without building a tree.
//!
//! It is iterative (nesting costs one bit a level, so there is no depth limit), checks the grammar of everything it
//! passes over, and takes Python's `NaN`, `Infinity` and `-Infinity` for numbers, because ComfyUI sends them. It does
//! not look at UTF-8: string bytes go out as they came in.

use super::grammar::{self, Wrong};

/// The place of one value in a text, as byte offsets; the text itself stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte of the value.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
}

impl Span {
    /// The value's text; empty if the span belongs to another text.
    pub fn of<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// Where a text stops being JSON, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON at byte {at}: {reason}")]
pub struct ScanError {
    /// Offset of the offending byte, or the length of a text that was cut short.
    pub at: usize,
    /// What was expected there.
    pub reason: &'static str,
}

/// A position in a text, moved forward value by value.
pub struct Scanner<'a> {
    text: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    /// Begins at the first byte.
    pub fn new(text: &'a [u8]) -> Self {
        Self::starting(text, 0)
    }

    /// Begins at byte `at`.
    pub fn starting(text: &'a [u8], at: usize) -> Self {
        let rest = text.get(at..).unwrap_or_default();
        Self { text, rest }
    }

    /// The whole text.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// The offset of the next byte to be read.
    pub fn position(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// The next byte that is not white space, left unread.
    pub fn peek(&mut self) -> Option<u8> {
        self.rest = grammar::space(self.rest);
        self.rest.first().copied()
    }

    /// Reads `byte`, after white space.
    pub fn expect(&mut self, byte: u8, reason: &'static str) -> Result<(), ScanError> {
        match self.take(byte) {
            true => Ok(()),
            false => self.wrong(reason),
        }
    }

    /// Reads `byte` if it comes next, after white space.
    pub fn take(&mut self, byte: u8) -> bool {
        if self.peek() != Some(byte) {
            return false;
        }
        self.rest = self.rest.get(1..).unwrap_or_default();
        true
    }

    /// Checks that nothing but white space is left.
    pub fn end(&mut self) -> Result<(), ScanError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.wrong("text after the value"),
        }
    }

    /// Reads an object member's key and colon; the span is the key's, without its quotes.
    #[inline(always)]
    pub fn key(&mut self) -> Result<Span, ScanError> {
        let key = grammar::key(self.rest).map_err(|wrong| self.error(wrong))?;
        self.rest = key.behind;
        Ok(Span {
            start: self.text.len() - key.inner.len(),
            end: self.text.len() - key.close.len(),
        })
    }

    /// Passes over one value of any kind and depth.
    #[inline(always)]
    pub fn value(&mut self) -> Result<Span, ScanError> {
        self.peek();
        let start = self.position();
        self.rest = grammar::value(self.rest).map_err(|wrong| self.error(wrong))?;
        let end = self.position();
        Ok(Span { start, end })
    }

    fn wrong<T>(&self, reason: &'static str) -> Result<T, ScanError> {
        let at = self.position();
        Err(ScanError { at, reason })
    }

    fn error(&self, wrong: Wrong) -> ScanError {
        ScanError {
            at: self.text.len() - wrong.left,
            reason: wrong.reason,
        }
    }

    /// Passes over an object; `visit` is called with each key and must pass over the value. A value of another kind is
    /// passed over without a visit.
    pub fn members(
        &mut self,
        mut visit: impl FnMut(&mut Self, Span) -> Result<(), ScanError>,
    ) -> Result<(), ScanError> {
        if !self.take(b'{') {
            return self.value().map(drop);
        }
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let key = self.key()?;
            visit(self, key)?;
            if !self.take(b',') {
                return self.expect(b'}', "expected ',' or '}'");
            }
        }
    }

    /// Passes over an array; `visit` is called before each element and must pass over it. A value of another kind is
    /// passed over without a visit.
    pub fn elements(&mut self, mut visit: impl FnMut(&mut Self) -> Result<(), ScanError>) -> Result<(), ScanError> {
        if !self.take(b'[') {
            return self.value().map(drop);
        }
        if self.take(b']') {
            return Ok(());
        }
        loop {
            visit(self)?;
            if !self.take(b',') {
                return self.expect(b']', "expected ',' or ']'");
            }
        }
    }
}
