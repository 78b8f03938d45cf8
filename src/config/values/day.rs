//! Days.

use super::invalid_value::InvalidValue;

/// A day as `2026-03-31` or a Unix time, in seconds since 1970; `off` for none.
pub(crate) fn day_or_off(text: &str) -> Result<Option<u64>, InvalidValue> {
    if text == "off" {
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

/// Midnight UTC of `YYYY-MM-DD`, from 1970 on: Howard Hinnant's `days_from_civil`.
fn day(text: &str) -> Option<u64> {
    let mut parts = text.split('-').map(|part| part.parse::<u64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u64::from(leap),
        _ => 31,
    };
    let sound = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=days).contains(&day);
    if !sound || parts.next().is_some() {
        return None;
    }
    let (year, from_march) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let day_of_year = (153 * from_march + 2) / 5 + day - 1;
    let before = year * 365 + year / 4 - year / 100 + year / 400;
    Some((before + day_of_year - 719_468) * 86_400)
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
