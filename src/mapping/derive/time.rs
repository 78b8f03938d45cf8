//! Times: milliseconds, and RFC 3339 text.

use jiff::{SignedDuration, civil::date};

/// Seconds become milliseconds; milliseconds stay as they were written.
pub(super) fn milliseconds(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    if number.abs() < 1e11 {
        return Some(format!("{:.0}", number * 1000.0));
    }
    Some(text.to_owned())
}

pub(super) fn rfc3339(text: &[u8]) -> Option<String> {
    let ms: f64 = milliseconds(text)?.parse().ok()?;
    Some(format!("\"{}\"", rfc3339_from_ms(ms)?))
}

/// A time in ms since 1970 as RFC 3339 writes it; `None` for a year that it cannot write.
pub fn rfc3339_from_ms(ms: f64) -> Option<String> {
    // Years 0 to 9999: what RFC 3339 section 5.6 can write.
    if !(-62_167_219_200_000.0..253_402_300_800_000.0).contains(&ms) {
        return None;
    }
    // Not `jiff::Timestamp`: it ends a day before the year 9999 does.
    let since_1970 = SignedDuration::from_millis(ms.floor() as i64);
    let time = date(1970, 1, 1).at(0, 0, 0, 0).checked_add(since_1970).ok()?;
    Some(format!("{time:.3}Z"))
}
