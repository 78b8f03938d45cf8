//! `GET /api/jobs`: walks the pages, newest created first, until there is enough of them.
//!
//! Nobody can know how long a list stays as it is between two pages. Cursors are the server's affair. Where pages are
//! counted, each one begins with the last job of the page before: if that job is not in it, jobs were deleted
//! meanwhile, others moved up behind our back, and the walk begins anew.

use super::{CallerKey, DialectKind, JobKey, JobsError, JobsSession, Page, accept, caller::encode};
use crate::mapping::dialect::Word;
use crate::{
    http::buffered::Share,
    jobs_api::{Listed, page::no_room},
    telemetry::Call,
};
use http::{HeaderMap, Method};
use std::{collections::HashSet, sync::Arc};
use tokio::time::timeout;

/// How often a walk begins anew before it is given up.
const MAX_WALKS: usize = 5;

/// A list, newest created first, and the headers of its last page.
#[derive(Debug)]
pub struct List {
    /// Each job once: of an id that is used again, the finished run and those that have not ended.
    pub jobs: Vec<Listed>,
    /// Whether these are all there are.
    pub complete: bool,
    /// For the CORS headers that the answer must carry on.
    pub headers: HeaderMap,
    /// What its jobs take.
    pub shares: Vec<Share>,
}

/// Which jobs a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListFilter {
    /// Every one, whatever its state.
    All,
    /// Of every state, but some of the newest may do: the list is asked for in parts.
    Newest,
    /// Those that have not ended.
    Queued,
    /// Those in these states.
    In(&'static [Word]),
}

/// One call for a page, as all who make it at the same time share it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PageCall {
    caller_key: CallerKey,
    kind: DialectKind,
    query: String,
}

/// How far a walk came.
enum Walk {
    Done(List),
    /// The list changed under it.
    Moved,
}

impl JobsSession {
    /// Lists jobs, newest created first, page by page until `enough` of them are there or none are left. Where the server
    /// cannot list all jobs, a list of all has those that have ended.
    pub async fn list(&self, wanted: ListFilter, enough: impl Fn(&[Listed]) -> bool) -> Result<List, JobsError> {
        match self.list_as_asked(wanted, &enough).await {
            Err(error) if self.may_be_one_job(&error) => Box::pin(self.list_in_spite(wanted, error)).await,
            outcome => outcome,
        }
    }

    /// The list, if the server has it as it was asked for.
    pub(super) async fn list_as_asked(
        &self,
        wanted: ListFilter,
        enough: &impl Fn(&[Listed]) -> bool,
    ) -> Result<List, JobsError> {
        let outcome = self.walk_until_still(wanted, enough).await;
        if outcome.as_ref().is_err_and(JobsError::casts_doubt) {
            self.jobs.doubt_dialect();
        }
        outcome
    }

    async fn walk_until_still(
        &self,
        wanted: ListFilter,
        enough: &impl Fn(&[Listed]) -> bool,
    ) -> Result<List, JobsError> {
        let mut bytes = 0;
        let walks = async {
            for _ in 0..MAX_WALKS {
                if let Walk::Done(list) = self.walk(wanted, enough, &mut bytes).await? {
                    return Ok(list);
                }
            }
            Err(self.unfit("it changes faster than its pages can be read"))
        };
        // The limits of one answer are those of a list too, in however many pages it comes.
        let limit = self.jobs.upstream.answer_timeout();
        let in_time = timeout(limit, walks).await;
        in_time.unwrap_or_else(|_| Err(self.jobs.upstream.timed_out(limit).into()))
    }

