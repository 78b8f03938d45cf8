//! The Jobs API as one client is answered by it: its credentials, and the dialect that the server speaks.

use super::{Caller, DialectKind, Jobs};
use crate::mapping::dialect::{DetailNames, Dialect};
use std::sync::Arc;

/// What is asked of the server on behalf of one client; a clone is the same.
#[derive(Clone)]
pub struct JobsSession {
    pub(super) jobs: Arc<Jobs>,
    pub(super) caller: Arc<Caller>,
    pub(super) kind: DialectKind,
}

impl Jobs {
    /// Asks for `caller`, in a dialect that is known by now.
    pub fn on_behalf_of(self: &Arc<Self>, caller: &Arc<Caller>, kind: DialectKind) -> JobsSession {
        JobsSession {
            jobs: Arc::clone(self),
            caller: Arc::clone(caller),
            kind,
        }
    }
}

impl JobsSession {
    /// For whom it asks.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Which dialect it asks in.
    pub fn kind(&self) -> DialectKind {
        self.kind
    }

    /// The names that the dialect uses.
    /// How the server tells of one job.
    pub fn detail_names(&self) -> &DetailNames {
        &self.dialect().names.detail
    }

    pub(super) fn dialect(&self) -> &Dialect {
        self.jobs.names(self.kind)
    }
}
