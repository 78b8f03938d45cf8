//! Mode `auto`: whether the server has the Jobs API, asked again from time to time where it was missing.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What is known of the Jobs API.
pub struct JobsApi {
    /// When it was last found missing.
    missing: Mutex<Option<Instant>>,
    ask_again: Duration,
}

impl JobsApi {
    /// It is there until it is found missing; then one request in `ask_again` tries it.
    pub fn new(ask_again: Duration) -> Self {
        Self {
            missing: Mutex::default(),
            ask_again,
        }
    }

    /// Whether this request is to try it.
    pub fn is_worth_asking(&self) -> bool {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *missing {
            None => true,
            Some(since) if since.elapsed() < self.ask_again => false,
            Some(since) => {
                // The others go on as before until this one knows.
                *since = Instant::now();
                true
            }
        }
    }

    /// A request found out.
    pub fn found(&self, there: bool) {
        let mut missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        match (there, missing.is_some()) {
            (true, true) => tracing::info!("the server has the Jobs API now: legacy calls in mode auto are translated"),
            (false, false) => {
                tracing::info!("the server has no Jobs API: legacy calls in mode auto go to its own legacy endpoints")
            }
            _ => {}
        }
        *missing = (!there).then(Instant::now);
    }
}
