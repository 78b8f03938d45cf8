//! What must survive a restart, in an embedded store that a crash cannot break: which jobs are hidden, who calls, which
//! canaries have gone back, and the key of scopes. Without a folder nothing is stored.

mod store;

use self::store::{Fault, Store};
use crate::{
    legacy::hidden::Cleared,
    modes::Back,
    observe::Clients,
    scope::{Scope, ScopeKey},
};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::Arc,
};

/// Scope and job id of each deleted job.
const DELETED: TableDefinition<(&[u8], &str), ()> = TableDefinition::new("deleted");
/// When a job in [`DELETED`] was created, in ms. Earlier versions stored none.
const CREATED: TableDefinition<(&[u8], &str), f64> = TableDefinition::new("deleted_created");
/// The last clear of a scope, as JSON.
const CLEARED: TableDefinition<&[u8], &str> = TableDefinition::new("cleared");
/// The key of scopes.
const KEY: TableDefinition<(), &[u8]> = TableDefinition::new("key");

/// Who calls the legacy surface, as JSON.
const USAGE: TableDefinition<(), &str> = TableDefinition::new("usage");
/// By route, the canaries that have gone back, as JSON.
const ROLLBACKS: TableDefinition<&str, &str> = TableDefinition::new("rollbacks");

/// The file in `state_dir`.
const FILE: &str = "jobshim.redb";

/// Why the state cannot be kept.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StateError {
    /// The folder cannot be made.
    #[error("state_dir {0}: {1}")]
    Folder(String, Arc<io::Error>),
    /// Another jobshim has the store open.
    #[error("state_dir {0} is in use by another jobshim")]
    InUse(String),
    /// The store cannot be opened, read or written: the disk's fault, which may pass.
    #[error("the store {0} cannot be used: {1}")]
    Store(String, Arc<redb::Error>),
    /// What is in the store is not what was written.
    #[error(
        "the store {0} is damaged: {1}. Bring back a copy of it, or move it away: jobshim then begins a new one, in which no \
         deleted job is hidden any more, no canary has gone back, and nobody has called yet"
    )]
    Damaged(String, String),
    /// There is no room for another hidden job.
    #[error("as many jobs are hidden as history.max_hidden allows ({0} bytes)")]
    Full(usize),
    /// The program is ending.
    #[error("the change was not made: jobshim is stopping")]
    Stopping,
    /// No random bytes for a key.
    #[error("the system gives no random bytes")]
    Random,
}

/// One change of what is hidden.
pub enum Change {
    /// These jobs, by id and creation, in ms, where that is known.
    Delete(Vec<(String, Option<f64>)>),
    /// These are gone from the server, and need no hiding any more.
    Forget(Vec<String>),
    /// Everything that had ended.
    Clear(Cleared),
}

/// The store.
pub struct State {
    store: Option<Store>,
    key: ScopeKey,
}

/// What was stored.
pub type Stored = (Vec<(Scope, String, Option<f64>)>, Vec<(Scope, Cleared)>);

impl State {
    /// Opens the store in `folder`, making both if need be.
    pub fn open(folder: Option<&Path>) -> Result<Self, StateError> {
        let Some(folder) = folder else {
            let key = ScopeKey::random().ok_or(StateError::Random)?;
            return Ok(Self {
                store: None,
                key: ScopeKey::new(&key),
            });
        };
        let shown = folder.display().to_string();
        let unusable = |error| StateError::Folder(shown.clone(), Arc::new(error));
        fs::create_dir_all(folder).map_err(unusable)?;
        let path = folder.join(FILE);
        keep_from_others(&path).map_err(unusable)?;
        let store = Store::open(path)?;
        let random = ScopeKey::random().ok_or(StateError::Random)?;
        let key = store.run(|store| kept_key(store, random))?;
        Ok(Self {
            store: Some(store),
            key: ScopeKey::new(&key),
        })
    }

    /// Whether anything is stored at all.
    pub fn is_kept(&self) -> bool {
        self.store.is_some()
    }

    /// The key of scopes: the same after a restart, so that what was hidden is found again.
    pub fn scope_key(&self) -> &ScopeKey {
        &self.key
    }

    /// Who called the legacy surface before the restart.
    pub fn usage(&self) -> Result<Option<Clients>, StateError> {
        match &self.store {
            Some(store) => store.run(read_usage),
            None => Ok(None),
        }
    }

    /// Stores who calls the legacy surface. Waits for the disk.
    pub fn store_usage(&self, clients: &Clients) -> Result<(), StateError> {
        match &self.store {
            Some(store) => store.run(|store| write_usage(store, clients)),
            None => Ok(()),
        }
    }

    /// The canaries that have gone back, by the names of their routes.
    pub fn rollbacks(&self) -> Result<BTreeMap<String, Back>, StateError> {
        match &self.store {
            Some(store) => store.run(read_rollbacks),
            None => Ok(BTreeMap::new()),
        }
    }

    /// Stores that the canary of `route` has gone back. Waits for the disk.
    pub fn keep_rollback(&self, route: &str, back: &Back) -> Result<(), StateError> {
        match &self.store {
            Some(store) => store.run(|store| write_rollback(store, route, Some(back))),
            None => Ok(()),
        }
    }

    /// Forgets that it has. Waits for the disk.
    pub fn forget_rollback(&self, route: &str) -> Result<(), StateError> {
        match &self.store {
            Some(store) => store.run(|store| write_rollback(store, route, None)),
            None => Ok(()),
        }
    }

