//! Days.

use super::{invalid_value::InvalidValue, word::is_off};
use jiff::civil::{Date, date};

/// A day as `2026-03-31` or a Unix time, in seconds since 1970; `off` for none.
pub(crate) fn day_or_off(text: &str) -> Result<Option<u64>, InvalidValue> {
    if is_off(text) {
        return Ok(None);
    }
    let seconds = text.parse().ok().filter(|&seconds| seconds < LAST_SECOND);
    match seconds.or_else(|| day(text)) {
        Some(seconds) => Ok(Some(seconds)),
        None => Err("a day such as 2026-03-31, a Unix time, or off is expected".into()),
    }
}

/// The end of the year 9999, after which an HTTP date cannot be written.
const LAST_SECOND: u64 = 253_402_300_800;

/// Midnight UTC of `YYYY-MM-DD`, from 1970 on.
fn day(text: &str) -> Option<u64> {
    let day = Date::strptime("%Y-%m-%d", text).ok()?;
    u64::try_from(day.duration_since(date(1970, 1, 1)).as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_midnight_utc_and_other_days_are_none() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400),
            ("2025-12-01", 1_764_547_200),
            ("9999-12-31", 253_402_214_400),
            ("1764547200", 1_764_547_200),
        ] {
            assert_eq!(day_or_off(text), Ok(Some(seconds)), "{text}");
        }
        assert_eq!(day_or_off("off"), Ok(None));
        for text in [
            "",
            "true",
            "2025-02-29",
            "1969-12-31",
            "2025-13-01",
            "2025-1",
            "2025-01-01-01",
            "99999999999999",
        ] {
            assert!(day_or_off(text).is_err(), "{text}");
        }
    }
}
