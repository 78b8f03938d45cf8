//! Modes: who answers a legacy call, the Jobs API by translation or the server's own legacy endpoint.
//!
//! `decide` says it for one request, `auto` remembers whether the server has a Jobs API.

mod auto;
mod decide;

pub use decide::Decision;

use crate::config::{LegacyConfig, Policies};
use auto::JobsApi;
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
            random: RandomState::new(),
            draws: AtomicU64::new(0),
        }
    }

    /// Other modes with what these have learnt.
    pub fn reloaded(&self, config: &LegacyConfig) -> Self {
        Self {
            jobs_api: Arc::clone(&self.jobs_api),
            ..Self::new(config)
        }
    }
}
