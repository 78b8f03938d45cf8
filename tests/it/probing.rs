//! Finding out the dialect: one client's question, and what the server lets come of it, is no other client's trouble.

use crate::support::{
    Client, start,
    upstream::{Scripted, reply},
};
use http::Request;
use hyper::body::Incoming;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

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
