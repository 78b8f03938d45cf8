//! Whether the upstream answers: learnt from the calls that are made anyway.

use super::{
    clock::now_ms,
    events::{EventKind, Events},
};
use parking_lot::Mutex;
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// What is known of the upstream.
#[derive(Debug, Default)]
pub struct Health {
    /// When it answered last, in ms since 1970; 0 for never.
    answered: AtomicU64,
    state: Mutex<State>,
    /// [`State::up`], to be read without the lock.
    up: AtomicBool,
    /// Hear of every change.
    events: Arc<Events>,
}

#[derive(Clone, Debug, Default)]
struct State {
    up: Option<bool>,
    since: Option<SystemTime>,
    failure: Option<(SystemTime, String)>,
}

/// What is known of the upstream at one moment.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Whether the last call was answered; `None` before the first.
    pub up: Option<bool>,
    /// Since when that has been so.
    pub since: Option<SystemTime>,
    /// When it answered last.
    pub answered: Option<SystemTime>,
    /// When it did not, last, and why.
    pub failure: Option<(SystemTime, String)>,
}

impl Health {
    /// Nothing is known yet; `events` will hear of every change.
    pub(super) fn new(events: Arc<Events>) -> Self {
        Self {
            events,
            ..Self::default()
        }
    }

    /// It answered.
    pub fn answered(&self) {
        self.answered.store(now_ms(), Relaxed);
        if !self.up.load(Relaxed) {
            self.change(true, None);
        }
    }

    /// It did not.
    pub fn failed(&self, reason: String) {
        self.change(false, Some(reason));
    }

    fn change(&self, up: bool, reason: Option<String>) {
        let mut state = self.state.lock();
        let now = SystemTime::now();
        if state.up != Some(up) {
            match (up, state.up) {
                (false, _) => self.events.tell(EventKind::Down, reason.as_deref().unwrap_or_default()),
                (true, Some(false)) => self.events.tell(EventKind::Up, ""),
                // That it answers at the start is as it should be.
                (true, _) => {}
            }
            state.up = Some(up);
            state.since = Some(now);
        }
        if let Some(reason) = reason {
            state.failure = Some((now, reason));
        }
        self.up.store(up, Relaxed);
    }

    /// What is known now.
    pub fn seen(&self) -> Seen {
        let State { up, since, failure } = self.state.lock().clone();
        let answered = Some(self.answered.load(Relaxed)).filter(|&ms| ms > 0);
        Seen {
            up,
            since,
            answered: answered.map(|ms| UNIX_EPOCH + Duration::from_millis(ms)),
            failure,
        }
    }
}

impl Seen {
    /// Whether it answered within `span`, and has not failed since.
    pub fn answered_within(&self, span: Duration) -> bool {
        let recent = |at: SystemTime| at.elapsed().is_ok_and(|ago| ago <= span);
        self.up == Some(true) && self.answered.is_some_and(recent)
    }
}
