//! One job, followed to its end: by its event stream, which is opened again where it breaks, or by asking for the job.

use super::{feed::Feed, messages, story::Story};
use crate::{
    jobs_api::{JobsError, Live, LiveEvent, LiveState, LiveStream},
    mapping::json::{MemberPath, find},
};
use bytes::Bytes;
use serde_json::{Map, Value};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// How long after a look at a job the next one is, at first; and at most, while the job runs and while it waits.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
const LONGEST_PAUSE_WAITING: Duration = Duration::from_secs(5);

/// How long files of a node may follow each other before they are told of.
const SETTLING: Duration = Duration::from_millis(100);

/// How long files may come after a job's end.
const TRAILING: Duration = Duration::from_secs(2);

/// How long a server may not know a job before that is its end.
const UNKNOWN_FOR: Duration = Duration::from_secs(15);

/// How often the server is asked for a job that has ended, at most.
const LAST_LOOKS: u32 = 5;

/// Follows job `id` to its end; one that is `late` was there before anybody listened.
pub(super) async fn follow(feed: Arc<Feed>, id: Arc<str>, is_late: bool) {
    let watcher = Watcher {
        story: Story::new(Arc::clone(&id)),
        workflow: None,
        is_late,
        feed,
        id,
    };
    Box::pin(watcher.run()).await;
}

struct Watcher {
    feed: Arc<Feed>,
    id: Arc<str>,
    story: Story,
    /// Once it was asked for.
    workflow: Option<Option<Bytes>>,
    /// Nothing was heard so far of a job that was there before.
    is_late: bool,
}

impl Watcher {
    async fn run(mut self) {
        let feed = Arc::clone(&self.feed);
        let mut pause = FIRST_PAUSE;
        let mut unknown_since = None;
        let mut no_stream_before = None;
        loop {
            if feed.streams.may_be()
                && no_stream_before.is_none_or(|moment| moment <= Instant::now())
                && let Ok(_permit) = Arc::clone(&feed.streams.streams).try_acquire_owned()
            {
                match feed.session.live(&self.id).await {
                    Ok(Live::Stream(stream)) => match self.listen(*stream).await {
                        Heard::End(state) => return self.end(state, None).await,
                        // It goes on, as soon as the job says where it is.
                        Heard::Something => pause = FIRST_PAUSE,
                        Heard::Nothing => {}
                    },
                    Ok(Live::Never) => feed.streams.are_none(),
                    Ok(Live::NotNow(after)) => no_stream_before = after.map(|after| Instant::now() + after),
                    Err(error) => tracing::debug!(%error, "there is no event stream of a job"),
                }
            }
            let mut longest = LONGEST_PAUSE_WAITING;
            match self.look().await {
                Ok(Some(body)) => {
                    unknown_since = None;
                    if let Some((state, events)) = feed.session.live_events(&body) {
                        if state.is_final() {
                            return self.end(state, Some(body)).await;
                        }
                        for event in events {
                            self.hear(event).await;
                        }
                        self.tell_files().await;
                        if state == LiveState::Running {
                            longest = LONGEST_PAUSE;
                        }
                    }
                }
                Ok(None) => {
                    let since = *unknown_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= UNKNOWN_FOR {
                        return self.end(LiveState::Gone, None).await;
                    }
                }
                Err(error) => tracing::debug!(%error, "a job cannot be asked for"),
            }
            sleep(pause).await;
            pause = (pause * 3 / 2).min(longest);
        }
    }

    /// What the server tells of the job now.
    async fn look(&self) -> Result<Option<Bytes>, JobsError> {
        let _permit = self.feed.streams.calls.acquire().await;
        self.feed.session.live_job(&self.id).await
    }

    async fn listen(&mut self, mut stream: LiveStream) -> Heard {
        let (mut ended, mut heard) = (None, Heard::Nothing);
        loop {
            let patience = match ended {
                Some(_) => TRAILING,
                None if self.story.has_untold() => SETTLING,
                None => Duration::MAX,
            };
            match timeout(patience, stream.next()).await {
                Ok(Ok(Some(event))) => {
                    heard = Heard::Something;
                    match event {
                        LiveEvent::State(state) if state.is_final() => ended = Some(state),
                        // The end of one that ended before anybody listened is told of with its files.
                        event => self.hear(event).await,
                    }
                }
                Ok(end) => {
                    if let Err(error) = end {
                        tracing::debug!(%error, "an event stream ended early");
                    }
                    return ended.map_or(heard, Heard::End);
                }
                Err(_) => match ended {
                    Some(state) => return Heard::End(state),
                    None => self.tell_files().await,
                },
            }
        }
    }

    async fn hear(&mut self, event: LiveEvent) {
        match &event {
            LiveEvent::State(LiveState::Running) if self.is_late => self.story.has_started(),
            LiveEvent::Output(_) => {}
            _ => self.tell_files().await,
        }
        if matches!(event, LiveEvent::State(_)) {
            self.is_late = false;
        }
        let said = self.story.hear(event);
        self.say(&said);
    }

