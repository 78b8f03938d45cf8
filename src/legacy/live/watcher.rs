//! One job, followed to its end: by its event stream, which is opened again where it breaks, or by asking for the job.

use super::{feed::Feed, messages, story::Story};
use crate::{
    jobs_api::{HeardJob, JobsError, Live, LiveEvent, LiveState, LiveStream},
    mapping::json::find,
};
use bytes::Bytes;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, sleep_until, timeout};

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

/// Of how many looks in a row each must say that nothing is left of a job, once that was said first, and how far they are apart:
/// servers say so for a moment of a job that ends while they look for it.
const LOOKS_AT_GONE: u32 = 2;
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// For how long a stream must have been open to be opened again at once.
const LONG_OPEN: Duration = Duration::from_secs(10);

/// Follows a job to its end; one that is `late` was there before anybody listened.
pub(super) async fn follow(feed: Arc<Feed>, job: HeardJob, is_late: bool) {
    let watcher = Watcher {
        story: Story::new(Arc::clone(&job.id), feed.streams.budget.share()),
        workflow: None,
        is_late,
        runs: false,
        goes_on: false,
        unknown_since: None,
        feed,
        job,
    };
    Box::pin(watcher.run()).await;
}

struct Watcher {
    feed: Arc<Feed>,
    job: HeardJob,
    story: Story,
    /// Once it was asked for.
    workflow: Option<Option<Bytes>>,
    /// It was there before anybody listened, and nothing was heard of it so far.
    is_late: bool,
    /// It runs, as far as is heard.
    runs: bool,
    /// Something was said of it lately.
    goes_on: bool,
    /// Since when the server has not known it.
    unknown_since: Option<Instant>,
}

/// How a job has ended, and what the server tells of it.
type End = (LiveState, Option<Bytes>);

impl Watcher {
    async fn run(mut self) {
        let (state, body) = self.until_end().await;
        self.end(state, body).await;
    }

    async fn until_end(&mut self) -> End {
        let feed = Arc::clone(&self.feed);
        let mut pause = FIRST_PAUSE;
        // How often in a row a look has said that nothing is left of it.
        let mut gone = 0;
        // Its place among those that wait for a stream: whoever has waited longest is next.
        let mut turn = None;
        let mut next_look = Instant::now();
        let mut next_stream = next_look;
        loop {
            let moved = feed.moved.notified();
            // Of one that was there before, a look says whether it has ended before.
            let may_listen = !self.is_late && feed.streams.may_be() && (self.runs || feed.is_next(&self.job));
            let is_due = may_listen && next_stream <= Instant::now();
            if !is_due {
                turn = None;
            } else if turn.is_none() {
                turn = Some(Box::pin(Arc::clone(&feed.streams.streams).acquire_owned()));
            }
            let wake = match may_listen && !is_due {
                true => next_look.min(next_stream),
                false => next_look,
            };
            let permit = async {
                match &mut turn {
                    Some(turn) => turn.await.ok(),
                    None => std::future::pending().await,
                }
            };
            let permit = tokio::select! {
                biased;
                permit = permit => permit,
                () = moved, if !may_listen => continue,
                () = sleep_until(wake) => None,
            };
            if let Some(permit) = permit {
                turn = None;
                self.goes_on = false;
                let opened = Instant::now();
                let mut wait = Duration::ZERO;
                match feed.session.live(&self.job.server_id).await {
                    Ok(Live::Stream(stream)) => {
                        let said = self.listen(*stream).await;
                        drop(permit);
                        if let Some(said) = said
                            && let Some(end) = self.last_look(said).await
                        {
                            return end;
                        }
                        if self.goes_on || opened.elapsed() >= LONG_OPEN {
                            pause = FIRST_PAUSE;
                        }
                    }
                    Ok(Live::Never) => feed.streams.are_none(),
                    Ok(Live::NotNow(after)) => wait = after.unwrap_or_default(),
                    Err(error) => tracing::debug!(%error, "there is no event stream of a job"),
                }
                // It goes on, as soon as the job says where it is.
                next_look = Instant::now();
                next_stream = next_look + pause.max(wait);
                continue;
            }
            if next_look > Instant::now() {
                continue;
            }
            match self.look().await {
                Ok(Some(body)) => {
                    self.unknown_since = None;
                    match self.take_look(&body).await {
                        Some(LiveState::Gone) if gone < LOOKS_AT_GONE => gone += 1,
                        Some(state) => return (state, Some(body)),
                        None => gone = 0,
                    }
                }
                Ok(None) => {
                    self.is_late = false;
                    let since = *self.unknown_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= UNKNOWN_FOR && feed.session.live_may_be_gone(&self.job) {
                        return (LiveState::Gone, None);
                    }
                }
                Err(error) => {
                    self.is_late = false;
                    tracing::debug!(%error, "a job cannot be asked for");
                }
            }
            next_look = Instant::now()
                + match gone {
                    0 => pause,
                    _ => pause.max(BETWEEN_LOOKS),
                };
            let longest = if self.runs {
                LONGEST_PAUSE
            } else {
                LONGEST_PAUSE_WAITING
            };
            pause = (pause * 3 / 2).min(longest);
        }
    }

    /// What the server tells of the job now.
    async fn look(&self) -> Result<Option<Bytes>, JobsError> {
        let _permit = self.feed.streams.calls.acquire().await;
        self.feed.session.live_job(&self.job.server_id).await
    }

