//! A small simulated upstream, for `jobshim demo` and for the tests.

mod board;
pub mod jobs;
mod listening;
mod prompts;
mod simulator;
pub mod v2;

pub use board::{Board, Job, Reply, Rules};
pub use simulator::{Options, Seen, Simulator};

use std::time::{SystemTime, UNIX_EPOCH};

/// The time in ms.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
