//! How often something happened in the last hour and the last day: counts by minute and by hour, so that what is old falls
//! out. Only times in which something happened take room.

use serde::{Deserialize, Serialize};
use std::{collections::VecDeque, time::Duration};

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// Which of the two is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The last hour.
    Hour,
    /// The last day.
    Day,
}

/// How one client uses one route. Times in ms since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Requests.
    pub count: u64,
    /// Those that were answered from the Jobs API: a failure is no answer.
    pub translated: u64,
    /// Those whose answer was a 5xx.
    #[serde(default)]
    pub failed: u64,
    /// The first one.
    pub first_seen_ms: u64,
    /// The last one.
    pub last_seen_ms: u64,
    /// What [`super::Clients::watched_ms`] was at the last one.
    #[serde(default)]
    pub last_watched_ms: u64,
}

/// Requests of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub count: u64,
    /// Those that were answered from the Jobs API.
    pub translated: u64,
    /// Those whose answer was a 5xx.
    pub failed: u64,
}

/// The counts of the last hour, and of the last day.
#[derive(Debug, Default)]
pub(super) struct Recent {
    hour: Window<60>,
    day: Window<24>,
}

/// How one client uses one route, in all and lately.
#[derive(Debug)]
pub(super) struct Tally {
    /// In all.
    pub(super) used: Use,
    /// Lately.
    pub(super) recent: Recent,
}

impl From<Use> for Tally {
    fn from(used: Use) -> Self {
        let recent = Recent::default();
        Self { used, recent }
    }
}

/// The last `N` periods, and the one that has begun.
#[derive(Debug, Default)]
struct Window<const N: u32>(VecDeque<Period>);

/// What came in one period: in small numbers, as there may be many thousands.
#[derive(Debug, Default)]
struct Period {
    number: u32,
    count: u32,
    translated: u32,
    failed: u32,
}

impl Period {
    fn add(&mut self, counts: Counts) {
        for (count, more) in [
            (&mut self.count, counts.count),
            (&mut self.translated, counts.translated),
            (&mut self.failed, counts.failed),
        ] {
            *count = count.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        }
    }
}

impl Use {
    /// What came of it since `before`.
    pub(super) fn since(&self, before: &Self) -> Counts {
        Counts {
            count: self.count.saturating_sub(before.count),
            translated: self.translated.saturating_sub(before.translated),
            failed: self.failed.saturating_sub(before.failed),
        }
    }
}

impl Counts {
    /// Both.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            translated: self.translated + other.translated,
            failed: self.failed + other.failed,
        }
    }
}

impl Recent {
    /// These requests came, this long after the clock began.
    pub(super) fn add(&mut self, at: Duration, counts: Counts) {
        self.hour.add(number(at, MINUTE), counts);
        self.day.add(number(at, HOUR), counts);
    }

    /// What came in the span that ends now.
    pub(super) fn within(&self, span: Span, now: Duration) -> Counts {
        match span {
            Span::Hour => self.hour.sum(number(now, MINUTE)),
            Span::Day => self.day.sum(number(now, HOUR)),
        }
    }
}

fn number(at: Duration, period: Duration) -> u32 {
    u32::try_from(at.as_secs() / period.as_secs()).unwrap_or(u32::MAX)
}

impl<const N: u32> Window<N> {
    fn add(&mut self, number: u32, counts: Counts) {
        while self
            .0
            .front()
            .is_some_and(|period| period.number.saturating_add(N) < number)
        {
            self.0.pop_front();
        }
        match self.0.back_mut() {
            Some(last) if last.number >= number => last.add(counts),
            _ => {
                let mut period = Period {
                    number,
                    ..Period::default()
                };
                period.add(counts);
                self.0.push_back(period);
            }
        }
    }

    fn sum(&self, now: u32) -> Counts {
        let recent = self.0.iter().filter(|period| period.number.saturating_add(N) >= now);
        recent.fold(Counts::default(), |sum, period| {
            sum.plus(Counts {
                count: u64::from(period.count),
                translated: u64::from(period.translated),
                failed: u64::from(period.failed),
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(translated: bool, failed: bool) -> Counts {
        Counts {
            count: 1,
            translated: u64::from(translated),
            failed: u64::from(failed),
        }
    }

    fn counts(recent: &Recent, minutes: u32) -> (u64, u64) {
        let now = MINUTE * minutes;
        let [hour, day] = [Span::Hour, Span::Day].map(|span| recent.within(span, now).count);
        (hour, day)
    }

    #[test]
    fn what_is_older_than_an_hour_or_a_day_falls_out() {
        let mut recent = Recent::default();
        for minute in [0, 0, 30, 70] {
            recent.add(MINUTE * minute, one(true, false));
        }
        assert_eq!(counts(&recent, 70), (2, 4));
        assert_eq!(counts(&recent, 130), (1, 4));
        assert_eq!(counts(&recent, 140), (0, 4));
        assert_eq!(counts(&recent, 25 * 60), (0, 1));
        assert_eq!(counts(&recent, 27 * 60), (0, 0));
    }

    #[test]
    fn it_takes_no_more_room_however_long_it_counts() {
        let mut recent = Recent::default();
        for minute in 0..10_000 {
            recent.add(MINUTE * minute, one(minute % 2 == 0, minute % 4 == 1));
        }
        assert!(recent.hour.0.len() <= 61 && recent.day.0.len() <= 25, "{recent:?}");
        let hour = recent.within(Span::Hour, MINUTE * 9_999);
        let expected = Counts {
            count: 61,
            translated: 30,
            failed: 15,
        };
        assert_eq!((hour.count, hour.translated), (expected.count, expected.translated));
        assert!(hour.failed.abs_diff(expected.failed) <= 1, "{hour:?}");
    }
}
