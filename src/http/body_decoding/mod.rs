//! What the body of a request says: its content coding undone and its characters as UTF-8, as the server has it before it
//! reads JSON (docs/contract.md section 6). Pure functions over a body that was gathered; what goes on to the server is the body
//! as it was sent.

mod charset;

use crate::http::buffered::{Buffer, BufferBudget, BufferError};
use bytes::Bytes;
use charset::{Charset, Text, charset};
use encoding_rs::Encoding;
use flate2::{Decompress, FlushDecompress, Status, bufread::MultiGzDecoder};
use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use std::io::Read;

/// How much room a decoded body gets at a time, in bytes.
const PORTION: usize = 64 << 10;
/// Why a body cannot be read. Nothing may be done on its account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It has a coding that the server does not undo, or more than one.
    #[error("its Content-Encoding is not understood: gzip and deflate are, one of them alone")]
    Coding,
    /// It is not what its coding says, or breaks off.
    #[error("it is not what its Content-Encoding says")]
    Corrupt,
    /// Its characters are written in a way that is not known.
    #[error("its charset is not understood: write it in UTF-8")]
    Charset,
    /// Its bytes are not written in its charset.
    #[error("it is not text in its charset, which is UTF-8 where Content-Type names none")]
    NotText,
    /// Decoded, it is longer than it may be.
    #[error("it is longer than {limit} bytes when it is decoded")]
    TooLarge {
        /// The most bytes that it may have.
        limit: usize,
    },
    /// There is no room for what it says, beside all other bodies.
    #[error("as many bytes of bodies are held as server.max_buffered allows ({limit}; requests may take half of it)")]
    NoRoom {
        /// The most bytes that are held.
        limit: usize,
    },
}

impl From<BufferError> for DecodeError {
    fn from(error: BufferError) -> Self {
        match error {
            BufferError::TooLong(limit) => Self::TooLarge { limit },
            BufferError::NoRoom(limit) => Self::NoRoom { limit },
        }
    }
}

/// What `body` says, as UTF-8, in at most `limit` bytes, which count within `budget`. Not copied where it is that already. A
/// body of no bytes says nothing, whatever its headers say of it.
pub fn decode(headers: &HeaderMap, body: &Bytes, limit: usize, budget: &BufferBudget) -> Result<Bytes, DecodeError> {
    if body.is_empty() {
        return Ok(Bytes::new());
    }
    let characters = match coding(headers)? {
        None => body.clone(),
        Some(Coding::Gzip) => gunzipped(body, budget.request_buffer(limit))?,
        Some(Coding::Deflate) => inflated(body, budget.request_buffer(limit))?,
    };
    let text = match charset(headers)?.text(&characters)? {
        Text::Same(text) => text,
        Text::Other(text) if text.len() > limit => return Err(DecodeError::TooLarge { limit }),
        Text::Other(text) => budget.counted(text.into_bytes())?,
    };
    match text.len() > limit {
        true => Err(DecodeError::TooLarge { limit }),
        false => Ok(text),
    }
}

/// Whether what is ASCII of a body with these headers stands in it as that, as it came.
pub fn is_plain(headers: &HeaderMap) -> Result<bool, DecodeError> {
    let has_ascii = matches!(
        charset(headers)?,
        Charset::Utf8 | Charset::Utf8Marked | Charset::Ascii | Charset::Latin1
    );
    Ok(has_ascii && coding(headers)?.is_none())
}

/// Makes `headers` those of a decoded body.
pub fn set_decoded(headers: &mut HeaderMap) {
    headers.remove(CONTENT_ENCODING);
    if charset(headers) != Ok(Charset::Utf8) {
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/json; charset=utf-8"),
        );
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    /// RFC 1952, any number of members.
    Gzip,
    /// RFC 1950, or RFC 1951 without its frame.
    Deflate,
}

/// The one coding of a body. Others than these two the server does not undo: brotli and zstd would be packages that it does
/// not come with.
fn coding(headers: &HeaderMap) -> Result<Option<Coding>, DecodeError> {
    let (mut found, mut others) = (None, false);
    for value in headers.get_all(CONTENT_ENCODING) {
        let names = value.to_str().map_err(|_| DecodeError::Coding)?;
        for name in names.split(',').map(str::trim) {
            // A charset is no coding. Clients write one here by mistake, and the server passes it over.
            if name.is_empty()
                || name.eq_ignore_ascii_case("identity")
                || Encoding::for_label(name.as_bytes()).is_some()
            {
                others = true;
                continue;
            }
            let coding = match () {
                () if name.eq_ignore_ascii_case("gzip") => Coding::Gzip,
                () if name.eq_ignore_ascii_case("deflate") => Coding::Deflate,
                () => return Err(DecodeError::Coding),
            };
            if found.replace(coding).is_some() {
                return Err(DecodeError::Coding);
            }
        }
    }
    // Beside another word the server takes gzip for none.
    match others && found.is_some() {
        true => Err(DecodeError::Coding),
        false => Ok(found),
    }
}

fn gunzipped(body: &[u8], mut out: Buffer) -> Result<Bytes, DecodeError> {
    let mut decoder = MultiGzDecoder::new(body);
    let mut portion = vec![0; PORTION];
    loop {
        match decoder.read(&mut portion) {
            Ok(0) => return Ok(out.into_bytes()),
            Ok(length) => out.push(portion.get(..length).unwrap_or_default())?,
            Err(_) => return Err(DecodeError::Corrupt),
        }
    }
}

/// Not by a reader of the crate: those take a stream that breaks off for one that has ended.
fn inflated(body: &[u8], mut out: Buffer) -> Result<Bytes, DecodeError> {
    // The method that a zlib header begins with; the server decides by it too.
    let has_header = body.first().is_some_and(|first| first & 0x0f == 8);
    let mut decompress = Decompress::new(has_header);
    let mut portion = Vec::with_capacity(PORTION);
    let mut rest = body;
    loop {
        let before = rest.len();
        portion.clear();
        let read = decompress.total_in();
        let status = decompress.decompress_vec(rest, &mut portion, FlushDecompress::None);
        let read = usize::try_from(decompress.total_in() - read).unwrap_or(usize::MAX);
        rest = rest.get(read..).unwrap_or_default();
        out.push(&portion)?;
        match status {
            Ok(Status::StreamEnd) if rest.is_empty() => return Ok(out.into_bytes()),
            Ok(Status::Ok | Status::BufError) if rest.len() != before || !portion.is_empty() => {}
            _ => return Err(DecodeError::Corrupt),
        }
    }
}

#[cfg(test)]
mod tests;
