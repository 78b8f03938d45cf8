//! The legacy views of a job.

use strum::VariantArray;

/// Which table a job is shown by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, VariantArray)]
pub enum View {
    /// `/history`, and one entry of it.
    History,
    /// `/api/history_v2`.
    HistoryV2,
    /// `/api/history_v2/{id}`.
    HistoryV2Detail,
    /// `/queue`.
    Queue,
    /// `/api/queue` with cloud items.
    QueueCloud,
    /// `/api/job/{id}/status`.
    JobStatus,
}

impl View {
    /// All of them.
    pub const ALL: &[Self] = Self::VARIANTS;
}
