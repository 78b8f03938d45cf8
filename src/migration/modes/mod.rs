//! Modes: who answers a legacy call, the Jobs API by translation or the server's own legacy endpoint.
//!
//! `decide` says it for one request, `auto` remembers whether the server has a Jobs API, `rollback` takes a canary back.

mod auto;
mod decide;
mod rollback;

pub use decide::Decision;
pub use rollback::{ROLLBACKS, RollbackRecord};

use crate::{
    auth::scope::Scope,
    config::{LegacyConfig, Policy},
    routes::RouteName,
    store::{Change, Store, StoreError},
    telemetry::Comparison,
};
use auto::JobsApi;
use rollback::{CanaryTrial, Rollbacks};
use std::{
    collections::BTreeMap,
    hash::{BuildHasher, Hash, RandomState},
    net::IpAddr,
    sync::{Arc, atomic::AtomicU64},
    time::Instant,
};

/// The canaries that may go back.
type CanaryTrials = BTreeMap<RouteName, Arc<CanaryTrial>>;

/// The modes in force, and what they have learnt.
pub struct Modes {
    config: LegacyConfig,
    /// For mode `auto`.
    pub jobs_api: Arc<JobsApi>,
    trials: CanaryTrials,
    rollbacks: Arc<Rollbacks>,
    store: Arc<Store>,
    random: RandomState,
    draws: AtomicU64,
}

impl Modes {
    /// Nothing is known of the server yet, and of canaries what is stored. `tables` is the fingerprint of the tables.
    pub fn new(config: &LegacyConfig, tables: u64, store: Arc<Store>) -> Result<Self, StoreError> {
        let rollbacks = Rollbacks::follow(&store)?;
        let trials = trials(config, tables, &store, &rollbacks, &CanaryTrials::new())?;
        Ok(Self::with(config, trials, rollbacks, store))
    }

    fn with(config: &LegacyConfig, trials: CanaryTrials, rollbacks: Arc<Rollbacks>, store: Arc<Store>) -> Self {
        Self {
            config: config.clone(),
            jobs_api: Arc::default(),
            trials,
            rollbacks,
            store,
            random: RandomState::new(),
            draws: AtomicU64::new(0),
        }
    }

    /// Other modes, or the same with other tables, with what these have learnt.
    pub fn reloaded(&self, config: &LegacyConfig, tables: u64) -> Result<Self, StoreError> {
        let trials = trials(config, tables, &self.store, &self.rollbacks, &self.trials)?;
        for (route, known) in &self.trials {
            if trials.get(route).is_none_or(|trial| !Arc::ptr_eq(trial, known)) {
                known.end();
            }
        }
        Ok(Self {
            jobs_api: Arc::clone(&self.jobs_api),
            ..Self::with(config, trials, Arc::clone(&self.rollbacks), Arc::clone(&self.store))
        })
    }

    /// What holds for `route`.
    pub fn policy(&self, route: RouteName) -> &Policy {
        self.config.policy(route)
    }

    /// A translated answer of `route` was made; `request` gives its [`Self::request_number`].
    pub fn succeeded(&self, route: RouteName, request: impl FnOnce() -> u64) {
        if let Some(trial) = self.trials.get(&route) {
            trial.succeeded(request, Instant::now());
        }
    }

    /// A translated answer of `route` is a failure that forwarding would have spared the client, or did; `request` is its
    /// [`Self::request_number`].
    pub fn failed(&self, route: RouteName, request: u64) {
        if let Some(trial) = self.trials.get(&route) {
            trial.failed(request, Instant::now());
        }
    }

    /// A request as a number, which is the same when the same client sends it again.
    pub fn request_number(&self, scope: Scope, client: IpAddr, request: impl Hash) -> u64 {
        self.random.hash_one((scope, client, request))
    }

    /// A translated answer of `route` was compared with the legacy one.
    pub fn compared(&self, route: RouteName, comparison: &Comparison) {
        if let Some(trial) = self.trials.get(&route) {
            trial.compared(comparison);
        }
    }

    /// Whether and why the canary of `route` has gone back to forwarding.
    pub fn back(&self, route: RouteName) -> Option<&RollbackRecord> {
        self.trials.get(&route)?.back()
    }
}

