//! Why a kept job cannot be had.

use crate::{http::buffered::BufferError, store::StoreError};

/// Why a kept job cannot be had.
#[derive(Clone, Debug, thiserror::Error)]
pub enum KeptError {
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no room for it.
    #[error("there is no room for it: server.max_buffered is {0} bytes")]
    NoRoom(usize),
}

/// There is no room for what is kept.
pub(in crate::legacy) fn no_room(error: BufferError) -> KeptError {
    let (BufferError::NoRoom(limit) | BufferError::TooLong(limit)) = error;
    KeptError::NoRoom(limit)
}
