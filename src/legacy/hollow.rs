//! Queued jobs that were shown with an empty prompt, since nobody tells jobshim more of them. A client that reads the queue,
//! deletes a job and submits it again would lose such a one: so its prompt is not taken back, and the job is deleted only
//! by who says so twice.

use crate::auth::scope::Scope;
use moka::{policy::EvictionPolicy, sync::Cache};
use serde::{Deserialize, Serialize};
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::SeqCst},
};

/// How many jobs, each for a scope, are remembered as shown empty: some 4 MB. The longest unused go first.
const MAX_JOBS: u64 = 1 << 14;
/// How many scopes are remembered as having been shown one.
const MAX_SCOPES: u64 = 1 << 12;

/// What happened to such jobs of one scope, as other jobshims hear of it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum HollowEvent {
    /// They were shown.
    Shown(Scope, Vec<String>),
    /// Their delete was refused.
    Refused(Scope, Vec<String>),
    /// An empty prompt was sent back.
    SentBack,
}

/// Who was shown what.
pub struct Hollow {
    /// For each the moment in which its delete was refused, if it was.
    jobs: Cache<(Scope, Arc<str>), Option<u64>>,
    scopes: Cache<Scope, ()>,
    /// A number that grows with every empty prompt that was sent back: who does that did not mean what it deleted before.
    resubmissions: AtomicU64,
}

/// Nothing shown.
impl Default for Hollow {
    fn default() -> Self {
        Self {
            jobs: Cache::builder()
                .max_capacity(MAX_JOBS)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            scopes: Cache::builder()
                .max_capacity(MAX_SCOPES)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            resubmissions: AtomicU64::new(0),
        }
    }
}

impl Hollow {
    /// Job `id` is shown to `scope` with an empty prompt. Says whether it is for the first time.
    pub fn shown(&self, scope: Scope, id: &Arc<str>) -> bool {
        // A delete that was refused stays refused once.
        let job = self.jobs.entry((scope, Arc::clone(id))).or_insert(None);
        self.scopes.insert(scope, ());
        job.is_fresh()
    }

    /// It happened on another jobshim.
    pub fn hear(&self, event: HollowEvent) {
        match event {
            HollowEvent::Shown(scope, ids) => ids.into_iter().for_each(|id| {
                self.shown(scope, &id.into());
            }),
            HollowEvent::Refused(scope, ids) => {
                let now = self.resubmissions.load(SeqCst);
                for id in ids {
                    self.jobs.insert((scope, id.into()), Some(now));
                }
            }
            HollowEvent::SentBack => self.sent_back(),
        }
    }

    /// Whether `scope` was shown any.
    pub fn was_shown_to(&self, scope: Scope) -> bool {
        self.scopes.get(&scope).is_some()
    }

    /// An empty prompt was sent back.
    pub fn sent_back(&self) {
        self.resubmissions.fetch_add(1, SeqCst);
    }

    /// Those of some jobs that `scope` must say once more that it wants deleted.
    pub fn unsure<'a>(&self, scope: Scope, ids: impl Iterator<Item = &'a Arc<str>>) -> Vec<String> {
        let now = self.resubmissions.load(SeqCst);
        let is_unsure = |id: &&Arc<str>| {
            let key = (scope, Arc::clone(id));
            let refused = self.jobs.get(&key);
            let unsure = refused.is_some_and(|refused| refused != Some(now));
            if unsure {
                self.jobs.insert(key, Some(now));
            }
            unsure
        };
        ids.filter(is_unsure).map(|id| id.to_string()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delete_is_sure_when_it_is_repeated_and_nothing_was_sent_back_in_between() {
        let (hollow, scope, id) = (Hollow::default(), Scope::default(), Arc::from("x"));
        let unsure = || hollow.unsure(scope, [&id].into_iter());
        assert_eq!(unsure(), [""; 0], "not shown empty");
        hollow.shown(scope, &id);
        assert_eq!(unsure(), ["x"]);
        hollow.sent_back();
        assert_eq!(unsure(), ["x"]);
        hollow.shown(scope, &id);
        assert_eq!(unsure(), [""; 0]);
    }

    #[test]
    fn as_many_are_remembered_as_there_is_room_for() {
        let hollow = Hollow::default();
        for nth in 0..2 * MAX_JOBS {
            hollow.shown(Scope::default(), &nth.to_string().into());
        }
        hollow.jobs.run_pending_tasks();
        assert!(hollow.jobs.entry_count() <= MAX_JOBS);
    }
}
