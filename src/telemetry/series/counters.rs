//! The counters that the page shows over time, as they are at one moment: of one jobshim, or of several together.

use crate::telemetry::{
    histogram::BUCKETS,
    labels::{CacheResult, Source},
    metrics::{Metrics, RequestKind},
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Whose latencies are shown.
pub(super) const SOURCES: [Source; 2] = [Source::JobsApi, Source::Upstream];

/// What was counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Stored", into = "Stored")]
pub(in crate::telemetry) struct Counters {
    /// By the number of [`RequestKind`].
    pub(super) requests: BTreeMap<usize, u64>,
    pub(super) hits: u64,
    pub(super) misses: u64,
    /// How long answers of each of [`SOURCES`] took.
    pub(super) durations: [[u64; BUCKETS]; 2],
}

/// The same for another jobshim, which may be of another version: it passes over words that it does not know.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    requests: BTreeMap<String, u64>,
    hits: u64,
    misses: u64,
    durations: BTreeMap<String, Vec<u64>>,
}

impl Counters {
    /// As `metrics` has them now.
    pub(super) fn at(metrics: &Metrics) -> Self {
        let requests = metrics
            .requests
            .known()
            .map(|(number, counter)| (number, counter.get()));
        let mut durations = [[0; BUCKETS]; 2];
        for (number, histogram) in metrics.durations.known() {
            let source = number % Source::ALL.len();
            let place = SOURCES.iter().position(|&one| one as usize == source);
            if let Some(sums) = place.and_then(|place| durations.get_mut(place)) {
                for (sum, count) in sums.iter_mut().zip(histogram.counts()) {
                    *sum += count;
                }
            }
        }
        Self {
            requests: requests.collect(),
            hits: metrics.cached(CacheResult::Hit),
            misses: metrics.cached(CacheResult::Miss),
            durations,
        }
    }

    /// What was counted since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let requests = self.requests.iter().filter_map(|(&number, &count)| {
            let more = count.saturating_sub(before.requests.get(&number).copied().unwrap_or(0));
            (more > 0).then_some((number, more))
        });
        let mut durations = self.durations;
        for (count, before) in durations.iter_mut().flatten().zip(before.durations.iter().flatten()) {
            *count = count.saturating_sub(*before);
        }
        Self {
            requests: requests.collect(),
            hits: self.hits.saturating_sub(before.hits),
            misses: self.misses.saturating_sub(before.misses),
            durations,
        }
    }

    /// All that either has counted.
    pub(super) fn add(&mut self, other: &Self) {
        for (&number, count) in &other.requests {
            let sum = self.requests.entry(number).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.hits = self.hits.saturating_add(other.hits);
        self.misses = self.misses.saturating_add(other.misses);
        let counts = other.durations.iter().flatten();
        for (sum, count) in self.durations.iter_mut().flatten().zip(counts) {
            *sum = sum.saturating_add(*count);
        }
    }
}

impl From<Counters> for Stored {
    fn from(counters: Counters) -> Self {
        let requests = counters.requests.iter();
        let requests = requests.filter_map(|(&number, &count)| Some((RequestKind::numbered(number)?.words(), count)));
        let durations = SOURCES.iter().zip(counters.durations);
        Self {
            requests: requests.collect(),
            hits: counters.hits,
            misses: counters.misses,
            durations: durations
                .map(|(source, counts)| (source.name().to_owned(), counts.to_vec()))
                .collect(),
        }
    }
}

impl From<Stored> for Counters {
    fn from(stored: Stored) -> Self {
        let requests = stored.requests.iter();
        let requests = requests.filter_map(|(words, &count)| Some((RequestKind::from_words(words)?.number(), count)));
        let mut durations = [[0; BUCKETS]; 2];
        for (source, into) in SOURCES.iter().zip(&mut durations) {
            // By other bounds they would mean something else.
            let counts = stored
                .durations
                .get(source.name())
                .filter(|counts| counts.len() == BUCKETS);
            let counts = counts.into_iter().flatten();
            into.iter_mut().zip(counts).for_each(|(into, count)| *into = *count);
        }
        Self {
            requests: requests.collect(),
            hits: stored.hits,
            misses: stored.misses,
            durations,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_version_counts_besides_is_passed_over() {
        let text = r#"{
            "requests": {"history translate jobs_api 2xx": 3, "history translate oracle 2xx": 5, "queue": 7},
            "hits": 1, "misses": 2, "durations": {"jobs_api": [1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4], "upstream": [7, 7], "oracle": [9]},
            "colour": "red"
        }"#;
        let counters: Counters = serde_json::from_str(text).expect("counters");
        assert_eq!(counters.requests.values().copied().collect::<Vec<_>>(), [3]);
        assert_eq!((counters.hits, counters.misses), (1, 2));
        assert_eq!((counters.durations[0][1], counters.durations[0][15]), (2, 4));
        assert_eq!(counters.durations[1], [0; BUCKETS], "other bounds");
        let again = serde_json::to_string(&counters).expect("JSON");
        assert_eq!(serde_json::from_str::<Counters>(&again).expect("counters"), counters);
    }
}
