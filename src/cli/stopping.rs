//! When a program that serves is to end.

use super::background::StopRequests;
use crate::os::StopSignals;
use std::{
    future::{Future, pending},
    io,
    time::{Duration, Instant},
};

/// Signals that come so soon after the first belong to the same stop: `timeout` sends one to the program and one to its
/// group, and a script that runs it passes on the Ctrl-C that the terminal has sent to both.
const SAME_STOP: Duration = Duration::from_millis(500);

/// Listens from now on; resolves on SIGTERM, Ctrl-C or the like, or when `jobshim stop` asks for it. A later one ends the
/// program at once.
pub fn stop_signal(requests: Option<StopRequests>) -> impl Future<Output = ()> + Send {
    stopped(StopSignals::listen(), requests)
}

async fn stopped(signals: io::Result<StopSignals>, mut requests: Option<StopRequests>) {
    let Ok(mut signals) = signals else {
        tracing::warn!("signals cannot be waited for; only SIGKILL ends the program");
        return pending().await;
    };
    let mut next = async move || {
        let asked = async {
            match &mut requests {
                Some(requests) => requests.next().await,
                None => pending().await,
            }
        };
        tokio::select! {
            () = signals.next() => {}
            () = asked => {}
        }
    };
    next().await;
    let first = Instant::now();
    tokio::spawn(async move {
        next().await;
        while first.elapsed() < SAME_STOP {
            next().await;
        }
        tracing::warn!("ended at once: answers that were under way are cut off");
        #[expect(clippy::exit, reason = "who asks a second time waits for nothing more")]
        std::process::exit(1);
    });
}
