//! `GET /api/jobs`: walks the pages, and reads list entries without building trees.

use super::{Caller, Dialect, DialectKind, Jobs, JobsError, State, accept, caller::encode, shape};
use crate::mapping::{
    Found, Paths, Searched,
    scanner::{Scanner, Span, string_value},
};
use bytes::Bytes;
use http::HeaderMap;
use std::collections::HashSet;

/// One job as the list tells it.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The job's id.
    pub id: String,
    /// Where it stands.
    pub state: State,
    /// Its place in the queue: lowest first; 0 where the dialect has none.
    pub number: f64,
    /// When it was created, in ms.
    pub created: f64,
    /// When it started, in ms; its creation where the list does not say.
    pub started: f64,
    /// When it ended, in ms; its creation where the list does not say.
    pub ended: f64,
}

/// A list, newest created first, and the headers of its last page.
#[derive(Debug)]
pub struct List {
    /// Each job once.
    pub jobs: Vec<Listed>,
    /// For the CORS headers that the answer must carry on.
    pub headers: HeaderMap,
}

/// What one page says.
struct Page {
    jobs: Vec<Listed>,
    more: bool,
    cursor: Option<String>,
}

impl Jobs {
    /// Lists jobs, newest created first, page by page until `enough` of them are there or none are left. `filter` is
    /// a query part; no filter is every state.
    pub async fn list(
        &self,
        caller: &Caller,
        kind: DialectKind,
        filter: Option<String>,
        mut enough: impl FnMut(&[Listed]) -> bool,
    ) -> Result<List, JobsError> {
        let outcome = self.walk(caller, kind, filter, &mut enough).await;
        if matches!(
            outcome,
            Err(JobsError::Missing { .. } | JobsError::Shape { .. } | JobsError::Upstream(_))
        ) {
            self.doubt_dialect();
        }
        outcome
    }

    async fn walk(
        &self,
        caller: &Caller,
        kind: DialectKind,
        filter: Option<String>,
        enough: &mut impl FnMut(&[Listed]) -> bool,
    ) -> Result<List, JobsError> {
        let dialect = self.names(kind);
        let names = &dialect.names.list;
        let mut jobs: Vec<Listed> = Vec::new();
        let mut seen = HashSet::new();
        let mut fetched = 0;
        let mut next: Option<String> = None;
        for _ in 0..self.max_pages {
            let limit = names.page.map(|page| format!("{}={page}", names.limit));
            let query: Vec<String> = [filter.clone(), limit, next.take()].into_iter().flatten().collect();
            let answer = self.ask(caller, Some(kind), &names.path, &query.join("&")).await?;
            let answer = accept(&format!("GET {}", names.path), answer)?;
            let page = dialect.read_page(&answer.body)?;
            fetched += page.jobs.len();
            let before = jobs.len();
            jobs.extend(page.jobs.into_iter().filter(|job| seen.insert(job.id.clone())));
            let more = page.more || page.cursor.is_some();
            if !more || enough(&jobs) {
                return Ok(List {
                    jobs,
                    headers: answer.headers,
                });
            }
            if jobs.len() == before {
                return Err(JobsError::Shape {
                    call: format!("GET {}", names.path),
                    reason: "it says there is more, but a page brought nothing new".to_owned(),
                });
            }
            next = match (page.cursor, &names.after, &names.offset) {
                (Some(cursor), Some(after), _) => Some(format!("{after}={}", encode(&cursor))),
                (_, _, Some(offset)) => Some(format!("{offset}={fetched}")),
                _ => {
                    return Err(JobsError::Shape {
                        call: format!("GET {}", names.path),
                        reason: "it says there is more, but not where".to_owned(),
                    });
                }
            };
        }
        // Part of a list must not look like all of it.
        Err(JobsError::Shape {
            call: format!("GET {}", names.path),
            reason: format!(
                "it has more than the {} pages that legacy.max_pages allows",
                self.max_pages
            ),
        })
    }
}

