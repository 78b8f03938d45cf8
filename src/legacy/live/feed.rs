//! One client: its sockets, and its jobs that have not ended, each of which is followed for as long as there is a socket.

use super::{
    messages::{self, LiveMessage},
    queue::MessageQueue,
    watcher,
};
use crate::{
    auth::scope::Scope,
    http::buffered::BufferBudget,
    jobs_api::{HeardJob, JobsSession, ListFilter},
    telemetry::of_this_request,
};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{Notify, Semaphore, watch},
    task::{AbortHandle, JoinSet},
    time::Instant,
};

/// How many jobs of one client are followed at once, the oldest first.
const MAX_FOLLOWED: usize = 64;

/// How many more are remembered.
const MAX_WAITING: usize = 10_000;

/// How many jobs of a client have a stream while they wait: the next one may start at any time.
const NEXT: usize = 2;

/// How long after all jobs of a scope were asked for they are not asked for again.
const REFRESHED: Duration = Duration::from_secs(30);
/// Of how many scopes that is remembered.
const MAX_REFRESHED: usize = 10_000;

/// For how long a server without event streams is not asked for one.
const WITHOUT_STREAMS: Duration = Duration::from_secs(300);

/// What all clients share: how many streams and calls there may be at once.
pub(super) struct Streams {
    pub streams: Arc<Semaphore>,
    pub calls: Semaphore,
    /// What is held counts within it.
    pub budget: BufferBudget,
    without: Mutex<Option<Instant>>,
    /// When all jobs of a scope were asked for.
    refreshed: Mutex<HashMap<Scope, Instant>>,
}

impl Streams {
    pub(super) fn new(side_by_side: usize, budget: BufferBudget) -> Self {
        Self {
            streams: Arc::new(Semaphore::new(side_by_side)),
            calls: Semaphore::new(side_by_side),
            budget,
            without: Mutex::default(),
            refreshed: Mutex::default(),
        }
    }

    /// Whether all jobs of a scope may be asked for now; they are.
    fn refreshes(&self, scope: Scope) -> bool {
        let mut refreshed = self.refreshed.lock();
        refreshed.retain(|_, moment| moment.elapsed() < REFRESHED);
        let may_be = refreshed.len() < MAX_REFRESHED && !refreshed.contains_key(&scope);
        if may_be {
            refreshed.insert(scope, Instant::now());
        }
        may_be
    }

    /// Whether the server may have event streams.
    pub(super) fn may_be(&self) -> bool {
        self.without
            .lock()
            .is_none_or(|since| since.elapsed() > WITHOUT_STREAMS)
    }

    /// It has none.
    pub(super) fn are_none(&self) {
        *self.without.lock() = Some(Instant::now());
    }
}

/// One client.
pub(super) struct Feed {
    pub session: JobsSession,
    pub streams: Arc<Streams>,
    /// A job has ended: others are next.
    pub moved: Notify,
    scope: Scope,
    client: Arc<str>,
    state: Mutex<State>,
    task: Mutex<Option<AbortHandle>>,
}

#[derive(Default)]
struct State {
    sockets: Vec<Arc<MessageQueue>>,
    /// The jobs that are followed, oldest first.
    followed: Vec<Followed>,
    /// How many jobs have not ended, as was said last.
    remaining: Option<usize>,
}

/// What a task of a feed has done.
enum Done {
    /// All was told of a job.
    Followed(HeardJob),
    /// It is known which jobs have not ended.
    Refreshed,
    /// It is not.
    NotRefreshed,
}

/// A job that is followed.
struct Followed {
    job: HeardJob,
    /// Says which node of it runs.
    running: Option<LiveMessage>,
}

impl State {
    fn say(&self, message: &LiveMessage) {
        for socket in &self.sockets {
            socket.push(message.clone());
        }
    }
}

impl Feed {
    /// Follows the jobs of a client, until it is stopped.
    pub(super) fn start(client: Arc<str>, session: JobsSession, streams: Arc<Streams>) -> Arc<Self> {
        let feed = Arc::new(Self {
            scope: session.caller().scope,
            session,
            streams,
            moved: Notify::new(),
            client,
            state: Mutex::default(),
            task: Mutex::default(),
        });
        // What it knows before its task runs is what was there before its socket.
        let known = feed.session.known_jobs();
        let changes = known.changes(feed.scope);
        let before = known.open_of(feed.scope, &feed.client).into_iter().collect();
        let task = tokio::spawn(of_this_request(Arc::clone(&feed).run(changes, before)));
        *feed.task.lock() = Some(task.abort_handle());
        feed
    }

    pub(super) fn stop(&self) {
        if let Some(task) = self.task.lock().take() {
            task.abort();
        }
    }

