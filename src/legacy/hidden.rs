//! Jobs that a client deleted or cleared where the server has no `POST /history` any more: from then on they are in no
//! legacy answer of that scope (docs/contract.md section 5).

use crate::{
    auth::scope::Scope,
    jobs_api::Listed,
    mapping::dialect::State as JobState,
    store::{self, DELETED, Event, Store, StoreError, Table},
    telemetry::of_this_request,
};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use tokio::{sync::Mutex, task::spawn_blocking};

/// About what a scope, a clear and an id take of memory besides the text of ids, in bytes.
const SCOPE: usize = 300;
const CLEAR: usize = 150;
const EACH: usize = 64;

/// The last clear of each scope.
pub const CLEARED: Table<Scope, Cleared> = Table::new("cleared", "a clear that was stored");

/// One change of what is hidden.
pub enum Change {
    /// These jobs, by id and creation, in ms, where that is known.
    Delete(Vec<(String, Option<f64>)>),
    /// These, by id and the creation that is known of them, are gone from the server, and need no hiding any more.
    Forget(Vec<(String, Option<f64>)>),
    /// Everything that had ended.
    Clear(Cleared),
}

impl Change {
    /// As it is stored for `scope`.
    fn stored(self, scope: Scope) -> store::Change {
        let rows = store::Change::default();
        match self {
            Self::Delete(jobs) => jobs
                .into_iter()
                .fold(rows, |rows, (id, created)| rows.put(&DELETED, &(scope, id), &created)),
            // Unless it was deleted again meanwhile, perhaps through another jobshim.
            Self::Forget(jobs) => jobs.into_iter().fold(rows, |rows, (id, created)| {
                rows.remove_if(&DELETED, &(scope, id), &created)
            }),
            Self::Clear(cleared) => rows.put(&CLEARED, &scope, &cleared),
        }
    }
}

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
    fn size(&self) -> usize {
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

/// One deleted job.
#[derive(Clone, Copy)]
struct Deleted {
    /// When it was deleted: a number that grows with every change.
    number: u64,
    /// When it was created, in ms: what is created later under its id is another job. `None` where that is not known, and
    /// every job of its id is meant.
    created: Option<f64>,
}

impl Deleted {
    fn holds(self, created: f64) -> bool {
        self.created.is_none_or(|known| created <= known)
    }
}

/// Whether a job says when it was created.
fn is_time(created: f64) -> bool {
    created > 0.0
}

/// What is hidden from one scope.
#[derive(Default)]
struct HiddenJobs {
    deleted: HashMap<String, Deleted>,
    cleared: Option<Cleared>,
}

impl HiddenJobs {
    fn is_empty(&self) -> bool {
        self.deleted.is_empty() && self.cleared.is_none()
    }

    fn holds(&self, id: &str, created: f64) -> bool {
        let deleted = self.deleted.get(id).is_some_and(|deleted| deleted.holds(created));
        deleted || self.cleared.as_ref().is_some_and(|cleared| cleared.holds(id, created))
    }
}

/// What is hidden from each, and what all of it takes of memory, in bytes.
#[derive(Default)]
struct Scopes {
    of: HashMap<Scope, HiddenJobs>,
    size: usize,
}

impl Scopes {
    /// What `change` will take of memory besides, in bytes.
    fn growth(&self, scope: Scope, change: &Change) -> usize {
        let of = self.of.get(&scope);
        let new = if of.is_some() { 0 } else { SCOPE };
        match change {
            Change::Delete(jobs) => {
                let ids = jobs.iter().map(|(id, _)| id);
                let new_ids = ids.filter(|id| !of.is_some_and(|of| of.deleted.contains_key(*id)));
                new + new_ids.map(|id| EACH + id.len()).sum::<usize>()
            }
            Change::Clear(cleared) => {
                let before = of.and_then(|of| of.cleared.as_ref()).map_or(0, Cleared::size);
                new + cleared.size().saturating_sub(before)
            }
            Change::Forget(_) => 0,
        }
    }

    fn delete(&mut self, scope: Scope, id: String, deleted: Deleted) {
        let length = id.len();
        let of = self.of.entry(scope).or_insert_with(|| {
            self.size += SCOPE;
            HiddenJobs::default()
        });
        if of.deleted.insert(id, deleted).is_none() {
            self.size += EACH + length;
        }
    }

    /// What was deleted stays deleted: some of it may have ended after the clear looked.
    fn clear(&mut self, scope: Scope, cleared: Cleared) {
        let of = self.of.entry(scope).or_insert_with(|| {
            self.size += SCOPE;
            HiddenJobs::default()
        });
        self.size += cleared.size();
        if let Some(before) = of.cleared.replace(cleared) {
            self.size -= before.size();
        }
    }

    /// A job is not deleted any more.
    fn forget(&mut self, scope: Scope, id: &str) {
        if let Some(of) = self.of.get_mut(&scope)
            && of.deleted.remove(id).is_some()
        {
            self.size -= EACH + id.len();
            self.drop_empty(scope);
        }
    }

    fn forget_clear(&mut self, scope: Scope) {
        if let Some(before) = self.of.get_mut(&scope).and_then(|of| of.cleared.take()) {
            self.size -= before.size();
            self.drop_empty(scope);
        }
    }

    fn drop_empty(&mut self, scope: Scope) {
        if self.of.get(&scope).is_some_and(HiddenJobs::is_empty) {
            self.of.remove(&scope);
            self.size -= SCOPE;
        }
    }

    /// Nothing is deleted any more.
    fn forget_all(&mut self) {
        let all: Vec<(Scope, String)> = self
            .of
            .iter()
            .flat_map(|(scope, of)| of.deleted.keys().map(|id| (*scope, id.clone())))
            .collect();
        all.iter().for_each(|(scope, id)| self.forget(*scope, id));
    }

    /// Nothing is cleared any more.
    fn forget_all_clears(&mut self) {
        let all: Vec<Scope> = self.of.keys().copied().collect();
        all.into_iter().for_each(|scope| self.forget_clear(scope));
    }
}

/// What the store has, at hand.
#[derive(Default)]
struct HiddenCopy {
    scopes: RwLock<Scopes>,
    /// A number that grows with every change.
    changes: AtomicU64,
    /// Something is hidden from somebody.
    any: AtomicBool,
}

impl HiddenCopy {
    fn hear_deleted(&self, event: Event<(Scope, String), Option<f64>>) {
        self.change(|scopes, number| match event {
            Event::All(rows) => {
                scopes.forget_all();
                for ((scope, id), created) in rows {
                    scopes.delete(scope, id, Deleted { number, created });
                }
            }
            Event::Put((scope, id), created) => scopes.delete(scope, id, Deleted { number, created }),
            Event::Gone((scope, id)) => scopes.forget(scope, &id),
        });
    }

    fn hear_cleared(&self, event: Event<Scope, Cleared>) {
        self.change(|scopes, _| match event {
            Event::All(rows) => {
                scopes.forget_all_clears();
                for (scope, cleared) in rows {
                    scopes.clear(scope, cleared);
                }
            }
            Event::Put(scope, cleared) => scopes.clear(scope, cleared),
            Event::Gone(scope) => scopes.forget_clear(scope),
        });
    }

    fn change(&self, make: impl FnOnce(&mut Scopes, u64)) {
        let number = self.changes.fetch_add(1, Ordering::SeqCst);
        let mut scopes = self.scopes.write();
        make(&mut scopes, number);
        self.any.store(!scopes.of.is_empty(), Ordering::SeqCst);
    }
}

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
        let (store, change) = (Arc::clone(&self.store), change.stored(scope));
        let stored = spawn_blocking(move || store.commit(change)).await;
        stored.unwrap_or(Err(StoreError::Stopping))
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
