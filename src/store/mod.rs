//! What must outlive a request, a restart, or the one jobshim of several that was told: which jobs are hidden, who calls, which
//! canaries have rolled back, and the key of scopes.
//!
//! It is kept in typed tables (`table`), which those who keep something define themselves, in one of three places
//! (`backend`): the process, a folder, a Valkey. Nobody reads it while a request waits. Who keeps something follows its table
//! and has a copy of it, which is up to date on every jobshim before a change is said to be done.

mod backend;
mod change;
mod error;
mod folder;
mod follow;
mod memory;
mod seal;
mod table;
mod valkey;

pub use change::Change;
pub use error::StoreError;
pub use follow::Event;
pub use table::{Blobs, RowKey, Signal, Table};

use crate::{
    auth::scope::{Scope, ScopeKey},
    config::{StateConfig, StatePlace},
    http::hex::random_name,
};
use arc_swap::{ArcSwap, Guard};
use backend::{Backend, Freshness};
use change::{Action, Step};
use folder::Folder;
use follow::{Listener, TypedFollower};
use memory::Memory;
use seal::{Seal, opened};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{marker::PhantomData, path::Path, sync::Arc, time::Duration};
use table::Unreadable;
use tokio::task::spawn_blocking;
use valkey::Valkey;

/// The deleted jobs of each scope: when each was created, in ms, where that is known.
pub const DELETED: Table<(Scope, String), Option<f64>> = Table::new("deleted", "a deleted job");

/// The key of scopes.
const KEY: Table<(), ScopeKeyRow> = Table::new("key", "the key of scopes");

/// A key of scopes as it is stored.
#[derive(Debug, Deserialize, Serialize)]
struct ScopeKeyRow([u8; ScopeKey::LENGTH]);

impl ScopeKeyRow {
    fn from_bytes(bytes: &[u8]) -> Result<Self, Unreadable> {
        let why = |_| {
            let length = bytes.len();
            Unreadable::Wrong(format!(
                "the key of scopes has {length} bytes instead of {}",
                ScopeKey::LENGTH
            ))
        };
        bytes.try_into().map(Self).map_err(why)
    }
}

/// How long a store lasts, and for whom it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// As long as the process.
    Passing,
    /// Longer, for one at a time.
    Kept,
    /// Longer, for many at once.
    Shared,
}

/// The store.
pub struct Store {
    backend: Arc<dyn Backend>,
    kind: Kind,
    name: String,
    seal: Option<Arc<Seal>>,
    key: Arc<ArcSwap<ScopeKey>>,
}

impl Store {
    /// Opens the store of `config`, making it if need be. One that is shared and does not answer is waited for beside
    /// everything else.
    ///
    /// # Errors
    /// What is there is not a store of this jobshim, or cannot be used.
    pub fn open(config: &StateConfig) -> Result<Self, StoreError> {
        let seal = || {
            config
                .key
                .as_ref()
                .map(|key| Seal::new(key.reveal()).map(Arc::new))
                .transpose()
        };
        match &config.place {
            StatePlace::Memory => Self::in_memory(),
            StatePlace::Folder(folder) => {
                Self::over(Kind::Kept, seal()?, |first| Ok(Arc::new(Folder::open(folder, first)?)))
            }
            StatePlace::Valkey(url) => {
                let name = random_name().ok_or(StoreError::Random)?;
                let open = |first| -> Result<Arc<dyn Backend>, StoreError> {
                    Ok(Arc::new(Valkey::open(url, config, name.clone(), first)?))
                };
                Ok(Self {
                    name: name.clone(),
                    ..Self::over(Kind::Shared, seal()?, open)?
                })
            }
        }
    }

    /// A store that ends with the process.
    pub fn in_memory() -> Result<Self, StoreError> {
        Self::over(Kind::Passing, None, |first| {
            let memory = Memory::default();
            memory.commit(first)?;
            Ok(Arc::new(memory))
        })
    }

    /// The store in `folder`, making both if need be.
    pub fn in_folder(folder: &Path) -> Result<Self, StoreError> {
        Self::over(Kind::Kept, None, |first| Ok(Arc::new(Folder::open(folder, first)?)))
    }

