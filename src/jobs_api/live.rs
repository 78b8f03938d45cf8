//! How a job of Comfy API v2 goes on: by its event stream, or by asking for it.

use super::{HeardJob, JobsError, JobsSession, KnownJob, KnownJobs, accept, caller::filled, page::is_text};
use crate::{
    http::{
        base64::from_base64,
        body::full,
        buffered::{BufferError, Share},
        event_stream::{EventStream, EventTooLong, StreamedEvent},
    },
    mapping::{
        dialect::{LiveNames, LiveState, V2Names},
        json::{MemberPath, elements, find, key_is, members, string_value},
    },
    telemetry::Call,
    upstream::pool::AnswerBody,
};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, RETRY_AFTER},
};
use http_body_util::{BodyExt, Limited};
use serde_json::{Map, Value};
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::timeout;

/// The longest event, in bytes: previews are pictures of some 100 KB.
const MAX_EVENT: usize = 4 << 20;

/// The longest id of a node, in bytes.
const LONGEST_NODE: usize = 1 << 10;

/// How long a stream may be silent before it is taken for broken. Servers say every few seconds that they are there.
const MAX_SILENCE: Duration = Duration::from_secs(90);

/// The longest answer that says why there is no stream, in bytes, as far as it is read.
const MAX_REFUSAL: usize = 64 << 10;

/// The longest that a server may ask us to wait before another stream is asked for.
const MAX_WAIT: Duration = Duration::from_secs(30);

/// What is heard of a job.
#[derive(Clone, Debug)]
pub enum LiveEvent {
    /// Where it stands.
    State(LiveState),
    /// How far it is.
    Progress(LiveProgress),
    /// A picture of what a node is at.
    Preview {
        /// What kind of picture it is, such as `image/jpeg`.
        content_type: String,
        /// The picture.
        image: Bytes,
    },
    /// A file that it made.
    Output(LiveOutput),
}

/// How far a job is.
#[derive(Clone, Debug, Default)]
pub struct LiveProgress {
    /// The node that runs, where that is told.
    pub node: Option<String>,
    /// How many of the node's steps are over, and how many it has.
    pub step: Option<(serde_json::Number, serde_json::Number)>,
}

/// A file that a job made.
#[derive(Clone, Debug)]
pub struct LiveOutput {
    /// The node that made it.
    pub node: String,
    /// What tells it from others of the node.
    pub key: String,
    /// As the server tells of it, as JSON.
    pub file: Bytes,
}

/// What is there to hear of a job.
pub enum Live {
    /// Its event stream.
    Stream(Box<LiveStream>),
    /// The server has none at all.
    Never,
    /// It has none now. It may have said how long to wait.
    NotNow(Option<Duration>),
}

/// Why nothing more comes of a stream.
#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    /// It broke off.
    #[error("the event stream of a job broke off: {0}")]
    Broken(String),
    /// An event is too long.
    #[error(transparent)]
    TooLong(#[from] EventTooLong),
    /// Nothing came for too long.
    #[error("the event stream of a job was silent for {} s", .0.as_secs())]
    Silent(Duration),
    /// There is no room for what came.
    #[error("what came of the event stream of a job cannot be held: {0}")]
    NoRoom(#[from] BufferError),
}

impl LiveEvent {
    /// What it takes, in bytes.
    fn bytes(&self) -> usize {
        let held = match self {
            Self::Preview { image, .. } => image.len(),
            Self::Output(output) => output.file.len(),
            Self::State(_) | Self::Progress(_) => 0,
        };
        held + size_of::<Self>()
    }
}

/// The event stream of one job.
pub struct LiveStream {
    body: AnswerBody,
    reader: EventStream,
    heard: VecDeque<LiveEvent>,
    /// What is held of it counts within `server.max_buffered`.
    share: Share,
    session: JobsSession,
}

impl LiveStream {
    /// The next event; `None` at the end. What was not waited for to the end is not lost.
    ///
    /// # Errors
    /// Nothing more comes: the end of the stream is not known.
    pub async fn next(&mut self) -> Result<Option<LiveEvent>, LiveError> {
        loop {
            if let Some(event) = self.heard.pop_front() {
                return Ok(Some(event));
            }
            self.share.set(self.reader.held())?;
            let frame = timeout(MAX_SILENCE, self.body.frame()).await;
            let Some(frame) = frame.map_err(|_| LiveError::Silent(MAX_SILENCE))? else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| LiveError::Broken(error.to_string()))?;
            let Some(v2) = self.session.v2_names() else {
                return Ok(None);
            };
            let heard = &mut self.heard;
            let piece = frame.into_data().unwrap_or_default();
            self.share.set(self.reader.held() + piece.len())?;
            self.reader.push(&piece, |event| heard.extend(live_event(v2, &event)))?;
            let heard: usize = heard.iter().map(LiveEvent::bytes).sum();
            self.share.set(self.reader.held() + heard)?;
        }
    }
}

