//! One client: its sockets, and its jobs that have not ended, each of which is followed for as long as there is a socket.

use super::{
    messages::{self, LiveMessage},
    queue::MessageQueue,
    watcher,
};
use crate::{
    auth::scope::Scope,
    jobs_api::{JobsSession, ListFilter},
    telemetry::of_this_request,
};
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    task::{AbortHandle, JoinSet},
    time::Instant,
};

/// How many jobs of one client are followed at once, the oldest first.
const MAX_FOLLOWED: usize = 64;

/// For how long a server without event streams is not asked for one.
const WITHOUT_STREAMS: Duration = Duration::from_secs(300);

/// What all clients share: how many streams and calls there may be at once.
pub(super) struct Streams {
    pub streams: Arc<Semaphore>,
    pub calls: Semaphore,
    without: Mutex<Option<Instant>>,
}

impl Streams {
    pub(super) fn new(side_by_side: usize) -> Self {
        Self {
            streams: Arc::new(Semaphore::new(side_by_side)),
            calls: Semaphore::new(side_by_side),
            without: Mutex::default(),
        }
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
    scope: Scope,
    client: Arc<str>,
    state: Mutex<State>,
    task: Mutex<Option<AbortHandle>>,
}

#[derive(Default)]
struct State {
    sockets: Vec<Arc<MessageQueue>>,
    /// The jobs that are followed, each with what says which node of it runs.
    followed: HashMap<Arc<str>, Option<LiveMessage>>,
    /// How many jobs have not ended, as was said last.
    remaining: Option<usize>,
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
    pub(super) fn start(scope: Scope, client: Arc<str>, session: JobsSession, streams: Arc<Streams>) -> Arc<Self> {
        let feed = Arc::new(Self {
            session,
            streams,
            scope,
            client,
            state: Mutex::default(),
            task: Mutex::default(),
        });
        // What it knows before its task runs is what was there before its socket.
        let known = feed.session.known_jobs();
        let changes = known.changes();
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
        for running in state.followed.values().flatten() {
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
    pub(super) fn say(&self, id: &Arc<str>, said: &[LiveMessage], running: Option<LiveMessage>) {
        let mut state = self.state.lock();
        for message in said {
            state.say(message);
        }
        if let Some(followed) = state.followed.get_mut(id) {
            *followed = running;
        }
    }

    /// All sockets are told how many jobs have not ended, if that is not what was said last. A job that is followed counts until
    /// `over`, its end, was told.
    pub(super) fn say_status(&self, over: Option<&Arc<str>>) {
        let mut state = self.state.lock();
        if let Some(over) = over {
            state.followed.remove(over);
        }
        let remaining = self.count(&state);
        if state.remaining != Some(remaining) {
            state.remaining = Some(remaining);
            state.say(&messages::status(remaining, None));
        }
    }

    fn count(&self, state: &State) -> usize {
        let followed = state.followed.keys();
        self.session.known_jobs().count_open(self.scope, followed)
    }

    async fn run(self: Arc<Self>, mut changes: tokio::sync::watch::Receiver<()>, before: HashSet<Arc<str>>) {
        let mut watchers = JoinSet::new();
        // Jobs that were followed to their end, whether or not that is known of them.
        let mut past: HashSet<Arc<str>> = HashSet::new();
        let mut following: HashSet<Arc<str>> = HashSet::new();
        if self.session.known_jobs().count_open(self.scope, [].iter()) > 0 {
            // Which of the scope's jobs have ended is not known before somebody asks.
            let refreshing = Arc::clone(&self);
            watchers.spawn(of_this_request(async move {
                if let Err(error) = Box::pin(refreshing.session.list(ListFilter::Queued, |_| false)).await {
                    tracing::debug!(%error, "it is not known how many jobs are queued");
                }
                None
            }));
        }
        loop {
            changes.borrow_and_update();
            let open = self.session.known_jobs().open_of(self.scope, &self.client);
            if !past.is_empty() {
                let open: HashSet<&Arc<str>> = open.iter().collect();
                past.retain(|id| open.contains(id));
            }
            self.say_status(None);
            for id in open {
                if following.len() >= MAX_FOLLOWED {
                    break;
                }
                if past.contains(&id) || !following.insert(Arc::clone(&id)) {
                    continue;
                }
                self.state.lock().followed.insert(Arc::clone(&id), None);
                let is_late = before.contains(&id);
                let feed = Arc::clone(&self);
                watchers.spawn(of_this_request(async move {
                    watcher::follow(feed, Arc::clone(&id), is_late).await;
                    Some(id)
                }));
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    return;
                },
                Some(ended) = watchers.join_next() => if let Ok(Some(id)) = ended {
                    following.remove(&id);
                    past.insert(id);
                },
            }
        }
    }
}
