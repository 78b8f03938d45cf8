//! The time of day, as records have it.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time in ms since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
