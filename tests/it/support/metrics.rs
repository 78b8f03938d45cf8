//! `/metrics`, read by a parser and checked as `promtool check metrics` would.

use super::Client;
use prometheus_parse::{Scrape, Value};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::SocketAddr,
};

/// One reading of all metrics: by name with its labels, such as `up{a="b"}`, in the order of their names.
#[derive(Debug)]
pub struct Metrics {
    pub text: String,
    values: BTreeMap<String, f64>,
}

impl Metrics {
    /// Reads and checks them.
    pub async fn of(client: &Client, admin: SocketAddr) -> Self {
        let reply = client.get(admin, "/metrics").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
        let text = reply.text();
        check(&text);
        let scrape = Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).expect("the text format");
        let mut values = BTreeMap::new();
        for sample in scrape.samples {
            let labels: BTreeMap<_, _> = sample.labels.iter().collect();
            let name = |name: &str| {
                let labels: Vec<_> = labels
                    .iter()
                    .map(|(name, value)| format!("{name}=\"{value}\""))
                    .collect();
                format!("{name}{{{}}}", labels.join(","))
            };
            match &sample.value {
                Value::Counter(value) | Value::Gauge(value) | Value::Untyped(value) => {
                    values.insert(name(&sample.metric), *value);
                }
                Value::Histogram(buckets) => {
                    let last = buckets.last().expect("a bucket");
                    assert!(last.less_than.is_infinite(), "{}", sample.metric);
                    let in_order =
                        buckets.is_sorted_by(|one, other| one.less_than < other.less_than && one.count <= other.count);
                    assert!(in_order, "{}: {buckets:?}", sample.metric);
                    values.insert(name(&format!("{}_bucket", sample.metric)), last.count);
                }
                Value::Summary(_) => panic!("a summary: {}", sample.metric),
            }
        }
        Self { text, values }
    }

    /// The value of a series, such as `jobshim_requests_total{mode="pass"}` with its labels in alphabetical order; 0 for
    /// one that has not counted.
    pub fn value(&self, series: &str) -> f64 {
        self.values.get(series).copied().unwrap_or(0.0)
    }

    /// The sum over all series of a metric whose labels contain `labels`.
    pub fn sum(&self, metric: &str, labels: &str) -> f64 {
        let start = format!("{metric}{{");
        let series = self.values.iter();
        series
            .filter(|(name, _)| name.starts_with(&start) && name.contains(labels))
            .map(|(_, value)| value)
            .sum()
    }
}

/// What `promtool check metrics` objects to, and what a scraper would refuse.
fn check(text: &str) {
    assert!(text.ends_with('\n'), "the last line is cut");
    let mut types = HashMap::new();
    let mut helps = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a type");
            assert!(types.insert(name, kind).is_none(), "two types: {line}");
        } else if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect("a help");
            assert!(!help.is_empty() && helps.insert(name), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').expect("a sample");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(seen.insert(series), "twice: {series}");
            let name = series.split('{').next().expect("a name");
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| {
                name.strip_suffix(suffix)
                    .filter(|base| types.get(base) == Some(&"histogram"))
            });
            let base = base.unwrap_or(name);
            assert!(helps.contains(base), "no help before {line}");
            let kind = *types.get(base).unwrap_or_else(|| panic!("no type before {line}"));
            assert!(base.starts_with("jobshim_") || base.starts_with("process_"), "{line}");
            assert!(
                base.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
                "{line}"
            );
            assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
            for unit in ["milliseconds", "_ms", "minutes", "kilobytes"] {
                assert!(!base.contains(unit), "not a base unit: {base}");
            }
        }
    }
    for (name, kind) in types {
        assert!(helps.contains(name), "no help: {name}");
        if kind == "histogram" {
            let counts = |suffix: &str| {
                seen.iter()
                    .filter(|series| series.starts_with(&format!("{name}{suffix}")))
                    .count()
            };
            assert_eq!(counts("_sum"), counts("_count"), "{name}");
        }
    }
}
