//! Names and values in queries.

use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// A name or value as servers read it: `+` is a space, and what is no UTF-8 is a replacement character.
pub fn decoded(text: &str) -> Cow<'_, str> {
    match text.contains('+') {
        true => Cow::Owned(
            percent_decode_str(&text.replace('+', " "))
                .decode_utf8_lossy()
                .into_owned(),
        ),
        false => percent_decode_str(text).decode_utf8_lossy(),
    }
}
