//! What to do when a connection could not be accepted.

use std::{
    io::{self, ErrorKind},
    time::Duration,
};
use tokio::time::sleep;

/// How long to wait after the system refused a connection, for want of descriptors say, before asking for another.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Logs why a connection could not be accepted. What concerns that connection alone keeps nobody else waiting; where the
/// system has run out of something, the next attempt would fail at once.
pub(crate) async fn accept_failed(error: &io::Error) {
    let is_its_own = matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::Interrupted
            | ErrorKind::TimedOut
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::PermissionDenied
    );
    if is_its_own {
        tracing::debug!(%error, "a connection was gone before it was accepted");
        return;
    }
    tracing::warn!(%error, "a connection could not be accepted");
    sleep(ACCEPT_PAUSE).await;
}

#[cfg(target_os = "linux")]
#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn only_what_concerns_all_connections_makes_accepting_pause() {
        // ECONNABORTED, EPERM of a firewall, EHOSTUNREACH; EMFILE, ENFILE, ENOBUFS, ENOMEM (accept(2)).
        for (error, pauses) in [
            (103, false),
            (1, false),
            (113, false),
            (24, true),
            (23, true),
            (105, true),
            (12, true),
        ] {
            let error = io::Error::from_raw_os_error(error);
            assert_eq!(accept_failed(&error).now_or_never().is_none(), pauses, "{error}");
        }
    }
}
