//! How a job of Comfy API v2 goes on: by its event stream, or by asking for it.

use super::{JobsError, JobsSession, KnownJobs, accept, caller::filled, page::is_text};
use crate::{
    http::{
        base64::from_base64,
        body::full,
        event_stream::{EventStream, EventTooLong, StreamedEvent},
    },
    mapping::{
        dialect::{LiveNames, LiveState},
        json::{elements, find, key_is, members, string_value},
    },
    telemetry::Call,
    upstream::pool::AnswerBody,
};
use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, StatusCode,
    header::{ACCEPT, ACCEPT_ENCODING, RETRY_AFTER},
};
use http_body_util::BodyExt;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::time::timeout;

/// The longest event, in bytes: previews are pictures of some 100 KB.
const MAX_EVENT: usize = 4 << 20;

/// How long a stream may be silent before it is taken for broken. Servers say every few seconds that they are there.
const MAX_SILENCE: Duration = Duration::from_secs(90);

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
}

/// The event stream of one job.
pub struct LiveStream {
    body: AnswerBody,
    reader: EventStream,
    heard: VecDeque<LiveEvent>,
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
            let frame = timeout(MAX_SILENCE, self.body.frame()).await;
            let Some(frame) = frame.map_err(|_| LiveError::Silent(MAX_SILENCE))? else {
                return Ok(None);
            };
            let frame = frame.map_err(|error| LiveError::Broken(error.to_string()))?;
            let Some(names) = self.session.live_names() else {
                return Ok(None);
            };
            let heard = &mut self.heard;
            let piece = frame.into_data().unwrap_or_default();
            self.reader
                .push(&piece, |event| heard.extend(live_event(names, &event)))?;
        }
    }
}

/// What an event of the stream says; `None` where it is of no kind that a client hears of.
fn live_event(names: &LiveNames, event: &StreamedEvent) -> Option<LiveEvent> {
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
        Some(LiveEvent::State(names.state(&word?)))
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
            node: string_value(node),
            step: number(step).zip(number(steps)),
        }),
    })
}

fn output(names: &LiveNames, text: &[u8]) -> Option<LiveOutput> {
    let of = &names.members;
    let found = find(text, [&of.output_node, &of.output_id, &of.output_name]).ok()?;
    let [node, id, name] = found.map(|value| value.and_then(string_value));
    Some(LiveOutput {
        node: node?,
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

impl JobsSession {
    /// How the server tells how jobs go on, if it does.
    fn live_names(&self) -> Option<&LiveNames> {
        self.dialect().names.v2.as_ref().map(|v2| &v2.live)
    }

    /// The jobs that are known.
    pub fn known_jobs(&self) -> &Arc<KnownJobs> {
        &self.jobs.known
    }

    /// The event stream of job `id`, where there is one.
    ///
    /// # Errors
    /// The server is not there, or says neither that there is one nor that there is none.
    pub async fn live(&self, id: &str) -> Result<Live, JobsError> {
        let Some(names) = self.live_names() else {
            return Ok(Live::Never);
        };
        let upstream = &self.jobs.upstream;
        let server_id = self.known(id).and_then(|known| known.server_id.clone());
        let target = filled(&names.path, server_id.as_deref().unwrap_or(id));
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
        let wait = || {
            let after = answer.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
            Some(Duration::from_secs(after).min(MAX_WAIT))
        };
        Ok(match answer.status() {
            StatusCode::OK => Live::Stream(Box::new(LiveStream {
                body: answer.into_body(),
                reader: EventStream::new(MAX_EVENT),
                heard: VecDeque::new(),
                session: self.clone(),
            })),
            StatusCode::NOT_IMPLEMENTED | StatusCode::METHOD_NOT_ALLOWED => Live::Never,
            _ => Live::NotNow(wait()),
        })
    }

    /// What the server tells of job `id` now; `None` where it knows no such job.
    ///
    /// # Errors
    /// There is no answer, or none about a job.
    pub async fn live_job(&self, id: &str) -> Result<Option<Bytes>, JobsError> {
        let path = &self.dialect().names.detail.path;
        let server_id = self.known(id).and_then(|known| known.server_id.clone());
        let target = filled(path, server_id.as_deref().unwrap_or(id));
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
        let v2 = self.dialect().names.v2.as_ref()?;
        let [state, far] = find(body, [&v2.state, &v2.live.job.progress]).ok()?;
        let state = v2.live.state(&state.and_then(string_value)?);
        let mut events = Vec::new();
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

    /// The workflow of job `id`, as the server answers it.
    ///
    /// # Errors
    /// There is no answer, or none with a workflow.
    pub async fn live_workflow(&self, id: &str) -> Result<Option<Bytes>, JobsError> {
        let Some(v2) = &self.dialect().names.v2 else {
            return Ok(None);
        };
        let server_id = self.known(id).and_then(|known| known.server_id.clone());
        let target = filled(&v2.workflow, server_id.as_deref().unwrap_or(id));
        let answer = self.ask(Call::Detail, &target, "").await?;
        if answer.status == StatusCode::NOT_FOUND && self.says_unknown(&answer.body) {
            return Ok(None);
        }
        let answer = accept(&Method::GET, &v2.workflow, answer)?;
        is_text(&v2.workflow, &answer.body)?;
        Ok(Some(answer.body))
    }

    /// What the Jobs API would tell of job `id`, of which the server tells `body` and that workflow.
    ///
    /// # Errors
    /// It is no job.
    pub fn live_shown(&self, id: &str, body: &[u8], workflow: Option<&[u8]>) -> Result<Vec<u8>, JobsError> {
        let known = self.jobs.known.get(self.caller.scope, id);
        self.v2_shown(id, body, workflow, known.as_deref())
    }

    /// The same of a job that runs and has made these files, as far as is heard.
    ///
    /// # Errors
    /// One of them is no file.
    pub fn live_files(&self, id: &str, files: &[Bytes], workflow: Option<&[u8]>) -> Result<Vec<u8>, JobsError> {
        let running = |names: &LiveNames| bare(names, &names.running, files);
        let body = self.live_names().map(running).unwrap_or_default();
        self.live_shown(id, &body, workflow)
    }

    /// What the Jobs API would tell of job `id`, which failed; of one without a `body` no reason is known.
    ///
    /// # Errors
    /// It is no job.
    pub fn live_failed(&self, id: &str, body: Option<&[u8]>) -> Result<Vec<u8>, JobsError> {
        let failed = |names: &LiveNames| bare(names, &names.failed, &[]);
        match body {
            Some(body) => self.live_shown(id, body, None),
            None => self.live_shown(id, &self.live_names().map(failed).unwrap_or_default(), None),
        }
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

    /// Job `id` has ended, and the server tells `body` of it.
    ///
    /// # Errors
    /// It is no job.
    pub fn live_ended(&self, id: &str, body: &[u8]) -> Result<(), JobsError> {
        let known = self.jobs.known.get(self.caller.scope, id);
        let listed = self.v2_listed(body, known.as_deref().map(|known| (id, known)))?;
        self.v2_ended(id, &listed);
        Ok(())
    }
}
