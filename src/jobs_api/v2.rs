//! Comfy API v2, asked in place of the Jobs API: its jobs are told as that would tell them, by a table. It has no list of jobs, so
//! the list is put together from those that are known, each of which is asked for.

use super::{
    JobsError, JobsSession, KnownJob, Page, Workflow, accept,
    caller::filled,
    page::{is_text, no_room},
    unreadable,
};
use crate::{
    mapping::{
        RenderError,
        dialect::{State, V2Names},
        json::{elements, find, string_value},
    },
    telemetry::Call,
    upstream::Answer,
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use http::{HeaderMap, Method, StatusCode};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::time::Instant;

/// For how long a server that has no list of its own is not asked for one.
const WITHOUT_LIST: Duration = Duration::from_secs(300);

/// A job as a list tells of it.
pub(super) struct Entry {
    id: Arc<str>,
    created: f64,
    pub(super) text: Bytes,
    headers: Option<HeaderMap>,
}

impl JobsSession {
    /// Whether a 404 with this body says that there is no such job, and not that there is no such path.
    pub(super) fn says_unknown(&self, body: &[u8]) -> bool {
        match &self.dialect().names.v2 {
            Some(v2) => self.word(body, v2).as_ref() == Some(&v2.unknown),
            None => body.trim_ascii_start().starts_with(b"{"),
        }
    }

    /// Whether an error is one of the API's own.
    pub(super) fn says_v2(&self, body: &[u8]) -> bool {
        let v2 = self.dialect().names.v2.as_ref();
        v2.is_some_and(|v2| self.word(body, v2).is_some())
    }

    fn word(&self, body: &[u8], v2: &V2Names) -> Option<String> {
        let [code] = find(body, [&v2.code]).ok()?;
        code.and_then(string_value)
    }

    /// What is known of the job that its client calls `id`, where it was submitted by Comfy API v2.
    pub(super) fn known(&self, id: &str) -> Option<Arc<KnownJob>> {
        self.dialect().names.v2.as_ref()?;
        self.jobs.known.get(self.caller.scope, id)
    }

    /// What the server tells of a job. One that it calls expired is asked for once more: comfy-api-proxy looks into the
    /// history and into the queue of its server one after the other, and says so of what ends in between.
    pub(super) async fn v2_ask_job(&self, v2: &V2Names, at_server: &str) -> Result<Answer, JobsError> {
        let answer = self.ask(Call::Detail, at_server, "").await?;
        let is_expired = |body| self.is_over(v2, body).is_ok_and(|is_over| is_over) && !self.is_shown(body);
        match answer.status.is_success() && is_expired(&answer.body) {
            true => self.ask(Call::Detail, at_server, "").await,
            false => Ok(answer),
        }
    }

    /// Whether a list of the Jobs API would show the job of which the server tells `body`.
    fn is_shown(&self, body: &[u8]) -> bool {
        self.v2_listed(body, None)
            .is_ok_and(|listed| self.dialect().job_in(&listed).is_some())
    }

    /// What the Jobs API would tell of job `id`, of which the server tells `body`; `None` where nothing is left of it.
    pub(super) async fn v2_detail(
        &self,
        v2: &V2Names,
        id: &str,
        known: Option<&KnownJob>,
        body: Bytes,
        workflow: Workflow,
    ) -> Result<Option<Bytes>, JobsError> {
        let is_over = self.is_over(v2, &body)?;
        if is_over {
            let end = self.v2_listed(&body, known.map(|known| (id, known)))?;
            if !self.v2_ended(id, &end) {
                self.jobs.files.asked(self.caller.scope, id);
                return Ok(None);
            }
        }
        let has_workflow = is_over || workflow == Workflow::Wanted;
        let workflow = match has_workflow {
            // A job whose workflow the server does not have is a job all the same.
            true => {
                let server_id = known.and_then(|known| known.server_id.as_deref());
                self.live_workflow(server_id.unwrap_or(id)).await?
            }
            false => None,
        };
        let shown = self.v2_shown(id, &body, workflow.as_deref(), known)?;
        if has_workflow {
            self.keep_files(v2, id, &body, &shown);
        }
        if is_over {
            self.jobs.files.asked(self.caller.scope, id);
        }
        Ok(Some(shown.into()))
    }

    /// What the Jobs API would tell of the job of which the server tells `body`, and that workflow.
    pub(super) fn v2_shown(
        &self,
        id: &str,
        body: &[u8],
        workflow: Option<&[u8]>,
        known: Option<&KnownJob>,
    ) -> Result<Vec<u8>, JobsError> {
        let mut text = [b"{\"job\": ", body].concat();
        if let Some(workflow) = workflow {
            text.extend_from_slice(b", \"workflow\": ");
            text.extend_from_slice(workflow);
        }
        text.push(b'}');
        let observed = known.map(|known| known.observed(id));
        let table = &self.jobs.of_v2.job;
        let written = table.written(&text, observed.as_ref().map(String::as_bytes));
        written.map_err(|error| self.unfit_v2(&error))
    }

    /// All jobs that are known, or those that have not ended, newest created first.
    pub(super) async fn v2_entries(&self, v2: &V2Names, queued: bool) -> Result<(Vec<Entry>, HeaderMap), JobsError> {
        let known = self.jobs.known.of(self.caller.scope);
        let (mut told, mut headers) = self.v2_told(v2, queued, &known).await?;
        let mut entries = Vec::new();
        let mut unsure = Vec::new();
        for (id, job) in known {
            match (&job.end, told.remove(&id)) {
                // It was gone, and may be there again.
                (Some(end), entry) if end.is_empty() => entries.extend(entry),
                // It has ended, and stays so.
                (Some(_), _) if queued => {}
                (Some(end), _) => entries.extend(self.v2_entry(end.clone().into(), false)),
                (None, Some(entry)) => entries.push(entry),
                (None, None) => unsure.push((id, job)),
            }
        }
        entries.extend(told.into_values());
        // One after the other in a box: a task is as large as the largest of them.
        let asked = stream::iter(unsure).map(|(id, job)| self.v2_asked(v2, id, job, queued).boxed());
        let asked: Vec<Option<Entry>> = asked.buffer_unordered(self.jobs.side_by_side).try_collect().await?;
        entries.extend(asked.into_iter().flatten());
        // Newest created first, as the Jobs API has it.
        entries.sort_by(|one, other| {
            other
                .created
                .total_cmp(&one.created)
                .then_with(|| one.id.cmp(&other.id))
        });
        for entry in &mut entries {
            headers = entry.headers.take().unwrap_or(headers);
        }
        Ok((entries, headers))
    }

    /// The list of all jobs that are known, or of those that have not ended.
    pub(super) async fn v2_page(&self, v2: &V2Names, queued: bool) -> Result<Page, JobsError> {
        let (entries, headers) = self.v2_entries(v2, queued).await?;
        let list = self.joined(entries.iter().map(|entry| &entry.text))?;
        let (budget, max_jobs) = (self.jobs.upstream.budget(), self.jobs.limits.jobs);
        self.dialect().page_of(&list, headers, max_jobs, budget)
    }

    /// A list of these, as JSON.
    pub(super) fn joined<'t>(&self, texts: impl Iterator<Item = &'t Bytes>) -> Result<Bytes, JobsError> {
        let mut list = self.jobs.upstream.budget().buffer(usize::MAX);
        list.push(b"[").map_err(no_room)?;
        for (nth, text) in texts.enumerate() {
            let separator: &[u8] = if nth > 0 { b", " } else { b"" };
            list.push(separator).and_then(|()| list.push(text)).map_err(no_room)?;
        }
        list.push(b"]").map_err(no_room)?;
        Ok(list.into_bytes())
    }

    /// What one job that has not ended as far as is known is now; `None` where the server has it no more, or it has ended and
    /// only those are wanted that have not.
    async fn v2_asked(
        &self,
        v2: &V2Names,
        id: Arc<str>,
        job: Arc<KnownJob>,
        queued: bool,
    ) -> Result<Option<Entry>, JobsError> {
        let path = &self.dialect().names.detail.path;
        let at_server = filled(path, job.server_id.as_deref().unwrap_or(&id));
        let answer = self.v2_ask_job(v2, &at_server).await?;
        if answer.status == StatusCode::NOT_FOUND && self.says_unknown(&answer.body) {
            self.v2_ended(&id, b"");
            return Ok(None);
        }
        let answer = accept(&Method::GET, path, answer)?;
        is_text(path, &answer.body)?;
        let text = self.v2_listed(&answer.body, Some((&id, &job)))?;
        if self.is_over(v2, &answer.body)? {
            self.v2_ended(&id, &text);
        }
        let entry = self.v2_entry(text, queued);
        Ok(entry.map(|entry| Entry {
            headers: Some(answer.headers),
            ..entry
        }))
    }

    /// The jobs that the server itself lists, where it does, by the ids that their client knows.
    async fn v2_told(
        &self,
        v2: &V2Names,
        queued: bool,
        known: &[(Arc<str>, Arc<KnownJob>)],
    ) -> Result<(HashMap<Arc<str>, Entry>, HeaderMap), JobsError> {
        let mut told = HashMap::new();
        let without = *self.jobs.without_list.lock();
        if without.is_some_and(|since| since.elapsed() < WITHOUT_LIST) {
            return Ok((told, HeaderMap::new()));
        }
        let list = &self.dialect().names.list;
        let query = if queued { &v2.queued } else { &v2.unlisted };
        let answer = self.ask(Call::List, &list.path, query).await?;
        if matches!(answer.status.as_u16(), 400 | 404 | 405 | 410 | 422 | 501) {
            *self.jobs.without_list.lock() = Some(Instant::now());
            return Ok((told, HeaderMap::new()));
        }
        let answer = accept(&Method::GET, &list.path, answer)?;
        is_text(&list.path, &answer.body)?;
        let wrong = |error| unreadable(&list.path, &error);
        let [jobs] = find(&answer.body, [&list.jobs]).map_err(wrong)?;
        let jobs = jobs.ok_or_else(|| JobsError::Shape {
            call: format!("GET {}", list.path),
            reason: format!("it has no list \"{}\"", list.jobs),
        })?;
        let mut bodies = Vec::new();
        elements(jobs, |job| bodies.push(job)).map_err(wrong)?;
        let at_server = known
            .iter()
            .map(|(id, job)| (job.server_id.as_deref().unwrap_or(id), (id, job)));
        let at_server: HashMap<&str, (&Arc<str>, &Arc<KnownJob>)> = at_server.collect();
        for body in bodies {
            let Some(entry) = self.v2_entry(self.v2_listed(body, None)?, false) else {
                continue;
            };
            let text = match at_server.get(&*entry.id) {
                None => entry.text,
                Some((id, job)) => {
                    let text = self.v2_listed(body, Some((id, job)))?;
                    if self.is_over(v2, body)? {
                        self.v2_ended(id, &text);
                    }
                    text
                }
            };
            told.extend(self.v2_entry(text, queued).map(|entry| (Arc::clone(&entry.id), entry)));
        }
        Ok((told, answer.headers))
    }

    /// An entry of a list, as the Jobs API has it; `None` of a state that no list shows, or that is not wanted.
    fn v2_entry(&self, text: Bytes, queued: bool) -> Option<Entry> {
        let job = self.dialect().job_in(&text)?;
        let is_wanted = !queued || job.state != State::Finished;
        is_wanted.then(|| Entry {
            id: job.id,
            created: job.created,
            text,
            headers: None,
        })
    }

    /// How a list tells of the job of which the server tells `body`.
    pub(super) fn v2_listed(&self, body: &[u8], known: Option<(&str, &KnownJob)>) -> Result<Bytes, JobsError> {
        let text = [b"{\"job\": ", body, b"}"].concat();
        let observed = known.map(|(id, known)| known.observed(id));
        let written = self
            .jobs
            .of_v2
            .listed
            .written(&text, observed.as_ref().map(String::as_bytes));
        written.map(Bytes::from).map_err(|error| self.unfit_v2(&error))
    }

    /// Whether the job has ended, in whichever way.
    pub(super) fn is_over(&self, v2: &V2Names, body: &[u8]) -> Result<bool, JobsError> {
        let state = self.v2_state(v2, body)?;
        Ok(state.is_some_and(|state| v2.over.contains(&state)))
    }

    fn v2_state(&self, v2: &V2Names, body: &[u8]) -> Result<Option<String>, JobsError> {
        let [state] = find(body, [&v2.state]).map_err(|error| self.unfit_v2(&error.into()))?;
        Ok(state.and_then(string_value))
    }

    /// A job has ended, and this is what a list tells of it. Says whether a list shows it at all.
    pub(super) fn v2_ended(&self, id: &str, listed: &[u8]) -> bool {
        let is_shown = self.dialect().job_in(listed).is_some();
        let (known, scope) = (&self.jobs.known, self.caller.scope);
        match is_shown {
            true => known.ended(scope, id, &String::from_utf8_lossy(listed)),
            false => known.gone(scope, id),
        }
        is_shown
    }

    /// What the Jobs API would answer to a cancel that the server answers so.
    pub(super) fn v2_cancelled(&self, v2: &V2Names, answer: Answer) -> Result<Answer, JobsError> {
        let stopped = match answer.status.as_u16() {
            200..=299 => {
                let state = self.v2_state(v2, &answer.body)?;
                state.is_some_and(|state| v2.stopped.contains(&state))
            }
            // It has ended, and cannot be stopped any more.
            409 => false,
            _ => return Ok(answer),
        };
        let name = self.dialect().names.cancel.cancelled.to_string();
        Ok(Answer {
            status: StatusCode::OK,
            body: serde_json::json!({ name: stopped }).to_string().into(),
            ..answer
        })
    }

    pub(super) async fn ask(&self, call: Call, path: &str, query: &str) -> Result<Answer, JobsError> {
        self.jobs.ask(call, &self.caller, Some(self.kind), path, query).await
    }

    fn unfit_v2(&self, error: &RenderError) -> JobsError {
        JobsError::Shape {
            call: format!("GET {}", self.dialect().names.detail.path),
            reason: error.to_string(),
        }
    }
}
