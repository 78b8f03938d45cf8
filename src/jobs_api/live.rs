//! How a job of Comfy API v2 goes on: by its event stream, or by asking for it.

use super::{
    HeardJob, JobsError, JobsSession, KnownJob, KnownJobs, accept,
    caller::filled,
    live_stream::{LiveEvent, LiveStream, output, progress},
    page::is_text,
};
use crate::{
    http::body::full,
    mapping::{
        dialect::{LiveNames, LiveState, V2Names},
        json::{MemberPath, elements, find, key_is, members, string_value},
    },
    telemetry::Call,
};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, RETRY_AFTER},
};
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// The longest answer that says why there is no stream, in bytes, as far as it is read.
const MAX_REFUSAL: usize = 64 << 10;

/// The longest that a server may ask us to wait before another stream is asked for.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// What is there to hear of a job.
pub enum Live {
    /// Its event stream.
    Stream(Box<LiveStream>),
    /// The server has none at all.
    Never,
    /// It has none now. It may have said how long to wait.
    NotNow(Option<Duration>),
}

/// The text of a job in the first of these states, with these files.
fn bare(names: &LiveNames, states: &[String], files: &[Bytes]) -> Vec<u8> {
    let state = states.first().map_or("", String::as_str);
    let before = format!("{{\"{}\": \"{state}\", \"{}\": [", names.status, names.job.outputs);
    [before.as_bytes(), &files.join(&b","[..]), b"]}"].concat()
}

/// A member of a job as the Jobs API tells it, where it is an object.
fn object(job: &[u8], path: &MemberPath) -> Option<Map<String, Value>> {
    let [value] = find(job, [path]).ok()?;
    serde_json::from_slice(value?).ok()
}

impl JobsSession {
    /// How the server speaks Comfy API v2, if it does.
    pub(super) fn v2_names(&self) -> Option<&V2Names> {
        self.dialect().names.v2.as_ref()
    }

    /// How the server tells how jobs go on, if it does.
    fn live_names(&self) -> Option<&LiveNames> {
        self.v2_names().map(|v2| &v2.live)
    }

    /// What is known of a job, unless its client has given its id to another one.
    fn heard(&self, job: &HeardJob) -> Option<Arc<KnownJob>> {
        let known = self.jobs.known.get(self.caller.scope, &job.id)?;
        job.is(&known).then_some(known)
    }

    /// The jobs that are known.
    pub fn known_jobs(&self) -> &Arc<KnownJobs> {
        &self.jobs.known
    }

    /// The event stream of the job that the server calls `server_id`, where there is one.
    ///
    /// # Errors
    /// The server is not there, or says neither that there is one nor that there is none.
    pub async fn live(&self, server_id: &str) -> Result<Live, JobsError> {
        let Some(names) = self.live_names() else {
            return Ok(Live::Never);
        };
        let upstream = &self.jobs.upstream;
        let target = filled(&names.path, server_id);
        let mut headers = self.jobs.headers(&self.caller, Some(self.kind));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let calling = self.jobs.observer.calling(
            Call::Detail,
            &self.caller.stats,
            upstream.authority(),
            &Method::GET,
            &mut headers,
        );
        let mut request = Request::new(full(Bytes::new()));
        *request.uri_mut() = upstream.uri(&self.caller.target(&target, ""))?;
        *request.headers_mut() = headers;
        let sent = timeout(upstream.answer_timeout(), upstream.pass(request, None)).await;
        let sent = sent.unwrap_or_else(|_| Err(upstream.timed_out(upstream.answer_timeout())));
        match &sent {
            Ok(answer) => calling.answered(answer.status()),
            Err(error) => calling.failed(error.into(), error),
        }
        let answer = sent?;
        let after = answer.headers().get(RETRY_AFTER);
        let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
        let after = after.map(|after| Duration::from_secs(after).min(MAX_WAIT));
        Ok(match answer.status() {
            StatusCode::OK => Live::Stream(Box::new(LiveStream::new(answer.into_body(), self.clone()))),
            StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED => Live::Never,
            StatusCode::NOT_FOUND => {
                let body = Limited::new(answer.into_body(), MAX_REFUSAL).collect();
                let body = timeout(upstream.answer_timeout(), body).await;
                let body = body.ok().and_then(Result::ok);
                match body.is_some_and(|body| !self.says_unknown(&body.to_bytes())) {
                    // There is no such path.
                    true => Live::Never,
                    false => Live::NotNow(after),
                }
            }
            _ => Live::NotNow(after),
        })
    }

    /// What the server tells now of the job that it calls `server_id`; `None` where it knows no such job.
    ///
    /// # Errors
    /// There is no answer, or none about a job.
    pub async fn live_job(&self, server_id: &str) -> Result<Option<Bytes>, JobsError> {
        self.live_text(&self.dialect().names.detail.path, server_id).await
    }

