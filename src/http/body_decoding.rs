//! What the body of a request says: its content coding undone and its characters as UTF-8, as the server has it before it
//! reads JSON (docs/contract.md section 6). Pure functions over a body that was gathered; what goes on to the server is the body
//! as it was sent.

use crate::http::buffered::{Buffer, BufferBudget, BufferError};
use bytes::Bytes;
use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, X_USER_DEFINED};
use flate2::{Decompress, FlushDecompress, Status, bufread::MultiGzDecoder};
use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};
use std::{borrow::Cow, io::Read};

/// How much room a decoded body gets at a time, in bytes.
const PORTION: usize = 64 << 10;
/// What browsers know by names that Python does not.
static UNKNOWN_TO_PYTHON: [&Encoding; 4] = [UTF_16LE, UTF_16BE, REPLACEMENT, X_USER_DEFINED];

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

/// What a charset makes of bytes.
enum Text {
    /// A part of the bytes, or all.
    Same(Bytes),
    /// A text of its own.
    Other(String),
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
    let mut found = None;
    for value in headers.get_all(CONTENT_ENCODING) {
        let names = value.to_str().map_err(|_| DecodeError::Coding)?;
        for name in names.split(',').map(str::trim) {
            // A charset is no coding. Clients write one here by mistake, and the server passes it over.
            if name.is_empty()
                || name.eq_ignore_ascii_case("identity")
                || Encoding::for_label(name.as_bytes()).is_some()
            {
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
    Ok(found)
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

/// How characters are written, by the name that Python knows it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Charset {
    Utf8,
    /// UTF-8 that may begin with a byte order mark, which is no character then.
    Utf8Marked,
    Ascii,
    /// Every byte is the character of its number, which is not what browsers take it for.
    Latin1,
    /// The byte order mark tells the order; little end first without one.
    Utf16,
    /// One of a known order, or of a single byte; a byte order mark is a character.
    Other(&'static Encoding),
}

/// The charset that `Content-Type` names. Bytes are not looked at: a byte order mark, or the zeros of UTF-16, tell the
/// server nothing either.
fn charset(headers: &HeaderMap) -> Result<Charset, DecodeError> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let (first, second) = (values.next(), values.next());
    if second.is_some() {
        // The server refuses it.
        return Err(DecodeError::Charset);
    }
    let Some(value) = first else {
        return Ok(Charset::Utf8);
    };
    let value = String::from_utf8_lossy(value.as_bytes());
    for parameter in parts(&value).skip(1) {
        let Some((name, label)) = parameter.split_once('=') else {
            continue;
        };
        let name = name.trim().to_ascii_lowercase();
        if name == "charset" {
            return Charset::named(label);
        }
        // In pieces or encoded (RFC 2231).
        if name.starts_with("charset*") {
            return Err(DecodeError::Charset);
        }
    }
    Ok(Charset::Utf8)
}

/// What stands between the semicolons that are in no quotes.
fn parts(value: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |character| {
        let is_escaped = std::mem::take(&mut escaped);
        match character {
            _ if is_escaped => {}
            '\\' => escaped = quoted,
            '"' => quoted = !quoted,
            ';' => return !quoted,
            _ => {}
        }
        false
    })
}

impl Charset {
    fn named(label: &str) -> Result<Self, DecodeError> {
        // As Python has it: letters and digits count, and that there is something between them.
        let words = label.split(|character: char| !character.is_alphanumeric() && character != '.');
        let words: Vec<_> = words
            .filter(|word| !word.is_empty())
            .map(str::to_ascii_lowercase)
            .collect();
        Ok(match words.join("-").as_str() {
            "" | "utf-8" | "utf8" | "utf" | "u8" => Self::Utf8,
            "utf-8-sig" => Self::Utf8Marked,
            "ascii" | "us-ascii" => Self::Ascii,
            "iso-8859-1" | "iso8859-1" | "latin-1" | "latin1" | "latin" | "l1" | "cp819" => Self::Latin1,
            "utf-16" | "utf16" | "u16" => Self::Utf16,
            "utf-16le" | "utf-16-le" => Self::Other(UTF_16LE),
            "utf-16be" | "utf-16-be" => Self::Other(UTF_16BE),
            other => match Encoding::for_label(other.as_bytes()) {
                Some(encoding) if !UNKNOWN_TO_PYTHON.contains(&encoding) => Self::Other(encoding),
                _ => return Err(DecodeError::Charset),
            },
        })
    }

    fn text(self, bytes: &Bytes) -> Result<Text, DecodeError> {
        let strictly = |encoding: &'static Encoding, bytes: &Bytes| {
            let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
            match text.ok_or(DecodeError::NotText)? {
                Cow::Borrowed(_) => Ok(Text::Same(bytes.clone())),
                Cow::Owned(text) => Ok(Text::Other(text)),
            }
        };
        match self {
            Self::Utf8 => match std::str::from_utf8(bytes) {
                Ok(_) => Ok(Text::Same(bytes.clone())),
                Err(_) => Err(DecodeError::NotText),
            },
            Self::Utf8Marked => {
                let text = match bytes.starts_with(b"\xef\xbb\xbf") {
                    true => bytes.slice(3..),
                    false => bytes.clone(),
                };
                Self::Utf8.text(&text)
            }
            Self::Ascii if bytes.is_ascii() => Ok(Text::Same(bytes.clone())),
            Self::Ascii => Err(DecodeError::NotText),
            Self::Latin1 => Ok(Text::Other(encoding_rs::mem::decode_latin1(bytes).into_owned())),
            Self::Utf16 => match Encoding::for_bom(bytes) {
                Some((encoding, mark)) if encoding != UTF_8 => strictly(encoding, &bytes.slice(mark..)),
                _ => strictly(UTF_16LE, bytes),
            },
            Self::Other(encoding) => strictly(encoding, bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{
        Compression,
        write::{DeflateEncoder, GzEncoder, ZlibEncoder},
    };
    use std::io::Write;

    const TEXT: &str = r#"{"prompt_id": "é"}"#;
    const LIMIT: usize = 1 << 10;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).expect("written");
        encoder.finish().expect("gzip")
    }

    fn zlib(text: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).expect("written");
        encoder.finish().expect("zlib")
    }

    fn raw(text: &[u8]) -> Vec<u8> {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(text).expect("written");
        encoder.finish().expect("deflate")
    }

    fn said(headers: &[(&'static str, &str)], body: impl AsRef<[u8]>) -> Result<String, DecodeError> {
        let mut map = HeaderMap::new();
        for &(name, value) in headers {
            map.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        let body = Bytes::copy_from_slice(body.as_ref());
        decode(&map, &body, LIMIT, &BufferBudget::new(4 * LIMIT))
            .map(|text| String::from_utf8(text.to_vec()).expect("UTF-8"))
    }

    fn coded(codings: &[&str], body: impl AsRef<[u8]>) -> Result<String, DecodeError> {
        let headers: Vec<_> = codings.iter().map(|coding| ("content-encoding", *coding)).collect();
        said(&headers, body)
    }

    fn utf16(text: &str, bytes: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn a_coding_that_the_server_undoes_is_undone() {
        let text = TEXT.as_bytes();
        let (first, second) = text.split_at(5);
        for (codings, body) in [
            (&[][..], text.to_vec()),
            (&["identity"], text.to_vec()),
            (&[""], text.to_vec()),
            (&["utf-8"], text.to_vec()),
            (&["gzip"], gzip(text)),
            (&["GZip "], gzip(text)),
            (&["identity", "gzip"], gzip(text)),
            (&["gzip"], [gzip(first), gzip(second)].concat()),
            (&["deflate"], zlib(text)),
            (&["deflate"], raw(text)),
        ] {
            assert_eq!(coded(codings, &body).as_deref(), Ok(TEXT), "{codings:?}");
        }
        for coding in ["gzip", "br", "nonsense"] {
            assert_eq!(
                coded(&[coding], "").as_deref(),
                Ok(""),
                "no bytes say nothing: {coding}"
            );
        }
        assert_eq!(coded(&["gzip"], gzip(b"")).as_deref(), Ok(""));
    }

    #[test]
    fn a_coding_that_the_server_does_not_undo_is_an_error() {
        for codings in [
            &["br"][..],
            &["zstd"],
            &["x-gzip"],
            &["compress"],
            &["nonsense"],
            &["gzip, gzip"],
            &["gzip", "gzip"],
            &["gzip, br"],
            &["é"],
        ] {
            for body in [gzip(&gzip(TEXT.as_bytes())), TEXT.into()] {
                assert_eq!(coded(codings, body), Err(DecodeError::Coding), "{codings:?}");
            }
        }
    }

    #[test]
    fn what_is_not_what_its_coding_says_or_breaks_off_is_an_error() {
        let (gzip, zlib, raw) = (gzip(TEXT.as_bytes()), zlib(TEXT.as_bytes()), raw(TEXT.as_bytes()));
        for (coding, body) in [("gzip", &gzip), ("deflate", &zlib), ("deflate", &raw)] {
            for end in 1..body.len() {
                let cut = coded(&[coding], &body[..end]);
                assert_eq!(cut, Err(DecodeError::Corrupt), "{coding}, {end} of {}", body.len());
            }
            let longer = [body.as_slice(), b"more"].concat();
            assert_eq!(coded(&[coding], longer), Err(DecodeError::Corrupt), "{coding} and more");
            assert_eq!(
                coded(&[coding], TEXT),
                Err(DecodeError::Corrupt),
                "plain, said to be {coding}"
            );
        }
        assert_eq!(coded(&["deflate"], &gzip), Err(DecodeError::Corrupt));
        assert_eq!(coded(&["gzip"], &zlib), Err(DecodeError::Corrupt));
        let mut wrong_sum = gzip.clone();
        let at = wrong_sum.len() - 6;
        wrong_sum[at] ^= 1;
        assert_eq!(coded(&["gzip"], wrong_sum), Err(DecodeError::Corrupt));
    }

    #[test]
    fn the_limit_counts_decoded_bytes() {
        let (fits, over) = (vec![b' '; LIMIT], vec![b' '; LIMIT + 1]);
        let bomb = vec![b' '; 64 << 20];
        let too_large = Err(DecodeError::TooLarge { limit: LIMIT });
        for (coding, code) in [
            ("gzip", gzip as fn(&[u8]) -> Vec<u8>),
            ("deflate", zlib),
            ("deflate", raw),
        ] {
            assert_eq!(
                coded(&[coding], code(&fits)).map(|text| text.len()),
                Ok(LIMIT),
                "{coding}"
            );
            assert_eq!(coded(&[coding], code(&over)), too_large, "{coding}");
            assert_eq!(coded(&[coding], code(&bomb)), too_large, "{coding}");
        }
        // Two bytes in UTF-8 for one.
        let latin1 = [("content-type", "text/plain; charset=latin1")];
        assert_eq!(said(&latin1, vec![0xe9; LIMIT / 2]).map(|text| text.len()), Ok(LIMIT));
        assert_eq!(said(&latin1, vec![0xe9; LIMIT / 2 + 1]), too_large);
    }

    #[test]
    fn characters_are_read_as_the_charset_says() {
        let big = utf16(TEXT, u16::to_be_bytes);
        let little = utf16(TEXT, u16::to_le_bytes);
        let marked = [b"\xef\xbb\xbf", TEXT.as_bytes()].concat();
        let latin1: Vec<u8> = TEXT.chars().map(|character| character as u8).collect();
        for (charset, body) in [
            ("", TEXT.into()),
            ("utf-8", TEXT.into()),
            ("UTF_8", TEXT.into()),
            ("\"utf-8\"", TEXT.into()),
            ("'utf8'", TEXT.into()),
            ("utf-8-sig", TEXT.into()),
            ("utf-8-sig", marked),
            ("utf-16", little.clone()),
            ("UTF-16", [b"\xff\xfe", little.as_slice()].concat()),
            ("utf-16", [b"\xfe\xff", big.as_slice()].concat()),
            ("utf-16le", little.clone()),
            ("UTF_16_BE", big),
            ("iso-8859-1", latin1.clone()),
            ("latin1", latin1.clone()),
            ("windows-1252", latin1),
            ("gbk", b"{\"prompt_id\": \"\xa8\xa6\"}".to_vec()),
        ] {
            let content_type = format!("application/json; charset={charset}");
            let headers = [("content-type", content_type.as_str())];
            assert_eq!(said(&headers, &body).as_deref(), Ok(TEXT), "{charset}");
            let headers = [headers[0], ("content-encoding", "gzip")];
            assert_eq!(said(&headers, gzip(&body)).as_deref(), Ok(TEXT), "{charset} in gzip");
        }
        for content_type in [
            "application/json;charset=utf-16",
            "application/json ; CHARSET = utf-16",
            "application/json; x=1; charset=\"utf\\-16\"; y=2;",
            "application/json; charset=utf-16; charset=utf-8",
            "application/json;; x=\"; charset=utf-8\"; charset=utf-16",
            "; charset=utf-16",
        ] {
            assert_eq!(
                said(&[("content-type", content_type)], &little).as_deref(),
                Ok(TEXT),
                "{content_type}"
            );
        }
        for content_type in [
            "application/json",
            "charset=utf-16",
            "application/json, charset=utf-16",
            "é",
        ] {
            assert_eq!(
                said(&[("content-type", content_type)], TEXT).as_deref(),
                Ok(TEXT),
                "{content_type}"
            );
        }
    }

    #[test]
    fn a_charset_that_is_not_known_is_an_error() {
        for content_type in [
            "application/json; charset=nonsense",
            "application/json; charset=utf-7",
            "application/json; charset=utf-32",
            "application/json; charset=unicode",
            "application/json; charset=x-user-defined",
            "application/json; charset=iso-2022-kr",
            "application/json; charset*=us-ascii''utf-16",
            "application/json; charset*0=utf; charset*1=-16",
        ] {
            let headers = [("content-type", content_type)];
            assert_eq!(said(&headers, TEXT), Err(DecodeError::Charset), "{content_type}");
        }
        let twice = [
            ("content-type", "application/json"),
            ("content-type", "application/json"),
        ];
        assert_eq!(said(&twice, TEXT), Err(DecodeError::Charset));
    }

    #[test]
    fn bytes_that_are_not_in_the_charset_are_an_error() {
        for (charset, body) in [
            ("utf-8", &b"\xff"[..]),
            ("utf-8", b"\"\xed\xa0\x80\""),
            ("utf-8", b"\xff\xfe{\0}\0"),
            ("ascii", TEXT.as_bytes()),
            ("utf-16", b"{\0}"),
            ("utf-16le", b"\x3d\xd8"),
            ("gbk", b"\"\xff\""),
        ] {
            let content_type = format!("application/json; charset={charset}");
            let headers = [("content-type", content_type.as_str())];
            assert_eq!(said(&headers, body), Err(DecodeError::NotText), "{charset} {body:?}");
        }
    }

    #[test]
    fn headers_are_made_those_of_a_decoded_body() {
        for (before, after) in [
            (None, None),
            (Some("text/plain"), Some("text/plain")),
            (Some("text/plain; charset=utf-8"), Some("text/plain; charset=utf-8")),
            (
                Some("text/plain; charset=utf-16"),
                Some("application/json; charset=utf-8"),
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            headers.extend(before.map(|value| (CONTENT_TYPE, HeaderValue::from_static(value))));
            set_decoded(&mut headers);
            let expected: Vec<_> = after.into_iter().collect();
            let found: Vec<_> = headers.values().filter_map(|value| value.to_str().ok()).collect();
            assert_eq!(found, expected);
        }
    }
}
