//! Rows and signals for who knows their types.

use super::{
    backend::{Follower, News, Rows},
    seal::{Seal, opened},
    table::{RowKey, Table, Unreadable},
};
use serde::de::DeserializeOwned;
use std::{marker::PhantomData, sync::Arc};

/// What there is to hear of a table.
#[derive(Debug)]
pub enum Event<K, V> {
    /// These are all rows; what was heard before counts no more.
    All(Vec<(K, V)>),
    /// This is a row now.
    Put(K, V),
    /// There is no such row.
    Gone(K),
}

/// Reads rows for one who knows their types.
pub(super) struct TypedFollower<K, V, H> {
    pub(super) table: Table<K, V>,
    pub(super) seal: Option<Arc<Seal>>,
    pub(super) hear: H,
}

impl<K, V, H> Follower for TypedFollower<K, V, H>
where
    K: RowKey,
    V: DeserializeOwned,
    H: Fn(Event<K, V>) -> Result<(), Unreadable> + Send + Sync,
{
    fn hear(&self, news: News<'_>) -> Result<(), Unreadable> {
        let read = |key: &[u8], value: &[u8]| {
            let value = opened(self.seal.as_deref(), self.table.name, key, value)?;
            self.table.read(key, &value)
        };
        let event = match news {
            News::All(rows) => {
                let rows = rows.iter().map(|(key, value)| read(key, value));
                Event::All(rows.collect::<Result<_, _>>()?)
            }
            News::One(key, Some(value)) => {
                let (key, value) = read(key, value)?;
                Event::Put(key, value)
            }
            News::One(key, None) => Event::Gone(self.table.key(key)?),
        };
        (self.hear)(event)
    }

    fn rows(&self) -> Rows {
        match self.table.bound {
            None => Rows::Lasting,
            Some(_) => Rows::Expiring,
        }
    }
}

/// Reads signals for one who knows their type.
pub(super) struct Listener<T, H> {
    pub(super) name: &'static str,
    pub(super) hear: H,
    pub(super) takes: PhantomData<fn(T)>,
}

impl<T, H> Follower for Listener<T, H>
where
    T: DeserializeOwned,
    H: Fn(Option<T>) + Send + Sync,
{
    fn hear(&self, news: News<'_>) -> Result<(), Unreadable> {
        match news {
            // What was told before is not told again.
            News::All(_) => (self.hear)(None),
            News::One(text, _) => {
                let told = serde_json::from_slice(text);
                let told = told.map_err(|error| Unreadable::Wrong(format!("{}: {error}", self.name)))?;
                (self.hear)(Some(told));
            }
        }
        Ok(())
    }

    fn rows(&self) -> Rows {
        Rows::None
    }
}
