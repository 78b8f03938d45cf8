//! Why something cannot be stored or read.

use super::table::Unreadable;
use crate::http::system_error::without_number;
use std::{fmt::Display, io, sync::Arc, time::Duration};

/// Why the state cannot be kept.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be made.
    #[error("the state folder {0}: {words}", words = without_number(&.1.to_string()))]
    Folder(String, Arc<io::Error>),
    /// Another jobshim has the store open.
    #[error("the state folder {0} is in use by another jobshim")]
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
    /// It holds something that jobshim did not write.
    #[error("the store {0} is of another program, and is left as it is: move it away, or give jobshim another place")]
    Foreign(String),
    /// It is encrypted by another key, or not as it should be.
    #[error("the store {0} is {1}: give the key that it was begun with, or another place for the state")]
    Sealed(String, &'static str),
    /// A later jobshim has written it.
    #[error("the store {0} is in form {1}, which a later jobshim writes: run that one, or move it away")]
    Newer(String, u32),
    /// A shared store does not answer.
    #[error("the store {0} does not answer: {1}")]
    Unreachable(String, String),
    /// A shared store has not answered for so long that what is known of it is not good any more.
    #[error("the store has not answered for {words}, longer than state.max_stale allows", words = shown(*.0))]
    Stale(Duration),
    /// In the place of a shared store there is another one, or an empty one.
    #[error(
        "another store is in the place of {0}: what this jobshim knows is not in it. Bring the old one back, or restart all \
         jobshims to begin with the new one"
    )]
    Replaced(String),
    /// A shared store was never reached.
    #[error("the store has not been reached yet")]
    NotReached,
    /// There is no room for another hidden job.
    #[error("as many jobs are hidden as history.max_hidden allows ({0} bytes)")]
    Full(usize),
    /// What a change was to be of is not as it was expected to be.
    #[error("the change was not made: another one came before it")]
    Changed,
    /// The program is ending.
    #[error("the change was not made: jobshim is stopping")]
    Stopping,
    /// No random bytes for a key.
    #[error("the system gives no random bytes")]
    Random,
}

impl StoreError {
    pub(super) fn damaged(place: impl Display, what: Unreadable) -> Self {
        let place = place.to_string();
        match what {
            Unreadable::Wrong(what) => Self::Damaged(place, what),
            Unreadable::OtherKey => Self::Sealed(place, "encrypted by another state.key than this"),
            Unreadable::NoKey => Self::Sealed(place, "encrypted, and state.key is not given"),
            Unreadable::NotSealed => Self::Sealed(place, "not encrypted, and state.key is given"),
        }
    }

    pub(super) fn unwritable(what: &str, error: &serde_json::Error) -> Self {
        Self::Damaged(what.to_owned(), error.to_string())
    }

    /// Whether it passes when the store is there again, as it was.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(..) | Self::Replaced(_) | Self::Stale(_) | Self::NotReached
        )
    }
}

fn shown(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
