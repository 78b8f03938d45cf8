//! `multipart/form-data` (RFC 7578) as it comes: where a part begins, what is in it, and where it ends. Nothing is held but the
//! head of a part, and of its content what could be the beginning of a delimiter.

mod disposition;

pub use disposition::Disposition;

use bytes::Bytes;
use http::{HeaderMap, header::CONTENT_TYPE};
use memchr::memmem;

/// The most parts of a form.
const MAX_PARTS: usize = 64;
/// The most bytes of the head of a part.
const MAX_HEAD: usize = 8 << 10;
/// The longest boundary (RFC 2046 section 5.1.1), in bytes.
const MAX_BOUNDARY: usize = 70;

/// Why a form cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// It is something else.
    #[error("it is no multipart/form-data with a boundary")]
    NoForm,
    /// It has more parts than may be.
    #[error("it has more than {MAX_PARTS} parts")]
    TooMany,
    /// The head of a part has more bytes than may be.
    #[error("the head of a part is longer than {MAX_HEAD} bytes")]
    LongHead,
    /// It is malformed.
    #[error("it is malformed: {0}")]
    Malformed(&'static str),
    /// It ends before its last delimiter.
    #[error("it ends in the middle")]
    Cut,
}

/// What comes next in a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// A part begins.
    Part(PartHead),
    /// Content of the part.
    Data(Bytes),
    /// The part ends.
    PartEnd,
    /// The form ends; what follows is none of it.
    End,
}

/// What a part says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartHead {
    /// Its name and its file's.
    pub disposition: Disposition,
    /// As sent.
    pub content_type: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before the first delimiter.
    Preamble,
    /// Behind a delimiter: the head of a part, or the end.
    Head,
    Content,
    /// Behind the last part.
    Over,
}

/// Reads a form piece by piece.
pub struct FormReader {
    /// A line end, two hyphens and the boundary.
    delimiter: Vec<u8>,
    /// What has come and is not read.
    rest: Bytes,
    state: State,
    parts: usize,
}

