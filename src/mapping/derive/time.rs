//! Times: milliseconds, and RFC 3339 text.

use jiff::{
    SignedDuration,
    civil::{Date, date},
};

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

/// A time as RFC 3339 text, in ms since 1970; parts of a ms are left out. `None` for what is no such text.
pub(super) fn ms_from_rfc3339(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?.trim_matches('"');
    let (day, time) = text.split_once(['T', 't', ' '])?;
    let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
        true => text.parse::<i64>().ok(),
        false => None,
    };
    let parts = |text: &str, between: char| {
        let mut parts = text.splitn(3, between).map(number);
        Some((parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?))
    };
    let (year, month, day) = parts(day, '-')?;
    let (clock, offset) = match time.find(['Z', 'z', '+', '-']) {
        Some(at) => time.split_at(at),
        // Without a word on that it is UTC, as Python writes times of no zone.
        None => (time, "Z"),
    };
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, "0"));
    let (hours, minutes, seconds) = parts(clock, ':')?;
    let thousandths = number(&format!("{:0<3}", fraction.get(..3).unwrap_or(fraction)))?;
    let ahead = match offset.split_at_checked(1)? {
        ("+", ahead) => parts(ahead, ':').map(|(hours, minutes, _)| hours * 60 + minutes)?,
        ("-", behind) => parts(behind, ':').map(|(hours, minutes, _)| -(hours * 60 + minutes))?,
        (_, "") => 0,
        _ => return None,
    };
    let day = Date::new(year.try_into().ok()?, month.try_into().ok()?, day.try_into().ok()?).ok()?;
    let days = day.duration_since(date(1970, 1, 1)).as_secs() / 86_400;
    let of_day = (hours * 60 + minutes - ahead) * 60 + seconds;
    Some(((days * 86_400 + of_day) * 1000 + thousandths).to_string())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3339_becomes_milliseconds() {
        for (text, ms) in [
            ("2026-11-28T05:17:00.386961+00:00", Some("1795843020386")),
            ("2026-11-28T05:17:00Z", Some("1795843020000")),
            ("2026-11-28T06:17:00.5+01:00", Some("1795843020500")),
            ("2026-11-28 04:47:00.05-00:30", Some("1795843020050")),
            ("2026-11-28T05:17:00", Some("1795843020000")),
            ("1969-12-31T23:59:59.999Z", Some("-1")),
            ("2026-13-28T05:17:00Z", None),
            ("2026-11-28T05:17:00Zulu", None),
            ("2026-11-28", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(
                ms_from_rfc3339(format!("\"{text}\"").as_bytes()).as_deref(),
                ms,
                "{text}"
            );
        }
    }
}
