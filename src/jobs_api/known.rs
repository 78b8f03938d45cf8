//! What is kept of a server that tells neither its jobs nor what clients call its files.

use super::{KnownFiles, KnownJobs};
use crate::store::{Store, StoreError};
use std::sync::Arc;

/// The jobs and the files; a clone is the same.
#[derive(Clone)]
pub struct Known {
    /// The jobs.
    pub jobs: Arc<KnownJobs>,
    /// The files.
    pub files: Arc<KnownFiles>,
}

impl Known {
    /// What `store` has.
    ///
    /// # Errors
    /// What is stored cannot be read.
    pub fn new(store: &Arc<Store>) -> Result<Self, StoreError> {
        Ok(Self {
            jobs: Arc::new(KnownJobs::new(Arc::clone(store))?),
            files: Arc::new(KnownFiles::new(Arc::clone(store))?),
        })
    }
}
