//! One client: its sockets, and which of its jobs are followed.

use super::{
    messages::{self, LiveMessage},
    queue::MessageQueue,
};
use crate::{
    auth::scope::Scope,
    http::buffered::BufferBudget,
    jobs_api::{HeardJob, JobsSession},
};
use parking_lot::Mutex;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, Semaphore},
    time::Instant,
};

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
    pub(super) fn refreshes(&self, scope: Scope) -> bool {
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
    pub scope: Scope,
    pub client: Arc<str>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    sockets: Vec<Arc<MessageQueue>>,
    /// The jobs that are followed, oldest first.
    followed: Vec<Followed>,
    /// How many jobs have not ended, as was said last.
    remaining: Option<usize>,
}

/// A job that is followed.
struct Followed {
    job: HeardJob,
    /// The node of it that runs.
    running: Option<String>,
}

impl State {
    fn say(&self, message: &LiveMessage) {
        for socket in &self.sockets {
            socket.push(message.clone());
        }
    }
}

impl Feed {
    /// A client whose jobs nobody follows yet.
    pub(super) fn new(client: Arc<str>, session: JobsSession, streams: Arc<Streams>) -> Self {
        Self {
            scope: session.caller().scope,
            session,
            streams,
            moved: Notify::new(),
            client,
            state: Mutex::default(),
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
        for Followed { job, running } in &state.followed {
            if let Some(node) = running {
                socket.push(messages::executing(&job.id, Some(node)));
            }
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
    pub(super) fn say(&self, job: &HeardJob, said: &[LiveMessage], running: Option<&str>) {
        let mut state = self.state.lock();
        for message in said {
            state.say(message);
        }
        if let Some(followed) = state.followed.iter_mut().find(|followed| followed.job == *job)
            && followed.running.as_deref() != running
        {
            followed.running = running.map(str::to_owned);
        }
    }

    /// A job is followed from now on.
    pub(super) fn follow(&self, job: HeardJob) {
        self.state.lock().followed.push(Followed { job, running: None });
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
}
