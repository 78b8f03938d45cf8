//! What clients see while the store is not there, or slow.

use super::{Replicas, history, post, server, uuid};
use crate::support::{
    Client,
    valkey::{Traffic, Valkey, Way, until_ready},
    wait::until,
};
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn before_the_store_was_reached_nothing_is_translated_and_the_rest_passes() {
    let Some(mut valkey) = Valkey::start("unreached", &[]) else {
        return;
    };
    valkey.kill();
    let server = server(3).await;
    let mut replicas = Replicas::start(1, &server.url(), &valkey.url(), &["--admin", "127.0.0.1:0"]);
    let (at, admin) = (replicas.at(0), replicas.programs[0].admin());
    let client = Client::new();
    replicas.programs[0].line_with("the store is not there");
    assert_eq!(
        client.get(at, "/system_stats").await.status,
        404,
        "the server's own answer"
    );
    let refused = client.get(at, "/history").await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(
        refused.text().contains("state_unreachable") && refused.header("retry-after") == "1",
        "{}",
        refused.text()
    );
    until_ready(&client, admin, false).await;
    valkey.restart();
    until_ready(&client, admin, true).await;
    assert_eq!(history(at, "").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_lost_reads_go_on_for_a_while_deletes_are_refused_and_the_rest_passes() {
    let Some(valkey) = Valkey::start("lost", &[]) else {
        return;
    };
    let way = Way::to(valkey.port());
    let server = server(3).await;
    let more = [
        "--admin",
        "127.0.0.1:0",
        "--state-max-stale",
        "4s",
        "--state-timeout",
        "500ms",
    ];
    let mut replicas = Replicas::start(1, &server.url(), &way.url(), &more);
    let (at, admin) = (replicas.at(0), replicas.programs[0].admin());
    let client = Client::new();
    let deleted = post(at, "/history", "", &json!({"delete": [uuid(1)]}))
        .await
        .expect("an answer");
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    for traffic in [Traffic::Stands, Traffic::Cut] {
        way.is(traffic);
        let begun = Instant::now();
        until("a delete is refused", async || {
            let refused = post(at, "/history", "", &json!({"delete": [uuid(2)]}))
                .await
                .expect("an answer");
            assert_ne!(refused.status, 200, "it is not stored");
            refused.status == 503
        })
        .await;
        let shown = client.get(at, "/history").await;
        if begun.elapsed() < Duration::from_secs(4) {
            assert_eq!(shown.status, 200, "{}", shown.text());
            assert!(!shown.text().contains(&uuid(1)), "{}", shown.text());
        }
        until(
            "reads are refused rather than show what may have been deleted",
            async || client.get(at, "/history").await.status == 503,
        )
        .await;
        assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
        // What passes does not wait for the store.
        let passing = Instant::now();
        for _ in 0..20 {
            assert_eq!(
                client.get(at, "/system_stats").await.status,
                404,
                "the server's own answer"
            );
        }
        assert!(passing.elapsed() < Duration::from_secs(2), "{:?}", passing.elapsed());
        let metrics = client.get(admin, "/metrics").await.text();
        let stale = metrics
            .lines()
            .find_map(|line| line.strip_prefix("jobshim_state_stale_seconds "));
        let stale: f64 = stale.and_then(|stale| stale.parse().ok()).expect("a metric");
        assert!(stale > 3.0, "{stale}");
        replicas.programs[0].line_with("the store is lost");
        way.is(Traffic::Flows);
        until("it is there again", async || {
            let deleted = post(at, "/history", "", &json!({"delete": [uuid(3)]}))
                .await
                .expect("an answer");
            deleted.status == 200
        })
        .await;
        assert!(!history(at, "").await.contains(&1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_store_does_not_slow_what_passes() {
    let Some(valkey) = Valkey::start("slow", &[]) else {
        return;
    };
    let way = Way::to(valkey.port());
    let server = server(3).await;
    let mut replicas = Replicas::start(1, &server.url(), &way.url(), &[]);
    let at = replicas.at(0);
    let client = Client::new();
    assert_eq!(history(at, "").await.len(), 3);
    way.takes(Duration::from_millis(300));
    let begun = Instant::now();
    for nth in 1..=10 {
        assert_eq!(
            client.get(at, "/system_stats").await.status,
            404,
            "the server's own answer"
        );
        let prompt = json!({"prompt_id": uuid(100 + nth), "prompt": {"1": {"class_type": "SaveImage", "inputs": {}}}});
        assert_eq!(post(at, "/prompt", "", &prompt).await.expect("an answer").status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
