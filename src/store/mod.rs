//! What must survive a restart, in an embedded store that a crash cannot break: which jobs are hidden, who calls, which
//! canaries have rolled back, and the key of scopes. Without a folder nothing is stored.
//!
//! What others keep here is in typed tables (`table`), which they define themselves.

mod error;
mod file;
mod table;

pub use error::StoreError;
pub use table::{RowKey, Table};

use crate::{
    auth::scope::{Scope, ScopeKey},
    os::for_this_user_alone,
};
use file::{Fault, StoreFile};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs::{self, OpenOptions},
    io,
    path::Path,
    sync::Arc,
};

/// Scope and job id of each deleted job.
const DELETED: TableDefinition<(&[u8], &str), ()> = TableDefinition::new("deleted");
/// When a job in [`DELETED`] was created, in ms. Earlier versions stored none.
const CREATED: TableDefinition<(&[u8], &str), f64> = TableDefinition::new("deleted_created");
/// The last clear of a scope. Only its rows are counted here.
const CLEARED: TableDefinition<&[u8], &str> = TableDefinition::new("cleared");
/// The key of scopes.
const KEY: TableDefinition<(), &[u8]> = TableDefinition::new("key");

/// The file in `state_dir`.
const FILE: &str = "jobshim.redb";

/// A job that was deleted.
pub struct DeletedJob {
    /// For whom.
    pub scope: Scope,
    /// Its id.
    pub id: String,
    /// When it was created, in ms, where that is known.
    pub created: Option<f64>,
}

/// The store.
pub struct Store {
    file: Option<StoreFile>,
    key: ScopeKey,
}

impl Store {
    /// Opens the store in `folder`, making both if need be.
    pub fn open(folder: Option<&Path>) -> Result<Self, StoreError> {
        let Some(folder) = folder else {
            let key = ScopeKey::random().ok_or(StoreError::Random)?;
            return Ok(Self {
                file: None,
                key: ScopeKey::new(&key),
            });
        };
        let shown = folder.display().to_string();
        let unusable = |error| StoreError::Folder(shown.clone(), Arc::new(error));
        fs::create_dir_all(folder).map_err(unusable)?;
        let path = folder.join(FILE);
        keep_from_others(&path).map_err(unusable)?;
        let file = StoreFile::open(path)?;
        let random = ScopeKey::random().ok_or(StoreError::Random)?;
        let key = file.run(|database| kept_key(database, random))?;
        Ok(Self {
            file: Some(file),
            key: ScopeKey::new(&key),
        })
    }

    /// Whether anything is stored at all.
    pub fn is_kept(&self) -> bool {
        self.file.is_some()
    }

    /// The key of scopes: the same after a restart, so that what was hidden is found again.
    pub fn scope_key(&self) -> &ScopeKey {
        &self.key
    }

    /// Every row of `table`; none where nothing is stored.
    pub fn rows<K: RowKey, V: DeserializeOwned>(&self, table: &Table<K, V>) -> Result<Vec<(K, V)>, StoreError> {
        self.run(|database| table.rows(database))
    }

    /// Stores a row of `table`; once this returns, no crash undoes it. Waits for the disk.
    pub fn put<K: RowKey, V: Serialize>(&self, table: &Table<K, V>, key: &K, value: &V) -> Result<(), StoreError> {
        self.run(|database| table.put(database, key, value))
    }

    /// Takes a row out of `table`. Waits for the disk.
    pub fn remove<K: RowKey, V>(&self, table: &Table<K, V>, key: &K) -> Result<(), StoreError> {
        self.run(|database| table.remove(database, key))
    }

    /// Every deleted job.
    pub fn deleted(&self) -> Result<Vec<DeletedJob>, StoreError> {
        self.run(read_deleted)
    }

    /// Stores that these jobs are deleted, by id and creation, in ms, where that is known. Waits for the disk.
    pub fn delete(&self, scope: Scope, jobs: &[(String, Option<f64>)]) -> Result<(), StoreError> {
        self.run(|database| write_deleted(database, scope, jobs))
    }

    /// Forgets that these jobs are deleted. Waits for the disk.
    pub fn forget(&self, scope: Scope, ids: &[String]) -> Result<(), StoreError> {
        self.run(|database| forget_deleted(database, scope, ids))
    }

    /// Without a file there is nothing, and nothing is stored.
    fn run<T: Default>(&self, work: impl FnOnce(&Database) -> Result<T, Fault>) -> Result<T, StoreError> {
        match &self.file {
            Some(file) => file.run(work),
            None => Ok(T::default()),
        }
    }
}

/// Makes the file, if it is not there, for this user alone: who has the key of scopes can try credentials against it.
fn keep_from_others(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    for_this_user_alone(&mut options).open(path).map(drop)
}

/// The stored key, or `random` once it is stored. Another key would make strangers of all whose scopes are stored.
fn kept_key(store: &Database, random: [u8; ScopeKey::LENGTH]) -> Result<[u8; ScopeKey::LENGTH], Fault> {
    let transaction = store.begin_write()?;
    let key = {
        let mut table = transaction.open_table(KEY)?;
        let scopes = transaction.open_table(DELETED)?.len()? + transaction.open_table(CLEARED)?.len()?;
        transaction.open_table(CREATED)?;
        let known = table.get(())?.map(|bytes| bytes.value().to_vec());
        match known {
            Some(key) => key.as_slice().try_into().map_err(|_| {
                let reason = format!(
                    "the key of scopes has {} bytes instead of {}",
                    key.len(),
                    ScopeKey::LENGTH
                );
                Fault::Unreadable(reason)
            })?,
            None if scopes > 0 => return Err(Fault::Unreadable("the key of its scopes is gone".to_owned())),
            None => {
                table.insert((), &random[..])?;
                random
            }
        }
    };
    transaction.commit()?;
    Ok(key)
}

fn read_deleted(database: &Database) -> Result<Vec<DeletedJob>, Fault> {
    let transaction = database.begin_read()?;
    let created = transaction.open_table(CREATED)?;
    let mut jobs = Vec::new();
    for row in transaction.open_table(DELETED)?.iter()? {
        let (key, _) = row?;
        let created = created.get(key.value())?.map(|created| created.value());
        let (scope, id) = key.value();
        jobs.push(DeletedJob {
            scope: Scope::read(scope)?,
            id: id.to_owned(),
            created,
        });
    }
    Ok(jobs)
}

fn write_deleted(database: &Database, scope: Scope, jobs: &[(String, Option<f64>)]) -> Result<(), Fault> {
    let transaction = database.begin_write()?;
    {
        let mut deleted = transaction.open_table(DELETED)?;
        let mut times = transaction.open_table(CREATED)?;
        for (id, created) in jobs {
            let key = (&scope.0[..], id.as_str());
            deleted.insert(key, ())?;
            match created {
                Some(created) => drop(times.insert(key, created)?),
                None => drop(times.remove(key)?),
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn forget_deleted(database: &Database, scope: Scope, ids: &[String]) -> Result<(), Fault> {
    let transaction = database.begin_write()?;
    {
        let mut deleted = transaction.open_table(DELETED)?;
        let mut times = transaction.open_table(CREATED)?;
        for id in ids {
            deleted.remove((&scope.0[..], id.as_str()))?;
            times.remove((&scope.0[..], id.as_str()))?;
        }
    }
    transaction.commit()?;
    Ok(())
}