    /// What the server tells of the job is told to clients, unless it has ended: its state is returned then.
    async fn take_look(&mut self, body: &[u8]) -> Option<LiveState> {
        let (state, events) = self.feed.session.live_events(body)?;
        if state.is_final() {
            return Some(state);
        }
        if std::mem::take(&mut self.is_late) && state == LiveState::Running {
            self.story.has_started();
        }
        self.runs = state == LiveState::Running;
        for event in events {
            self.hear(event).await;
        }
        self.tell_files().await;
        None
    }

    /// Listens to a stream while there is something to hear. Says how the job has ended, by the stream's word.
    async fn listen(&mut self, mut stream: LiveStream) -> Option<LiveState> {
        let mut ended = None;
        loop {
            let patience = match ended {
                Some(_) => TRAILING,
                None if self.story.has_untold() => SETTLING,
                None => Duration::MAX,
            };
            match timeout(patience, stream.next()).await {
                Ok(Ok(Some(event))) => match event {
                    LiveEvent::State(state) if state.is_final() => ended = Some(state),
                    event => self.hear(event).await,
                },
                Ok(end) => {
                    if let Err(error) = end {
                        tracing::debug!(%error, "an event stream ended early");
                    }
                    return ended;
                }
                Err(_) if ended.is_some() => return ended,
                Err(_) => self.tell_files().await,
            }
        }
    }

    async fn hear(&mut self, event: LiveEvent) {
        self.unknown_since = None;
        match &event {
            LiveEvent::Output(_) => {}
            LiveEvent::State(LiveState::Waiting | LiveState::Unknown) => self.tell_files().await,
            _ => {
                self.runs = true;
                self.tell_files().await;
            }
        }
        let said = self.story.hear(event);
        self.say(&said);
    }

    fn say(&mut self, said: &[messages::LiveMessage]) {
        // Each stream that is opened may begin with a preview.
        self.goes_on |= said.iter().any(|message| message.weight != messages::Weight::Preview);
        self.feed.say(&self.job, said, self.story.node());
    }

    /// Tells of the files that are there.
    async fn tell_files(&mut self) {
        for (node, files) in self.story.take_untold() {
            self.know_workflow().await;
            let workflow = self.workflow.as_ref().and_then(Option::as_deref);
            let output = self.feed.session.live_files(&self.job, &files, workflow);
            let output = output.map(|mut outputs| outputs.remove(&node));
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
            let _permit = self.feed.streams.calls.acquire().await;
            let workflow = self.feed.session.live_workflow(&self.job.server_id).await;
            self.workflow = Some(workflow.unwrap_or_else(|error| {
                tracing::debug!(%error, "the workflow of a job is not known");
                None
            }));
        }
    }

    /// The job has ended, and this is what the server tells of it.
    async fn end(mut self, state: LiveState, body: Option<Bytes>) {
        let feed = Arc::clone(&self.feed);
        if self.is_late {
            // It ended before anybody listened.
            self.note_end(state, body.as_deref());
            return feed.say_status(Some(&self.job));
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
                let error = feed.session.live_failed(&self.job, body.as_deref());
                self.story.failed(error.unwrap_or_default())
            }
            LiveState::Gone if !self.story.is_started() => Vec::new(),
            _ => {
                let class = self.class(body.as_deref()).await;
                self.story.interrupted(&class)
            }
        };
        feed.say(&self.job, &said, None);
        self.note_end(state, body.as_deref());
        feed.say_status(Some(&self.job));
        if self.story.is_started() {
            feed.say(&self.job, &[self.story.over()], None);
        }
    }

    /// Notes how the job ended, so that nobody asks again. Where the server does not tell, others may still learn it.
    fn note_end(&self, state: LiveState, body: Option<&[u8]>) {
        let session = &self.feed.session;
        match body {
            _ if state == LiveState::Gone => session.live_gone(&self.job),
            None => {}
            Some(body) => {
                if let Err(error) = session.live_ended(&self.job, body) {
                    tracing::debug!(%error, "how a job ended cannot be read");
                }
            }
        }
    }

    /// What the server tells of a job that has ended by the word of its stream: all of its files, and why it failed. `None`
    /// where it has not ended after all.
    async fn last_look(&mut self, said: LiveState) -> Option<End> {
        let mut pause = FIRST_PAUSE;
        let mut gone = 0;
        for nth in 0..LAST_LOOKS {
            if nth > 0 {
                sleep(pause).await;
                pause *= 2;
            }
            match self.look().await {
                Ok(Some(body)) => {
                    let told = self.feed.session.live_events(&body);
                    match told.map(|(state, _)| state) {
                        Some(LiveState::Gone) => {
                            gone += 1;
                            if gone >= LOOKS_AT_GONE && said == LiveState::Gone {
                                return Some((said, Some(body)));
                            }
                            pause = pause.max(BETWEEN_LOOKS);
                        }
                        Some(state) if state.is_final() => return Some((state, Some(body))),
                        // Not every part of the server may know by now that it has ended.
                        _ => gone = 0,
                    }
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "a job that has ended cannot be asked for"),
            }
        }
        (said != LiveState::Gone).then_some((said, None))
    }

    /// The class of the node that runs.
    async fn class(&mut self, body: Option<&[u8]>) -> String {
        let (Some(node), Some(body)) = (self.story.node().map(str::to_owned), body) else {
            return String::new();
        };
        self.know_workflow().await;
        let session = &self.feed.session;
        let workflow = self.workflow.as_ref().and_then(Option::as_deref);
        let shown = session.live_shown(&self.job, body, workflow).unwrap_or_default();
        let path = session.detail_names().prompt.as_ref();
        let found = path.and_then(|path| find(&shown, [path]).ok());
        let prompt = found.and_then(|[prompt]| prompt);
        prompt.map_or_else(String::new, |prompt| session.live_class(prompt, &node))
    }
}
