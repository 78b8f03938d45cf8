//! What a store is kept in. There are three: the process (`memory`), a folder, and a Valkey that several jobshims share.

use super::{StoreError, change::Step, table::Unreadable};
use futures_util::future::{BoxFuture, ready};
use std::{sync::Arc, time::Duration};

/// A key and its value.
pub(super) type Row = (Vec<u8>, Vec<u8>);

/// Where rows are kept. Its calls wait: for a disk, for a network, for all others who have the store open.
pub(super) trait Backend: Send + Sync {
    /// Where they are, for people.
    fn place(&self) -> String;

    /// Every row of a table; none of one in which nothing was ever put.
    fn rows(&self, table: &'static str) -> Result<Vec<Row>, StoreError>;

    /// One row of a table as it is now.
    fn row(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Does a change, all of it or nothing. Once this returns, no crash undoes it, and every follower has heard of it, also
    /// in other processes.
    fn commit(&self, steps: Vec<Step>) -> Result<(), StoreError>;

    /// `follower` hears of every row of a table, then of each that changes, in the order of the changes.
    ///
    /// # Errors
    /// The rows cannot be read. A store that cannot be reached yet is none: its rows come once it is.
    fn follow(&self, table: &'static str, follower: Arc<dyn Follower>) -> Result<(), StoreError>;

    /// Whether what followers have heard is what the store holds, as far as it is known without asking.
    fn is_current(&self) -> bool {
        true
    }

    /// What an answer can be made by, asking where that is not known.
    fn confirm(&self) -> BoxFuture<'_, Freshness> {
        Box::pin(ready(Freshness::Current))
    }

    /// What one can be made by if the store does not answer now.
    fn standing(&self) -> Freshness {
        Freshness::Current
    }

    /// Lets go of it: others need not wait for this one any more.
    fn close(&self) {}
}

/// Whether what followers have heard is what the store holds.
#[derive(Clone, Debug)]
pub(super) enum Freshness {
    /// It is.
    Current,
    /// It was so long ago, and the store does not answer.
    Stale(Duration),
    /// It is good no more.
    Unusable(StoreError),
}

/// Who keeps a copy of a table.
pub(super) trait Follower: Send + Sync {
    /// Hears of rows. It does not wait for anything.
    fn hear(&self, news: News<'_>) -> Result<(), Unreadable>;

    /// Which rows there are to hear of.
    fn rows(&self) -> Rows;
}

/// Which rows a table has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// Those that are kept until they are taken out.
    Lasting,
    /// Those that expire.
    Expiring,
    /// None: it is a signal.
    None,
}

/// What there is to hear of a table.
#[derive(Clone, Copy, Debug)]
pub(super) enum News<'a> {
    /// These are all rows, and what was heard before counts no more.
    All(&'a [Row]),
    /// One row: what it is now, or that it is gone.
    One(&'a [u8], Option<&'a [u8]>),
}

/// The followers of all tables.
#[derive(Default)]
pub(super) struct Followers(Vec<(&'static str, Arc<dyn Follower>)>);

impl Followers {
    pub(super) fn add(&mut self, table: &'static str, follower: Arc<dyn Follower>) {
        self.0.push((table, follower));
    }

    /// Tells those of one table, known by its name.
    pub(super) fn tell(&self, table: &str, news: News<'_>) -> Result<(), Unreadable> {
        let mut followers = self.0.iter().filter(|(followed, _)| *followed == table);
        followers.try_for_each(|(_, follower)| follower.hear(news))
    }

    /// Which rows a table has, if it is followed.
    pub(super) fn rows(&self, table: &str) -> Option<Rows> {
        let follower = self.0.iter().find(|(followed, _)| *followed == table);
        follower.map(|(_, follower)| follower.rows())
    }

    /// The tables that are followed, each once.
    pub(super) fn tables(&self) -> Vec<&'static str> {
        let mut tables: Vec<_> = self.0.iter().map(|(table, _)| *table).collect();
        tables.sort_unstable();
        tables.dedup();
        tables
    }
}
