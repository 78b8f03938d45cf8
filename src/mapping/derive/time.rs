//! Times: milliseconds, and RFC 3339 text.

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
    Some(format!("\"{}\"", moment(ms)?))
}

/// A time in ms since 1970 as RFC 3339 writes it; `None` for a year that it cannot write.
///
/// The civil date by Howard Hinnant's `days_from_civil` inverted: exact for every day, with no time zone data.
pub fn moment(ms: f64) -> Option<String> {
    // Years 0 to 9999: what RFC 3339 section 5.6 can write.
    if !(-62_167_219_200_000.0..253_402_300_800_000.0).contains(&ms) {
        return None;
    }
    let ms = ms.floor() as i64;
    let (day, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let shifted = day + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60);
    let fraction = in_day % 1000;
    Some(format!(
        "{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z"
    ))
}
