//! What is hidden from each, at hand: a copy of two tables of the store.

use super::cleared::{Cleared, EACH};
use crate::{
    auth::scope::Scope,
    store::{self, DELETED, Event, Table},
};
use parking_lot::RwLock;
use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

/// About what a scope takes of memory besides its ids, in bytes.
const SCOPE: usize = 300;

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
    pub(super) fn stored(self, scope: Scope) -> store::Change {
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

/// One deleted job.
#[derive(Clone, Copy)]
pub(super) struct Deleted {
    /// When it was deleted: a number that grows with every change.
    pub(super) number: u64,
    /// When it was created, in ms: what is created later under its id is another job. `None` where that is not known, and
    /// every job of its id is meant.
    pub(super) created: Option<f64>,
}

impl Deleted {
    pub(super) fn holds(self, created: f64) -> bool {
        self.created.is_none_or(|known| created <= known)
    }
}

/// What is hidden from one scope.
#[derive(Default)]
pub(super) struct HiddenJobs {
    pub(super) deleted: HashMap<String, Deleted>,
    pub(super) cleared: Option<Cleared>,
}

impl HiddenJobs {
    pub(super) fn is_empty(&self) -> bool {
        self.deleted.is_empty() && self.cleared.is_none()
    }

    pub(super) fn holds(&self, id: &str, created: f64) -> bool {
        let deleted = self.deleted.get(id).is_some_and(|deleted| deleted.holds(created));
        deleted || self.cleared.as_ref().is_some_and(|cleared| cleared.holds(id, created))
    }
}

/// What is hidden from each, and what all of it takes of memory, in bytes.
#[derive(Default)]
pub(super) struct Scopes {
    pub(super) of: HashMap<Scope, HiddenJobs>,
    pub(super) size: usize,
}

impl Scopes {
    /// What `change` will take of memory besides, in bytes.
    pub(super) fn growth(&self, scope: Scope, change: &Change) -> usize {
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
pub(super) struct HiddenCopy {
    pub(super) scopes: RwLock<Scopes>,
    /// A number that grows with every change.
    pub(super) changes: AtomicU64,
    /// Something is hidden from somebody.
    pub(super) any: AtomicBool,
}

impl HiddenCopy {
    pub(super) fn hear_deleted(&self, event: Event<(Scope, String), Option<f64>>) {
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

    pub(super) fn hear_cleared(&self, event: Event<Scope, Cleared>) {
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