    fn say(&self, said: &[messages::LiveMessage]) {
        let running = self.story.node().map(|node| messages::executing(&self.id, Some(node)));
        self.feed.say(&self.id, said, running);
    }

    /// Tells of the files that are there.
    async fn tell_files(&mut self) {
        for (node, files) in self.story.take_untold() {
            self.know_workflow().await;
            let workflow = self.workflow.as_ref().and_then(Option::as_deref);
            let shown = self.feed.session.live_files(&self.id, &files, workflow);
            let output = shown.map(|shown| member(&shown, "outputs").and_then(|mut outputs| outputs.remove(&node)));
            match output {
                Ok(Some(output)) => {
                    let said = self.story.executed(&node, &output);
                    self.say(&said);
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "an output of a job cannot be shown"),
            }
        }
    }

    async fn know_workflow(&mut self) {
        if self.workflow.is_none() {
            let workflow = self.feed.session.live_workflow(&self.id).await;
            self.workflow = Some(workflow.unwrap_or_else(|error| {
                tracing::debug!(%error, "the workflow of a job is not known");
                None
            }));
        }
    }

    /// The job has ended, and this is what the server tells of it, if it was asked already.
    async fn end(mut self, state: LiveState, body: Option<Bytes>) {
        let body = match body {
            None => self.last_look().await,
            body => body,
        };
        let feed = Arc::clone(&self.feed);
        if self.is_late {
            // It ended before anybody listened.
            self.note_end(body.as_deref());
            return feed.say_status(Some(&self.id));
        }
        let told = body.as_deref().and_then(|body| feed.session.live_events(body));
        for event in told.into_iter().flat_map(|(_, events)| events) {
            if matches!(event, LiveEvent::Output(_)) {
                self.hear(event).await;
            }
        }
        if state != LiveState::Gone || self.story.is_started() {
            self.tell_files().await;
        }
        let said = match state {
            LiveState::Succeeded => self.story.succeeded(),
            LiveState::Failed => {
                let error = self.error(body.as_deref());
                self.story.failed(error)
            }
            LiveState::Gone if !self.story.is_started() => Vec::new(),
            _ => {
                let class = self.class(body.as_deref()).await;
                self.story.interrupted(&class)
            }
        };
        feed.say(&self.id, &said, None);
        self.note_end(body.as_deref());
        feed.say_status(Some(&self.id));
        if self.story.is_started() {
            feed.say(&self.id, &[self.story.over()], None);
        }
    }

    /// Notes how the job ended, so that nobody asks again. Where the server does not tell, others may still learn it.
    fn note_end(&self, body: Option<&[u8]>) {
        let noted = body.map(|body| self.feed.session.live_ended(&self.id, body));
        if let Some(Err(error)) = noted {
            tracing::debug!(%error, "how a job ended cannot be read");
        }
    }

    /// What the server tells of a job that has ended: all of its files, and why it failed.
    async fn last_look(&self) -> Option<Bytes> {
        let mut pause = FIRST_PAUSE;
        for _ in 0..LAST_LOOKS {
            match self.look().await {
                Ok(None) => return None,
                // Not every part of the server may know by now that it has ended.
                Ok(Some(body)) => {
                    let told = self.feed.session.live_events(&body);
                    if told.is_some_and(|(state, _)| state.is_final()) {
                        return Some(body);
                    }
                }
                Err(error) => tracing::debug!(%error, "a job that has ended cannot be asked for"),
            }
            sleep(pause).await;
            pause *= 2;
        }
        None
    }

    /// Why the job failed, as the Jobs API tells it.
    fn error(&self, body: Option<&[u8]>) -> Map<String, Value> {
        let shown = self.feed.session.live_failed(&self.id, body);
        let error = shown.ok().and_then(|shown| member(&shown, "execution_error"));
        error.unwrap_or_default()
    }

    /// The class of the node that runs.
    async fn class(&mut self, body: Option<&[u8]>) -> String {
        let (Some(node), Some(body)) = (self.story.node().map(str::to_owned), body) else {
            return String::new();
        };
        self.know_workflow().await;
        let session = &self.feed.session;
        let workflow = self.workflow.as_ref().and_then(Option::as_deref);
        let shown = session.live_shown(&self.id, body, workflow).unwrap_or_default();
        let path = session.detail_names().prompt.as_ref();
        let found = path.and_then(|path| find(&shown, [path]).ok());
        let prompt = found.and_then(|[prompt]| prompt);
        prompt.map_or_else(String::new, |prompt| session.live_class(prompt, &node))
    }
}

/// What comes of listening to a stream.
enum Heard {
    /// The job has ended.
    End(LiveState),
    /// It broke off.
    Something,
    /// It broke off at once.
    Nothing,
}

/// A member of a job as the Jobs API tells it, where it is an object.
fn member(job: &[u8], name: &str) -> Option<Map<String, Value>> {
    let path = MemberPath::parse(name).ok()?;
    let [value] = find(job, [&path]).ok()?;
    serde_json::from_slice(value?).ok()
}
