//! `history.keep`: for how long jobs are kept, how many, and in how many bytes.

use super::{invalid_value::InvalidValue, number};
use std::time::Duration;

/// What is kept of a history. All three are limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepLimits {
    /// How long ago a job may have ended.
    pub time: Duration,
    /// How many jobs.
    pub jobs: usize,
    /// What their details may take where they are stored, in bytes.
    pub bytes: u64,
}

/// Where the setting names no limit of a kind.
const UNNAMED: KeepLimits = KeepLimits {
    time: Duration::from_secs(365 * 86_400),
    jobs: 10_000,
    bytes: 2 << 30,
};

/// Such as `30d`, `10000 jobs`, `2GiB`, or some of them with commas between.
pub(crate) fn keep(text: &str) -> Result<Option<KeepLimits>, InvalidValue> {
    if text == "off" {
        return Ok(None);
    }
    let mut limits = UNNAMED;
    let mut named = [false; 3];
    for part in text.split(',').map(str::trim) {
        let jobs = part.strip_suffix("jobs").map(str::trim_end);
        let (nth, is_read) = if let Some(jobs) = jobs {
            (0, number::count(jobs).map(|jobs| limits.jobs = jobs).is_ok())
        } else if let Ok(time) = number::long_duration(part) {
            limits.time = time;
            (1, true)
        } else {
            (2, number::size(part).map(|bytes| limits.bytes = bytes as u64).is_ok())
        };
        // A number alone would be bytes, and mean jobs or days to most who write it.
        let is_bare = part.bytes().all(|byte| byte.is_ascii_digit());
        let is_again = named.get_mut(nth).is_some_and(|named| std::mem::replace(named, true));
        if !is_read || is_bare || is_again {
            return Err("off is expected, or limits such as 30d, 10000 jobs or 2GiB, with commas between".into());
        }
    }
    Ok(Some(limits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_of_three_kinds_are_read_each_once() {
        let day = Duration::from_secs(86_400);
        assert_eq!(keep("off").ok(), Some(None));
        let limits = |text| keep(text).ok().flatten();
        assert_eq!(
            limits("30d"),
            Some(KeepLimits {
                time: 30 * day,
                ..UNNAMED
            })
        );
        assert_eq!(
            limits("12h"),
            Some(KeepLimits {
                time: day / 2,
                ..UNNAMED
            })
        );
        assert_eq!(limits("500 jobs"), Some(KeepLimits { jobs: 500, ..UNNAMED }));
        let all = KeepLimits {
            time: day,
            jobs: 7,
            bytes: 2 << 30,
        };
        assert_eq!(limits("7jobs, 1d ,2GiB"), Some(all));
        for wrong in ["", "on", "30", "30d, 2d", "0 jobs", "0d", "30d,", "2GB", "jobs", "1 d"] {
            assert!(keep(wrong).is_err(), "{wrong}");
        }
    }
}
