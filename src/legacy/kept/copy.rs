//! What is kept, as this jobshim knows it: all but the details.

use super::rows::{KeptRow, Key, UnfinishedRow};
use crate::{auth::scope::Scope, jobs_api::Listed, store::Event};
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

/// The kept jobs of all scopes.
#[derive(Default)]
pub(super) struct KeptCopy {
    of: HashMap<Scope, HashMap<Arc<str>, KeptRow>>,
    /// Those that the last whole list of their scope lacked.
    lost: HashSet<(Scope, Arc<str>)>,
    /// By their age.
    oldest: BTreeSet<(u64, Scope, Arc<str>)>,
    bytes: u64,
}

impl KeptCopy {
    pub(super) fn hear(&mut self, event: Event<Key, KeptRow>) {
        match event {
            Event::All(rows) => {
                *self = Self::default();
                rows.into_iter().for_each(|(key, row)| self.put(key, row));
            }
            Event::Put(key, row) => self.put(key, row),
            Event::Gone((scope, id)) => self.take(scope, &id),
        }
    }

    fn put(&mut self, (scope, id): Key, row: KeptRow) {
        self.take(scope, &id);
        let id: Arc<str> = id.into();
        self.oldest.insert((row.age_mark(), scope, Arc::clone(&id)));
        self.bytes += row.bytes;
        self.of.entry(scope).or_default().insert(id, row);
    }

    fn take(&mut self, scope: Scope, id: &str) {
        let Some(of_scope) = self.of.get_mut(&scope) else {
            return;
        };
        if let Some((id, row)) = of_scope.remove_entry(id) {
            self.lost.remove(&(scope, Arc::clone(&id)));
            self.oldest.remove(&(row.age_mark(), scope, id));
            self.bytes -= row.bytes;
        }
        if of_scope.is_empty() {
            self.of.remove(&scope);
        }
    }

    pub(super) fn get(&self, scope: Scope, id: &str) -> Option<KeptRow> {
        self.of.get(&scope)?.get(id).cloned()
    }

    /// The last whole list of a scope lacked these of its jobs, and no others.
    pub(super) fn note_lost(&mut self, scope: Scope, jobs: &[Listed]) {
        self.lost.retain(|(of, _)| *of != scope);
        self.lost.extend(jobs.iter().map(|job| (scope, Arc::clone(&job.id))));
    }

    /// Whether the last whole list of its scope lacked a job.
    pub(super) fn is_lost(&self, scope: Scope, id: &Arc<str>) -> bool {
        !self.lost.is_empty() && self.lost.contains(&(scope, Arc::clone(id)))
    }

    /// The server has a job.
    pub(super) fn found(&mut self, scope: Scope, id: &str) {
        self.lost.remove(&(scope, id.into()));
    }

    /// Whether a scope has any.
    pub(super) fn has_of(&self, scope: Scope) -> bool {
        self.of.contains_key(&scope)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.oldest.len()
    }

    /// What their details take in the store.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Those of a scope that `listed` lacks, and when the first of them was stored, in ms.
    pub(super) fn missing_in(&self, scope: Scope, listed: &[Listed]) -> (Vec<Listed>, u64) {
        let Some(of_scope) = self.of.get(&scope) else {
            return (Vec::new(), 0);
        };
        let mut since = u64::MAX;
        let there: HashSet<&str> = listed.iter().map(|job| &*job.id).collect();
        let missing = of_scope.iter().filter(|(id, _)| !there.contains(&***id));
        let missing = missing.map(|(id, row)| {
            since = since.min(row.since);
            row.listed(id)
        });
        let mut missing: Vec<Listed> = missing.collect();
        // Of jobs of the same moment a list has the one first that ended first.
        missing.sort_by(|one, other| {
            let ended = one.ended.total_cmp(&other.ended);
            let number = || one.number.total_cmp(&other.number);
            ended.then_with(number).then_with(|| one.id.cmp(&other.id))
        });
        (missing, since)
    }

    /// The keys of a scope, or of all: each whose id is among `ids`, or all where there are none.
    pub(super) fn keys(&self, scope: Option<Scope>, ids: Option<&HashSet<&str>>) -> Vec<Key> {
        let scopes = self.of.iter().filter(|(of, _)| scope.is_none_or(|scope| **of == scope));
        let keys = scopes.flat_map(|(scope, jobs)| jobs.keys().map(move |id| (*scope, id)));
        let meant = keys.filter(|(_, id)| ids.is_none_or(|ids| ids.contains(&***id)));
        meant.map(|(scope, id)| (scope, id.to_string())).collect()
    }