impl Dialect {
    fn read_page(&self, body: &Bytes) -> Result<Page, JobsError> {
        let names = &self.names.list;
        let wrong = |error| shape(&names.path, &error);
        let mut paths = Paths::default();
        let list = paths.add(&names.jobs);
        let more = paths.add(&names.more);
        let cursor = names.cursor.as_deref().map(|path| paths.add(path));
        let spans = paths.find(body).map_err(wrong)?;
        let text_at = |slot: usize| spans.get(slot).copied().flatten().map(|span: Span| span.of(body));
        let place = spans.get(list).copied().flatten();
        let Some(place) = place.filter(|place| place.of(body).starts_with(b"[")) else {
            return Err(JobsError::Shape {
                call: format!("GET {}", names.path),
                reason: format!("it has no list {:?}", names.jobs),
            });
        };
        Ok(Page {
            jobs: self.read_entries(body, place)?,
            more: text_at(more) == Some(b"true"),
            cursor: cursor
                .and_then(text_at)
                .and_then(string_value)
                .filter(|cursor| !cursor.is_empty()),
        })
    }

    fn read_entries(&self, body: &Bytes, place: Span) -> Result<Vec<Listed>, JobsError> {
        let wrong = |error| shape(&self.names.list.path, &error);
        let mut scanner = Scanner::starting(body, place.start);
        let mut jobs = Vec::new();
        scanner.expect(b'[', "expected a list").map_err(wrong)?;
        if scanner.take(b']') {
            return Ok(jobs);
        }
        let mut found = Found::default();
        loop {
            let next = self.entry.paths.find_next(&mut scanner, &mut found);
            next.map_err(wrong)?;
            let value = |slot: usize| found.value(slot, body);
            // A state that the table does not know is neither queued nor finished to any legacy client.
            if let Some(job) = self.listed(value)? {
                jobs.push(job);
            }
            if !scanner.take(b',') {
                return Ok(jobs);
            }
        }
    }

    fn listed<'a>(&self, value: impl Fn(usize) -> Option<&'a [u8]>) -> Result<Option<Listed>, JobsError> {
        let text = |slot| value(slot).and_then(string_value);
        let (Some(id), Some(word)) = (text(self.entry.id), text(self.entry.state)) else {
            return Err(JobsError::Shape {
                call: format!("GET {}", self.names.list.path),
                reason: "a job in it has no id or no status".to_owned(),
            });
        };
        let Some(state) = self.state(&word) else {
            tracing::debug!(state = word, "a job is in a state that the dialect table does not name");
            return Ok(None);
        };
        let number = |slot| value(slot).and_then(number);
        let created = number(self.entry.created).map_or(0.0, milliseconds);
        let ended = self.entry.ended.iter().find_map(|&slot| number(slot));
        Ok(Some(Listed {
            id,
            state,
            number: number(self.entry.number).unwrap_or(0.0),
            created,
            started: number(self.entry.started).map_or(created, milliseconds),
            ended: ended.map_or(created, milliseconds),
        }))
    }

    /// Where a job's detail says it stands, and when it says it was created, in ms.
    pub(super) fn state_of(&self, body: &Searched, path: &str) -> Result<(State, f64), JobsError> {
        let created = body
            .value(self.detail.created)
            .and_then(number)
            .map_or(0.0, milliseconds);
        let word = body.value(self.detail.state).and_then(string_value);
        let state = word.as_deref().map(|word| self.state(word).unwrap_or(State::Running));
        let state = state.ok_or_else(|| JobsError::Shape {
            call: format!("GET {path}"),
            reason: "the job has no status".to_owned(),
        })?;
        Ok((state, created))
    }
}

fn number(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text)
        .ok()?
        .parse()
        .ok()
        .filter(|number: &f64| !number.is_nan())
}

/// Older documents say seconds: a value under 10^11 is (CONTRACT.md section 2).
fn milliseconds(time: f64) -> f64 {
    if time < 1e11 { time * 1000.0 } else { time }
}
