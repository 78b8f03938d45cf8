//! What is kept packed: lists for clients that take gzip are put together from it, and much more of a history fits.

use super::versions::unfolded;
use crate::support::{
    Client, Reply, Running,
    metrics::Metrics,
    shelf::{Item, Shelf},
    start,
    wait::until,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// Jobs that are short and long, and that can be compressed and cannot.
fn mixed() -> Vec<Item> {
    let sizes = [
        (10, 0),
        (3_000, 3_000),
        (5_000, 100),
        (70_000, 0),
        (200_000, 200_000),
        (300_000, 20_000),
        (1, 0),
        (4_000, 4_000),
    ];
    let sizes = sizes.into_iter().enumerate();
    sizes
        .map(|(nth, (size, noise))| Item::new(nth, "completed", size).with_noise(noise))
        .collect()
}

async fn get(jobshim: &Running, target: &str, accepts: &str) -> Reply {
    let accepts = [("accept-encoding", accepts)];
    let reply = Client::new().get_with(jobshim.address, target, &accepts).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    reply
}

async fn with_budget(shelf_url: &str, max_bytes: usize) -> Running {
    start(shelf_url, |config| config.cache.max_bytes = max_bytes).await
}

#[tokio::test]
async fn of_a_history_that_does_not_fit_each_poll_asks_for_no_more_than_what_does_not() {
    // Four times what may be kept, when it is compressed.
    let items = (0..64).map(|nth| Item::new(nth, "completed", 130_000).with_noise(130_000));
    let shelf = Shelf::start(items).await;
    let jobshim = with_budget(&shelf.url(), 2 << 20).await;
    let first = get(&jobshim, "/history", "identity").await;
    shelf.counts();
    for round in 0..6 {
        let accepts = ["gzip", "identity"][round % 2];
        assert!(
            unfolded(&get(&jobshim, "/history", accepts).await) == first.text(),
            "{round}"
        );
        let (_, details) = shelf.counts();
        assert!(details < 64 - 12, "{details} of 64 in round {round}");
    }
    // What is asked for by its id makes room for itself.
    get(&jobshim, "/history/job-00063", "identity").await;
    shelf.counts();
    get(&jobshim, "/history/job-00063", "identity").await;
    assert_eq!(shelf.counts(), (0, 0));
}

#[tokio::test]
async fn a_list_in_gzip_is_one_member_and_says_what_it_says_without() {
    let shelf = Shelf::start(mixed()).await;
    // Everything fits as it is, some is packed, nothing is kept.
    for max_bytes in [64 << 20, 2 << 20, 0] {
        for target in [
            "/history",
            "/history?max_items=3",
            "/history?max_items=2&offset=1",
            "/history?max_items=0",
        ] {
            let plain = get(&with_budget(&shelf.url(), max_bytes).await, target, "identity").await;
            let jobshim = with_budget(&shelf.url(), max_bytes).await;
            for accepts in ["gzip", "gzip, zstd", "identity", "gzip", "zstd", "gzip"] {
                let reply = get(&jobshim, target, accepts).await;
                let label = format!("{target} {accepts} {max_bytes}");
                assert!(unfolded(&reply) == plain.text(), "{label}");
                let is_short = plain.body.len() <= 1024;
                let coding = match accepts {
                    "identity" => "",
                    "zstd" => "zstd",
                    _ => "gzip",
                };
                assert_eq!(
                    reply.header("content-encoding"),
                    if is_short { "" } else { coding },
                    "{label}"
                );
            }
        }
    }
}

#[tokio::test]
async fn an_answer_in_gzip_that_is_known_whole_has_its_length_and_its_tag() {
    let shelf = Shelf::start(mixed()).await;
    let jobshim = with_budget(&shelf.url(), 64 << 20).await;
    let plain = get(&jobshim, "/history", "identity").await;
    let packed = get(&jobshim, "/history", "gzip").await;
    assert_eq!(packed.header("content-length"), packed.body.len().to_string());
    assert_eq!(packed.header("etag"), plain.header("etag"));
    let known = [("accept-encoding", "gzip"), ("if-none-match", plain.header("etag"))];
    let again = Client::new().get_with(jobshim.address, "/history", &known).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    assert_eq!(again.header("content-encoding"), "");
}

#[tokio::test]
async fn a_history_of_four_times_the_budget_costs_no_detail_when_it_is_polled_again() {
    // 8 MB, of which workflows leave some 13 to 1.
    let items = (0..64).map(|nth| Item::new(nth, "completed", 130_000).with_noise(9_000));
    let shelf = Shelf::start(items).await;
    const BUDGET: usize = 2 << 20;
    let plain = get(&with_budget(&shelf.url(), 64 << 20).await, "/history", "identity").await;
    for first in ["identity", "gzip"] {
        let mut jobshim = with_budget(&shelf.url(), BUDGET).await;
        get(&jobshim, "/history", first).await;
        shelf.counts();
        for again in ["identity", "gzip", "zstd", "gzip, zstd", "identity"] {
            let reply = get(&jobshim, "/history", again).await;
            assert!(unfolded(&reply) == plain.text(), "{first}, then {again}");
            assert_eq!(shelf.counts(), (1, 0), "{first}, then {again}");
        }
        // Each of them is there by its id, too.
        for nth in 0..64 {
            let target = format!("/history/job-{nth:05}");
            let one = get(&jobshim, &target, "identity").await;
            for accepts in ["gzip", "gzip, zstd"] {
                let reply = get(&jobshim, &target, accepts).await;
                assert!(unfolded(&reply) == one.text(), "{target} {accepts}");
            }
            assert!(plain.text().contains(one.text().trim_matches(['{', '}'])), "{target}");
        }
        assert_eq!(shelf.counts(), (0, 0), "{first}");
        let admin = jobshim.admin(&[]).await;
        let metrics = Metrics::of(&Client::new(), admin).await;
        assert_eq!(metrics.value("jobshim_cache_entries{}"), 64.0);
        let held = metrics.value("jobshim_cache_bytes{}");
        assert!((500_000.0..BUDGET as f64).contains(&held), "{held} bytes");
    }
}

#[tokio::test]
async fn the_newest_jobs_are_asked_for_once_though_a_whole_history_has_filled_the_memory() {
    // Of those that ended last, one list is enough to be certain.
    let items = (0..64).map(|nth| Item::new(nth, "completed", 130_000).with_noise(130_000));
    let shelf = Shelf::start(items).await;
    let jobshim = with_budget(&shelf.url(), 2 << 20).await;
    for _ in 0..2 {
        get(&jobshim, "/history", "identity").await;
    }
    get(&jobshim, "/history?max_items=6", "identity").await;
    shelf.counts();
    for accepts in ["identity", "gzip", "identity"] {
        get(&jobshim, "/history?max_items=6", accepts).await;
        assert_eq!(shelf.details(), 0, "{accepts}");
    }
    // So is one that has ended since.
    let new = Item::new(64, "completed", 130_000).with_noise(130_000);
    shelf.with(|shelf| shelf.items.push(new));
    get(&jobshim, "/history?max_items=6", "identity").await;
    shelf.counts();
    get(&jobshim, "/history?max_items=6", "identity").await;
    assert_eq!(shelf.details(), 0, "a new one");
}

#[tokio::test]
async fn another_client_is_kept_what_it_asks_for_though_one_before_it_has_filled_the_memory() {
    let items = (0..12).map(|nth| Item::new(nth, "completed", 130_000).with_noise(130_000));
    let shelf = Shelf::start(items).await;
    let jobshim = with_budget(&shelf.url(), 2 << 20).await;
    for client in ["one", "another"] {
        let as_it = [("authorization", client)];
        Client::new().get_with(jobshim.address, "/history", &as_it).await;
        shelf.counts();
        Client::new().get_with(jobshim.address, "/history", &as_it).await;
        assert_eq!(shelf.details(), 0, "{client}");
    }
}

#[tokio::test]
async fn what_is_unpacked_for_answers_that_nobody_reads_counts_within_server_max_buffered() {
    // Those that come later are kept packed.
    let items = (0..20).map(|nth| Item::new(nth, "completed", 5_000_000));
    let shelf = Shelf::start(items).await;
    let jobshim = with_budget(&shelf.url(), 64 << 20).await;
    get(&jobshim, "/history", "identity").await;
    until("nothing is held", async || jobshim.buffered() == 0).await;
    let mut stream = TcpStream::connect(jobshim.address).await.expect("a connection");
    let request = b"GET /history/job-00019 HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(request).await.expect("sent");
    until("what was unpacked counts", async || jobshim.buffered() > 5_000_000).await;
    drop(stream);
    until("it is let go of", async || jobshim.buffered() == 0).await;
}
