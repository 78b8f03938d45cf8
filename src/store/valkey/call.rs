//! What the thread of the store is asked for.

use crate::store::{
    StoreError,
    backend::{Follower, Row},
    change::Step,
};
use std::sync::{Arc, mpsc::SyncSender};
use tokio::sync::oneshot;

/// For who blocks until it is there.
pub(super) type Reply<T> = SyncSender<Result<T, StoreError>>;

/// One call.
pub(super) enum Call {
    Rows(&'static str, Reply<Vec<Row>>),
    Row(&'static str, Vec<u8>, Reply<Option<Vec<u8>>>),
    Commit(Vec<Step>, Reply<()>),
    Follow(&'static str, Arc<dyn Follower>, Reply<()>),
    /// Whether the copy is what the store holds.
    Confirm(oneshot::Sender<()>),
}
