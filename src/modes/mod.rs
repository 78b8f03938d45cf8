//! Modes: who answers a legacy call, the Jobs API by translation or the server's own legacy endpoint.
//!
//! `decide` says it for one request, `auto` remembers whether the server has a Jobs API, `rollback` takes a canary back.

mod auto;
mod decide;
mod rollback;

pub use decide::Decision;

use crate::{
    config::{LegacyConfig, Mode, Policies},
    route::RouteName,
};
use auto::JobsApi;
use rollback::Watch;
use std::{
    hash::RandomState,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

/// The modes in force, and what they have learnt.
pub struct Modes {
    policies: Policies,
    /// For mode `auto`.
    pub jobs_api: Arc<JobsApi>,
    ask_again: Duration,
    watch: Arc<Watch>,
    random: RandomState,
    draws: AtomicU64,
}

impl Modes {
    /// Nothing is known of the server yet.
    pub fn new(config: &LegacyConfig) -> Self {
        Self {
            policies: config.modes.clone(),
            jobs_api: Arc::default(),
            ask_again: config.ask_again,
            watch: Arc::default(),
            random: RandomState::new(),
            draws: AtomicU64::new(0),
        }
    }

    /// Other modes with what these have learnt.
    pub fn reloaded(&self, config: &LegacyConfig) -> Self {
        Self {
            jobs_api: Arc::clone(&self.jobs_api),
            watch: Arc::clone(&self.watch),
            ..Self::new(config)
        }
    }

    /// A translated answer of `route` was made; `failed` when it is a failure.
    pub fn translated(&self, route: RouteName, failed: bool) {
        let policy = self.policies.of(route);
        if policy.mode == Mode::Canary {
            self.watch.answered(route, policy, failed);
        }
    }

    /// A translated answer of `route` was compared with the legacy one.
    pub fn compared(&self, route: RouteName, differs: bool) {
        let policy = self.policies.of(route);
        if policy.mode == Mode::Canary {
            self.watch.compared(route, policy, differs);
        }
    }

    /// Whether the canary of `route` has gone back to forwarding.
    pub fn is_back(&self, route: RouteName) -> bool {
        let policy = self.policies.of(route);
        policy.mode == Mode::Canary && self.watch.is_back(route, policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::Options, config};

    fn configured(routes: &str) -> LegacyConfig {
        let options = Options::default().with("legacy.routes", routes);
        let loaded = config::load(&options, |_| None).expect("a configuration");
        loaded.config.legacy
    }

    #[test]
    fn a_canary_that_went_back_stays_so_over_a_reload_that_leaves_its_route_alone() {
        let canary = "history=canary:100,rollback.failures=5%";
        let is_forwarded = |modes: &Modes| modes.decide(RouteName::History, || 0) != Decision::Translate;
        let modes = Modes::new(&configured(canary));
        for _ in 0..19 {
            modes.translated(RouteName::History, true);
            assert!(!is_forwarded(&modes), "too few answers to judge by");
        }
        modes.translated(RouteName::History, true);
        assert!(is_forwarded(&modes) && modes.is_back(RouteName::History));
        let modes = modes.reloaded(&configured(&format!("{canary};queue=gone")));
        assert!(is_forwarded(&modes), "another route was changed");
        for _ in 0..1_000 {
            modes.translated(RouteName::History, false);
        }
        assert!(is_forwarded(&modes), "it stays there");
        let modes = modes.reloaded(&configured("history=canary:50,rollback.failures=5%"));
        assert!(!is_forwarded(&modes), "its own policy was changed");
    }

    #[test]
    fn old_answers_weigh_less_so_that_a_late_failure_is_seen() {
        let modes = Modes::new(&configured("history=canary:100,rollback.failures=10%"));
        for _ in 0..100_000 {
            modes.translated(RouteName::History, false);
        }
        for _ in 0..200 {
            modes.translated(RouteName::History, true);
        }
        assert!(modes.is_back(RouteName::History));
    }
}
