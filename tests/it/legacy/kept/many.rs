//! Ten thousand jobs: more than fit in memory, which they are not held in.

use super::StateFolder;
use crate::support::{
    Client,
    program::Program,
    shelf::{Item, Shelf},
    wait::{until, within},
};
use std::{hash::Hasher, net::SocketAddr};

const JOBS: usize = 10_000;
/// How long the prompt of each is, in bytes.
const SIZE: usize = 10_000;
/// What the cache of entries may take.
const CACHE: &str = "16MiB";
/// The most memory that the program may take at any time beyond what it has at rest, in KiB: 96 MiB less what a release build has.
const MOST: u64 = (96 - 16) << 10;

/// What `/history` says, as a number, and how long it is.
async fn history(at: SocketAddr) -> (u64, usize) {
    let reply = within("the whole history", Client::new().get(at, "/history")).await;
    assert_eq!(reply.status, 200);
    let mut hasher = std::hash::DefaultHasher::new();
    hasher.write(&reply.body);
    (hasher.finish(), reply.body.len())
}

#[tokio::test]
async fn a_history_of_ten_thousand_lost_jobs_is_as_it_was_and_takes_little_memory() {
    let folder = StateFolder::new("kept-many");
    let shelf = Shelf::start((0..JOBS).map(|nth| Item::new(nth, "completed", SIZE).with_noise(SIZE / 10))).await;
    let place = folder.path.display().to_string();
    let arguments = [
        "--state",
        &place,
        "--keep-history",
        "10000 jobs, 2GiB, 3650d",
        "--admin",
        "127.0.0.1:0",
        "--log-access",
        "false",
        "--cache-max-bytes",
        CACHE,
    ];
    let mut jobshim = Program::before(&shelf.url(), &arguments);
    let at = jobshim.address();
    let at_rest = jobshim.reset_peak_memory();
    let before = history(at).await;
    assert!(before.1 > JOBS * SIZE);
    let admin = jobshim.admin();
    until("all jobs are stored", async || {
        let metrics = Client::new().get(admin, "/metrics").await.text();
        metrics.contains(&format!("jobshim_kept_jobs {JOBS}\n"))
    })
    .await;
    shelf.with(|shelf| shelf.items.clear());
    let asked = shelf.details();
    let after = history(at).await;
    assert_eq!(after, before);
    assert_eq!(shelf.details(), asked, "the server is not asked for what it has lost");
    let more = jobshim.peak_memory() - at_rest;
    println!(
        "{JOBS} jobs, {} KiB: at most {more} KiB of memory beyond {at_rest} KiB",
        before.1 >> 10
    );
    assert!(more < MOST, "{more} KiB of memory beyond {at_rest} KiB");
}