    /// At most `some` of the oldest that must go: beyond so many jobs and bytes, or ended before `since`, in ms.
    pub(super) fn beyond(&self, jobs: usize, bytes: u64, since: u64, some: usize) -> Vec<Key> {
        let (mut count, mut held) = (self.count(), self.bytes);
        let mut gone = Vec::new();
        for (mark, scope, id) in &self.oldest {
            if gone.len() >= some || (count <= jobs && held <= bytes && *mark >= since) {
                break;
            }
            count -= 1;
            held -= self.get(*scope, id).map_or(0, |row| row.bytes);
            gone.push((*scope, id.to_string()));
        }
        gone
    }
}

/// The jobs that have not ended.
#[derive(Default)]
pub(super) struct UnfinishedCopy {
    of: HashMap<Scope, HashMap<String, UnfinishedRow>>,
    count: usize,
    bytes: u64,
}

impl UnfinishedCopy {
    pub(super) fn hear(&mut self, event: Event<Key, UnfinishedRow>) {
        match event {
            Event::All(rows) => {
                *self = Self::default();
                rows.into_iter().for_each(|(key, row)| self.put(key, row));
            }
            Event::Put(key, row) => self.put(key, row),
            Event::Gone(key) => self.take(&key),
        }
    }

    fn put(&mut self, key: Key, row: UnfinishedRow) {
        self.take(&key);
        let (scope, id) = key;
        self.count += 1;
        self.bytes += row.bytes;
        self.of.entry(scope).or_default().insert(id, row);
    }

    fn take(&mut self, (scope, id): &Key) {
        let Some(of_scope) = self.of.get_mut(scope) else {
            return;
        };
        if let Some(row) = of_scope.remove(id) {
            self.count -= 1;
            self.bytes -= row.bytes;
        }
        if of_scope.is_empty() {
            self.of.remove(scope);
        }
    }

    pub(super) fn get(&self, (scope, id): &Key) -> Option<UnfinishedRow> {
        self.of.get(scope)?.get(id).copied()
    }

    /// How many there are, and what their prompts take in the store, in bytes.
    pub(super) fn size(&self) -> (usize, u64) {
        (self.count, self.bytes)
    }

    /// Those of a scope.
    pub(super) fn of(&self, scope: Scope) -> Option<&HashMap<String, UnfinishedRow>> {
        self.of.get(&scope)
    }

    /// Their ids.
    pub(super) fn ids(&self) -> Vec<String> {
        self.all().map(|(_, id, _)| id.clone()).collect()
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = (Scope, &String, &UnfinishedRow)> {
        let scopes = self.of.iter();
        scopes.flat_map(|(scope, jobs)| jobs.iter().map(move |(id, row)| (*scope, id, row)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs_api::{DialectKind, Run};

    fn row(ended: f64, bytes: u64) -> KeptRow {
        KeptRow {
            number: 0.0,
            created: ended,
            started: ended,
            ended,
            run: Run::default(),
            dialect: DialectKind::Comfyui,
            since: 0,
            bytes,
            lost: false,
            ended_as: None,
        }
    }

    fn key(id: &str) -> Key {
        (Scope::default(), id.to_owned())
    }

    fn ids(keys: Vec<Key>) -> Vec<String> {
        keys.into_iter().map(|(_, id)| id).collect()
    }

    #[test]
    fn the_oldest_go_first_by_count_bytes_and_age() {
        let mut copy = KeptCopy::default();
        for (id, ended) in [("b", 2.0), ("c", 3.0), ("a", 1.0)] {
            copy.hear(Event::Put(key(id), row(ended, 10)));
        }
        assert!(copy.beyond(3, 30, 0, 9).is_empty());
        assert_eq!(ids(copy.beyond(2, 30, 0, 9)), ["a"]);
        assert_eq!(ids(copy.beyond(3, 15, 0, 9)), ["a", "b"]);
        assert_eq!(ids(copy.beyond(3, 30, 3, 9)), ["a", "b"]);
        assert_eq!(ids(copy.beyond(0, 0, 0, 2)), ["a", "b"]);
    }

    #[test]
    fn what_is_put_again_counts_once_and_what_is_gone_not_at_all() {
        let mut copy = KeptCopy::default();
        copy.hear(Event::Put(key("a"), row(1.0, 10)));
        copy.hear(Event::Put(key("a"), row(2.0, 7)));
        assert_eq!((copy.count(), copy.bytes()), (1, 7));
        copy.hear(Event::Gone(key("a")));
        copy.hear(Event::Gone(key("a")));
        assert_eq!((copy.count(), copy.bytes()), (0, 0));
        assert!(!copy.has_of(Scope::default()));
    }
}
