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

use crate::{config::ShadowConfig, mapping::Tables};
use twox_hash::XxHash3_64;

/// By what answers are compared, as a number: what was found by other tables, or where other fields were ignored, says nothing.
pub fn comparison_basis(tables: &Tables, shadow: &ShadowConfig) -> u64 {
    let basis = format!(
        "{} {:?} {}",
        tables.fingerprint(),
        shadow.ignore,
        env!("CARGO_PKG_VERSION")
    );
    XxHash3_64::oneshot(basis.as_bytes())
}
