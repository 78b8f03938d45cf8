//! What comparisons found: by route how they came out, and which fields are not the same, with one sample each. Bounded:
//! fields are rows of tables, and those beyond the bound are counted together. `/metrics` and the page are read from here.

use super::{
    clock::now_ms,
    found::{Found, Sample},
    labels::Compared,
};
use crate::routes::Endpoint;
use parking_lot::Mutex;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::counter::ConstCounter,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

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

impl Kind {
    /// How two answers came out that have nothing worse than this.
    fn outcome(self) -> Compared {
        match self {
            Self::Difference => Compared::Different,
            Self::Loss => Compared::Lost,
            Self::Noise => Compared::Noise,
        }
    }
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
    /// Which of the jobs in the answers it is of; `None` where it is of all of them.
    pub job: Option<u64>,
}

/// What came of comparing two answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// The jobs that are in either, each as a number that is the same for the same id.
    pub jobs: Vec<u64>,
    /// Where the answers are not the same.
    pub findings: Vec<Finding>,
}

impl Comparison {
    /// How it came out, all in all.
    pub fn outcome(&self) -> Compared {
        let none = if self.jobs.is_empty() {
            Compared::Empty
        } else {
            Compared::Same
        };
        let found = self.findings.iter().map(|finding| finding.kind.outcome());
        found.max().unwrap_or(none)
    }

    /// How each job came out.
    pub fn by_job(&self) -> impl Iterator<Item = (u64, Compared)> {
        let mut of_all = None;
        let mut worst: HashMap<u64, Compared> = HashMap::new();
        for finding in &self.findings {
            let outcome = finding.kind.outcome();
            match finding.job {
                None => of_all = of_all.max(Some(outcome)),
                Some(job) => {
                    let worst = worst.entry(job).or_insert(outcome);
                    *worst = (*worst).max(outcome);
                }
            }
        }
        // An answer that is no list at all is one thing that differs.
        let none = (self.jobs.is_empty() && !self.findings.is_empty()).then_some(0);
        self.jobs.iter().copied().chain(none).map(move |job| {
            let worst = worst.get(&job).copied().max(of_all);
            (job, worst.unwrap_or(Compared::Same))
        })
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
    /// Two answers to who has this user agent were compared.
    pub fn note<'a>(&self, route: Endpoint, comparison: &'a Comparison, agent: &str) -> News<'a> {
        let outcome = comparison.outcome();
        let mut all = self.0.lock();
        let found = all.entry(route).or_default();
        for (job, outcome) in comparison.by_job() {
            found.jobs.note(job, outcome);
        }
        if matches!(outcome, Compared::Different | Compared::Lost) {
            found.note_client(agent, 1);
        }
        Self::count(found, outcome, &comparison.findings)
    }

    /// Two answers could not be compared.
    pub fn note_missing(&self, route: Endpoint, outcome: Compared) -> News<'static> {
        Self::count(self.0.lock().entry(route).or_default(), outcome, &[])
    }

    fn count<'a>(found: &mut Found, outcome: Compared, findings: &'a [Finding]) -> News<'a> {
        found.note_absent(outcome, now_ms());
        let count = found.compared.entry(outcome).or_default();
        *count += 1;
        let mut news = News {
            outcome: *count == 1,
            differing: Vec::new(),
        };
        let mut counted = BTreeSet::new();
        for finding in findings {
            let name = found.field_name(&finding.field);
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

    /// As others are told of them, by the name of the route.
    pub(super) fn told(&self) -> BTreeMap<String, Found> {
        let all = self.0.lock();
        all.iter()
            .map(|(route, found)| (route.name().to_owned(), found.clone()))
            .collect()
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

#[cfg(test)]
mod tests {
    use super::{
        super::found::{MAX_CLIENTS, MAX_FIELDS, OTHER},
        *,
    };

    fn finding(field: &str, kind: Kind, translated: &str) -> Finding {
        Finding {
            field: field.to_owned(),
            kind,
            sample: Sample {
                path: format!("{field}.x"),
                forwarded: "1".to_owned(),
                translated: translated.to_owned(),
            },
            job: Some(1),
        }
    }

    fn comparison(findings: &[Finding]) -> Comparison {
        Comparison {
            jobs: vec![1, 2],
            findings: findings.to_vec(),
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
        let first = comparison(&first);
        let news = findings.note(Endpoint::History, &first, "curl");
        assert!(news.outcome);
        assert_eq!(news.differing, [&first.findings[0]]);
        let second = comparison(&[finding("a", Kind::Difference, "6"), finding("b", Kind::Loss, "7")]);
        let news = findings.note(Endpoint::History, &second, "curl");
        assert!(!news.outcome && news.differing.is_empty(), "{news:?}");
        findings.note(Endpoint::History, &comparison(&[finding("a", Kind::Loss, "8")]), "n8n");
        findings.note(Endpoint::History, &comparison(&[]), "good");
        findings.note(Endpoint::History, &Comparison::default(), "early");
        let found = &findings.by_route()[&Endpoint::History];
        let counts = [Compared::Different, Compared::Lost, Compared::Same, Compared::Empty];
        assert_eq!(counts.map(|outcome| found.count(outcome)), [2, 1, 1, 1]);
        assert_eq!((found.jobs.total(), found.jobs.count(Compared::Different)), (2, 1));
        assert_eq!(found.clients, [("curl".to_owned(), 2), ("n8n".to_owned(), 1)].into());
        let (a, b) = (&found.fields["a"], &found.fields["b"]);
        assert_eq!((a.differences, a.losses, a.noise), (2, 2, 0));
        assert_eq!(a.sample, second.findings[0].sample);
        assert_eq!((b.differences, b.losses, b.noise), (0, 1, 1));
        assert_eq!(b.sample, second.findings[1].sample);
    }

    #[test]
    fn what_is_of_the_whole_answer_is_of_every_job_in_it() {
        let order = Finding {
            job: None,
            ..finding("(order)", Kind::Difference, "another")
        };
        let by_job = |jobs: &[u64]| {
            let comparison = Comparison {
                jobs: jobs.to_vec(),
                findings: vec![order.clone()],
            };
            comparison.by_job().collect::<Vec<_>>()
        };
        assert_eq!(by_job(&[1, 2]), [(1, Compared::Different), (2, Compared::Different)]);
        assert_eq!(by_job(&[]), [(0, Compared::Different)]);
    }

    #[test]
    fn fields_and_clients_are_bounded() {
        let findings = Findings::default();
        for number in 0..MAX_FIELDS + 10 {
            let one = comparison(&[finding(&format!("field{number}"), Kind::Difference, "2")]);
            findings.note(Endpoint::History, &one, &format!("client {number}"));
        }
        let found = &findings.by_route()[&Endpoint::History];
        assert_eq!(found.fields.len(), MAX_FIELDS + 1);
        assert_eq!(found.fields[OTHER].differences, 10);
        assert_eq!(found.clients.len(), MAX_CLIENTS + 1);
    }
}
