//! The legacy views of a job.

use crate::routes::LegacyRoute;
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

    /// The view that a route shows; `cloud_items` says whether its queue shows cloud items.
    pub fn of_route(route: &LegacyRoute, cloud_items: bool) -> Self {
        match route {
            LegacyRoute::History | LegacyRoute::HistoryOne(_) => Self::History,
            LegacyRoute::HistoryV2 => Self::HistoryV2,
            LegacyRoute::HistoryV2One(_) => Self::HistoryV2Detail,
            LegacyRoute::Queue { .. } if cloud_items => Self::QueueCloud,
            LegacyRoute::Queue { .. } => Self::Queue,
            LegacyRoute::JobStatus(_) => Self::JobStatus,
        }
    }
}
