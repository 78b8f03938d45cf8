//! A list of the Jobs API that a client asked for, completed with jobs that the server has lost.

use super::{JobsError, JobsSession, Listed, accept, unreadable};
use crate::{
    http::query::decoded,
    mapping::{
        dialect::{CompletedNames, Dialect, Word},
        json::{elements, find, key_is, members, string_value},
        json_text,
    },
    telemetry::Call,
    upstream::Answer,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Method;
use serde::{Deserialize, Serialize};
use std::{cmp::Ordering, collections::HashSet, sync::Arc};

/// What a client asks a list for.
#[derive(Clone, Debug, PartialEq)]
pub struct ListQuery {
    /// The same query for all of the list.
    whole: String,
    offset: usize,
    limit: Option<usize>,
    /// Words for states.
    states: Option<Vec<String>>,
    endings: Option<Vec<Word>>,
    workflow: Option<String>,
    by_duration: bool,
    ascending: bool,
}

/// What a list is filtered by, of a job that has ended.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct EndedJob {
    /// As what it has ended.
    pub ending: Word,
    /// Its workflow, if it names one.
    pub workflow: Option<String>,
}

impl ListQuery {
    /// Reads a query; `None` where it is not understood, or the dialect's lists are not completed.
    pub fn parse(query: &str, dialect: &Dialect) -> Option<Self> {
        let names = &dialect.names.list;
        let completed = names.completed.as_ref()?;
        let mut read = Self {
            whole: String::new(),
            offset: 0,
            limit: None,
            states: None,
            endings: None,
            workflow: None,
            by_duration: false,
            ascending: false,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name);
            let text = decoded(value);
            if name == "token" {
                // It goes along with every call.
                continue;
            } else if *name == *names.limit {
                read.limit = Some(text.parse().ok().filter(|limit| *limit > 0)?);
                continue;
            } else if names.offset.as_deref() == Some(&*name) {
                // Below the first is the first.
                read.offset = text.parse::<i64>().ok()?.try_into().unwrap_or(0);
                continue;
            } else if *name == *names.status {
                let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
                let words: Vec<String> = words.map(str::to_lowercase).collect();
                // None is all of them.
                read.states = (!words.is_empty()).then_some(words);
                let endings = |words: &Vec<String>| words.iter().filter_map(|word| dialect.ending(word)).collect();
                read.endings = read.states.as_ref().map(endings);
            } else if *name == *names.sort {
                read.by_duration = *text == *names.sort_words.duration;
            } else if *name == *completed.order {
                read.ascending = *text == *completed.ascending;
            } else if completed.workflow.names() == [&*name] {
                read.workflow = Some(text.into_owned());
            }
            if !read.whole.is_empty() {
                read.whole.push('&');
            }
            read.whole.push_str(pair);
        }
        Some(read)
    }

    /// Whether a job that has ended is asked for.
    pub fn wants(&self, job: &EndedJob) -> bool {
        let is_state = self
            .endings
            .as_ref()
            .is_none_or(|endings| endings.contains(&job.ending));
        is_state && self.wants_workflow(job.workflow.as_deref())
    }

    /// Whether a job in the state `word` is asked for, whose workflow is this.
    pub(super) fn wants_state(&self, word: &str, workflow: Option<&str>) -> bool {
        let is_state = self
            .states
            .as_ref()
            .is_none_or(|words| words.iter().any(|one| one == word));
        is_state && self.wants_workflow(workflow)
    }

    fn wants_workflow(&self, workflow: Option<&str>) -> bool {
        self.workflow.is_none() || self.workflow.as_deref() == workflow
    }

    /// The first of its words for states that `dialect` does not know.
    pub(super) fn unknown_state(&self, dialect: &Dialect) -> Option<&str> {
        let words = self.states.iter().flatten().map(String::as_str);
        words.into_iter().find(|word| dialect.state(word).is_none())
    }

    /// By what it sorts jobs.
    fn key(&self, job: &Listed) -> f64 {
        match self.by_duration {
            true => job.ended - job.started,
            false => job.created,
        }
    }

    /// Puts jobs into its order.
    pub fn sort(&self, jobs: &mut [Listed]) {
        jobs.sort_by(|one, other| self.order(one, other));
    }

    pub(super) fn order(&self, one: &Listed, other: &Listed) -> Ordering {
        match self.ascending {
            true => self.key(one).total_cmp(&self.key(other)),
            false => self.key(other).total_cmp(&self.key(one)),
        }
    }

    fn is_before(&self, one: &Listed, other: &Listed) -> bool {
        match self.ascending {
            true => self.key(one) < self.key(other),
            false => self.key(one) > self.key(other),
        }
    }
}

