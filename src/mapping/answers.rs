//! The tables of a job's legacy views, compiled together.

use super::{
    files::{TableFile, file_of},
    json::PathSet,
    plan::Job,
    table::{CompiledTable, Table},
    table_error::TableError,
    view::View,
};
use std::sync::Arc;

/// The tables of a job's legacy views. Jobs are searched once for what all of them need, and the dialects.
#[derive(Debug)]
pub struct AnswerTables {
    /// `GET /history` and `/history/{id}`.
    pub history: Table,
    /// `GET /api/history_v2`.
    pub history_v2: Table,
    /// `GET /api/history_v2/{id}`.
    pub history_v2_detail: Table,
    /// `GET /queue`.
    pub queue: Table,
    /// `GET /api/queue` with cloud items.
    pub queue_cloud: Table,
    /// `GET /api/job/{id}/status`.
    pub job_status: Table,
    job: Arc<PathSet<Job>>,
}

impl AnswerTables {
    /// Compiles the tables in `files`. Jobs are searched for `job` too.
    pub(super) fn parse(files: &[TableFile], mut job: PathSet<Job>) -> Result<Self, TableError> {
        let mut compile = |name| {
            let TableFile { file, text, .. } = file_of(files, name)?;
            CompiledTable::parse(name, file, text, &mut job)
        };
        let (history, history_v2) = (compile("history")?, compile("history_v2")?);
        let history_v2_detail = compile("history_v2_detail")?;
        let (queue, queue_cloud) = (compile("queue")?, compile("queue_cloud")?);
        let job_status = compile("job_status")?;
        let job = Arc::new(job);
        let table = |compiled: CompiledTable| compiled.searching(Arc::clone(&job));
        Ok(Self {
            history: table(history),
            history_v2: table(history_v2),
            history_v2_detail: table(history_v2_detail),
            queue: table(queue),
            queue_cloud: table(queue_cloud),
            job_status: table(job_status),
            job,
        })
    }

    /// The table of a view.
    pub fn table(&self, view: View) -> &Table {
        match view {
            View::History => &self.history,
            View::HistoryV2 => &self.history_v2,
            View::HistoryV2Detail => &self.history_v2_detail,
            View::Queue => &self.queue,
            View::QueueCloud => &self.queue_cloud,
            View::JobStatus => &self.job_status,
        }
    }

    /// The tables of all views.
    pub fn all(&self) -> [&Table; 6] {
        View::ALL.map(|view| self.table(view))
    }

    /// What a job is searched for.
    pub(super) fn job(&self) -> &PathSet<Job> {
        &self.job
    }
}
