//! A latency histogram of atomics: observing takes no lock, and the page reads its buckets, which the library's own
//! does not show.

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// The upper bounds, in seconds; above the last one there is one more bucket.
pub(super) const BOUNDS: [f64; 15] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// How many buckets there are.
pub(super) const BUCKETS: usize = BOUNDS.len() + 1;

/// Durations, by bucket. A clone is the same histogram.
#[derive(Clone, Debug, Default)]
pub struct Histogram(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BOUNDS.partition_point(|&bound| bound < seconds);
        if let Some(bucket) = self.0.buckets.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.0.sum_us.fetch_add(us, Relaxed);
    }

    /// What each bucket holds, not added up.
    pub fn counts(&self) -> [u64; BUCKETS] {
        std::array::from_fn(|bucket| self.0.buckets.get(bucket).map_or(0, |count| count.load(Relaxed)))
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder) -> fmt::Result {
        let counts = self.counts();
        let bounds = BOUNDS.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<(f64, u64)> = bounds.zip(counts).collect();
        let seconds = Duration::from_micros(self.0.sum_us.load(Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(seconds, counts.iter().sum(), &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// The duration, in seconds, that the share `q` of all durations does not exceed, by linear interpolation in its bucket
/// as Prometheus' `histogram_quantile` does; `None` when there is none.
pub(super) fn quantile(counts: &[u64; BUCKETS], q: f64) -> Option<f64> {
    let all: u64 = counts.iter().sum();
    if all == 0 {
        return None;
    }
    let rank = q * all as f64;
    let mut below = 0.0;
    let mut lower = 0.0;
    for (&count, &upper) in counts.iter().zip(&BOUNDS) {
        let count = count as f64;
        if count > 0.0 && below + count >= rank {
            return Some(lower + (upper - lower) * ((rank - below) / count).clamp(0.0, 1.0));
        }
        below += count;
        lower = upper;
    }
    Some(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_goes_to_the_first_bucket_that_is_large_enough() {
        let histogram = Histogram::default();
        for ms in [0, 1, 2, 10, 29_999, 30_000, 30_001] {
            histogram.observe(Duration::from_millis(ms));
        }
        // 0.5 ms: 0; 1 ms: 1; 2.5 ms: 2; 10 ms: 10; 30 s: 29,999 and 30,000; above: 30,001.
        assert_eq!(histogram.counts(), [1, 1, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1]);
    }

    #[test]
    fn a_quantile_lies_within_its_bucket() {
        let mut counts = [0; BUCKETS];
        assert_eq!(quantile(&counts, 0.5), None);
        // A hundred between 10 and 25 ms: half of them by the middle of the bucket.
        counts[5] = 100;
        assert!((quantile(&counts, 0.5).expect("a quantile") - 0.0175).abs() < 1e-9);
        // As many above the last bound: all that can be said of them is the bound.
        counts[15] = 100;
        assert_eq!(quantile(&counts, 0.99), Some(30.0));
    }
}
