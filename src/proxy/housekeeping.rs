//! What a service does besides answering: it looks at its counters, stores who calls, tells other jobshims of the same store what
//! it has seen, and asks whether the upstream is there.

use super::{Pipeline, Proxy};
use crate::{
    jobs_api::Caller,
    routes::RouteName,
    store::{Change, Event, Store, StoreError, Table},
    telemetry::{Clients, Counted, Metrics, OBSERVED_FOR, Observed, Observer, STEP, Seen},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    task::spawn_blocking,
    time::{Instant, MissedTickBehavior, interval, timeout},
};

/// How long an answer of the upstream says that it is there.
const BELIEVED: Duration = Duration::from_secs(10);
/// How long it may take to answer whether it is there.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is stored who calls the legacy surface.
pub const STORE_EVERY: Duration = Duration::from_secs(60);

/// As often where others want to know it, too.
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Who calls the legacy surface, by the jobshim that has noted it; the one without a name has noted what is left of others.
pub const USAGE: Table<String, Clients> = Table::new("usage", "who calls the legacy surface");

/// What each jobshim has counted, as [`Counted`]. Each renews its row once a minute at least. One of another version may tell what
/// this one does not understand: that must not make the store useless.
const COUNTED: Table<String, Value> =
    Table::new("counted", "what a jobshim has counted").expiring_after(Duration::from_secs(600), 4 << 20);
/// What each has found and what happened to it, as [`Observed`].
const OBSERVED: Table<String, Value> =
    Table::new("observed", "what a jobshim has observed").expiring_after(OBSERVED_FOR, 32 << 20);

/// Looks at the counters from time to time, and stores every `store` who calls the legacy surface, for as long as it is
/// polled.
pub async fn housekeeping(proxy: Arc<Proxy>, store: Duration) {
    let mut look = interval(STEP);
    look.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // Others are told at once that this jobshim is there.
    let mut stored: Option<Instant> = None;
    let store = match proxy.shared.store.is_shared() {
        true => store.min(TELL_EVERY),
        false => store,
    };
    loop {
        look.tick().await;
        let pipeline = proxy.pipeline();
        let observer = proxy.observer();
        observer.look();
        // What has expired is given back, also where nobody asks for metrics.
        pipeline.metrics();
        if let Some(kept) = pipeline.legacy.kept() {
            kept.make_room();
        }
        for &route in RouteName::ALL {
            if let Some(back) = pipeline.modes.back(route) {
                observer.events().rolled_back(route.as_str(), back.at_ms, &back.reason);
            }
        }
        if stored.is_none_or(|at| at.elapsed() >= store) {
            stored = Some(Instant::now());
            // A store that cannot be written says so in the log.
            let proxy = Arc::clone(&proxy);
            let _ = spawn_blocking(move || proxy.store_seen(false)).await;
        }
    }
}

/// Who called the legacy surface before the restart, of a store that nobody shares.
pub(super) fn stored_usage(store: &Store) -> Result<Option<Clients>, StoreError> {
    if store.is_shared() {
        return Ok(None);
    }
    let rows = store.rows(&USAGE)?;
    Ok(rows.into_iter().map(|(_, clients)| clients).next())
}

/// `observer` hears of what other jobshims of the same store see.
pub(super) fn follow_others(store: &Store, observer: &Arc<Observer>) -> Result<(), StoreError> {
    if !store.is_shared() {
        return Ok(());
    }
    let hears = || (Arc::clone(observer), store.name().to_owned());
    let (observer, own) = hears();
    let looked = AtomicBool::new(false);
    store.follow(&USAGE, move |event| {
        // What is there at the first look came before.
        let is_new = looked.swap(true, Relaxed);
        for (name, clients) in of_others(event, &own) {
            observer.usage().hear(name, clients, is_new);
        }
    })?;
    let (observer, own) = hears();
    let looked = AtomicBool::new(false);
    store.follow(&COUNTED, move |event| {
        let is_new = looked.swap(true, Relaxed);
        for (name, row) in of_others(event, &own) {
            if let Some(counted) = row.and_then(understood::<Counted>) {
                observer.series().hear(name, counted, is_new);
            }
        }
    })?;
    let (observer, own) = hears();
    store.follow(&OBSERVED, move |event| {
        if let Event::All(rows) = &event {
            let names: Vec<String> = rows.iter().map(|(name, _)| name.clone()).collect();
            observer.hear_only(&names);
        }
        for (name, row) in of_others(event, &own) {
            if let Some(observed) = row.and_then(understood::<Observed>) {
                observer.hear(name, observed);
            }
        }
    })
}

