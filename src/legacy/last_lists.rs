//! Which ended jobs each scope's last whole list had: what is kept of a job and missing in the next one was deleted on the
//! server itself.

use crate::auth::scope::Scope;
use moka::{policy::EvictionPolicy, sync::Cache};
use parking_lot::Mutex;
use std::{collections::HashSet, sync::Arc, time::Duration};
use twox_hash::XxHash3_64;

/// What a job costs, and a list besides, in bytes.
const JOB_COST: usize = 16;
const LIST_COST: usize = 512;

/// Lists as sets of [`fingerprint`]s.
pub(super) struct LastLists(Cache<Scope, Arc<Mutex<HashSet<u64>>>>);

/// A number that two jobs of a scope hardly share. It is as safe from ids that are made to collide as its seed, a part of the
/// scope, which nobody outside knows.
pub(super) fn fingerprint(scope: Scope, id: &str) -> u64 {
    XxHash3_64::oneshot_with_seed(scope.part(), id.as_bytes())
}

impl LastLists {
    /// None; at most `budget` bytes of them, each for `ttl`.
    pub(super) fn new(budget: u64, ttl: Duration) -> Self {
        let lists = Cache::builder()
            .max_capacity(budget)
            .eviction_policy(EvictionPolicy::lru())
            .weigher(|_, jobs: &Arc<Mutex<HashSet<u64>>>| {
                u32::try_from(LIST_COST + jobs.lock().len() * JOB_COST).unwrap_or(u32::MAX)
            })
            .time_to_live(ttl)
            .build();
        Self(lists)
    }

    /// Whether something may be kept that is not among `jobs`.
    pub(super) fn may_have_others(&self, scope: Scope, jobs: &HashSet<u64>) -> bool {
        let before = self.0.get(&scope);
        before.is_none_or(|before| !before.lock().is_subset(jobs))
    }

    /// Puts `jobs` in place of what was known.
    pub(super) fn put(&self, scope: Scope, jobs: HashSet<u64>) {
        self.0.insert(scope, Arc::new(Mutex::new(jobs)));
    }

    /// A job is kept that the last list may not have had.
    pub(super) fn note_kept(&self, scope: Scope, id: &str) {
        let Some(jobs) = self.0.get(&scope) else {
            return;
        };
        let is_twice_as_long = {
            let mut jobs = jobs.lock();
            jobs.insert(fingerprint(scope, id)) && jobs.len().is_power_of_two()
        };
        if is_twice_as_long {
            // What it takes is weighed anew.
            self.0.insert(scope, jobs);
        }
    }

    /// Drops all.
    pub(super) fn clear(&self) {
        self.0.invalidate_all();
    }
}