impl FormReader {
    /// For the body of a request with these headers.
    ///
    /// # Errors
    /// They announce no form.
    pub fn new(headers: &HeaderMap) -> Result<Self, FormError> {
        let mut types = headers.get_all(CONTENT_TYPE).iter();
        let (Some(one), None) = (types.next(), types.next()) else {
            return Err(FormError::NoForm);
        };
        let boundary = one.to_str().ok().and_then(disposition::boundary);
        let boundary =
            boundary.filter(|boundary| (1..=MAX_BOUNDARY).contains(&boundary.len()) && !boundary.ends_with(' '));
        let boundary = boundary.ok_or(FormError::NoForm)?;
        Ok(Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            // The first delimiter has no line before it.
            rest: Bytes::from_static(b"\r\n"),
            state: State::Preamble,
            parts: 0,
        })
    }

    /// What stands between parts: a line end, two hyphens and the boundary. It is in no part.
    pub fn delimiter(&self) -> &[u8] {
        &self.delimiter
    }

    /// More has come. Copied only where something of before is not read.
    pub fn push(&mut self, data: Bytes) {
        self.rest = match (self.state, self.rest.is_empty()) {
            (State::Over, _) => Bytes::new(),
            (_, true) => data,
            (_, false) => [&self.rest[..], &data].concat().into(),
        };
    }

    /// Nothing more comes.
    ///
    /// # Errors
    /// It has not come to its end.
    pub fn finish(&self) -> Result<(), FormError> {
        match self.state {
            State::Over => Ok(()),
            _ => Err(FormError::Cut),
        }
    }

    /// What comes next, or `None` where more must come first.
    ///
    /// # Errors
    /// It is malformed, or goes beyond a limit.
    pub fn next_piece(&mut self) -> Result<Option<Piece>, FormError> {
        if self.state == State::Preamble {
            self.content();
            if !self.takes_delimiter() {
                return Ok(None);
            }
        }
        match self.state {
            State::Head => self.head(),
            State::Content => {
                // The delimiter is taken once what stands before it is.
                if self.takes_delimiter() {
                    return Ok(Some(Piece::PartEnd));
                }
                let data = self.content();
                Ok((!data.is_empty()).then_some(Piece::Data(data)))
            }
            State::Preamble | State::Over => Ok(None),
        }
    }

    /// Takes the delimiter if it comes next.
    fn takes_delimiter(&mut self) -> bool {
        let is_next = self.rest.starts_with(&self.delimiter);
        if is_next {
            self.rest = self.rest.slice(self.delimiter.len()..);
            self.state = State::Head;
        }
        is_next
    }

    /// Takes what cannot belong to a delimiter.
    fn content(&mut self) -> Bytes {
        let end = memmem::find(&self.rest, &self.delimiter).unwrap_or_else(|| {
            let from = self.rest.len().saturating_sub(self.delimiter.len() - 1);
            let tail = self.rest.get(from..).unwrap_or_default();
            let starts = |at: &usize| tail.get(*at..).is_some_and(|tail| self.delimiter.starts_with(tail));
            from + (0..tail.len()).find(starts).unwrap_or(tail.len())
        });
        self.rest.split_to(end)
    }

    /// Behind a delimiter.
    fn head(&mut self) -> Result<Option<Piece>, FormError> {
        if self.rest.starts_with(b"--") {
            self.state = State::Over;
            self.rest = Bytes::new();
            return Ok(Some(Piece::End));
        }
        if self.rest == b"-"[..] {
            return Ok(None);
        }
        // Blanks may stand before the end of the line.
        let blanks = self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let line = self.rest.get(blanks..).unwrap_or_default();
        if !line.is_empty() && !line.starts_with(b"\r") || line.len() > 1 && !line.starts_with(b"\r\n") {
            return Err(FormError::Malformed("a boundary stands in a line with something else"));
        }
        // The empty line behind the last header stands right behind the delimiter's line where there are none.
        let Some(end) = memmem::find(line, b"\r\n\r\n") else {
            return match self.rest.len() > MAX_HEAD {
                true => Err(FormError::LongHead),
                false => Ok(None),
            };
        };
        if end > MAX_HEAD {
            return Err(FormError::LongHead);
        }
        self.parts += 1;
        if self.parts > MAX_PARTS {
            return Err(FormError::TooMany);
        }
        let head = part_head(line.get(2..end).unwrap_or_default())?;
        self.rest = self.rest.slice(blanks + end + 4..);
        // A part without a byte: its delimiter has the line end of its head before it in no form that is well formed.
        self.state = State::Content;
        Ok(Some(Piece::Part(head)))
    }
}

fn part_head(lines: &[u8]) -> Result<PartHead, FormError> {
    let lines = str::from_utf8(lines).map_err(|_| FormError::Malformed("the head of a part is not UTF-8"))?;
    let mut head = PartHead::default();
    for line in lines.split("\r\n").filter(|line| !line.is_empty()) {
        let malformed = FormError::Malformed("the head of a part has a line that is no header");
        let Some((name, value)) = line.split_once(':').filter(|(name, _)| !name.starts_with([' ', '\t'])) else {
            return Err(malformed);
        };
        if value.contains(|letter: char| letter.is_control() && letter != '\t') {
            return Err(malformed);
        }
        let value = value.trim();
        match name.trim_end().to_ascii_lowercase().as_str() {
            "content-disposition" => head.disposition = Disposition::parse(value),
            "content-type" => head.content_type = Some(value.to_owned()),
            "content-transfer-encoding" if !is_plain(value) => {
                return Err(FormError::Malformed("a part has a Content-Transfer-Encoding"));
            }
            "content-encoding" if !value.eq_ignore_ascii_case("identity") => {
                return Err(FormError::Malformed("a part has a Content-Encoding"));
            }
            _ => {}
        }
    }
    Ok(head)
}

/// Whether the content stands there as it is.
fn is_plain(encoding: &str) -> bool {
    ["binary", "7bit", "8bit"]
        .iter()
        .any(|plain| encoding.eq_ignore_ascii_case(plain))
}

#[cfg(test)]
mod tests;
