//! Whether what is known of a shared store is what it holds.

use crate::store::{StoreError, backend::Freshness};
use parking_lot::Mutex;
use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

/// How long the others wait for one that has not heard of a change: as long as it may answer without asking whether there is one.
pub(super) const LEASE: Duration = Duration::from_secs(1);
/// How long a read waits until it was tried whether a lost store is there again.
const MOMENT: Duration = Duration::from_millis(100);
/// What is left of that for clocks that run apart.
const MARGIN: Duration = Duration::from_millis(100);

/// What is known of the store itself.
pub(super) struct Status {
    began: Instant,
    /// Until when nothing can have changed unheard, in ms since it began; 0 before it was reached.
    current_until: AtomicU64,
    is_lost: AtomicBool,
    /// Why it is lost.
    reason: Mutex<Option<StoreError>>,
    place: String,
    max_stale: Duration,
    /// Somebody wants to know whether it is there again.
    wanted: Notify,
    /// How often it was tried whether it is.
    tried: watch::Sender<u64>,
}

impl Status {
    /// It was not reached yet. What is known is good for `max_stale` once it does not answer.
    pub(super) fn new(place: String, max_stale: Duration) -> Self {
        Self {
            began: Instant::now(),
            current_until: AtomicU64::new(0),
            is_lost: AtomicBool::new(false),
            reason: Mutex::default(),
            place,
            max_stale,
            wanted: Notify::new(),
            tried: watch::Sender::new(0),
        }
    }

    /// Where the store is, for people.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    fn ms(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.began);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether nothing can have changed unheard.
    pub(super) fn is_current(&self) -> bool {
        self.ms(Instant::now()) < self.current_until.load(SeqCst)
    }

    /// Everything was heard, and others wait for this one for a lease from `asked` on.
    pub(super) fn is_current_since(&self, asked: Instant) {
        let until = self.ms(asked + (LEASE - MARGIN)).max(1);
        self.current_until.fetch_max(until, SeqCst);
    }

    /// It is there again.
    pub(super) fn found(&self) {
        *self.reason.lock() = None;
        self.tried.send_modify(|tried| *tried += 1);
        if self.is_lost.swap(false, SeqCst) {
            tracing::info!(store = self.place, "the store answers again");
        }
    }

    /// It does not answer, or not as a store of this jobshim does.
    pub(super) fn lost(&self, error: StoreError) {
        let is_news = {
            let mut reason = self.reason.lock();
            let is_news = reason
                .as_ref()
                .is_none_or(|before| before.to_string() != error.to_string());
            *reason = Some(error.clone());
            is_news
        };
        // A lease that it does not remember is nobody's any more.
        self.current_until.fetch_min(self.ms(Instant::now()), SeqCst);
        let was_lost = self.is_lost.swap(true, SeqCst);
        self.tried.send_modify(|tried| *tried += 1);
        if !was_lost && self.was_reached() {
            tracing::warn!(
                %error,
                max_stale_s = self.max_stale.as_secs_f64(),
                "the store is lost: answers go on by what is known for state.max_stale, and what must be stored is refused"
            );
        } else if is_news && self.was_reached() {
            tracing::warn!(%error, "the store is still lost, for another reason");
        } else if is_news {
            tracing::warn!(%error, "the store is not there: no legacy call is translated before it was reached once");
        }
    }

    /// Resolves when somebody wants to know whether it is there again.
    pub(super) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Where it is lost, waits for a moment whether it is there again.
    pub(super) async fn try_again(&self) {
        let mut tried = self.tried.subscribe();
        if !self.is_there() {
            self.wanted.notify_one();
            // It fails only when there is no store any more.
            let _ = timeout(MOMENT, tried.changed()).await;
        }
    }

    /// Whether it was reached, and answers as far as is known.
    pub(super) fn is_there(&self) -> bool {
        self.was_reached() && !self.is_lost.load(SeqCst)
    }

    /// Why it is lost, if it is.
    pub(super) fn reason(&self) -> Option<StoreError> {
        self.reason.lock().clone()
    }

    fn was_reached(&self) -> bool {
        self.current_until.load(SeqCst) > 0
    }

    /// What it can be made by where the store was asked and did not answer.
    pub(super) fn without_an_answer(&self) -> Freshness {
        let last = Duration::from_millis(self.current_until.load(SeqCst));
        match self.began.elapsed().saturating_sub(last) {
            _ if !self.was_reached() => Freshness::Unusable(StoreError::NotReached),
            stale if stale <= self.max_stale => Freshness::Stale(stale),
            stale => Freshness::Unusable(StoreError::Stale(stale)),
        }
    }
}
