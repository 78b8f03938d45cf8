//! Numbers: times, sizes and counts.

use super::invalid_value::InvalidValue;
use std::time::Duration;

/// As programs beside this one have them: `64M` is `64MiB`. `64MB` would be less to some readers.
const SIZES: [(&str, u64); 7] = [
    ("", 1),
    ("K", 1 << 10),
    ("KiB", 1 << 10),
    ("M", 1 << 20),
    ("MiB", 1 << 20),
    ("G", 1 << 30),
    ("GiB", 1 << 30),
];

/// A number and a unit, without which a number would mean something else to every reader.
fn with_unit<'a>(text: &'a str, units: &[(&str, u64)]) -> Option<(u64, &'a str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(known, _)| known.eq_ignore_ascii_case(unit))?;
    Some((number.parse::<u64>().ok()?.checked_mul(*factor)?, unit))
}

pub(crate) fn duration(text: &str) -> Result<Duration, InvalidValue> {
    match with_unit(text, &[("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)]) {
        Some((ms, _)) if ms > 0 => Ok(Duration::from_millis(ms)),
        _ => Err("a time above zero is expected, such as 500ms, 5s or 2m".into()),
    }
}

/// The same, also in days.
pub(crate) fn long_duration(text: &str) -> Result<Duration, InvalidValue> {
    match with_unit(text, &[("d", 86_400_000)]) {
        Some((ms, _)) if ms > 0 => Ok(Duration::from_millis(ms)),
        _ => duration(text),
    }
}

pub(crate) fn duration_or_none(text: &str) -> Result<Duration, InvalidValue> {
    match with_unit(
        text,
        &[("", 0), ("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000)],
    ) {
        Some((ms, unit)) if !unit.is_empty() || text == "0" => Ok(Duration::from_millis(ms)),
        _ => Err("a time is expected, such as 0s, 500ms or 2m".into()),
    }
}

pub(crate) fn size(text: &str) -> Result<usize, InvalidValue> {
    let bytes = with_unit(text, &SIZES);
    match bytes.and_then(|(bytes, _)| usize::try_from(bytes).ok()) {
        Some(bytes) if bytes > 0 => Ok(bytes),
        _ => Err("a size above zero is expected, such as 65536, 64KiB or 256MiB".into()),
    }
}

pub(crate) fn size_or_none(text: &str) -> Result<usize, InvalidValue> {
    if text == "0" { Ok(0) } else { size(text) }
}

pub(crate) fn concurrency(text: &str) -> Result<usize, InvalidValue> {
    match text.parse() {
        Ok(number) if (1..=256).contains(&number) => Ok(number),
        _ => Err("a whole number from 1 to 256 is expected".into()),
    }
}

pub(crate) fn count(text: &str) -> Result<usize, InvalidValue> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("a whole number above zero is expected".into()),
    }
}

pub(crate) fn count_or_none(text: &str) -> Result<usize, InvalidValue> {
    if text == "0" { Ok(0) } else { count(text) }
}

/// A map of headers has room for some thirty thousand; nobody sends as many.
pub(crate) fn header_count(text: &str) -> Result<usize, InvalidValue> {
    match text.parse() {
        Ok(number) if (1..=1000).contains(&number) => Ok(number),
        _ => Err("a whole number from 1 to 1000 is expected".into()),
    }
}

/// hyper takes no longer ones than 65534 bytes.
pub(crate) fn uri_size(text: &str) -> Result<usize, InvalidValue> {
    match size(text)? {
        size if size <= 60 << 10 => Ok(size),
        _ => Err("a size of at most 60KiB is expected".into()),
    }
}

pub(crate) fn verbosity(text: &str) -> Result<u8, InvalidValue> {
    text.parse().map_err(|_| "0, 1 or 2 is expected".into())
}
