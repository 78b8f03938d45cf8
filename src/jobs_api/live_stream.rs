//! The event stream of one job of Comfy API v2, and what its events say.

use super::JobsSession;
use crate::{
    http::{
        base64::from_base64,
        buffered::{BufferError, Share},
        event_stream::{EventStream, EventTooLong, StreamedEvent},
    },
    mapping::{
        dialect::{LiveNames, LiveState, V2Names},
        json::{find, key_is, members, string_value},
    },
    upstream::pool::AnswerBody,
};
use bytes::Bytes;
use http_body_util::BodyExt;
use std::{collections::VecDeque, time::Duration};
use tokio::time::timeout;

/// The longest event, in bytes: previews are pictures of some 100 KB.
const MAX_EVENT: usize = 4 << 20;

/// The longest id of a node, in bytes.
const LONGEST_NODE: usize = 1 << 10;

/// How long a stream may be silent before it is taken for broken. Servers say every few seconds that they are there.
const MAX_SILENCE: Duration = Duration::from_secs(90);

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
    /// Reads `body`, on behalf of `session`.
    pub(super) fn new(body: AnswerBody, session: JobsSession) -> Self {
        Self {
            body,
            reader: EventStream::new(MAX_EVENT),
            heard: VecDeque::new(),
            share: session.jobs.upstream.budget().share(),
            session,
        }
    }

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
pub(super) fn progress(names: &LiveNames, text: &[u8]) -> Option<LiveEvent> {
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

pub(super) fn output(names: &LiveNames, text: &[u8]) -> Option<LiveOutput> {
    let of = &names.members;
    let found = find(text, [&of.output_node, &of.output_id, &of.output_name]).ok()?;
    let [node, id, name] = found.map(|value| value.and_then(string_value));
    Some(LiveOutput {
        node: node.filter(|node| node.len() <= LONGEST_NODE)?,
        key: id.or(name)?,
        file: Bytes::copy_from_slice(text),
    })
}