/// What an event of the stream says; `None` where it is of no kind that a client hears of.
fn live_event(v2: &V2Names, event: &StreamedEvent) -> Option<LiveEvent> {
    let names = &v2.live;
    let is = |name: &str| event.name == name.as_bytes();
    let data = &event.data;
    if is(&names.status) {
        // The event has the state under its own name, as the job has.
        let mut word = None;
        members(data, |key, value| {
            if key_is(key, &names.status) {
                word = string_value(value);
            }
        })
        .ok()?;
        Some(LiveEvent::State(v2.live_state(&word?)))
    } else if is(&names.progress) {
        progress(names, data)
    } else if is(&names.output) {
        Some(LiveEvent::Output(output(names, data)?))
    } else if is(&names.preview) {
        let found = find(data, [&names.members.image, &names.members.image_type]).ok()?;
        let [image, content_type] = found.map(|value| value.and_then(string_value));
        Some(LiveEvent::Preview {
            content_type: content_type.unwrap_or_default(),
            image: from_base64(image?.as_bytes())?.into(),
        })
    } else {
        None
    }
}

/// How far a job is. Where nothing is said of nodes, not even that none runs, all that is known is that it runs.
fn progress(names: &LiveNames, text: &[u8]) -> Option<LiveEvent> {
    let of = &names.members;
    let [node, step, steps] = find(text, [&of.node, &of.step, &of.steps]).ok()?;
    let number = |text: Option<&[u8]>| serde_json::from_slice(text?).ok();
    Some(match node {
        None => LiveEvent::State(LiveState::Running),
        Some(node) => LiveEvent::Progress(LiveProgress {
            node: string_value(node).filter(|node| node.len() <= LONGEST_NODE),
            step: number(step).zip(number(steps)),
        }),
    })
}

fn output(names: &LiveNames, text: &[u8]) -> Option<LiveOutput> {
    let of = &names.members;
    let found = find(text, [&of.output_node, &of.output_id, &of.output_name]).ok()?;
    let [node, id, name] = found.map(|value| value.and_then(string_value));
    Some(LiveOutput {
        node: node.filter(|node| node.len() <= LONGEST_NODE)?,
        key: id.or(name)?,
        file: Bytes::copy_from_slice(text),
    })
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
    fn v2_names(&self) -> Option<&V2Names> {
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
            StatusCode::OK => Live::Stream(Box::new(LiveStream {
                body: answer.into_body(),
                reader: EventStream::new(MAX_EVENT),
                heard: VecDeque::new(),
                share: upstream.budget().share(),
                session: self.clone(),
            })),
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
        let path = &self.dialect().names.detail.path;
        let target = filled(path, server_id);
        let answer = self.ask(Call::Detail, &target, "").await?;
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
        let far = far.filter(|far| far.starts_with(b"{"));
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
        let Some(v2) = self.v2_names() else {
            return Ok(None);
        };
        let target = filled(&v2.workflow, server_id);
        let answer = self.ask(Call::Detail, &target, "").await?;
        if answer.status == StatusCode::NOT_FOUND && self.says_unknown(&answer.body) {
            return Ok(None);
        }
        let answer = accept(&Method::GET, &v2.workflow, answer)?;
        is_text(&v2.workflow, &answer.body)?;
        Ok(Some(answer.body))
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
            match self.dialect().job_in(&listed).is_some() {
                true => _ = self.v2_ended(&job.id, &listed),
                false => self.live_gone(job),
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
