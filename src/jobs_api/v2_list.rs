//! The list of the Jobs API for its own clients, where the server speaks Comfy API v2: made of all jobs that are known.

use super::{JobsError, JobsSession, ListQuery, Listed};
use crate::mapping::dialect::State;
use bytes::Bytes;
use http::HeaderMap;

/// Known jobs.
pub struct ListOfKnown {
    /// Those that were asked for, as JSON.
    pub list: Bytes,
    /// For the CORS headers that the answer must carry on.
    pub headers: HeaderMap,
    /// All of them.
    pub known: Vec<Listed>,
}

impl JobsSession {
    /// All jobs that are known, and a list of those that `query` asks for, in its order, as JSON. Of those that have ended, it has
    /// those that `is_shown`.
    ///
    /// # Errors
    /// A job cannot be asked for, or there is no room.
    pub async fn v2_whole_list(
        &self,
        query: &ListQuery,
        is_shown: impl Fn(&Listed) -> bool,
    ) -> Result<ListOfKnown, JobsError> {
        let dialect = self.dialect();
        let names = &dialect.names;
        let Some(v2) = &names.v2 else {
            return Err(self.unfit("the server does not speak Comfy API v2"));
        };
        let (entries, headers) = Box::pin(self.v2_entries(v2, false)).await?;
        let jobs = entries
            .into_iter()
            .filter_map(|entry| Some((dialect.job_in(&entry.text)?, entry.text)));
        let jobs: Vec<(Listed, Bytes)> = jobs.collect();
        let is_wanted = |(job, text): &&(Listed, Bytes)| {
            let words = dialect.filtered_by(text);
            let is_asked = words.is_some_and(|(word, workflow)| query.wants_state(&word, workflow.as_deref()));
            is_asked && (job.state != State::Finished || is_shown(job))
        };
        let mut wanted: Vec<&(Listed, Bytes)> = jobs.iter().filter(is_wanted).collect();
        wanted.sort_by(|(one, _), (other, _)| query.order(one, other));
        Ok(ListOfKnown {
            list: self.joined(wanted.iter().map(|(_, text)| text))?,
            headers,
            known: jobs.into_iter().map(|(job, _)| job).collect(),
        })
    }

    /// The first word for a state in `query` that there is not.
    pub fn unknown_state<'q>(&self, query: &'q ListQuery) -> Option<&'q str> {
        query.unknown_state(self.dialect())
    }
}
