//! Finding out the dialect: one client's question, and what the server lets come of it, is no other client's trouble.

use crate::support::{
    Client, Reply,
    server::board,
    start,
    upstream::{Scripted, reply},
    wait::until,
};
use http::Request;
use hyper::body::Incoming;
use jobshim::{
    demo::{Options, Rules, Simulator},
    jobs_api::DialectKind,
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::time::{advance, pause, resume, sleep, timeout};

const LIST: &str = r#"{"jobs": [], "pagination": {"offset": 0, "limit": null, "total": 0, "has_more": false}}"#;

/// A cloud that is slow to say no, and counts the questions by which its dialect is found out.
async fn cloud(no_after: Duration, status: u16) -> (Scripted, Arc<AtomicUsize>) {
    let probes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&probes);
    let cloud = Scripted::start(move |request: Request<Incoming>| {
        let probes = Arc::clone(&counted);
        async move {
            if request.uri().query().is_some_and(|query| query.contains("sort_by=")) {
                probes.fetch_add(1, SeqCst);
            }
            if request.headers().get("x-api-key").is_some_and(|key| key == "good") {
                return reply(200, &[("content-type", "application/json")], LIST);
            }
            sleep(no_after).await;
            reply(status, &[("content-type", "application/json")], r#"{"code": "NO"}"#)
        }
    })
    .await;
    (cloud, probes)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_the_same_behind_any_number_of_jobshims() {
    for (rules, expected) in [
        (Rules::Comfyui, DialectKind::Comfyui),
        (Rules::Cloud, DialectKind::Cloud),
    ] {
        let simulator = Simulator::start(board(rules), Options::default())
            .await
            .expect("a simulator");
        let (client, mut url, mut row) = (Client::new(), simulator.url(), Vec::new());
        for nth in 0..3 {
            let jobshim = start(&url, |_| {}).await;
            // Twice: what a jobshim knows of its server must not change what it tells others.
            for _ in 0..2 {
                let answer = client.get(jobshim.address, "/history").await;
                assert_eq!(answer.status, 200, "{rules:?} {nth}: {}", answer.text());
                let known = jobshim.pipeline().legacy().jobs().known_dialect();
                assert_eq!(known, Some(expected), "behind {nth} others");
            }
            url = format!("http://{}", jobshim.address);
            row.push(jobshim);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_clients_with_bad_keys_do_not_keep_a_good_one_waiting() {
    for status in [401, 403, 429] {
        let (cloud, _) = cloud(Duration::from_millis(300), status).await;
        let jobshim = start(&cloud.url(), |_| {}).await;
        let at = jobshim.address;
        let bad: Vec<_> = (0..100)
            .map(|number| {
                tokio::spawn(async move {
                    let key = format!("bad {number}");
                    Client::new().get_with(at, "/history", &[("x-api-key", &key)]).await
                })
            })
            .collect();
        sleep(Duration::from_millis(100)).await;
        let begun = Instant::now();
        let good = Client::new().get_with(at, "/history", &[("x-api-key", "good")]).await;
        assert_eq!((good.status.as_u16(), good.text().as_str()), (200, "{}"));
        let waited = begun.elapsed();
        assert!(waited < Duration::from_secs(5), "{status}: waited for {waited:?}");
        let all = async {
            for one in bad {
                assert_eq!(one.await.expect("an answer").status, status);
            }
        };
        // In line they would take half a minute.
        timeout(Duration::from_secs(15), all).await.expect("no queue");
    }
}

#[tokio::test]
async fn a_question_that_the_server_lets_hang_does_not_hold_up_others() {
    let (cloud, _) = cloud(Duration::from_secs(60), 401).await;
    let jobshim = start(&cloud.url(), |_| {}).await;
    let at = jobshim.address;
    let hanging = tokio::spawn(async move { Client::new().get_with(at, "/history", &[("x-api-key", "bad")]).await });
    sleep(Duration::from_millis(200)).await;
    let good = async { Client::new().get_with(at, "/history", &[("x-api-key", "good")]).await };
    let good = timeout(Duration::from_secs(10), good).await.expect("it is not held up");
    assert_eq!(good.status, 200);
    hanging.abort();
}

/// Lets what is known of the server be so old that it is asked for again.
async fn grow_old() {
    pause();
    advance(Duration::from_secs(301)).await;
    resume();
}

async fn get_with(at: SocketAddr, key: &'static str) -> Reply {
    let getting = async { Client::new().get_with(at, "/history", &[("x-api-key", key)]).await };
    timeout(Duration::from_secs(10), getting)
        .await
        .expect("an answer in time")
}

#[tokio::test]
async fn a_dialect_that_is_to_be_asked_for_again_is_asked_for_by_one_while_others_go_on_with_what_is_known() {
    let (cloud, probes) = cloud(Duration::from_secs(3600), 401).await;
    let jobshim = start(&cloud.url(), |_| {}).await;
    let at = jobshim.address;
    assert_eq!(get_with(at, "good").await.status, 200);
    let first = probes.load(SeqCst);
    assert_eq!(get_with(at, "good").await.status, 200);
    assert_eq!(probes.load(SeqCst), first, "it is believed");
    grow_old().await;
    let hanging = tokio::spawn(async move { Client::new().get_with(at, "/history", &[("x-api-key", "bad")]).await });
    until("it is asked for again", async || probes.load(SeqCst) == first + 1).await;
    let begun = Instant::now();
    for _ in 0..20 {
        assert_eq!(get_with(at, "good").await.status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert_eq!(probes.load(SeqCst), first + 1, "one asks at a time");
    // Its client has gone: the next one asks, and learns it anew.
    hanging.abort();
    let again = async || {
        assert_eq!(get_with(at, "good").await.status, 200);
        probes.load(SeqCst) > first + 1
    };
    until("another one asks", again).await;
    let asked = probes.load(SeqCst);
    assert_eq!(get_with(at, "good").await.status, 200);
    assert_eq!(probes.load(SeqCst), asked, "it is believed again");
}

#[tokio::test]
async fn a_bad_key_learns_nothing_when_the_dialect_is_to_be_asked_for_again() {
    let (cloud, probes) = cloud(Duration::ZERO, 401).await;
    let jobshim = start(&cloud.url(), |_| {}).await;
    let at = jobshim.address;
    assert_eq!(get_with(at, "good").await.status, 200);
    grow_old().await;
    let before = probes.load(SeqCst);
    assert_eq!(get_with(at, "bad").await.status, 401);
    assert_eq!(get_with(at, "bad").await.status, 401);
    assert!(probes.load(SeqCst) > before + 1, "its refusal is no news");
    let before = probes.load(SeqCst);
    assert_eq!(get_with(at, "good").await.status, 200);
    assert!(probes.load(SeqCst) > before, "a good key's answer is");
    let before = probes.load(SeqCst);
    assert_eq!(get_with(at, "bad").await.status, 401);
    assert_eq!(probes.load(SeqCst), before);
}

#[tokio::test]
async fn clients_of_one_bad_key_are_told_by_one_question() {
    let (cloud, probes) = cloud(Duration::from_millis(500), 401).await;
    let jobshim = start(&cloud.url(), |_| {}).await;
    let at = jobshim.address;
    let clients = (0..20).map(|_| async move { Client::new().get_with(at, "/history", &[("x-api-key", "bad")]).await });
    for reply in futures_util::future::join_all(clients).await {
        assert_eq!(reply.status, 401);
    }
    let asked = probes.load(SeqCst);
    assert!(asked <= 3, "the server was asked {asked} times");
}