    fn over(
        kind: Kind,
        seal: Option<Arc<Seal>>,
        open: impl FnOnce(Vec<Step>) -> Result<Arc<dyn Backend>, StoreError>,
    ) -> Result<Self, StoreError> {
        let random = ScopeKeyRow(ScopeKey::random().ok_or(StoreError::Random)?);
        let first = sealed(seal.as_deref(), Change::default().put_new(&KEY, &(), &random))?;
        let store = Self {
            backend: open(first)?,
            kind,
            name: String::new(),
            seal,
            key: Arc::new(ArcSwap::from_pointee(ScopeKey::new(&random.0))),
        };
        let key = Arc::clone(&store.key);
        let gone = || Err(Unreadable::Wrong("the key of its scopes is gone".to_owned()));
        store.follow_checked(&KEY, move |event| {
            let row = match event {
                Event::All(rows) => match rows.into_iter().next() {
                    Some(((), row)) => row,
                    None => return gone(),
                },
                Event::Put((), row) => row,
                Event::Gone(()) => return gone(),
            };
            key.store(Arc::new(ScopeKey::new(&row.0)));
            Ok(())
        })?;
        Ok(store)
    }

    /// Whether anything outlives the process.
    pub fn is_kept(&self) -> bool {
        self.kind != Kind::Passing
    }

    /// Whether other jobshims have it, too.
    pub fn is_shared(&self) -> bool {
        self.kind == Kind::Shared
    }

    /// Waits until what followers have heard is what the store holds, or at least was a short time ago where the store does not
    /// answer. It costs nothing in the common case.
    ///
    /// # Errors
    /// The store was not reached yet, or has not answered for too long.
    pub async fn confirm(&self) -> Result<(), StoreError> {
        match self.freshness().await {
            Freshness::Unusable(error) => Err(error),
            Freshness::Current | Freshness::Stale(_) => Ok(()),
        }
    }

    async fn freshness(&self) -> Freshness {
        match self.is_current() {
            true => Freshness::Current,
            false => self.backend.confirm().await,
        }
    }

    /// Whether nothing can have changed unheard.
    pub fn is_current(&self) -> bool {
        self.backend.is_current()
    }

    /// As [`Store::confirm`], of a store that also takes changes.
    ///
    /// # Errors
    /// The store does not answer.
    pub async fn confirm_for_write(&self) -> Result<(), StoreError> {
        match self.freshness().await {
            Freshness::Unusable(error) => Err(error),
            Freshness::Stale(_) => Err(StoreError::Unreachable(
                self.backend.place(),
                "a change could not be stored now".to_owned(),
            )),
            Freshness::Current => Ok(()),
        }
    }

    /// What this jobshim is called among those that share the store; empty where nobody does.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it is, for people.
    pub fn place(&self) -> String {
        self.backend.place()
    }

    /// Whether it was ever there. One that nobody shares always is.
    pub fn was_reached(&self) -> bool {
        !matches!(self.backend.standing(), Freshness::Unusable(StoreError::NotReached))
    }

    /// For how long a shared store has not answered, if it does not; nothing of one that was never reached.
    pub fn stale_for(&self) -> Option<Duration> {
        match self.backend.standing() {
            Freshness::Stale(time) | Freshness::Unusable(StoreError::Stale(time)) => Some(time),
            Freshness::Current | Freshness::Unusable(_) => None,
        }
    }

    /// Lets go of it at the end of the program: others that share it need not wait for this one any more.
    pub fn close(&self) {
        self.backend.close();
    }

    /// The key of scopes: the same after a restart, so that what was hidden is found again.
    pub fn scope_key(&self) -> Guard<Arc<ScopeKey>> {
        self.key.load()
    }

    /// Every row of `table`. Waits for the store.
    pub fn rows<K: RowKey, V: DeserializeOwned>(&self, table: &Table<K, V>) -> Result<Vec<(K, V)>, StoreError> {
        let rows = self.backend.rows(table.name)?;
        let read =
            |(key, value): &(Vec<u8>, Vec<u8>)| table.read(key, &opened(self.seal.as_deref(), table.name, key, value)?);
        let rows = rows.iter().map(read);
        rows.collect::<Result<_, _>>()
            .map_err(|why| StoreError::damaged(self.backend.place(), why))
    }