    /// Everything stored.
    pub fn load(&self) -> Result<Stored, StateError> {
        match &self.store {
            Some(store) => store.run(read_all),
            None => Ok(Stored::default()),
        }
    }

    /// Stores one change; once this returns, no crash undoes it. Waits for the disk.
    pub fn store(&self, scope: Scope, change: &Change) -> Result<(), StateError> {
        match &self.store {
            Some(store) => store.run(|store| write(store, scope, change)),
            None => Ok(()),
        }
    }
}

/// Makes the file, if it is not there, for this user alone: who has the key of scopes can try credentials against it.
fn keep_from_others(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).open(path).map(drop)
}

/// The stored key, or `random` once it is stored. Another key would make strangers of all whose scopes are stored.
fn kept_key(store: &Database, random: [u8; ScopeKey::LENGTH]) -> Result<[u8; ScopeKey::LENGTH], Fault> {
    let transaction = store.begin_write()?;
    let key = {
        let mut table = transaction.open_table(KEY)?;
        let scopes = transaction.open_table(DELETED)?.len()? + transaction.open_table(CLEARED)?.len()?;
        transaction.open_table(CREATED)?;
        transaction.open_table(USAGE)?;
        transaction.open_table(ROLLBACKS)?;
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

fn read_all(store: &Database) -> Result<Stored, Fault> {
    let transaction = store.begin_read()?;
    let mut stored = Stored::default();
    let created = transaction.open_table(CREATED)?;
    for row in transaction.open_table(DELETED)?.iter()? {
        let (key, _) = row?;
        let created = created.get(key.value())?.map(|created| created.value());
        let (scope, id) = key.value();
        stored.0.push((scope_of(scope)?, id.to_owned(), created));
    }
    for row in transaction.open_table(CLEARED)?.iter()? {
        let (scope, cleared) = row?;
        let cleared = serde_json::from_str(cleared.value())
            .map_err(|error| Fault::Unreadable(format!("a clear that was stored: {error}")))?;
        stored.1.push((scope_of(scope.value())?, cleared));
    }
    Ok(stored)
}

fn read_usage(store: &Database) -> Result<Option<Clients>, Fault> {
    let transaction = store.begin_read()?;
    let stored = transaction.open_table(USAGE)?.get(())?;
    let clients = stored.map(|text| serde_json::from_str(text.value()));
    clients
        .transpose()
        .map_err(|error| Fault::Unreadable(format!("who calls the legacy surface: {error}")))
}

fn write_usage(store: &Database, clients: &Clients) -> Result<(), Fault> {
    let text = serde_json::to_string(clients)
        .map_err(|error| Fault::Unreadable(format!("who calls cannot be written: {error}")))?;
    let transaction = store.begin_write()?;
    transaction.open_table(USAGE)?.insert((), text.as_str())?;
    transaction.commit()?;
    Ok(())
}

fn read_rollbacks(store: &Database) -> Result<BTreeMap<String, Back>, Fault> {
    let transaction = store.begin_read()?;
    let mut stored = BTreeMap::new();
    for row in transaction.open_table(ROLLBACKS)?.iter()? {
        let (route, text) = row?;
        let back = serde_json::from_str(text.value())
            .map_err(|error| Fault::Unreadable(format!("a canary that went back: {error}")))?;
        stored.insert(route.value().to_owned(), back);
    }
    Ok(stored)
}

fn write_rollback(store: &Database, route: &str, back: Option<&Back>) -> Result<(), Fault> {
    let text = back.map(serde_json::to_string).transpose();
    let text =
        text.map_err(|error| Fault::Unreadable(format!("a canary that went back cannot be written: {error}")))?;
    let transaction = store.begin_write()?;
    {
        let mut table = transaction.open_table(ROLLBACKS)?;
        match text {
            Some(text) => drop(table.insert(route, text.as_str())?),
            None => drop(table.remove(route)?),
        }
    }
    transaction.commit()?;
    Ok(())
}

fn scope_of(bytes: &[u8]) -> Result<Scope, Fault> {
    let unreadable = |_| Fault::Unreadable(format!("a scope has {} bytes", bytes.len()));
    bytes.try_into().map(Scope).map_err(unreadable)
}

fn write(store: &Database, scope: Scope, change: &Change) -> Result<(), Fault> {
    let transaction = store.begin_write()?;
    {
        let mut deleted = transaction.open_table(DELETED)?;
        let mut times = transaction.open_table(CREATED)?;
        match change {
            Change::Delete(jobs) => {
                for (id, created) in jobs {
                    let key = (&scope.0[..], id.as_str());
                    deleted.insert(key, ())?;
                    match created {
                        Some(created) => drop(times.insert(key, created)?),
                        None => drop(times.remove(key)?),
                    }
                }
            }
            Change::Forget(ids) => {
                for id in ids {
                    deleted.remove((&scope.0[..], id.as_str()))?;
                    times.remove((&scope.0[..], id.as_str()))?;
                }
            }
            Change::Clear(cleared) => {
                let text = serde_json::to_string(cleared)
                    .map_err(|error| Fault::Unreadable(format!("a clear cannot be written: {error}")))?;
                transaction.open_table(CLEARED)?.insert(&scope.0[..], text.as_str())?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}
