//! Why something cannot be stored or read.

use crate::http::system_error::without_number;
use std::{io, sync::Arc};

/// Why the state cannot be kept.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be made.
    #[error("state_dir {0}: {words}", words = without_number(&.1.to_string()))]
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
