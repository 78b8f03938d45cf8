//! Tables of typed rows: who keeps something in the store says of which type its keys and values are. Values are JSON.

use crate::auth::scope::Scope;
use serde::de::DeserializeOwned;
use std::{marker::PhantomData, time::Duration};

/// A table of values of type `V` by keys of type `K`.
pub struct Table<K, V> {
    pub(super) name: &'static str,
    pub(super) holds: &'static str,
    /// How long rows are kept, and how many, if not all for ever.
    pub(super) bound: Option<Bound>,
    types: PhantomData<fn(K) -> V>,
}

/// What rows there are of a table that does not keep all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// How long a row is kept.
    pub lifetime: Duration,
    /// The most bytes that the values of all rows take.
    pub most: u64,
}

/// Long values by keys of type `K`, as bytes. Nobody follows them or has a copy of them: each is read when it is needed.
pub struct Blobs<K> {
    pub(super) name: &'static str,
    types: PhantomData<fn(K)>,
}

impl<K> Blobs<K> {
    /// The blobs `name` of the store, which no table or signal may have.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            types: PhantomData,
        }
    }
}

/// What all who have the store open are told, and nobody keeps.
pub struct Signal<T> {
    pub(super) name: &'static str,
    types: PhantomData<fn(T)>,
}

/// Why a stored row cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// It is none that was written: what is wrong with it.
    Wrong(String),
    /// It is encrypted by another `state.key`.
    OtherKey,
    /// It is encrypted, and there is no `state.key`.
    NoKey,
    /// It is not encrypted, and there is a `state.key`.
    NotSealed,
}

/// What a row is found by.
pub trait RowKey: Sized {
    /// As it is stored.
    fn bytes(&self) -> Vec<u8>;

    /// As it was stored.
    ///
    /// # Errors
    /// It is nothing that [`bytes`](Self::bytes) makes.
    fn read(stored: &[u8]) -> Result<Self, Unreadable>;
}

/// For a table of one row.
impl RowKey for () {
    fn bytes(&self) -> Vec<u8> {
        Vec::new()
    }

    fn read(stored: &[u8]) -> Result<Self, Unreadable> {
        match stored {
            [] => Ok(()),
            _ => Err(Unreadable::Wrong(format!(
                "a key of {} bytes where there is none",
                stored.len()
            ))),
        }
    }
}

impl RowKey for String {
    fn bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    fn read(stored: &[u8]) -> Result<Self, Unreadable> {
        let text = str::from_utf8(stored).map_err(|_| Unreadable::Wrong("a key that is no text".to_owned()))?;
        Ok(text.to_owned())
    }
}

impl RowKey for Scope {
    fn bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }

    fn read(stored: &[u8]) -> Result<Self, Unreadable> {
        let unreadable = |_| Unreadable::Wrong(format!("a scope has {} bytes", stored.len()));
        stored.try_into().map(Self).map_err(unreadable)
    }
}

/// What one scope has under a name, such as a job's id.
impl RowKey for (Scope, String) {
    fn bytes(&self) -> Vec<u8> {
        [&self.0.0[..], self.1.as_bytes()].concat()
    }

    fn read(stored: &[u8]) -> Result<Self, Unreadable> {
        let Some((scope, name)) = stored.split_at_checked(Scope::LENGTH) else {
            return Err(Unreadable::Wrong(format!("a scope has {} bytes", stored.len())));
        };
        Ok((Scope::read(scope)?, String::read(name)?))
    }
}

impl<K, V> Table<K, V> {
    /// The table `name` of the store; `holds` says in errors what a row of it is.
    pub const fn new(name: &'static str, holds: &'static str) -> Self {
        Self {
            name,
            holds,
            bound: None,
            types: PhantomData,
        }
    }

    /// The same table.
    pub(super) const fn again(&self) -> Self {
        Self {
            name: self.name,
            holds: self.holds,
            bound: self.bound,
            types: PhantomData,
        }
    }

    /// The same, of rows that nobody needs after so long. All together take `most` bytes, and the oldest go first. They are kept
    /// where others share the store, and there alone: who has put one has it.
    pub const fn expiring_after(self, lifetime: Duration, most: u64) -> Self {
        Self {
            bound: Some(Bound { lifetime, most }),
            ..self
        }
    }
}

impl<K: RowKey, V: DeserializeOwned> Table<K, V> {
    /// A row as it was stored.
    pub(super) fn read(&self, key: &[u8], value: &[u8]) -> Result<(K, V), Unreadable> {
        let read = |error| Unreadable::Wrong(format!("{}: {error}", self.holds));
        Ok((self.key(key)?, serde_json::from_slice(value).map_err(read)?))
    }

    /// The key of a row as it was stored.
    pub(super) fn key(&self, key: &[u8]) -> Result<K, Unreadable> {
        K::read(key).map_err(|why| match why {
            Unreadable::Wrong(why) => Unreadable::Wrong(format!("{}: {why}", self.holds)),
            why => why,
        })
    }
}

impl<T> Signal<T> {
    /// The signal `name`, which no table may have.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            types: PhantomData,
        }
    }
}
