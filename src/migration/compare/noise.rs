//! What the legacy endpoint says differently from one moment to the next: no difference of a translation.

use super::difference::ENTRIES;
use crate::telemetry::{Comparison, Kind};
use std::collections::HashSet;

/// What two pairs of reads of the legacy endpoint showed between themselves.
pub(super) struct Noise {
    /// By job and field.
    places: HashSet<(Option<u64>, String)>,
    /// The jobs that were there in the later reads.
    jobs: HashSet<u64>,
}

impl Noise {
    /// Of what two reads show before the translation was made, and what two show around it.
    pub(super) fn of(earlier: &Comparison, later: &Comparison) -> Self {
        let findings = earlier.findings.iter().chain(&later.findings);
        Self {
            places: findings.map(|finding| (finding.job, finding.field.clone())).collect(),
            jobs: later.jobs.iter().copied().collect(),
        }
    }

    /// Marks what is no difference of `found`. A job that no read saw may have come and gone between them, where others did.
    pub(super) fn mark(&self, found: &mut Comparison) {
        let has_moved = self.places.iter().any(|(_, field)| field == ENTRIES);
        for finding in &mut found.findings {
            let is_unseen = || finding.job.is_none_or(|job| !self.jobs.contains(&job));
            let is_passing = finding.field == ENTRIES && has_moved && is_unseen();
            let is_noise = is_passing || self.places.contains(&(finding.job, finding.field.clone()));
            if finding.kind == Kind::Difference && is_noise {
                finding.kind = Kind::Noise;
            }
        }
    }
}
