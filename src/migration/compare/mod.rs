//! Comparing: the legacy endpoint's answer, which the client got, with the one that translation makes.
//!
//! `tee` keeps what the client is sent, `shadow` makes the other answer and decides what counts, `difference` finds where
//! the two differ; `observe` counts. No client waits for any of it or hears of its failures.

mod answer;
mod difference;
mod entries;
mod noise;
mod shadow;
mod tee;

pub use answer::Taken;
pub use shadow::{Reread, Shadow, Shadowed};
