//! How the characters of a body are written, by the names that Python knows.

use super::DecodeError;
use bytes::Bytes;
use encoding_rs::{Encoding, REPLACEMENT, UTF_8, UTF_16BE, UTF_16LE, X_USER_DEFINED};
use http::{HeaderMap, header::CONTENT_TYPE};
use std::borrow::Cow;

/// What browsers know by names that Python does not.
static UNKNOWN_TO_PYTHON: [&Encoding; 4] = [UTF_16LE, UTF_16BE, REPLACEMENT, X_USER_DEFINED];

/// What a charset makes of bytes.
pub(super) enum Text {
    /// A part of the bytes, or all.
    Same(Bytes),
    /// A text of its own.
    Other(String),
}

/// How characters are written, by the name that Python knows it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Charset {
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
pub(super) fn charset(headers: &HeaderMap) -> Result<Charset, DecodeError> {
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

    pub(super) fn text(self, bytes: &Bytes) -> Result<Text, DecodeError> {
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