    /// What the server answers at `path` of the job that it calls `server_id`; `None` where it knows no such job.
    async fn live_text(&self, path: &str, server_id: &str) -> Result<Option<Bytes>, JobsError> {
        let answer = self.ask(Call::Detail, &filled(path, server_id), "").await?;
        if answer.status == StatusCode::NOT_FOUND && self.says_unknown(&answer.body) {
            return Ok(None);
        }
        let answer = accept(&Method::GET, path, answer)?;
        is_text(path, &answer.body)?;
        Ok(Some(answer.body))
    }

    /// Where the job stands of which the server tells `body`, and what its stream would say first.
    pub fn live_events(&self, body: &[u8]) -> Option<(LiveState, Vec<LiveEvent>)> {
        let v2 = self.v2_names()?;
        let [state, far] = find(body, [&v2.state, &v2.live.job.progress]).ok()?;
        let state = v2.live_state(&state.and_then(string_value)?);
        let mut events = Vec::new();
        if state == LiveState::Unknown {
            return Some((state, events));
        }
        if !state.is_final() {
            events.push(LiveEvent::State(state));
        }
        // How far a job is says nothing of one that waits.
        let far = far.filter(|far| state == LiveState::Running && far.starts_with(b"{"));
        events.extend(far.and_then(|far| progress(&v2.live, far)));
        members(body, |key, files| {
            if key_is(key, &v2.live.job.outputs) && files.starts_with(b"[") {
                // The text of the job was checked as a whole.
                let _ = elements(files, |file| {
                    events.extend(output(&v2.live, file).map(LiveEvent::Output))
                });
            }
        })
        .ok()?;
        Some((state, events))
    }

    /// The workflow of the job that the server calls `server_id`, as it answers it.
    ///
    /// # Errors
    /// There is no answer, or none with a workflow.
    pub async fn live_workflow(&self, server_id: &str) -> Result<Option<Bytes>, JobsError> {
        match self.v2_names() {
            Some(v2) => self.live_text(&v2.workflow, server_id).await,
            None => Ok(None),
        }
    }

    /// What the Jobs API would tell of a job, of which the server tells `body` and that workflow.
    ///
    /// # Errors
    /// It is no job.
    pub fn live_shown(&self, job: &HeardJob, body: &[u8], workflow: Option<&[u8]>) -> Result<Vec<u8>, JobsError> {
        self.v2_shown(&job.id, body, workflow, self.heard(job).as_deref())
    }

    /// What the Jobs API would tell of these files of a job, by node.
    ///
    /// # Errors
    /// One of them is no file.
    pub fn live_files(
        &self,
        job: &HeardJob,
        files: &[Bytes],
        workflow: Option<&[u8]>,
    ) -> Result<Map<String, Value>, JobsError> {
        let Some(v2) = self.v2_names() else {
            return Ok(Map::new());
        };
        let body = bare(&v2.live, &v2.live.running, files);
        let shown = self.live_shown(job, &body, workflow)?;
        Ok(object(&shown, &v2.files.shown).unwrap_or_default())
    }

    /// Why a job failed, as the Jobs API would tell it; of one without a `body` no reason is known.
    ///
    /// # Errors
    /// It is no job.
    pub fn live_failed(&self, job: &HeardJob, body: Option<&[u8]>) -> Result<Map<String, Value>, JobsError> {
        let Some(names) = self.live_names() else {
            return Ok(Map::new());
        };
        let shown = match body {
            Some(body) => self.live_shown(job, body, None)?,
            None => self.live_shown(job, &bare(names, &names.failed, &[]), None)?,
        };
        Ok(object(&shown, &names.job.failure).unwrap_or_default())
    }

    /// The class of a node in a prompt; empty where it has none.
    pub fn live_class(&self, prompt: &[u8], node: &str) -> String {
        let mut class = None;
        let member = self.live_names().map_or("", |names| &names.members.class);
        let _ = members(prompt, |key, value| {
            if key_is(key, node) {
                let _ = members(value, |key, value| {
                    if key_is(key, member) {
                        class = string_value(value);
                    }
                });
            }
        });
        class.unwrap_or_default()
    }

    /// A job has ended as the server tells by `body`; where that does not say so, nothing happens. Of a job that no list shows
    /// nothing is left: that must be sure.
    ///
    /// # Errors
    /// It is no job.
    pub fn live_ended(&self, job: &HeardJob, body: &[u8]) -> Result<(), JobsError> {
        let (Some(v2), Some(known)) = (self.v2_names(), self.heard(job)) else {
            return Ok(());
        };
        if self.is_over(v2, body)? {
            let listed = self.v2_listed(body, Some((&job.id, &known)))?;
            if !self.v2_ended(&job.id, &listed) {
                self.live_gone(job);
            }
        }
        Ok(())
    }

    /// Nothing is left of a job, and that is sure.
    pub fn live_gone(&self, job: &HeardJob) {
        if self.heard(job).is_some() {
            self.jobs.known.ended(self.caller.scope, &job.id, "");
        }
    }

    /// Whether the server has a job no more where it says so: a young one may not be everywhere yet.
    pub fn live_may_be_gone(&self, job: &HeardJob) -> bool {
        self.heard(job).is_none_or(|known| known.may_be_gone())
    }
}
