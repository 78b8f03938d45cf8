//! Requests for the same thing at the same time share a call, and users share nothing.

use super::entry_cache::{finished, get, over};
use crate::support::{
    Client, Reply,
    shelf::{Item, Shelf},
    start,
    wait::as_soon_as,
};
use std::net::SocketAddr;

/// `count` requests at once, with a client each.
async fn at_once(at: SocketAddr, count: usize, target: &'static str) -> Vec<tokio::task::JoinHandle<Reply>> {
    let ask = |_| tokio::spawn(async move { Client::new().get(at, target).await });
    (0..count).map(ask).collect()
}

#[tokio::test]
async fn requests_for_the_same_thing_at_the_same_time_share_a_call() {
    for (status, most) in [("completed", 1), ("in_progress", 2)] {
        let shelf = Shelf::start([Item::new(0, status, 10)]).await;
        let jobshim = over(&shelf).await;
        let gate = shelf.hold_details();
        let asking = at_once(jobshim.address, 50, "/history/job-00000").await;
        as_soon_as("a call is open", || shelf.under_way() != 0).await;
        gate.admit(100);
        let mut texts = Vec::new();
        for one in asking {
            texts.push(one.await.expect("an answer").text());
        }
        texts.dedup();
        assert_eq!(texts.len(), 1, "{texts:?}");
        let (_, details) = shelf.counts();
        // A job that has not ended may have by the time a later one asks: those wait for the call after.
        assert!(details <= most, "{details} calls for 50 requests, {status}");
    }
}

#[tokio::test]
async fn fifty_polls_of_a_whole_history_at_once_are_a_list_or_two() {
    let shelf = Shelf::start(finished(64)).await;
    let jobshim = over(&shelf).await;
    get(&jobshim, "/history?max_items=64").await;
    shelf.counts();
    for one in at_once(jobshim.address, 50, "/history?max_items=64").await {
        assert_eq!(one.await.expect("an answer").status, 200);
    }
    let (lists, details) = shelf.counts();
    assert!(lists < 25, "{lists} lists for 50 requests");
    assert_eq!(details, 0);
}

#[tokio::test]
async fn a_caller_that_hangs_up_does_not_cancel_the_call_for_the_others_and_the_last_one_does() {
    let shelf = Shelf::start(finished(1)).await;
    let jobshim = over(&shelf).await;
    let gate = shelf.hold_details();
    let first = at_once(jobshim.address, 1, "/history/job-00000").await.remove(0);
    as_soon_as("a call is open", || shelf.details() != 0).await;
    let second = at_once(jobshim.address, 1, "/history/job-00000").await.remove(0);
    // The second has come along once its head was read; a request of another kind behind it tells.
    get(&jobshim, "/queue").await;
    first.abort();
    get(&jobshim, "/queue").await;
    assert_eq!(shelf.under_way(), 1, "the call goes on");
    gate.admit(1);
    assert!(second.await.expect("an answer").text().contains("job-00000"));
    shelf.with(|shelf| shelf.items.push(Item::new(1, "completed", 10)));
    let third = at_once(jobshim.address, 1, "/history/job-00001").await.remove(0);
    as_soon_as("a call is open", || shelf.under_way() != 0).await;
    third.abort();
    as_soon_as("no call is open any more", || shelf.under_way() == 0).await;
}

#[tokio::test]
async fn scopes_never_mix_ten_thousand_times() {
    let shelf = Shelf::start(finished(20)).await;
    // So little room that entries come and go.
    let jobshim = start(&shelf.url(), |config| config.cache.max_bytes = 200_000).await;
    let scopes: [&[(&str, &str)]; 8] = [
        &[],
        &[("x-api-key", "anna")],
        &[("x-api-key", "bert")],
        &[("authorization", "Bearer anna")],
        &[("cookie", "s=anna")],
        &[("cookie", "s=bert")],
        &[("comfy-user", "anna")],
        &[("comfy-user", "bert")],
    ];
    let address = jobshim.address;
    let workers = (0..8_u64).map(|worker| {
        tokio::spawn(async move {
            let client = Client::new();
            let mut random = worker.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            for _ in 0..1_250 {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let headers = scopes[(random % 8) as usize];
                let nth = (random >> 8) % 20;
                let (token, seen) = match (random >> 16) % 5 {
                    0 => ("?token=carl", "token=carl"),
                    _ => ("", ""),
                };
                let target = match (random >> 24) % 10 {
                    0 => format!("/history?max_items=2{}", token.replace('?', "&")),
                    _ => format!("/history/job-{nth:05}{token}"),
                };
                let reply = client.get_with(address, &target, headers).await;
                let mut who: String = headers.iter().map(|(name, value)| format!("{name}={value};")).collect();
                who.push_str(seen);
                let text = reply.text();
                let own = format!("\"who\": \"{who}\"");
                let entries = text.matches("\"who\": ").count();
                assert!(entries > 0, "{target} {headers:?}: {text}");
                assert_eq!(text.matches(&own).count(), entries, "{target} {headers:?}: {text}");
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.expect("only its own jobs");
    }
}