    /// One more socket. It is told how many jobs there are, and which nodes run.
    pub(super) fn join(&self, socket: &Arc<MessageQueue>) {
        let mut state = self.state.lock();
        let remaining = self.count(&state);
        if state.remaining.is_some_and(|said| said != remaining) {
            state.say(&messages::status(remaining, None));
        }
        state.remaining = Some(remaining);
        socket.push(messages::status(remaining, Some(&self.client)));
        for running in state.followed.iter().filter_map(|followed| followed.running.as_ref()) {
            socket.push(running.clone());
        }
        state.sockets.push(Arc::clone(socket));
    }

    /// One socket less. Says whether it was the last.
    pub(super) fn leave(&self, socket: &Arc<MessageQueue>) -> bool {
        let mut state = self.state.lock();
        state.sockets.retain(|one| !Arc::ptr_eq(one, socket));
        state.sockets.is_empty()
    }

    /// All sockets are told; `running` says which node of the job runs from now on, for those that come later.
    pub(super) fn say(&self, job: &HeardJob, said: &[LiveMessage], running: Option<LiveMessage>) {
        let mut state = self.state.lock();
        for message in said {
            state.say(message);
        }
        if let Some(followed) = state.followed.iter_mut().find(|followed| followed.job == *job) {
            followed.running = running;
        }
    }

    /// Whether a job is among the first that are followed: if it waits, it may start at any time.
    pub(super) fn is_next(&self, job: &HeardJob) -> bool {
        let state = self.state.lock();
        let mut next = state.followed.iter().take(NEXT);
        next.any(|followed| followed.job == *job)
    }

    /// All sockets are told how many jobs have not ended, if that is not what was said last. A job that is followed counts until
    /// `over`, its end, was told.
    pub(super) fn say_status(&self, over: Option<&HeardJob>) {
        let mut state = self.state.lock();
        if let Some(over) = over {
            state.followed.retain(|followed| followed.job != *over);
            self.moved.notify_waiters();
        }
        let remaining = self.count(&state);
        if state.remaining != Some(remaining) {
            state.remaining = Some(remaining);
            state.say(&messages::status(remaining, None));
        }
    }

    fn count(&self, state: &State) -> usize {
        let followed = state.followed.iter().map(|followed| &followed.job.id);
        self.session.known_jobs().count_open(self.scope, followed)
    }

    async fn run(self: Arc<Self>, mut changes: watch::Receiver<()>, mut before: HashSet<HeardJob>) {
        let mut watchers = JoinSet::new();
        // The jobs that were seen, and whether all was told of them; it may not be known of these that they have ended.
        let mut seen: HashMap<HeardJob, bool> = HashMap::new();
        let mut waiting = VecDeque::new();
        let mut followed = 0;
        let known = self.session.known_jobs();
        if known.count_open(self.scope, [].iter()) > 0 && self.streams.refreshes(self.scope) {
            // Which of the scope's jobs have ended is not known before somebody asks.
            let refreshing = Arc::clone(&self);
            watchers.spawn(of_this_request(async move {
                match Box::pin(refreshing.session.list(ListFilter::Queued, |_| false)).await {
                    Ok(_) => Done::Refreshed,
                    Err(error) => {
                        tracing::debug!(%error, "it is not known how many jobs are queued");
                        Done::NotRefreshed
                    }
                }
            }));
        }
        loop {
            changes.borrow_and_update();
            let open = known.open_of(self.scope, &self.client);
            if seen.values().any(|is_over| *is_over) {
                let open: HashSet<&HeardJob> = open.iter().collect();
                seen.retain(|job, is_over| !*is_over || open.contains(job));
            }
            self.say_status(None);
            for job in open {
                if waiting.len() < MAX_WAITING && !seen.contains_key(&job) {
                    seen.insert(job.clone(), false);
                    waiting.push_back(job);
                }
            }
            // Also one that has ended by now: nobody was told.
            while followed < MAX_FOLLOWED
                && let Some(job) = waiting.pop_front()
            {
                followed += 1;
                self.state.lock().followed.push(Followed {
                    job: job.clone(),
                    running: None,
                });
                let is_late = before.contains(&job);
                let feed = Arc::clone(&self);
                watchers.spawn(of_this_request(async move {
                    watcher::follow(feed, job.clone(), is_late).await;
                    Done::Followed(job)
                }));
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    return;
                },
                Some(done) = watchers.join_next() => match done {
                    Ok(Done::Followed(job)) => {
                        followed -= 1;
                        seen.insert(job, true);
                    }
                    // What has not ended by now ends while somebody listens.
                    Ok(Done::Refreshed) => for job in known.open_of(self.scope, &self.client) {
                        before.remove(&job);
                    },
                    Ok(Done::NotRefreshed) | Err(_) => {}
                },
            }
        }
    }
}