/// What another jobshim tells, unless it is of a version that tells something else.
fn understood<T: DeserializeOwned>(row: Value) -> Option<T> {
    match serde_json::from_value(row) {
        Ok(understood) => Some(understood),
        Err(error) => {
            tracing::debug!(%error, "another jobshim tells what this one does not understand");
            None
        }
    }
}

/// The rows of others, each as it is now, or gone.
fn of_others<T>(event: Event<String, T>, own: &str) -> Vec<(String, Option<T>)> {
    let mut rows: Vec<_> = match event {
        Event::All(rows) => rows.into_iter().map(|(name, row)| (name, Some(row))).collect(),
        Event::Put(name, row) => vec![(name, Some(row))],
        Event::Gone(name) => vec![(name, None)],
    };
    rows.retain(|(name, _)| name != own);
    rows
}

impl Proxy {
    /// Stores who calls the legacy surface, and tells other jobshims of the same store what this one has counted and found, if any
    /// of that has changed, or if this one `ends`. Waits for the store.
    pub fn store_seen(&self, ends: bool) {
        let (store, observer) = (&self.shared.store, &self.shared.observer);
        if !store.is_kept() {
            return;
        }
        let (usage, series, name) = (observer.usage(), observer.series(), store.name().to_owned());
        let mut change = Change::default();
        let clients = usage.changes();
        if let Some(clients) = &clients {
            change = change.put(&USAGE, &name, clients);
        }
        if store.is_shared() {
            if let Some(counted) = series.to_tell(observer.metrics(), ends) {
                change = change.put(&COUNTED, &name, &json!(counted));
            }
            if let Some(observed) = observer.to_tell(ends) {
                change = change.put(&OBSERVED, &name, &json!(observed));
            }
        }
        if !change.is_empty()
            && let Err(error) = store.commit(change)
        {
            series.not_told();
            observer.not_told();
            match clients {
                Some(_) => {
                    usage.not_stored();
                    tracing::warn!(%error, "who calls the legacy surface could not be stored");
                }
                None => tracing::debug!(%error, "other jobshims do not hear what this one has counted and found"),
            }
        }
        // What those have noted that are gone becomes one row, so that there are no more rows than jobshims.
        if let Some((gone, sum)) = usage.gone() {
            let change = gone.iter().fold(Change::default(), |change, (name, clients)| {
                change.remove_if(&USAGE, name, clients)
            });
            if let Err(error) = store.commit(change.put(&USAGE, &String::new(), &sum)) {
                tracing::debug!(%error, "what others have noted is still in rows of its own");
            }
        }
    }
}

impl Pipeline {
    /// How many jobs are kept, and what they take in the store, in bytes.
    pub fn kept(&self) -> (usize, u64) {
        self.legacy.kept().map_or((0, 0), |kept| kept.holds())
    }

    /// The metrics, with what is held in memory now.
    pub fn metrics(&self) -> &Metrics {
        let metrics = self.shared.observer.metrics();
        let (entries, bytes) = self.legacy.remembers();
        metrics.memory(entries, bytes, self.shared.budget.held());
        let (jobs, bytes) = self.kept();
        metrics.kept(jobs, bytes);
        metrics.state_stale(self.shared.store.stale_for().unwrap_or_default());
        metrics
    }

    /// Whether the upstream answers: by what it was asked lately, or by asking it now.
    pub async fn look_at_upstream(&self) -> Seen {
        let health = self.shared.observer.health();
        let is_there = || health.seen().answered_within(BELIEVED) && self.shared.upstream.takes_connections();
        if is_there() {
            return health.seen();
        }
        // One asks for all who want to know.
        let _probing = self.shared.probing.lock().await;
        if is_there() {
            return health.seen();
        }
        let asking = async {
            match self.shared.upstream.reconnect().await {
                Ok(()) => drop(self.legacy.jobs().ping(&Caller::default()).await),
                Err(error) => health.failed(error.to_string()),
            }
        };
        if timeout(PATIENCE, asking).await.is_err() {
            health.failed(format!("it did not answer within {} s", PATIENCE.as_secs()));
        }
        health.seen()
    }
}
