//! How an upstream speaks the Jobs API: the names it uses, read from a dialect table.

mod live;
pub(super) mod names;
mod v2_files;

pub use live::{LiveNames, LiveState};
pub use names::{
    CancelNames, ClassNames, CompletedNames, DetailNames, DialectNames, JobNames, KeyNames, ListNames, PathRules,
    Probe, ServerNames, SocketNames, SortWords, States, V2Instead, V2Names, V2Said,
};
pub use v2_files::{FilePlace, UploadForm, V2FileNames};

use super::{
    answers::AnswerTables,
    job::{JobReader, JobSlots, ListedJobs, ListedPaths, ParsedJob},
    json::ScanError,
    plan::Job,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use strum::IntoStaticStr;

/// A dialect table, and how jobs are read by it.
#[derive(Clone, Debug)]
pub struct Dialect {
    /// The names as written.
    pub names: DialectNames,
    listed: ListedPaths,
    reader: Arc<JobReader>,
}

/// A state as the list is asked for it.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Waiting.
    Pending,
    /// Being worked on.
    Running,
    /// Ended well.
    Completed,
    /// Ended by an error.
    Failed,
    /// Ended by a cancel; servers before 0.9.0 refuse the word (docs/contract.md section 2).
    Cancelled,
}

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum State {
    /// Waiting.
    Pending,
    /// Being worked on.
    Running,
    /// Completed, failed or cancelled: it will not change any more.
    Finished,
}

impl State {
    /// For people.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl Dialect {
    /// Reads jobs by `names`, whose `slots` are among the paths of `answers`.
    pub(super) fn new(names: DialectNames, slots: JobSlots<Job>, answers: Arc<AnswerTables>) -> Self {
        Self {
            listed: ListedPaths::new(&names.job),
            reader: Arc::new(JobReader { slots, answers }),
            names,
        }
    }

    /// Reads a job's detail, which must be one whole JSON object.
    pub fn parse_job(&self, text: Bytes) -> Result<ParsedJob, ScanError> {
        ParsedJob::parse(text, Arc::clone(&self.reader))
    }

    /// Reads the jobs of a list, or one job as a list tells of it.
    pub fn listed_jobs<'a>(&'a self, text: &'a [u8]) -> ListedJobs<'a> {
        ListedJobs::new(&self.listed, text)
    }

    /// As what a job has ended whose state is `word`; `None` where it has not, or the dialect does not know the word.
    pub fn ending(&self, word: &str) -> Option<Word> {
        let States {
            completed,
            failed,
            cancelled,
            ..
        } = &self.names.states;
        let endings = [
            (completed, Word::Completed),
            (failed, Word::Failed),
            (cancelled, Word::Cancelled),
        ];
        endings
            .into_iter()
            .find_map(|(known, ending)| (known == word).then_some(ending))
    }

    /// The state that a word stands for; `None` for a word the dialect does not know.
    pub fn state(&self, word: &str) -> Option<State> {
        let states = &self.names.states;
        let is = |known: &String| known == word;
        if is(&states.pending) {
            Some(State::Pending)
        } else if is(&states.running) {
            Some(State::Running)
        } else {
            let ended = [&states.completed, &states.failed, &states.cancelled];
            ended.into_iter().any(is).then_some(State::Finished)
        }
    }

    /// The `status` filter that finds queued jobs.
    pub fn queued_filter(&self) -> String {
        self.filter(&[Word::Pending, Word::Running])
    }

    /// The `status` filter that finds jobs in these states.
    pub(crate) fn filter(&self, words: &[Word]) -> String {
        let states = &self.names.states;
        let word = |word: &Word| match word {
            Word::Pending => states.pending.as_str(),
            Word::Running => &states.running,
            Word::Completed => &states.completed,
            Word::Failed => &states.failed,
            Word::Cancelled => &states.cancelled,
        };
        let words: Vec<&str> = words.iter().map(word).collect();
        format!("{}={}", self.names.list.status, words.join(","))
    }
}
