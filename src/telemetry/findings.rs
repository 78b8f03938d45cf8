//! What comparisons found: by route how they came out, and which fields are not the same, with one sample each. Bounded:
//! fields are rows of tables, and those beyond the bound are counted together. `/metrics` and the page are read from here.

use super::{health::now_ms, labels::Compared};
use crate::routes::Endpoint;
use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::counter::ConstCounter,
};
use serde::{Serialize, Serializer};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// Fields of a route told apart; all further ones are one.
const MAX_FIELDS: usize = 40;
/// What all fields beyond the bound are called.
pub(super) const OTHER: &str = "(others)";

/// What it means that two answers are not the same somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The translated answer says something else.
    Difference,
    /// It lacks what the Jobs API does not carry.
    Loss,
    /// Two reads of the legacy endpoint show it between themselves, too.
    Noise,
}

/// One place where two answers are not the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The table's row, or in parentheses what stands around the entries.
    pub field: String,
    /// What it means.
    pub kind: Kind,
    /// What stands there.
    pub sample: Sample,
}

/// What two answers say in one place, shortened and without their texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sample {
    /// Where in the entry.
    pub path: String,
    /// What the legacy endpoint says.
    pub forwarded: String,
    /// What the translation says.
    pub translated: String,
}

impl fmt::Display for Sample {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} became {}", self.path, self.forwarded, self.translated)
    }
}

/// What was found on one field: in how many answers, however many jobs in one of them show the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Field {
    /// By [`Kind::Difference`].
    pub differences: u64,
    /// By [`Kind::Loss`].
    pub losses: u64,
    /// By [`Kind::Noise`].
    pub noise: u64,
    /// The last difference; as long as there is none, the last of the others.
    pub sample: Sample,
    /// When that was, in ms since 1970.
    pub last_ms: u64,
}

/// What was found on one route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Found {
    /// How many comparisons came out which way.
    pub compared: BTreeMap<Compared, u64>,
    /// By row of the table.
    pub fields: BTreeMap<String, Field>,
}

impl Found {
    /// How many comparisons came out this way.
    pub fn count(&self, outcome: Compared) -> u64 {
        self.compared.get(&outcome).copied().unwrap_or(0)
    }

    /// How many answers were compared with their translation.
    pub fn answers(&self) -> u64 {
        let compared = [Compared::Same, Compared::Different, Compared::Noise];
        compared.map(|outcome| self.count(outcome)).iter().sum()
    }
}

/// What of a comparison has not been seen on its route before.
#[derive(Debug, PartialEq, Eq)]
pub struct News<'a> {
    /// It is the first that came out so.
    pub outcome: bool,
    /// Fields that differ for the first time.
    pub differing: Vec<&'a Finding>,
}

/// All of it, by route.
#[derive(Debug, Default)]
pub struct Findings(Mutex<BTreeMap<Endpoint, Found>>);

impl Findings {
    /// A comparison came out so, with these findings.
    pub fn note<'a>(&self, route: Endpoint, outcome: Compared, findings: &'a [Finding]) -> News<'a> {
        let mut all = self.0.lock();
        let found = all.entry(route).or_default();
        let count = found.compared.entry(outcome).or_default();
        *count += 1;
        let mut news = News {
            outcome: *count == 1,
            differing: Vec::new(),
        };
        let mut counted = BTreeSet::new();
        for finding in findings {
            let known = found.fields.contains_key(&finding.field) || found.fields.len() < MAX_FIELDS;
            let name = if known { finding.field.as_str() } else { OTHER };
            if !counted.insert((name, finding.kind)) {
                continue;
            }
            let field = found.fields.entry(name.to_owned()).or_default();
            if finding.kind == Kind::Difference || field.differences == 0 {
                field.sample = finding.sample.clone();
                field.last_ms = now_ms();
            }
            match finding.kind {
                Kind::Loss => field.losses += 1,
                Kind::Noise => field.noise += 1,
                Kind::Difference => {
                    field.differences += 1;
                    if field.differences == 1 {
                        news.differing.push(finding);
                    }
                }
            }
        }
        news
    }

    /// Begins anew: what was found says nothing of other tables.
    pub fn forget(&self) {
        self.0.lock().clear();
    }

    /// As they are now.
    pub fn by_route(&self) -> BTreeMap<Endpoint, Found> {
        self.0.lock().clone()
    }
}

