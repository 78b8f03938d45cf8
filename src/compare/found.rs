//! What comparisons have found: counts by route and field, each with one redacted sample. Bounded, as fields are rows of
//! tables, and what is beyond [`MOST_FIELDS`] counts as one.

use super::difference::{Finding, Kind};
use crate::route::RouteName;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

/// The most fields of a route that are told apart.
const MOST_FIELDS: usize = 64;

/// What was found on one route.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteFindings {
    /// Answers compared.
    pub compared: u64,
    /// Of those, how many differed.
    pub differing: u64,
    /// Comparisons in which the translated answer was a failure.
    pub failed: u64,
    /// Comparisons left out, as too many were going on or the answer was too large.
    pub dropped: u64,
    /// By field.
    pub fields: BTreeMap<String, FieldFindings>,
}

/// What was found on one field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldFindings {
    /// Answers in which it differed.
    pub differences: u64,
    /// Answers in which it lacked what the Jobs API does not carry.
    pub losses: u64,
    /// Answers in which it differed, but also between two reads of the legacy endpoint.
    pub noise: u64,
    /// One of the differences, else one of the others, with every text left out.
    pub sample: String,
}

/// All findings.
#[derive(Default)]
pub struct Findings(Mutex<BTreeMap<RouteName, RouteFindings>>);

impl Findings {
    /// As they are now.
    pub fn report(&self) -> BTreeMap<RouteName, RouteFindings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn of<T>(&self, route: RouteName, change: impl FnOnce(&mut RouteFindings) -> T) -> T {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(route).or_default())
    }

    /// A comparison was left out.
    pub fn dropped(&self, route: RouteName) {
        self.of(route, |findings| findings.dropped += 1);
    }

    /// The translated answer was a failure.
    pub fn failed(&self, route: RouteName, reason: &str) {
        let first = self.of(route, |findings| {
            findings.failed += 1;
            findings.failed == 1
        });
        if first {
            tracing::warn!(
                route = route.as_str(),
                reason,
                "a translated answer that was to be compared is a failure"
            );
        }
    }

    /// Two answers were compared; gives whether they differ. Fields in `noisy` differ between two reads of the legacy
    /// endpoint too.
    pub fn compared(&self, route: RouteName, found: &[Finding], noisy: &BTreeSet<String>) -> bool {
        let is_noise = |finding: &Finding| finding.kind == Kind::Difference && noisy.contains(&finding.field);
        let differs = |finding: &Finding| finding.kind == Kind::Difference && !is_noise(finding);
        let any = found.iter().any(differs);
        let first = self.of(route, |findings| {
            findings.compared += 1;
            findings.differing += u64::from(any);
            let mut counted = BTreeSet::new();
            let mut first = Vec::new();
            for finding in found {
                let known = findings.fields.contains_key(&finding.field) || findings.fields.len() < MOST_FIELDS;
                let name = if known { finding.field.as_str() } else { "(others)" };
                let differs = differs(finding);
                // An answer counts once for a field, however many jobs in it show the same.
                if !counted.insert((name, differs, finding.kind == Kind::Loss)) {
                    continue;
                }
                let field = findings.fields.entry(name.to_owned()).or_default();
                if field.sample.is_empty() || (differs && field.differences == 0) {
                    field.sample.clone_from(&finding.sample);
                }
                match finding.kind {
                    Kind::Loss => field.losses += 1,
                    Kind::Difference if differs => {
                        field.differences += 1;
                        if field.differences == 1 {
                            first.push(finding.clone());
                        }
                    }
                    Kind::Difference => field.noise += 1,
                }
            }
            first
        });
        for finding in first {
            tracing::warn!(
                route = route.as_str(),
                field = finding.field,
                sample = finding.sample,
                "the translated answer differs from the legacy one"
            );
        }
        any
    }
}