/// The canaries of `config`: those that go on, on the same terms, as they are known or stored, and the others anew. What is
/// stored of others is forgotten.
fn trials(
    config: &LegacyConfig,
    tables: u64,
    store: &Arc<Store>,
    rollbacks: &Rollbacks,
    known: &CanaryTrials,
) -> Result<CanaryTrials, StoreError> {
    let mut trials = CanaryTrials::new();
    for &route in RouteName::ALL {
        let trial = CanaryTrial::of(route, config.policy(route), tables, store);
        if let Some(over) = rollbacks.of_other_terms(route, trial.as_ref().map(CanaryTrial::terms)) {
            store.commit(Change::default().remove_if(&ROLLBACKS, &route.as_str().to_owned(), &over))?;
        }
        let Some(trial) = trial else {
            continue;
        };
        let same = known.get(&route).filter(|known| known.terms() == trial.terms());
        let trial = match same {
            Some(same) => Arc::clone(same),
            None => {
                let trial = Arc::new(trial);
                rollbacks.begin(&trial);
                trial
            }
        };
        trials.insert(route, trial);
    }
    Ok(trials)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{self, Options, settings::LEGACY};

    fn configured(routes: &str) -> LegacyConfig {
        let options = Options::default().with(&LEGACY.routes.key, routes);
        let loaded = config::load(&options, |_| None).expect("a configuration");
        loaded.config.legacy
    }

    fn modes(routes: &str) -> Modes {
        let store = Arc::new(Store::in_memory().expect("a store"));
        Modes::new(&configured(routes), 1, store).expect("modes")
    }

    fn is_forwarded(modes: &Modes) -> bool {
        modes.decide(RouteName::History, || 0) != Decision::Translate
    }

    #[tokio::test]
    async fn a_canary_that_went_back_stays_so_until_its_own_terms_change() {
        let canary = "history=canary:100,rollback.failures=5%";
        let modes = modes(canary);
        for request in 0..19 {
            modes.failed(RouteName::History, request);
            assert!(!is_forwarded(&modes), "too few answers to judge by");
        }
        modes.failed(RouteName::History, 19);
        let back = modes.back(RouteName::History).expect("it has gone back");
        assert_eq!(back.reason, "20 failures in 20 answers, more than 5%");
        assert!(is_forwarded(&modes));
        let reloaded = |routes: &str, tables| modes.reloaded(&configured(routes), tables).expect("modes");
        let other = reloaded(&format!("{canary};queue=gone"), 1);
        assert!(is_forwarded(&other), "another route was changed");
        for _ in 0..1_000 {
            other.succeeded(RouteName::History, || 1_000);
        }
        assert!(is_forwarded(&other), "it stays there");
        let changed = reloaded("history=canary:50,rollback.failures=5%", 1);
        assert!(!is_forwarded(&changed), "its share was changed");
        assert!(!is_forwarded(&reloaded(canary, 2)), "the tables were changed");
        // What ends under the old terms does not count for the new ones.
        for request in 0..100 {
            modes.failed(RouteName::History, request);
        }
        assert!(!is_forwarded(&changed));
    }

    #[tokio::test]
    async fn old_answers_weigh_less_so_that_a_late_failure_is_seen() {
        let modes = modes("history=canary:100,rollback.failures=10%");
        for _ in 0..100_000 {
            modes.succeeded(RouteName::History, || 1_000);
        }
        for request in 0..200 {
            modes.failed(RouteName::History, request);
        }
        assert!(is_forwarded(&modes));
    }

    #[tokio::test]
    async fn what_is_sent_again_after_a_failure_belongs_to_it_however_it_ends() {
        let modes = modes("history=canary:100,rollback.failures=10%");
        for request in 0..20 {
            modes.failed(RouteName::History, request % 2);
            modes.succeeded(RouteName::History, || request % 2);
        }
        assert!(!is_forwarded(&modes), "two requests are too few to judge by");
        for request in 2..20 {
            modes.succeeded(RouteName::History, || request);
        }
        assert!(!is_forwarded(&modes), "two of twenty are not more than 10%");
        modes.failed(RouteName::History, 30);
        assert!(is_forwarded(&modes));
    }
}