    async fn walk(
        &self,
        wanted: ListFilter,
        enough: &impl Fn(&[Listed]) -> bool,
        bytes: &mut usize,
    ) -> Result<Walk, JobsError> {
        let dialect = self.dialect();
        let names = &dialect.names.list;
        let filter = match wanted {
            ListFilter::All | ListFilter::Newest => None,
            ListFilter::Queued => Some(dialect.queued_filter()),
            ListFilter::In(words) => Some(dialect.filter(words)),
        };
        let part = names.part.filter(|_| wanted == ListFilter::Newest);
        let limit = names.page.or(part).map(|page| format!("{}={page}", names.limit));
        let caller_key = self.caller.caller_key();
        let mut jobs: Vec<Listed> = Vec::new();
        let mut seen: HashSet<JobKey> = HashSet::new();
        let mut share = self.jobs.upstream.budget().share();
        let mut next: Option<String> = None;
        // Where the next page begins, and the job that must be in it, where pages are counted.
        let mut overlap: Option<(usize, Arc<str>)> = None;
        for _ in 0..self.jobs.limits.pages {
            let query: Vec<String> = [filter.clone(), limit.clone(), next.take()]
                .into_iter()
                .flatten()
                .collect();
            let call = PageCall {
                caller_key: caller_key.clone(),
                kind: self.kind,
                query: query.join("&"),
            };
            let page = self.page(call).await?;
            *bytes = bytes.saturating_add(page.bytes);
            if *bytes > self.jobs.upstream.max_answer_bytes() {
                return Err(self.jobs.upstream.too_large().into());
            }
            if let Some((_, last)) = &overlap
                && !page.keys.iter().any(|(id, _)| id == last)
            {
                return Ok(Walk::Moved);
            }
            share.grow(page.room()).map_err(no_room)?;
            let before = seen.len();
            jobs.extend(page.jobs.iter().filter(|job| seen.insert(job.key())).cloned());
            seen.extend(page.keys.iter().cloned());
            if seen.len() > self.jobs.limits.jobs {
                return Err(dialect.too_many_jobs(self.jobs.limits.jobs));
            }
            let complete = page.more == Some(false) && page.cursor.is_none();
            if complete || enough(&jobs) {
                return Ok(Walk::Done(List {
                    jobs,
                    complete,
                    headers: page.headers.clone(),
                    shares: vec![share],
                }));
            }
            // Silence is no proof that there is no more.
            if page.more.is_none() && page.cursor.is_none() {
                return Err(self.unfit("it does not say whether there is more"));
            }
            if seen.len() == before {
                return Err(self.unfit("it says there is more, but a page brought nothing new"));
            }
            next = Some(match (&page.cursor, &names.after, &names.offset, page.keys.last()) {
                (Some(cursor), Some(after), ..) => format!("{after}={}", encode(cursor)),
                (_, _, Some(offset), Some((last, _))) => {
                    let begun = overlap.map_or(0, |(begun, _)| begun);
                    let at = (begun + page.keys.len()).saturating_sub(1);
                    overlap = Some((at, Arc::clone(last)));
                    format!("{offset}={at}")
                }
                _ => return Err(self.unfit("it says there is more, but not where")),
            });
        }
        // Part of a list must not look like all of it.
        Err(self.too_long(self.jobs.limits.pages, "pages", "legacy.max_pages"))
    }

    /// One page, or that of somebody else who asks for it at the same time.
    async fn page(&self, call: PageCall) -> Result<Arc<Page>, JobsError> {
        let (session, query) = (self.clone(), call.query.clone());
        let ask = move || {
            let (session, query) = (session.clone(), query.clone());
            async move {
                let (jobs, dialect) = (&session.jobs, session.dialect());
                if let Some(v2) = &dialect.names.v2 {
                    // Whoever asks for states asks for those that have not ended.
                    return Box::pin(session.v2_page(v2, !query.is_empty())).await.map(Arc::new);
                }
                let path = &dialect.names.list.path;
                let (caller, kind) = (&session.caller, Some(session.kind));
                let answer = jobs.ask(Call::List, caller, kind, path, &query).await?;
                let answer = accept(&Method::GET, path, answer)?;
                let page = dialect.read_page(&answer, jobs.limits.jobs, jobs.upstream.budget());
                page.map(Arc::new)
            }
        };
        // Which jobs there are is true only of the moment in which it was asked.
        let lasts = |_: &Result<Arc<Page>, JobsError>| false;
        let (page, _) = self.jobs.pages.share(call, lasts, ask).await;
        page
    }

    fn too_long(&self, most: usize, of: &'static str, limit: &'static str) -> JobsError {
        JobsError::TooLong {
            call: format!("GET {}", self.dialect().names.list.path),
            most,
            of,
            limit,
        }
    }

    /// No job of a list says when it was created.
    pub fn undated(&self) -> JobsError {
        self.unfit("no job in it says when it was created")
    }

    pub(super) fn unfit(&self, reason: &str) -> JobsError {
        JobsError::Shape {
            call: format!("GET {}", self.dialect().names.list.path),
            reason: reason.to_owned(),
        }
    }
}
