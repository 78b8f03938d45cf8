//! What a text or a part of it is: whole values, members, elements, and strings with their escapes.

use super::{
    grammar,
    scanner::{ScanError, Scanner, Span},
};
use std::{borrow::Cow, cmp::Ordering};

/// Passes over one whole text: exactly one value, and nothing after it.
pub fn check(text: &[u8]) -> Result<Span, ScanError> {
    let mut scanner = Scanner::new(text);
    let span = scanner.value()?;
    scanner.end()?;
    Ok(span)
}

/// Calls `visit` with the key (without quotes) and value of every member of the object `text`; does nothing for a
/// value of another kind.
pub fn members<'a>(text: &'a [u8], mut visit: impl FnMut(&'a [u8], &'a [u8])) -> Result<(), ScanError> {
    let mut scanner = Scanner::new(text);
    if scanner.peek() != Some(b'{') {
        return Ok(());
    }
    scanner.members(|scanner, key| {
        visit(key.of(text), scanner.value()?.of(text));
        Ok(())
    })
}

/// Calls `visit` with every element of the array `text`; does nothing for a value of another kind.
pub fn elements<'a>(text: &'a [u8], mut visit: impl FnMut(&'a [u8])) -> Result<(), ScanError> {
    let mut scanner = Scanner::new(text);
    if scanner.peek() != Some(b'[') {
        return Ok(());
    }
    scanner.elements(|scanner| {
        visit(scanner.value()?.of(text));
        Ok(())
    })
}

/// Whether a key's text (without quotes) spells `name`, escapes taken into account.
pub fn key_is(raw: &[u8], name: &str) -> bool {
    match raw.len().cmp(&name.len()) {
        Ordering::Less => false,
        Ordering::Equal => raw == name.as_bytes(),
        // Whatever has an escape is longer than what it spells.
        Ordering::Greater => raw.contains(&b'\\') && decode(raw).as_deref() == Some(name),
    }
}

/// The string that `raw` (without quotes) spells; `None` when it is no Unicode text, such as half a surrogate pair.
pub fn decode(raw: &[u8]) -> Option<String> {
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(raw);
    quoted.push(b'"');
    serde_json::from_slice(&quoted).ok()
}

/// The string that a JSON string value spells; `None` for another kind of value.
pub fn string_value(text: &[u8]) -> Option<String> {
    spelt(text).map(Cow::into_owned)
}

/// The string that a JSON string value spells, copied only where it has escapes; `None` for another kind of value.
pub(crate) fn spelt(text: &[u8]) -> Option<Cow<'_, str>> {
    let inner = text.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    if let Some(inner) = inner.filter(|inner| grammar::plain(inner).is_empty()) {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice(text).ok().map(Cow::Owned)
}

/// A string as a JSON string.
pub(crate) fn quoted(text: &str) -> String {
    // No text fails to be written.
    serde_json::to_string(text).unwrap_or_default()
}