impl Dialect {
    /// What a list tells of a job, made of its detail; and what it is filtered by. `None` where it has not ended, or lists are
    /// not completed.
    pub fn list_entry(&self, detail: &[u8]) -> Option<(Vec<u8>, EndedJob)> {
        let completed = self.names.list.completed.as_ref()?;
        let mut entry = Vec::from(*b"{");
        let read = members(detail, |key, value| {
            if completed.members.iter().any(|member| key_is(key, member)) {
                entry.extend_from_slice(if entry.len() > 1 { b", \"" } else { b"\"" });
                entry.extend_from_slice(key);
                entry.extend_from_slice(b"\": ");
                entry.extend_from_slice(value);
            }
        });
        read.ok()?;
        entry.push(b'}');
        let (word, workflow) = self.filtered_by(detail)?;
        let ending = self.ending(&word)?;
        Some((entry, EndedJob { ending, workflow }))
    }

    /// What lists filter a job by: its state and its workflow.
    pub(super) fn filtered_by(&self, job: &[u8]) -> Option<(String, Option<String>)> {
        let completed = self.names.list.completed.as_ref()?;
        let [workflow] = find(job, [Some(&completed.workflow)]).ok()?;
        let mut listed = self.listed_jobs(job);
        let listed = listed.read_only().ok()?;
        let word = listed.fields.state().and_then(string_value)?;
        Some((word, workflow.and_then(string_value)))
    }
}

impl JobsSession {
    /// All that the server has of what `query` asks for; `None` where it refuses, which it will tell the client itself.
    ///
    /// # Errors
    /// It cannot be asked, or what it says is no list.
    pub async fn whole_list(&self, query: &ListQuery) -> Result<Option<Answer>, JobsError> {
        let names = &self.dialect().names.list;
        let call = self
            .jobs
            .ask(Call::List, &self.caller, Some(self.kind), &names.path, &query.whole);
        let answer = call.await?;
        match answer.status.is_client_error() {
            true => Ok(None),
            false => accept(&Method::GET, &names.path, answer).map(Some),
        }
    }

    /// The jobs in the answer to a list, as JSON.
    ///
    /// # Errors
    /// It is no list.
    pub fn jobs_in<'a>(&self, listed: &'a Answer) -> Result<&'a [u8], JobsError> {
        let names = &self.dialect().names.list;
        let [list] = find(&listed.body, [Some(&names.jobs)]).map_err(|error| unreadable(&names.path, &error))?;
        Ok(list.unwrap_or(b"[]"))
    }

    /// The answer to `query`: the jobs that there are, `list`, and the `lost` jobs in its order, of which `entry` gives what a
    /// list tells of each. `None` where one of them is gone.
    ///
    /// # Errors
    /// What the server says is no list, or a lost job cannot be read.
    pub async fn completed_list<E: From<JobsError>>(
        &self,
        query: &ListQuery,
        list: &[u8],
        lost: &[Listed],
        entry: impl Fn(Arc<str>) -> BoxFuture<'static, Result<Option<Bytes>, E>> + Send + Sync,
    ) -> Result<Vec<u8>, E> {
        let names = &self.dialect().names.list;
        let wrong = |error| unreadable(&names.path, &error);
        let mut there = Vec::new();
        elements(list, |job| there.push(job)).map_err(wrong)?;
        // One may have come back since it was missed.
        let listed: HashSet<Arc<str>> = there.iter().filter_map(|text| Some(self.job_in(text)?.id)).collect();
        let lost: Vec<&Listed> = lost.iter().filter(|job| !listed.contains(&job.id)).collect();
        let mut lost = lost.into_iter().peekable();
        let mut all = Vec::with_capacity(there.len());
        for text in there {
            if let Some(job) = self.job_in(text) {
                while let Some(before) = lost.next_if(|lost| query.is_before(lost, &job)) {
                    all.push(Err(before));
                }
            }
            all.push(Ok(text));
        }
        all.extend(lost.map(Err));
        let total = all.len();
        let page = all
            .into_iter()
            .skip(query.offset)
            .take(query.limit.unwrap_or(usize::MAX));
        let mut jobs = Vec::from(*b"[");
        let mut count = 0;
        for job in page {
            count += 1;
            let kept;
            let text = match job {
                Ok(text) => text,
                Err(lost) => match entry(Arc::clone(&lost.id)).await? {
                    Some(text) => {
                        kept = text;
                        &kept[..]
                    }
                    None => continue,
                },
            };
            jobs.extend_from_slice(if jobs.len() > 1 { b", " } else { b"" });
            jobs.extend_from_slice(text);
        }
        jobs.push(b']');
        let completed = names.completed.as_ref();
        let text = completed
            .map(|CompletedNames { answer, .. }| json_text(answer))
            .unwrap_or_default();
        let text = text
            .replace("\"{offset}\"", &query.offset.to_string())
            .replace(
                "\"{limit}\"",
                &query.limit.map_or("null".to_owned(), |limit| limit.to_string()),
            )
            .replace("\"{total}\"", &total.to_string())
            .replace("\"{more}\"", &(query.offset.saturating_add(count) < total).to_string());
        let (before, after) = text.split_once("\"{jobs}\"").unwrap_or((&text, ""));
        Ok([before.as_bytes(), &jobs, after.as_bytes()].concat())
    }
}
