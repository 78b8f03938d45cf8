//! ETag and 304, and compression: a poller whose answer has not changed receives nothing, and others receive less.

use crate::support::{
    Client, Reply, Running,
    shelf::{Item, Shelf},
    start,
};
use std::io::Read;

async fn get(jobshim: &Running, target: &str, headers: &[(&str, &str)]) -> Reply {
    Client::new().get_with(jobshim.address, target, headers).await
}

fn shelf_of(count: usize, size: usize) -> impl Iterator<Item = Item> {
    (0..count).map(move |nth| Item::new(nth, "completed", size))
}

#[tokio::test]
async fn who_has_an_answer_already_gets_304_and_no_body() {
    let shelf = Shelf::start(shelf_of(3, 100)).await;
    let jobshim = start(&shelf.url(), |_| {}).await;
    for target in [
        "/history/job-00001",
        "/history",
        "/history?max_items=2",
        "/api/history_v2",
        "/api/history_v2/job-00001",
        "/api/job/job-00001/status",
        "/queue",
    ] {
        let first = get(&jobshim, target, &[]).await;
        let etag = first.header("etag");
        assert!(etag.starts_with("W/\""), "{target}: {etag:?}");
        for known in [etag, etag.trim_start_matches("W/"), &format!("\"x\", {etag}"), "*"] {
            let again = get(&jobshim, target, &[("if-none-match", known)]).await;
            assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{target} {known}");
            assert_eq!(again.header("etag"), etag, "{target}");
            assert_eq!(again.header("proxy-status"), "", "{target}: it is no error");
        }
        let other = get(&jobshim, target, &[("if-none-match", "\"other\"")]).await;
        assert_eq!((other.status.as_u16(), other.text()), (200, first.text()), "{target}");
    }
}

#[tokio::test]
async fn a_list_has_another_version_once_a_job_comes_or_goes_and_the_same_one_after_a_restart() {
    let shelf = Shelf::start(shelf_of(3, 100)).await;
    let jobshim = start(&shelf.url(), |_| {}).await;
    let version = async || get(&jobshim, "/history", &[]).await.header("etag").to_owned();
    let three = version().await;
    assert_eq!(version().await, three);
    let again = start(&shelf.url(), |_| {}).await;
    assert_eq!(
        get(&again, "/history", &[]).await.header("etag"),
        three,
        "another jobshim"
    );
    shelf.with(|shelf| shelf.items.push(Item::new(3, "cancelled", 1)));
    let four = version().await;
    assert_ne!(four, three);
    shelf.with(|shelf| shelf.items.truncate(3));
    assert_eq!(version().await, three);
    shelf.with(|shelf| shelf.items.truncate(2));
    let reply = get(&jobshim, "/history", &[("if-none-match", &three)]).await;
    assert_eq!(reply.status, 200, "what changed is sent");
}

#[tokio::test]
async fn a_poller_with_more_history_than_fits_still_hears_not_modified_without_a_detail() {
    // 60 entries of 100 KB, which compressed are 75, over a budget of 2 MB.
    let shelf = Shelf::start(shelf_of(60, 100_000).map(|item| item.with_noise(100_000))).await;
    let jobshim = start(&shelf.url(), |config| config.cache.max_bytes = 2 << 20).await;
    let first = get(&jobshim, "/history", &[]).await;
    assert_eq!(first.header("etag"), "", "it began to be sent before all was known");
    let second = get(&jobshim, "/history", &[]).await;
    let etag = second.header("etag");
    assert!(!etag.is_empty());
    assert_eq!(second.text(), first.text());
    shelf.counts();
    let third = get(&jobshim, "/history", &[("if-none-match", etag)]).await;
    assert_eq!((third.status.as_u16(), third.body.len()), (304, 0));
    assert_eq!(shelf.counts(), (1, 0));
}

pub fn unfolded(reply: &Reply) -> String {
    let mut out = Vec::new();
    match reply.header("content-encoding") {
        "gzip" => {
            // Not the reader of several members: browsers stop after the first.
            let mut reader = flate2::bufread::GzDecoder::new(&reply.body[..]);
            reader.read_to_end(&mut out).expect("gzip");
            assert!(reader.into_inner().is_empty(), "more than one member");
        }
        "zstd" => out = zstd::decode_all(&reply.body[..]).expect("zstd"),
        _ => out.extend_from_slice(&reply.body),
    }
    String::from_utf8(out).expect("text")
}

#[tokio::test]
async fn answers_over_a_kilobyte_are_compressed_for_those_who_take_it() {
    // The last is a list that is sent while it is fetched.
    for (target, count, size) in [
        ("/history/job-00001", 2, 5_000),
        ("/history/job-00001", 2, 500_000),
        ("/api/history_v2/job-00001", 2, 5_000),
        ("/history", 5, 5_000),
        ("/history", 60, 100_000),
    ] {
        let shelf = Shelf::start(shelf_of(count, size)).await;
        let jobshim = start(&shelf.url(), |_| {}).await;
        let plain = get(&jobshim, target, &[]).await;
        assert_eq!(plain.header("content-encoding"), "", "{target}");
        assert_eq!(plain.header("vary"), "accept-encoding", "{target}");
        for (accept, expected) in [
            ("gzip, deflate", "gzip"),
            // Whichever is at hand.
            ("gzip, zstd", "gzip"),
            ("gzip;q=0.9, zstd", "zstd"),
            ("zstd", "zstd"),
            ("gzip;q=0, br", ""),
            ("identity", ""),
        ] {
            for round in 0..2 {
                let reply = get(&jobshim, target, &[("accept-encoding", accept)]).await;
                assert_eq!(reply.header("content-encoding"), expected, "{target} {accept} {round}");
                assert_eq!(reply.header("vary"), "accept-encoding", "{target} {accept} {round}");
                assert!(unfolded(&reply) == plain.text(), "{target} {accept} {round}");
                if !expected.is_empty() {
                    assert!(reply.body.len() * 5 < plain.body.len(), "{target} {accept} {round}");
                }
            }
        }
        // The same answer has the same version, whatever it is compressed with.
        let known = get(&jobshim, target, &[]).await;
        let again = get(
            &jobshim,
            target,
            &[("accept-encoding", "gzip"), ("if-none-match", known.header("etag"))],
        )
        .await;
        assert_eq!((again.status.as_u16(), again.body.len()), (304, 0), "{target}");
    }
}

#[tokio::test]
async fn short_answers_are_not_compressed_nor_any_where_it_is_switched_off() {
    let shelf = Shelf::start(shelf_of(1, 10)).await;
    let jobshim = start(&shelf.url(), |_| {}).await;
    let gzip = [("accept-encoding", "gzip")];
    for target in ["/history/job-00000", "/history", "/queue", "/history/none"] {
        assert_eq!(
            get(&jobshim, target, &gzip).await.header("content-encoding"),
            "",
            "{target}"
        );
    }
    let shelf = Shelf::start(shelf_of(1, 10_000)).await;
    let jobshim = start(&shelf.url(), |config| config.legacy.compress = false).await;
    for target in ["/history/job-00000", "/history"] {
        let reply = get(&jobshim, target, &gzip).await;
        assert_eq!(
            (reply.header("content-encoding"), reply.header("vary")),
            ("", ""),
            "{target}"
        );
    }
}
