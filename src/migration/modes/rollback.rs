//! Going back: a canary whose answers fail or differ too often is forwarded from then on, until its terms change. With a
//! `state_dir` a restart does not change that.

use crate::{
    config::{Policy, Rollback, Share},
    routes::RouteName,
    store::{Change, Event, Store, StoreError, Table},
    telemetry::{Compared, Comparison, JobOutcomes, now_ms},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, OnceLock, Weak},
    time::{Duration, Instant},
};
use tokio::task::spawn_blocking;

/// So many answers must be known before their share says anything.
const ENOUGH: u64 = 20;
/// So many count; older ones weigh half, and half again.
const WINDOW: u64 = 1_000;

/// Within this time after a failure the same request is a retry.
const RETRY: Duration = Duration::from_secs(5);
/// Failed requests that are told from retries.
const MAX_FAILED: usize = 1_000;

/// By route, the canaries that have gone back.
pub const ROLLBACKS: Table<String, RollbackRecord> = Table::new("rollbacks", "a canary that went back");

/// That a canary has gone back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RollbackRecord {
    /// The terms that it was tried on: its mode with all numbers, and the tables. On others it is tried anew.
    pub terms: String,
    /// When it went back, in ms since 1970.
    pub at_ms: u64,
    /// Why.
    pub reason: String,
}

#[derive(Debug, Default)]
struct Ratio {
    of: u64,
    bad: u64,
}

impl Ratio {
    /// Counts one more, and says so if there are too many now.
    fn count(&mut self, bad: bool, most: Share) -> Option<String> {
        if self.of >= WINDOW {
            self.of /= 2;
            self.bad /= 2;
        }
        self.of += 1;
        self.bad += u64::from(bad);
        let Self { of, bad } = *self;
        (of >= ENOUGH && most.is_exceeded(bad, of)).then(|| format!("{bad} failures in {of} answers, more than {most}"))
    }
}

/// How answers came out.
#[derive(Debug, Default)]
struct Answers {
    ratio: Ratio,
    /// The latest requests that failed, and when.
    failed: VecDeque<(u64, Instant)>,
}

impl Answers {
    /// Whether `request` failed a moment ago.
    fn has_failed(&mut self, request: impl FnOnce() -> u64, now: Instant) -> bool {
        let is_old = |(_, at): &(u64, Instant)| now.saturating_duration_since(*at) >= RETRY;
        while self.failed.front().is_some_and(is_old) {
            self.failed.pop_front();
        }
        if self.failed.is_empty() {
            return false;
        }
        let request = request();
        self.failed.iter().any(|(failed, _)| *failed == request)
    }

    fn note_failed(&mut self, request: u64, now: Instant) {
        if self.failed.len() >= MAX_FAILED {
            self.failed.pop_front();
        }
        self.failed.push_back((request, now));
    }
}

/// How comparisons came out.
#[derive(Debug, Default)]
struct Comparisons {
    /// Those in which something could differ.
    answers: u64,
    jobs: JobOutcomes,
}

/// What is stored of canaries that went back, and the canaries that are to hear of it.
#[derive(Default)]
pub(super) struct Rollbacks(Mutex<RollbackCopy>);

#[derive(Default)]
struct RollbackCopy {
    stored: BTreeMap<String, RollbackRecord>,
    trials: Vec<Weak<CanaryTrial>>,
}

impl Rollbacks {
    /// What `store` has, from now on.
    pub(super) fn follow(store: &Store) -> Result<Arc<Self>, StoreError> {
        let rollbacks: Arc<Self> = Arc::default();
        let hearing = Arc::clone(&rollbacks);
        store.follow(&ROLLBACKS, move |event| hearing.hear(event))?;
        Ok(rollbacks)
    }

    fn hear(&self, event: Event<String, RollbackRecord>) {
        let RollbackCopy { stored, trials } = &mut *self.0.lock();
        let news: Vec<(String, RollbackRecord)> = match event {
            Event::All(rows) => {
                stored.clear();
                rows
            }
            Event::Put(route, back) => vec![(route, back)],
            Event::Gone(route) => {
                stored.remove(&route);
                Vec::new()
            }
        };
        for (route, back) in news {
            let concerned = trials.iter().filter_map(Weak::upgrade);
            let concerned = concerned.filter(|trial| trial.route.as_str() == route && trial.terms == back.terms);
            concerned.for_each(|trial| trial.goes_back_too(back.clone()));
            stored.insert(route, back);
        }
    }

    /// `trial` begins: where its canary went back on these terms before, it stays there.
    pub(super) fn begin(&self, trial: &Arc<CanaryTrial>) {
        let RollbackCopy { stored, trials } = &mut *self.0.lock();
        if let Some(back) = stored
            .get(trial.route.as_str())
            .filter(|back| back.terms == trial.terms)
        {
            trial.stays_back(back.clone());
        }
        trials.retain(|trial| trial.strong_count() > 0);
        trials.push(Arc::downgrade(trial));
    }

    /// What is stored of `route` on other terms than these.
    pub(super) fn of_other_terms(&self, route: RouteName, terms: Option<&str>) -> Option<RollbackRecord> {
        let copy = self.0.lock();
        let back = copy.stored.get(route.as_str())?;
        (terms != Some(back.terms.as_str())).then(|| back.clone())
    }
}

