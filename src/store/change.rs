//! What is put into the store and taken out of it, all of it or nothing.

use super::{
    Blobs, Signal, StoreError, Table,
    table::{Bound, RowKey},
};
use serde::Serialize;

/// One change of the store: it is done whole, or not at all.
#[derive(Debug, Default)]
pub struct Change {
    pub(super) steps: Vec<Step>,
    /// Why it cannot be stored, if so.
    wrong: Option<StoreError>,
}

/// What becomes of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub table: &'static str,
    pub key: Vec<u8>,
    pub action: Action,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It is this from now on.
    Put(Vec<u8>),
    /// It is this for so long.
    PutFor(Vec<u8>, Bound),
    /// It is this if there is none.
    PutNew(Vec<u8>),
    /// It is gone.
    Remove,
    /// It is gone if it is this.
    RemoveIf(Vec<u8>),
    /// It is this before anything is done, or is not there: otherwise nothing of the change is.
    Expect(Option<Vec<u8>>),
    /// Nothing: there is no row, and the key is what all are told.
    Tell,
}

impl Change {
    /// `value` is stored under `key`, whatever was there.
    pub fn put<K: RowKey, V: Serialize>(self, table: &Table<K, V>, key: &K, value: &V) -> Self {
        let bound = table.bound;
        self.valued(table, key, value, |value| match bound {
            None => Action::Put(value),
            Some(bound) => Action::PutFor(value, bound),
        })
    }

    /// `value` is stored under `key` if nothing is there.
    pub fn put_new<K: RowKey, V: Serialize>(self, table: &Table<K, V>, key: &K, value: &V) -> Self {
        self.valued(table, key, value, Action::PutNew)
    }

    /// What is under `key` is taken out.
    pub fn remove<K: RowKey, V>(self, table: &Table<K, V>, key: &K) -> Self {
        self.step(table.name, key, Action::Remove)
    }

    /// What is under `key` is taken out if it is still `value`: somebody else may have put another there.
    pub fn remove_if<K: RowKey, V: Serialize>(self, table: &Table<K, V>, key: &K, value: &V) -> Self {
        self.valued(table, key, value, Action::RemoveIf)
    }

    /// All of it is done only if what is under `key` is `value`, or if nothing is there.
    pub fn expect<K: RowKey, V: Serialize>(self, table: &Table<K, V>, key: &K, value: Option<&V>) -> Self {
        match value {
            Some(value) => self.valued(table, key, value, |value| Action::Expect(Some(value))),
            None => self.step(table.name, key, Action::Expect(None)),
        }
    }

    /// `bytes` are stored under `key`, whatever was there.
    pub fn put_blob<K: RowKey>(self, blobs: &Blobs<K>, key: &K, bytes: Vec<u8>) -> Self {
        self.step(blobs.name, key, Action::Put(bytes))
    }

    /// The bytes under `key` are taken out.
    pub fn remove_blob<K: RowKey>(self, blobs: &Blobs<K>, key: &K) -> Self {
        self.step(blobs.name, key, Action::Remove)
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.wrong.is_none()
    }

    /// All who listen to `signal` hear of `what`.
    pub fn tell<T: Serialize>(mut self, signal: &Signal<T>, what: &T) -> Self {
        match serde_json::to_vec(what) {
            Ok(key) => self.steps.push(Step {
                table: signal.name,
                key,
                action: Action::Tell,
            }),
            Err(error) => self.wrong = Some(StoreError::unwritable(signal.name, &error)),
        }
        self
    }

    fn step<K: RowKey>(mut self, table: &'static str, key: &K, action: Action) -> Self {
        self.steps.push(Step {
            table,
            key: key.bytes(),
            action,
        });
        self
    }

    fn valued<K: RowKey, V: Serialize>(
        mut self,
        table: &Table<K, V>,
        key: &K,
        value: &V,
        action: impl FnOnce(Vec<u8>) -> Action,
    ) -> Self {
        match serde_json::to_vec(value) {
            Ok(value) => return self.step(table.name, key, action(value)),
            Err(error) => self.wrong = Some(StoreError::unwritable(table.holds, &error)),
        }
        self
    }

    pub(super) fn checked(self) -> Result<Vec<Step>, StoreError> {
        match self.wrong {
            Some(error) => Err(error),
            None => Ok(self.steps),
        }
    }
}
