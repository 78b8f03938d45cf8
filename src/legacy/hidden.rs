//! Jobs that a client deleted or cleared where the server has no `POST /history` any more: from then on they are in no
//! legacy answer of that scope (docs/contract.md section 5).

pub use super::{
    cleared::Cleared,
    hidden_copy::{CLEARED, Change},
};

use super::hidden_copy::{Deleted, HiddenCopy, HiddenJobs};
use crate::{
    auth::scope::Scope,
    jobs_api::Listed,
    mapping::dialect::State as JobState,
    store::{DELETED, Store, StoreError},
    telemetry::of_this_request,
};
use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Mutex;

/// What is hidden from whom. Anybody can be anybody to a server without keys, so there is a limit to all of it. Beyond it
/// further jobs are refused; to make room by showing some again would undo what an honest user was told is done.
pub struct Hidden {
    store: Arc<Store>,
    copy: Arc<HiddenCopy>,
    /// The most that all may take of memory, in bytes.
    most: usize,
    /// One change at a time is weighed against that.
    changing: Mutex<()>,
    warned: AtomicBool,
}

impl Hidden {
    /// Takes up all that is stored, also where it is more than `most` bytes.
    pub fn new(store: Arc<Store>, most: usize) -> Result<Self, StoreError> {
        let copy = Arc::new(HiddenCopy::default());
        let (deleted, cleared) = (Arc::clone(&copy), Arc::clone(&copy));
        store.follow(&DELETED, move |event| deleted.hear_deleted(event))?;
        store.follow(&CLEARED, move |event| cleared.hear_cleared(event))?;
        let size = copy.scopes.read().size;
        if size > most {
            tracing::warn!(
                size,
                most,
                "more is hidden already than history.max_hidden allows: no further job will be"
            );
        }
        Ok(Self {
            store,
            copy,
            most,
            changing: Mutex::default(),
            warned: AtomicBool::new(false),
        })
    }

    /// Whether a finished job is hidden; `created` in ms.
    pub fn is_hidden(&self, scope: Scope, id: &str, created: f64) -> bool {
        let scopes = self.copy.scopes.read();
        scopes.of.get(&scope).is_some_and(|of| of.holds(id, created))
    }

    /// Whether anything is hidden from anybody.
    pub fn is_any(&self) -> bool {
        self.copy.any.load(Ordering::SeqCst)
    }

    /// Whether a job with this id, or any at all, may be hidden from `scope`.
    pub fn may_hide(&self, scope: Scope, id: Option<&str>) -> bool {
        let scopes = self.copy.scopes.read();
        let may = |of: &HiddenJobs| id.is_none_or(|id| of.cleared.is_some() || of.deleted.contains_key(id));
        scopes.of.get(&scope).is_some_and(may)
    }

    /// Leaves the finished jobs that are not hidden.
    pub fn retain_shown(&self, scope: Scope, jobs: &mut Vec<Listed>) {
        let scopes = self.copy.scopes.read();
        let of = scopes.of.get(&scope);
        jobs.retain(|job| job.state == JobState::Finished && !of.is_some_and(|of| of.holds(&job.id, job.created)));
    }

    /// Makes a change; when this returns it is stored and in force. A caller that goes away does not undo it halfway.
    pub async fn change(self: &Arc<Self>, scope: Scope, change: Change) -> Result<(), StoreError> {
        let hidden = Arc::clone(self);
        let work = tokio::spawn(of_this_request(async move { hidden.make(scope, change).await }));
        work.await.unwrap_or(Err(StoreError::Stopping))
    }

    async fn make(&self, scope: Scope, change: Change) -> Result<(), StoreError> {
        if !self.store.is_kept() && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("deleted jobs are hidden until jobshim ends; with state.store set, also after a restart");
        }
        let _changing = self.changing.lock().await;
        {
            let scopes = self.copy.scopes.read();
            let growth = scopes.growth(scope, &change);
            if growth > 0 && scopes.size.saturating_add(growth) > self.most {
                return Err(StoreError::Full(self.most));
            }
        }
        self.store.commit_async(change.stored(scope)).await
    }

    /// A moment, for [`Hidden::forget_gone`].
    pub fn now(&self) -> u64 {
        self.copy.changes.load(Ordering::SeqCst)
    }

    /// Forgets deleted jobs that the server no longer has: `all` is a whole list that was asked for after `since`.
    pub fn forget_gone(self: &Arc<Self>, scope: Scope, since: u64, all: &[Listed]) {
        let gone: Vec<(String, Option<f64>)> = {
            let scopes = self.copy.scopes.read();
            let Some(of) = scopes.of.get(&scope).filter(|of| !of.deleted.is_empty()) else {
                return;
            };
            // Of each id the earliest run there is.
            let mut there: HashMap<&str, f64> = HashMap::new();
            for job in all {
                let earliest = there.entry(&job.id).or_insert(job.created);
                *earliest = earliest.min(job.created);
            }
            let is_there = |id: &str, deleted: &Deleted| there.get(id).is_some_and(|created| deleted.holds(*created));
            let gone = of
                .deleted
                .iter()
                .filter(|(id, deleted)| deleted.number < since && !is_there(id, deleted));
            gone.map(|(id, deleted)| (id.clone(), deleted.created)).collect()
        };
        if gone.is_empty() {
            return;
        }
        let hidden = Arc::clone(self);
        tokio::spawn(of_this_request(async move {
            if let Err(error) = hidden.make(scope, Change::Forget(gone)).await {
                tracing::warn!(%error, "jobs that are gone are still remembered as deleted");
            }
        }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs_api::Run;
    use bytes::Bytes;

    fn ended(id: &str, created: f64) -> Listed {
        Listed {
            id: id.into(),
            state: JobState::Finished,
            number: 0.0,
            created,
            started: created,
            ended: created,
            run: Run::default(),
            text: Bytes::new(),
            kept: false,
        }
    }

    #[tokio::test]
    async fn a_job_deleted_while_another_client_clears_stays_deleted() {
        let hidden =
            Arc::new(Hidden::new(Arc::new(Store::in_memory().expect("a store")), 1000).expect("nothing stored"));
        let scope = Scope::default();
        let cleared = Cleared::of(&[ended("old", 1e12)], &[]).expect("something to clear");
        // Created and ended after the clear looked.
        let delete = Change::Delete(vec![("new".to_owned(), Some(2e12))]);
        hidden.change(scope, delete).await.expect("a change");
        hidden.change(scope, Change::Clear(cleared)).await.expect("a change");
        assert!(hidden.is_hidden(scope, "old", 1e12));
        assert!(hidden.is_hidden(scope, "new", 2e12));
    }
}
