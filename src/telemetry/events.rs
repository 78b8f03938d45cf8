//! What changed while jobshim ran: reloads, rollbacks, a server that went and came back, legacy calls that were refused.
//! The layers above tell it; the page lists it, and marks it on its charts. Bounded: of each kind the last few are kept, so
//! that many of one kind leave the others alone.

use super::clock::now_ms;
use crate::{http::outside::is_visible, routes::Endpoint};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::VecDeque};

/// Events kept of each kind.
const MOST: usize = 40;
/// Characters kept of what is said of one.
const LONGEST: usize = 400;
/// Refused calls belong together when there is no longer pause between them than this, in ms.
const PAUSE_MS: u64 = 300_000;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// Calls were answered 410, as their route is gone.
    Gone,
    /// Another configuration, or other tables, came into force.
    Reloaded,
    /// Another configuration was refused.
    ReloadRefused,
    /// A canary went back to forwarding.
    RolledBack,
    /// The server behind stopped answering.
    Down,
    /// It answers again.
    Up,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// When it began, in ms since 1970.
    pub at_ms: u64,
    /// When it ended; the same for what takes no time.
    pub until_ms: u64,
    /// The legacy route, where it is about one.
    pub route: Option<Cow<'static, str>>,
    /// How many calls, of those that were refused; otherwise 1.
    pub count: u64,
    /// Which, or why.
    pub words: String,
}

/// One event, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ShownEvent {
    /// The name of the jobshim that it happened to, where that is another one.
    pub jobshim: Option<String>,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}

/// The last events.
#[derive(Debug, Default)]
pub struct Events(Mutex<VecDeque<Event>>);

impl Events {
    /// Something happened now; `words` say which, or why.
    pub fn tell(&self, kind: EventKind, words: &str) {
        self.push(kind, now_ms(), None, 1, words);
    }

    /// The canary of `route` went back at this time. It may be told more than once.
    pub fn rolled_back(&self, route: &'static str, at_ms: u64, reason: &str) {
        let is_it = |event: &Event| {
            event.kind == EventKind::RolledBack && event.at_ms == at_ms && event.route.as_deref() == Some(route)
        };
        let known = self.0.lock().iter().any(is_it);
        if !known {
            self.push(EventKind::RolledBack, at_ms, Some(route), 1, reason);
        }
    }

    /// So many calls of `route` were answered 410 until now.
    pub fn gone(&self, route: Endpoint, count: u64) {
        let (now, route) = (now_ms(), route.name());
        {
            let mut all = self.0.lock();
            let is_like_it =
                |event: &&mut Event| event.kind == EventKind::Gone && event.route.as_deref() == Some(route);
            let last = all.iter_mut().rev().find(is_like_it);
            if let Some(last) = last
                && now.saturating_sub(last.until_ms) <= PAUSE_MS
            {
                last.count += count;
                last.until_ms = now;
                return;
            }
        }
        self.push(EventKind::Gone, now, Some(route), count, "");
    }

    fn push(&self, kind: EventKind, at_ms: u64, route: Option<&'static str>, count: u64, words: &str) {
        let one_line = |letter: char| if letter == '\n' { ' ' } else { letter };
        let words = words.chars().map(one_line).filter(|letter| is_visible(*letter));
        let event = Event {
            kind,
            at_ms,
            until_ms: at_ms,
            route: route.map(Cow::Borrowed),
            count,
            words: words.take(LONGEST).collect(),
        };
        let mut all = self.0.lock();
        all.push_back(event);
        let of_kind = |event: &Event| event.kind == kind;
        if all.iter().filter(|event| of_kind(event)).count() > MOST
            && let Some(oldest) = all.iter().position(of_kind)
        {
            all.remove(oldest);
        }
    }

    /// Those that others cannot know of by themselves.
    pub(super) fn told(&self) -> Vec<Event> {
        let all = self.0.lock();
        let told = all.iter().filter(|event| match event.kind {
            // All count each other's calls, canaries roll back everywhere, and each sees for itself whether the server is there.
            EventKind::Gone | EventKind::RolledBack | EventKind::Down | EventKind::Up => false,
            EventKind::Reloaded | EventKind::ReloadRefused => true,
        });
        told.cloned().collect()
    }

    /// All that are kept, the latest first.
    pub fn latest(&self) -> Vec<Event> {
        let mut all: Vec<Event> = self.0.lock().iter().rev().cloned().collect();
        all.sort_by_key(|event| std::cmp::Reverse(event.at_ms));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_of_one_kind_leave_the_others_alone() {
        let events = Events::default();
        events.tell(EventKind::Reloaded, "legacy.mode");
        for _ in 0..1_000 {
            events.tell(EventKind::Down, "connection refused");
            events.tell(EventKind::Up, "");
        }
        let all = events.latest();
        assert_eq!(all.len(), 2 * MOST + 1);
        assert!(all.iter().any(|event| event.kind == EventKind::Reloaded));
    }

    #[test]
    fn refused_calls_without_a_pause_are_one_event_a_route() {
        let events = Events::default();
        for (route, count) in [(Endpoint::History, 2), (Endpoint::Queue, 1), (Endpoint::History, 3)] {
            events.gone(route, count);
        }
        let mut counts: Vec<_> = events
            .latest()
            .into_iter()
            .map(|event| (event.route, event.count))
            .collect();
        counts.sort_unstable();
        assert_eq!(counts, [(Some("history".into()), 5), (Some("queue".into()), 1)]);
    }

    #[test]
    fn a_rollback_is_one_event_however_often_it_is_told() {
        let events = Events::default();
        for at_ms in [5, 5, 7, 5, 7] {
            events.rolled_back("history", at_ms, "20 failures in 20 answers");
        }
        let times: Vec<_> = events.latest().iter().map(|event| event.at_ms).collect();
        assert_eq!(times, [7, 5]);
    }

    #[test]
    fn words_are_one_short_line() {
        let events = Events::default();
        events.tell(
            EventKind::ReloadRefused,
            &format!("first\nsecond\u{1b}[1m{}", "x".repeat(9_999)),
        );
        let words = &events.latest()[0].words;
        assert!(words.starts_with("first second[1m"), "{words}");
        assert_eq!(words.chars().count(), LONGEST);
    }
}