/// The counts for `/metrics`.
impl Collector for Findings {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let all = self.0.lock();
        let of = |route: &Endpoint| ("route", route.name());
        let outcomes = all.iter().flat_map(|(route, found)| {
            let outcomes = found.compared.iter();
            outcomes.map(move |(outcome, count)| ([of(route), ("outcome", outcome.name())], *count))
        });
        let fields = all.iter().flat_map(|(route, found)| {
            let differing = found.fields.iter().filter(|(_, field)| field.differences > 0);
            differing.map(move |(name, field)| ([of(route), ("field", name.as_str())], field.differences))
        });
        counters(
            &mut encoder,
            "shadow_comparisons",
            "Legacy answers compared with their translation, by route and how that came out",
            outcomes,
        )?;
        counters(
            &mut encoder,
            "shadow_differences",
            "Answers in which a field differed, by route and path; at most forty paths a route, all others as one",
            fields,
        )
    }
}

fn counters<'a>(
    encoder: &mut DescriptorEncoder,
    name: &str,
    help: &str,
    series: impl Iterator<Item = ([(&'static str, &'a str); 2], u64)>,
) -> fmt::Result {
    let kind = ConstCounter::new(0_u64).metric_type();
    let mut family = encoder.encode_descriptor(name, help, None, kind)?;
    for (labels, count) in series {
        ConstCounter::new(count).encode(family.encode_family(&labels)?)?;
    }
    Ok(())
}

impl Serialize for Compared {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(field: &str, kind: Kind, translated: &str) -> Finding {
        Finding {
            field: field.to_owned(),
            kind,
            sample: Sample {
                path: format!("{field}.x"),
                forwarded: "1".to_owned(),
                translated: translated.to_owned(),
            },
        }
    }

    #[test]
    fn an_answer_counts_once_for_a_field_and_the_last_difference_is_the_sample() {
        let findings = Findings::default();
        let first = [
            finding("a", Kind::Difference, "2"),
            finding("a", Kind::Difference, "3"),
            finding("a", Kind::Loss, "4"),
            finding("b", Kind::Noise, "5"),
        ];
        let news = findings.note(Endpoint::History, Compared::Different, &first);
        assert!(news.outcome);
        assert_eq!(news.differing, [&first[0]]);
        let second = [finding("a", Kind::Difference, "6"), finding("b", Kind::Loss, "7")];
        let news = findings.note(Endpoint::History, Compared::Different, &second);
        assert!(!news.outcome && news.differing.is_empty(), "{news:?}");
        let third = [finding("a", Kind::Loss, "8")];
        findings.note(Endpoint::History, Compared::Same, &third);
        let found = &findings.by_route()[&Endpoint::History];
        assert_eq!((found.answers(), found.count(Compared::Different)), (3, 2));
        let (a, b) = (&found.fields["a"], &found.fields["b"]);
        assert_eq!((a.differences, a.losses, a.noise), (2, 2, 0));
        assert_eq!(a.sample, second[0].sample);
        assert_eq!((b.differences, b.losses, b.noise), (0, 1, 1));
        assert_eq!(b.sample, second[1].sample);
    }

    #[test]
    fn fields_are_bounded() {
        let findings = Findings::default();
        for number in 0..MAX_FIELDS + 10 {
            let one = [finding(&format!("field{number}"), Kind::Difference, "2")];
            findings.note(Endpoint::History, Compared::Different, &one);
        }
        let fields = &findings.by_route()[&Endpoint::History].fields;
        assert_eq!(fields.len(), MAX_FIELDS + 1);
        assert_eq!(fields[OTHER].differences, 10);
    }
}
