//! The tables of a job's legacy views, compiled together.

use super::{
    files::{TableFile, file_of},
    json::PathSet,
    plan::Job,
    table::{CompiledTable, HistoryTable, JobTable, ListTable, QueueTable, Table},
    table_error::TableError,
    view::View,
};
use std::sync::Arc;

/// The tables of a job's legacy views. Jobs are searched once for what all of them need, and the dialects.
#[derive(Debug)]
pub struct AnswerTables {
    /// `GET /history` and `/history/{id}`.
    pub history: HistoryTable,
    /// `GET /api/history_v2`.
    pub history_v2: ListTable,
    /// `GET /api/history_v2/{id}`.
    pub history_v2_detail: JobTable,
    /// `GET /queue`.
    pub queue: QueueTable,
    /// `GET /api/queue` with cloud items.
    pub queue_cloud: QueueTable,
    /// `GET /api/job/{id}/status`.
    pub job_status: JobTable,
    job: Arc<PathSet<Job>>,
}

impl AnswerTables {
    /// Compiles the tables in `files`. Jobs are searched for `job` too.
    pub(super) fn parse(files: &[TableFile], mut job: PathSet<Job>) -> Result<Self, TableError> {
        let mut compile = |name: &'static str| {
            let TableFile { file, text, .. } = file_of(files, name)?;
            CompiledTable::parse(name, file, text, &mut job)
        };
        let (history, history_v2) = (compile("history")?, compile("history_v2")?);
        let history_v2_detail = compile("history_v2_detail")?;
        let (queue, queue_cloud) = (compile("queue")?, compile("queue_cloud")?);
        let job_status = compile("job_status")?;
        let job = Arc::new(job);
        Ok(Self {
            history: history.into_history(&job)?,
            history_v2: history_v2.into_list(&job)?,
            history_v2_detail: history_v2_detail.into_job(&job)?,
            queue: queue.into_queue(&job)?,
            queue_cloud: queue_cloud.into_queue(&job)?,
            job_status: job_status.into_job(&job)?,
            job,
        })
    }

    /// The table of a view.
    pub fn table(&self, view: View) -> &Table {
        match view {
            View::History => &self.history.table,
            View::HistoryV2 => &self.history_v2.table,
            View::HistoryV2Detail => &self.history_v2_detail.table,
            View::Queue => &self.queue.table,
            View::QueueCloud => &self.queue_cloud.table,
            View::JobStatus => &self.job_status.table,
        }
    }

    /// The table of the queue's items, or that of the cloud's.
    pub fn queue(&self, cloud_items: bool) -> &QueueTable {
        if cloud_items { &self.queue_cloud } else { &self.queue }
    }

    /// The row of a view's prompt, where a queue is shown that has one.
    pub fn prompt_row(&self, view: View) -> Option<&str> {
        let queue = match view {
            View::Queue => &self.queue,
            View::QueueCloud => &self.queue_cloud,
            View::History | View::HistoryV2 | View::HistoryV2Detail | View::JobStatus => return None,
        };
        queue.prompt.as_deref()
    }

    /// The tables of all views.
    pub fn all(&self) -> impl Iterator<Item = &Table> {
        View::ALL.iter().map(|&view| self.table(view))
    }

    /// What a job is searched for.
    pub(super) fn job(&self) -> &PathSet<Job> {
        &self.job
    }
}
