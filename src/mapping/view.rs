//! The legacy views of a job.

/// Which table a job is shown by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
    pub const ALL: [Self; 6] = [
        Self::History,
        Self::HistoryV2,
        Self::HistoryV2Detail,
        Self::Queue,
        Self::QueueCloud,
        Self::JobStatus,
    ];
}
