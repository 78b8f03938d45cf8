//! One page of `GET /api/jobs`, and what a job says of itself, read without building trees.

use super::{JobsError, Run, unreadable};
use crate::mapping::dialect::{Dialect, State};
use crate::{
    http::{
        buffered::{BufferBudget, BufferError, Share},
        outside::Outside,
    },
    mapping::{
        ListedJob, ParsedJob,
        json::{find, string_value},
    },
    upstream::{Answer, UpstreamError},
};
use bytes::Bytes;
use http::HeaderMap;
use std::sync::Arc;

/// The longest id, in bytes: what a request line has room for (RFC 9112 section 3).
const LONGEST_ID: usize = 8_000;

/// One job as the list tells it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The job's id.
    pub id: Arc<str>,
    /// Where it stands.
    pub state: State,
    /// Its place in the queue: lowest first; 0 where the dialect has none.
    pub number: f64,
    /// When it was created, in ms; 0 where the list does not say.
    pub created: f64,
    /// When it started, in ms; its creation where the list does not say.
    pub started: f64,
    /// When it ended, in ms; its creation where the list does not say.
    pub ended: f64,
    /// Which run of its id it is.
    pub run: Run,
    /// Of a job that has not ended, its list entry as sent: all that a server tells of it where the id stands for a
    /// finished job, too.
    pub text: Bytes,
    /// The server has lost it: jobshim has it, and knows its detail.
    pub kept: bool,
}

/// What a job is known by in a list: its id, and the run where that has not ended. Of finished runs there is one an id.
pub type JobKey = (Arc<str>, Option<(u64, Option<u64>)>);

impl Listed {
    /// Whether all of its numbers are finite: JSON has no others, and what is stored is JSON.
    pub fn is_finite(&self) -> bool {
        let numbers = [self.number, self.created, self.started, self.ended];
        numbers.iter().all(|number| number.is_finite()) && self.run.is_finite()
    }

    /// About what it takes in a list, in bytes, besides its text.
    pub fn room(&self) -> usize {
        room(&self.id)
    }

    /// What it is known by in a list.
    pub fn key(&self) -> JobKey {
        let queued = self.state != State::Finished;
        (Arc::clone(&self.id), queued.then(|| self.run.key()))
    }
}

/// What one page says.
#[derive(Debug)]
pub struct Page {
    /// In its order; those in a state that the table names.
    pub jobs: Vec<Listed>,
    /// What all that it has are known by, in any state.
    pub keys: Vec<JobKey>,
    /// Whether there are further ones, where it says so.
    pub more: Option<bool>,
    /// Where the next one begins, where pages are chained.
    pub cursor: Option<String>,
    /// Those of the answer.
    pub headers: HeaderMap,
    /// How long it was, in bytes.
    pub bytes: usize,
    /// What its jobs take.
    _share: Share,
}

/// About what a job takes in a page or in a list of many, in bytes, besides its text: itself, its id, and its key twice.
fn room(id: &str) -> usize {
    id.len() + size_of::<Listed>() + 2 * size_of::<JobKey>()
}

impl Page {
    /// About what its jobs take in a list, in bytes, besides their texts.
    pub fn room(&self) -> usize {
        self.keys.iter().map(|(id, _)| room(id)).sum()
    }
}

impl Dialect {
    /// Reads one page of at most `max_jobs` jobs, in one pass over it. What is kept of it is held within `budget`.
    pub fn read_page(&self, answer: &Answer, max_jobs: usize, budget: &BufferBudget) -> Result<Page, JobsError> {
        let body = &answer.body;
        let names = &self.names.list;
        let wrong = |error| unreadable(&names.path, &error);
        is_text(&names.path, body)?;
        let wanted = [Some(&names.jobs), Some(&names.more), names.cursor.as_ref()];
        let [list, more, cursor] = find(body, wanted).map_err(wrong)?;
        let Some(list) = list.filter(|list| list.starts_with(b"[")) else {
            return Err(JobsError::Shape {
                call: format!("GET {}", names.path),
                reason: format!("it has no list \"{}\"", names.jobs),
            });
        };
        let mut share = budget.share();
        let (jobs, keys) = self.read_entries(list, max_jobs, budget, &mut share)?;
        Ok(Page {
            jobs,
            keys,
            headers: answer.headers.clone(),
            bytes: body.len(),
            _share: share,
            more: match more {
                Some(b"true") => Some(true),
                Some(b"false") => Some(false),
                _ => None,
            },
            cursor: cursor.and_then(string_value).filter(|cursor| !cursor.is_empty()),
        })
    }

    /// The page that is the whole list `list`.
    pub(super) fn page_of(
        &self,
        list: &[u8],
        headers: HeaderMap,
        max_jobs: usize,
        budget: &BufferBudget,
    ) -> Result<Page, JobsError> {
        let mut share = budget.share();
        let (jobs, keys) = self.read_entries(list, max_jobs, budget, &mut share)?;
        Ok(Page {
            jobs,
            keys,
            headers,
            bytes: list.len(),
            _share: share,
            more: Some(false),
            cursor: None,
        })
    }

