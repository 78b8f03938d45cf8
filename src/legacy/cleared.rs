//! A clear of the history, and which jobs are part of it.

use crate::{jobs_api::Listed, mapping::dialect::State as JobState};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// About what a clear and an id take of memory besides the text of ids, in bytes.
const CLEAR: usize = 150;
pub(super) const EACH: usize = 64;

/// One clear. A job is part of it by its creation and not by its end, as a server's word on the end may change.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq)]
pub struct Cleared {
    /// Every job created before this moment, in ms,
    pub created_before: f64,
    /// and these, which were created in it, or do not say when,
    pub also: HashSet<String>,
    /// but not these, which had not ended yet,
    pub except: HashSet<String>,
    /// by the time of their creation, in ms, where it is known: an earlier run of such an id had ended.
    #[serde(default)]
    pub except_since: HashMap<String, f64>,
}

impl Cleared {
    /// The clear of all jobs that have ended by now: `newest` are the latest created ones, `queued` those that have
    /// not ended. `None` when there is nothing to clear.
    pub fn of(newest: &[Listed], queued: &[Listed]) -> Option<Self> {
        newest.first()?;
        let latest = newest.iter().map(|job| job.created).fold(0.0, f64::max);
        let ids = |jobs: &[Listed]| jobs.iter().map(|job| job.id.to_string()).collect::<HashSet<String>>();
        let except = ids(queued);
        let known = queued.iter().filter(|job| is_time(job.created));
        let mut except_since: HashMap<String, f64> = HashMap::new();
        for job in known {
            let since = except_since.entry(job.id.to_string()).or_insert(job.created);
            *since = since.min(job.created);
        }
        let also = newest
            .iter()
            .filter(|job| (job.created >= latest || !is_time(job.created)) && job.state == JobState::Finished);
        Some(Self {
            created_before: latest,
            also: also.map(|job| job.id.to_string()).collect(),
            except,
            except_since,
        })
    }

    /// What it takes of memory, in bytes.
    pub(super) fn size(&self) -> usize {
        let ids = self.also.iter().chain(&self.except).chain(self.except_since.keys());
        CLEAR + ids.map(|id| EACH + id.len()).sum::<usize>()
    }

    /// Whether a job is part of it; `created` in ms.
    pub fn holds(&self, id: &str, created: f64) -> bool {
        if !is_time(created) || created == self.created_before {
            return self.also.contains(id);
        }
        let had_ended = || match self.except_since.get(id) {
            Some(since) => created < *since,
            None => !self.except.contains(id),
        };
        created < self.created_before && had_ended()
    }
}

/// Whether a job says when it was created.
fn is_time(created: f64) -> bool {
    created > 0.0
}
