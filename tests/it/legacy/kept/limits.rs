//! What is kept is bounded by time, count and bytes, and the oldest go first.

use super::{KEEP, StateFolder, finished, get, history, id, in_folder, keeping, restart, time};
use crate::support::{server::Setup, wait::until};
use jobshim::config::KeepLimits;
use std::time::Duration;

/// What is left of eight jobs, once that is as expected.
async fn left(limits: KeepLimits, is_expected: impl Fn(&[usize], u64) -> bool) {
    let folder = StateFolder::new("kept-limits");
    let server = finished(8, Setup::default()).await;
    let jobshim = keeping(&server, |config| {
        config.history.keep = Some(limits);
        in_folder(config, &folder);
    })
    .await;
    for nth in 1..=8 {
        get(jobshim.address, &format!("/history/{}", id(nth))).await;
    }
    let kept = server.with(|state| state.board.jobs.len());
    assert_eq!(kept, 8);
    restart(&server);
    let pipeline = jobshim.pipeline();
    until("the newest are left", async || {
        let shown = history(jobshim.address, "").await;
        is_expected(&shown, pipeline.kept().1)
    })
    .await;
}

#[tokio::test]
async fn as_many_as_there_may_be() {
    let limits = KeepLimits { jobs: 3, ..KEEP };
    left(limits, |shown, _| shown == [6, 7, 8]).await;
}

#[tokio::test]
async fn in_as_many_bytes_as_they_may_take() {
    let limits = KeepLimits { bytes: 2_000, ..KEEP };
    let is_expected =
        |shown: &[usize], bytes| (2..8).contains(&shown.len()) && shown.ends_with(&[7, 8]) && bytes <= 2_000;
    left(limits, is_expected).await;
}

#[tokio::test]
async fn for_as_long_as_they_may_be() {
    // The fifth ended half a second after this, in ms.
    let since = Duration::from_millis(jobshim::demo::now() as u64 - time(5));
    let limits = KeepLimits { time: since, ..KEEP };
    left(limits, |shown, _| shown == [5, 6, 7, 8] || shown == [6, 7, 8]).await;
}
