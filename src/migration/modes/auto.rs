//! Mode `auto`: whether the server has the Jobs API, asked again from time to time where it was missing.

use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// What is known of the Jobs API: it is there until it is found missing.
#[derive(Default)]
pub struct JobsApi {
    /// When it was last found missing.
    missing: Mutex<Option<Instant>>,
}

impl JobsApi {
    /// Whether this request is to try it: where it is missing, one in `ask_again` does.
    pub fn is_worth_asking(&self, ask_again: Duration) -> bool {
        let mut missing = self.missing.lock();
        match &mut *missing {
            None => true,
            Some(since) if since.elapsed() < ask_again => false,
            Some(since) => {
                // The others go on as before until this one knows.
                *since = Instant::now();
                true
            }
        }
    }

    /// A request found out.
    pub fn found(&self, there: bool) {
        let mut missing = self.missing.lock();
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
