//! Tables whose values are JSON: who keeps something in the store says of which type its keys and values are.

use super::file::Fault;
use crate::auth::scope::Scope;
use redb::{Database, Key, ReadableDatabase, ReadableTable, TableDefinition, TableError, Value};
use serde::{Serialize, de::DeserializeOwned};
use std::marker::PhantomData;

/// A table of values of type `V` by keys of type `K`.
pub struct Table<K, V> {
    name: &'static str,
    holds: &'static str,
    types: PhantomData<fn(K) -> V>,
}

/// What a row is found by.
pub trait RowKey: Sized {
    /// How it is stored.
    type Stored: Key + 'static;

    /// As it is stored.
    fn stored(&self) -> <Self::Stored as Value>::SelfType<'_>;

    /// As it was stored.
    fn read(stored: <Self::Stored as Value>::SelfType<'_>) -> Result<Self, Fault>;
}

/// For a table of one row.
impl RowKey for () {
    type Stored = ();

    fn stored(&self) {}

    fn read((): ()) -> Result<Self, Fault> {
        Ok(())
    }
}

impl RowKey for String {
    type Stored = &'static str;

    fn stored(&self) -> &str {
        self
    }

    fn read(stored: &str) -> Result<Self, Fault> {
        Ok(stored.to_owned())
    }
}

impl RowKey for Scope {
    type Stored = &'static [u8];

    fn stored(&self) -> &[u8] {
        &self.0
    }

    fn read(stored: &[u8]) -> Result<Self, Fault> {
        let unreadable = |_| Fault::Unreadable(format!("a scope has {} bytes", stored.len()));
        stored.try_into().map(Self).map_err(unreadable)
    }
}

impl<K: RowKey, V> Table<K, V> {
    /// The table `name` of the store; `holds` says in errors what a row of it is.
    pub const fn new(name: &'static str, holds: &'static str) -> Self {
        Self {
            name,
            holds,
            types: PhantomData,
        }
    }

    fn definition(&self) -> TableDefinition<'static, K::Stored, &'static str> {
        TableDefinition::new(self.name)
    }

    fn unreadable(&self, error: &serde_json::Error) -> Fault {
        Fault::Unreadable(format!("{}: {error}", self.holds))
    }

    /// Every row. A table in which nothing was ever put has none.
    pub(super) fn rows(&self, database: &Database) -> Result<Vec<(K, V)>, Fault>
    where
        V: DeserializeOwned,
    {
        let transaction = database.begin_read()?;
        let table = match transaction.open_table(self.definition()) {
            Ok(table) => table,
            Err(TableError::TableDoesNotExist(_)) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut rows = Vec::new();
        for row in table.iter()? {
            let (key, text) = row?;
            let value = serde_json::from_str(text.value()).map_err(|error| self.unreadable(&error))?;
            rows.push((K::read(key.value())?, value));
        }
        Ok(rows)
    }

    /// Stores one row.
    pub(super) fn put(&self, database: &Database, key: &K, value: &V) -> Result<(), Fault>
    where
        V: Serialize,
    {
        let text = serde_json::to_string(value).map_err(|error| self.unreadable(&error))?;
        let transaction = database.begin_write()?;
        transaction
            .open_table(self.definition())?
            .insert(key.stored(), text.as_str())?;
        transaction.commit()?;
        Ok(())
    }

    /// Takes out one row.
    pub(super) fn remove(&self, database: &Database, key: &K) -> Result<(), Fault> {
        let transaction = database.begin_write()?;
        transaction.open_table(self.definition())?.remove(key.stored())?;
        transaction.commit()?;
        Ok(())
    }
}