    /// The bytes under `key`. Waits for the store.
    pub fn blob<K: RowKey>(&self, blobs: &Blobs<K>, key: &K) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key.bytes();
        let Some(bytes) = self.backend.row(blobs.name, &key)? else {
            return Ok(None);
        };
        let plain = opened(self.seal.as_deref(), blobs.name, &key, &bytes);
        plain
            .map(Some)
            .map_err(|why| StoreError::damaged(self.backend.place(), why))
    }

    /// As [`Store::blob`], for who must not block.
    pub async fn blob_async<K: RowKey + Send + 'static>(
        self: &Arc<Self>,
        blobs: &'static Blobs<K>,
        key: K,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let store = Arc::clone(self);
        let work = spawn_blocking(move || store.blob(blobs, &key)).await;
        work.unwrap_or(Err(StoreError::Stopping))
    }

    /// Does a change, all of it or nothing. Once this returns, no crash undoes it, and all who follow its tables have heard
    /// of it. Waits for the store.
    pub fn commit(&self, change: Change) -> Result<(), StoreError> {
        self.backend.commit(sealed(self.seal.as_deref(), change)?)
    }

    /// As [`Store::commit`], for who must not block. The change is made also where nobody waits for it any more.
    ///
    /// # Errors
    /// It was not made, as far as is known.
    pub async fn commit_async(self: &Arc<Self>, change: Change) -> Result<(), StoreError> {
        let store = Arc::clone(self);
        let work = spawn_blocking(move || store.commit(change)).await;
        work.unwrap_or(Err(StoreError::Stopping))
    }

    /// `hear` is told of all rows of `table`, and then of each that changes. It waits for nothing, and asks nothing of the
    /// store.
    ///
    /// # Errors
    /// What is stored cannot be read.
    pub fn follow<K, V>(
        &self,
        table: &Table<K, V>,
        hear: impl Fn(Event<K, V>) + Send + Sync + 'static,
    ) -> Result<(), StoreError>
    where
        K: RowKey + 'static,
        V: DeserializeOwned + 'static,
    {
        self.follow_checked(table, move |event| {
            hear(event);
            Ok(())
        })
    }

    fn follow_checked<K, V>(
        &self,
        table: &Table<K, V>,
        hear: impl Fn(Event<K, V>) -> Result<(), Unreadable> + Send + Sync + 'static,
    ) -> Result<(), StoreError>
    where
        K: RowKey + 'static,
        V: DeserializeOwned + 'static,
    {
        let name = table.name;
        let table = table.again();
        let seal = self.seal.clone();
        self.backend.follow(name, Arc::new(TypedFollower { table, seal, hear }))
    }

    /// `hear` is told of each `signal`, wherever it was given; of `None` where some may have been missed.
    pub fn listen<T: DeserializeOwned + 'static>(
        &self,
        signal: &Signal<T>,
        hear: impl Fn(Option<T>) + Send + Sync + 'static,
    ) -> Result<(), StoreError> {
        let name = signal.name;
        self.backend.follow(
            name,
            Arc::new(Listener {
                name,
                hear,
                takes: PhantomData,
            }),
        )
    }
}

/// The steps of a change, with values that only who has the key can read.
fn sealed(seal: Option<&Seal>, change: Change) -> Result<Vec<Step>, StoreError> {
    let steps = change.checked()?;
    let Some(seal) = seal else {
        return Ok(steps);
    };
    let sealed = steps.into_iter().map(|step| {
        let Step { table, key, action } = step;
        let value = |value| seal.seal(table, &key, value);
        let action = match action {
            Action::Put(plain) => Action::Put(value(plain)?),
            Action::PutFor(plain, bound) => Action::PutFor(value(plain)?, bound),
            Action::PutNew(plain) => Action::PutNew(value(plain)?),
            Action::RemoveIf(plain) => Action::RemoveIf(value(plain)?),
            Action::Expect(plain) => Action::Expect(plain.map(value).transpose()?),
            action @ (Action::Remove | Action::Tell) => action,
        };
        Ok(Step { table, key, action })
    });
    sealed.collect()
}
