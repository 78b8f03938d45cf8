//! Waiting for what a test is about: a look every few milliseconds, and an end to it.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// Longer than anything takes here; only a hanging test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What `future` gives; it fails, and says `what` was waited for, where that takes too long.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("never: {what}"))
}

/// Waits until `holds`.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, waiting).await;
}

/// As [`until`], for what must be noticed as soon as it holds: it looks whenever nothing else is to be done.
pub async fn as_soon_as(what: &str, mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    within(what, waiting).await;
}

/// What `count` has come to once it does not grow any more: four looks in a row see the same. That nothing happens can only
/// be waited out.
pub async fn at_rest(count: &AtomicU64) -> u64 {
    let (mut seen, mut times) = (0, 0);
    let resting = async {
        while times < 4 {
            sleep(Duration::from_millis(100)).await;
            let now = count.load(Ordering::SeqCst);
            times = if now == seen && now > 0 { times + 1 } else { 0 };
            seen = now;
        }
        seen
    };
    within("a count that has begun and grows no more", resting).await
}
