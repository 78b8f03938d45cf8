//! What a service does besides answering: it looks at its counters, stores who calls, and asks whether the upstream is there.

use super::{Pipeline, Proxy};
use crate::{
    jobs_api::Caller,
    routes::RouteName,
    store::{Store, StoreError, Table},
    telemetry::{Clients, Metrics, STEP, Seen},
};
use std::{sync::Arc, time::Duration};
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

/// Who calls the legacy surface.
pub const USAGE: Table<(), Clients> = Table::new("usage", "who calls the legacy surface");

/// Looks at the counters from time to time, and stores every `store` who calls the legacy surface, for as long as it is
/// polled.
pub async fn housekeeping(proxy: Arc<Proxy>, store: Duration) {
    let mut look = interval(STEP);
    look.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut stored = Instant::now();
    loop {
        look.tick().await;
        let pipeline = proxy.pipeline();
        let observer = proxy.observer();
        observer.look();
        // What has expired is given back, also where nobody asks for metrics.
        pipeline.metrics();
        for &route in RouteName::ALL {
            if let Some(back) = pipeline.modes.back(route) {
                observer.events().rolled_back(route.as_str(), back.at_ms, &back.reason);
            }
        }
        if stored.elapsed() >= store {
            stored = Instant::now();
            // A store that cannot be written says so in the log.
            let proxy = Arc::clone(&proxy);
            let _ = spawn_blocking(move || proxy.store_usage()).await;
        }
    }
}

/// Who called the legacy surface before the restart.
pub(super) fn stored_usage(store: &Store) -> Result<Option<Clients>, StoreError> {
    let rows = store.rows(&USAGE)?;
    Ok(rows.into_iter().map(|((), clients)| clients).next())
}

impl Proxy {
    /// Stores who calls the legacy surface, if that has changed. Waits for the disk.
    pub fn store_usage(&self) {
        if !self.shared.store.is_kept() {
            return;
        }
        if let Some(changed) = self.shared.observer.usage().changes()
            && let Err(error) = self.shared.store.put(&USAGE, &(), &changed)
        {
            self.shared.observer.usage().not_stored();
            tracing::warn!(%error, "who calls the legacy surface could not be stored");
        }
    }
}

impl Pipeline {
    /// The metrics, with what is held in memory now.
    pub fn metrics(&self) -> &Metrics {
        let metrics = self.shared.observer.metrics();
        let (entries, bytes) = self.legacy.remembers();
        metrics.memory(entries, bytes, self.shared.budget.held());
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
