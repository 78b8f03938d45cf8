//! Where answers wait until a test lets them go.

use super::wait::within;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::{Notify, Semaphore};

/// It is shut at first.
pub struct Gate {
    came: AtomicUsize,
    coming: Notify,
    permits: Semaphore,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            came: AtomicUsize::new(0),
            coming: Notify::new(),
            permits: Semaphore::new(0),
        }
    }
}

impl Gate {
    /// Waits to be let through.
    pub async fn pass(&self) {
        self.came.fetch_add(1, Ordering::SeqCst);
        self.coming.notify_one();
        self.permits.acquire().await.expect("a gate").forget();
    }

    /// How many have come to it, whether they still wait or not.
    pub fn came(&self) -> usize {
        self.came.load(Ordering::SeqCst)
    }

    pub async fn until_came(&self, count: usize) {
        let coming = async {
            while self.came() < count {
                self.coming.notified().await;
            }
        };
        within(&format!("{count} at the gate"), coming).await;
    }

    /// Lets the next `count` through.
    pub fn admit(&self, count: usize) {
        self.permits.add_permits(count);
    }

    /// Lets all through from now on.
    pub fn open(&self) {
        self.permits.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}
