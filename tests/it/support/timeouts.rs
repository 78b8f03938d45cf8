//! Limits of time that are short enough to be waited out, and who waits.
//!
//! A sleep in these tests is a client or a server that takes its time, longer or shorter than a limit: there is nothing
//! else to wait for.

use crate::support::{self, Running};
use jobshim::config::Config;
use std::time::{Duration, Instant};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

/// Far longer than any limit here, on the busiest of machines.
pub const LONG: Duration = Duration::from_secs(30);
pub const HEADER: Duration = Duration::from_millis(400);
pub const IDLE: Duration = Duration::from_millis(800);
pub const FIRST_BYTE: Duration = Duration::from_millis(600);
pub const GAP: Duration = Duration::from_millis(500);

pub async fn facing(upstream: impl ToString, change: impl FnOnce(&mut Config)) -> Running {
    support::facing(&format!("http://{}", upstream.to_string()), |config| {
        config.server.header_timeout = HEADER;
        config.server.idle_timeout = IDLE;
        change(config);
    })
    .await
}

/// What comes until the connection ends, and how long that took.
pub async fn until_end(stream: &mut TcpStream) -> (String, Duration) {
    let (begun, mut got) = (Instant::now(), Vec::new());
    let _ = timeout(LONG, stream.read_to_end(&mut got)).await.expect("an end");
    (String::from_utf8_lossy(&got).into_owned(), begun.elapsed())
}