    fn read_entries(
        &self,
        list: &[u8],
        max_jobs: usize,
        budget: &BufferBudget,
        share: &mut Share,
    ) -> Result<(Vec<Listed>, Vec<JobKey>), JobsError> {
        let wrong = |error| unreadable(&self.names.list.path, &error);
        let (mut jobs, mut keys) = (Vec::new(), Vec::new());
        // Copies of the entries that are kept: they do not keep the whole page.
        let mut texts = budget.buffer(list.len());
        let mut lengths = Vec::new();
        let mut listed = self.listed_jobs(list);
        while let Some(entry) = listed.read_next().map_err(wrong)? {
            // A state that the table does not know is neither queued nor finished to any legacy client.
            let (id, job) = self.listed(&entry)?;
            if keys.len() >= max_jobs {
                return Err(self.too_many_jobs(max_jobs));
            }
            share.grow(room(&id)).map_err(no_room)?;
            let key = job.as_ref().map_or((id, None), Listed::key);
            if let Some(job) = job {
                let kept = if job.state == State::Finished { &[] } else { entry.text };
                texts.push(kept).map_err(no_room)?;
                lengths.push(kept.len());
                jobs.push(job);
            }
            keys.push(key);
        }
        let mut texts = texts.into_bytes();
        for (job, length) in jobs.iter_mut().zip(lengths) {
            job.text = texts.split_to(length);
        }
        Ok((jobs, keys))
    }

    pub(super) fn too_many_jobs(&self, max_jobs: usize) -> JobsError {
        JobsError::TooLong {
            call: format!("GET {}", self.names.list.path),
            most: max_jobs,
            of: "jobs",
            limit: "legacy.max_jobs",
        }
    }

    /// The job that `text`, a list entry or a detail, is of; `None` where that is not told, or its state is unknown.
    pub fn job_in(&self, text: &[u8]) -> Option<Listed> {
        let (_, job) = self.listed(&self.listed_jobs(text).read_only().ok()?).ok()?;
        job
    }

    fn listed(&self, entry: &ListedJob<'_, '_>) -> Result<(Arc<str>, Option<Listed>), JobsError> {
        let fields = &entry.fields;
        let (Some(id), Some(word)) = (
            fields.id().and_then(string_value),
            fields.state().and_then(string_value),
        ) else {
            return Err(JobsError::Shape {
                call: format!("GET {}", self.names.list.path),
                reason: "a job in it has no id or no status".to_owned(),
            });
        };
        if id.len() > LONGEST_ID {
            return Err(JobsError::Shape {
                call: format!("GET {}", self.names.list.path),
                reason: format!("a job in it has an id of {} bytes, which no path can carry", id.len()),
            });
        }
        let id: Arc<str> = id.into();
        let Some(state) = self.state(&word) else {
            tracing::debug!(state = %Outside::new(&word), "a job is in a state that the dialect table does not name");
            return Ok((id, None));
        };
        let created = fields.created().and_then(number).map_or(0.0, milliseconds);
        let place = fields.number().and_then(number);
        let ended = first(fields.ended());
        let job = Listed {
            id: Arc::clone(&id),
            state,
            number: place.unwrap_or(0.0),
            created,
            started: fields.started().and_then(number).map_or(created, milliseconds),
            ended: ended.map_or(created, |(_, ended)| ended),
            run: Run::new(created, place, ended.filter(|_| state == State::Finished)),
            text: Bytes::new(),
            kept: false,
        };
        Ok((id, Some(job)))
    }

    /// Where the detail of job `id` says it stands, and which run of it it is.
    pub(super) fn state_of(&self, body: &ParsedJob, path: &str, id: &str) -> Result<(State, Run), JobsError> {
        let fields = body.fields();
        if let Some(told) = fields.id()
            && string_value(told).is_none_or(|told| !told.eq_ignore_ascii_case(id))
        {
            return Err(JobsError::Shape {
                call: format!("GET {path}"),
                reason: "it is about another job".to_owned(),
            });
        }
        let created = fields.created().and_then(number).map_or(0.0, milliseconds);
        let word = fields.state().and_then(string_value);
        let state = word.as_deref().map(|word| self.state(word).unwrap_or(State::Running));
        let state = state.ok_or_else(|| JobsError::Shape {
            call: format!("GET {path}"),
            reason: "the job has no status".to_owned(),
        })?;
        let ended = first(fields.ended()).filter(|_| state == State::Finished);
        Ok((state, Run::new(created, fields.number().and_then(number), ended)))
    }
}

/// There is no room for what is kept of a list.
pub(super) fn no_room(error: BufferError) -> JobsError {
    let (BufferError::NoRoom(limit) | BufferError::TooLong(limit)) = error;
    UpstreamError::NoRoom { limit }.into()
}

/// That a body is UTF-8, as JSON is (RFC 8259 section 8.1): what is shown of it is shown as it came.
pub(super) fn is_text(path: &str, body: &[u8]) -> Result<(), JobsError> {
    match std::str::from_utf8(body) {
        Ok(_) => Ok(()),
        Err(error) => Err(JobsError::Shape {
            call: format!("GET {path}"),
            reason: error.to_string(),
        }),
    }
}

/// The first of some times that is told, in ms, and which of them it is.
fn first<'t>(times: impl Iterator<Item = Option<&'t [u8]>>) -> Option<(usize, f64)> {
    let mut told = times.enumerate();
    told.find_map(|(nth, time)| Some((nth, milliseconds(number(time?)?))))
}

fn number(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text)
        .ok()?
        .parse()
        .ok()
        .filter(|number: &f64| !number.is_nan())
}

/// Older documents say seconds: a value under 10^11 is (docs/contract.md section 2).
fn milliseconds(time: f64) -> f64 {
    if time < 1e11 { time * 1000.0 } else { time }
}