/// One route's canary, on the same terms all along.
pub(super) struct CanaryTrial {
    route: RouteName,
    limits: Rollback,
    terms: String,
    answers: Mutex<Answers>,
    comparisons: Mutex<Comparisons>,
    back: OnceLock<RollbackRecord>,
    store: Arc<Store>,
    /// Whether other terms are in force by now; held while it is stored that it went back.
    is_over: Arc<Mutex<bool>>,
}

impl CanaryTrial {
    /// A canary of `route`, whose limits `policy` has, with tables of this fingerprint. `None` for what is no canary
    /// that could go back.
    pub(super) fn of(route: RouteName, policy: &Policy, tables: u64, store: &Arc<Store>) -> Option<Self> {
        Some(Self {
            route,
            limits: policy.rollback?,
            terms: format!("{policy}; tables {tables:016x}"),
            answers: Mutex::default(),
            comparisons: Mutex::default(),
            back: OnceLock::new(),
            store: Arc::clone(store),
            is_over: Arc::default(),
        })
    }

    /// Other terms are in force from now on. What it comes to later is not stored, as it would take their place; what is
    /// being stored is waited for, and forgotten.
    pub(super) fn end(&self) {
        *self.is_over.lock() = true;
        let Some(back) = self.back() else {
            return;
        };
        let route = self.route.as_str();
        let change = Change::default().remove_if(&ROLLBACKS, &route.to_owned(), back);
        if let Err(error) = self.store.commit(change) {
            tracing::warn!(route, %error, "that a canary went back on other terms is still stored");
        }
    }

    /// What it is tried on.
    pub(super) fn terms(&self) -> &str {
        &self.terms
    }

    /// Whether and why it has gone back.
    pub(super) fn back(&self) -> Option<&RollbackRecord> {
        self.back.get()
    }

    /// It had gone back before the restart.
    fn stays_back(&self, back: RollbackRecord) {
        tracing::warn!(
            route = self.route.as_str(),
            reason = back.reason,
            "the canary went back before the restart, and stays there: this route is forwarded until its mode or the tables change"
        );
        let _ = self.back.set(back);
    }

    /// It has gone back on another jobshim of the same store, on the same terms.
    fn goes_back_too(&self, back: RollbackRecord) {
        let (route, reason) = (self.route.as_str(), back.reason.clone());
        if self.back.set(back).is_ok() {
            tracing::warn!(
                route,
                reason,
                "the canary has gone back on another jobshim: this route is forwarded until its mode or the tables change"
            );
        }
    }

    /// A translated answer was given. After a failure of the same request it belongs to that: it was asked for again.
    pub(super) fn succeeded(&self, request: impl FnOnce() -> u64, now: Instant) {
        if let Some(most) = self.limits.failures {
            let mut answers = self.answers.lock();
            if !answers.has_failed(request, now) {
                self.judge(answers.ratio.count(false, most));
            }
        }
    }

    /// A translated answer is a failure. One that is asked for again at once counts once: clients retry failures alone.
    pub(super) fn failed(&self, request: u64, now: Instant) {
        if let Some(most) = self.limits.failures {
            let mut answers = self.answers.lock();
            if !answers.has_failed(|| request, now) {
                answers.note_failed(request, now);
                self.judge(answers.ratio.count(true, most));
            }
        }
    }

    /// A translated answer was compared with the legacy one. Jobs count, each once: polls of one that has not ended, and
    /// empty lists, say nothing.
    pub(super) fn compared(&self, comparison: &Comparison) {
        let Some(most) = self.limits.differences else {
            return;
        };
        if comparison.outcome() == Compared::Empty {
            return;
        }
        let mut comparisons = self.comparisons.lock();
        let Comparisons { answers, jobs } = &mut *comparisons;
        *answers += 1;
        for (job, outcome) in comparison.by_job() {
            jobs.note(job, outcome);
        }
        let (of, different) = (jobs.total(), jobs.count(Compared::Different));
        let is_exceeded = *answers >= ENOUGH && most.is_exceeded(different, of);
        let reason = || format!("{different} of {of} jobs differ in {answers} answers, more than {most}");
        self.judge(is_exceeded.then(reason));
    }

    fn judge(&self, reason: Option<String>) {
        let Some(reason) = reason else {
            return;
        };
        let back = RollbackRecord {
            terms: self.terms.clone(),
            at_ms: now_ms(),
            reason,
        };
        if self.back.set(back.clone()).is_err() {
            return;
        }
        let (store, route) = (Arc::clone(&self.store), self.route.as_str());
        let is_over = Arc::clone(&self.is_over);
        spawn_blocking(move || {
            let is_over = is_over.lock();
            if *is_over {
                return;
            }
            let stored = store.commit(Change::default().put(&ROLLBACKS, &route.to_owned(), &back));
            tracing::warn!(
                route,
                reason = back.reason,
                "the canary has gone back: this route is forwarded until its mode or the tables change"
            );
            if let Err(error) = stored {
                tracing::warn!(route, %error, "that could not be stored: a restart begins the canary anew");
            }
        });
    }
}
