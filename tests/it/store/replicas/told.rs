//! What an operator is told: `/usage`, and so the report, and the page tell of all jobshims, whichever is asked.

use super::{Replicas, server};
use crate::support::{Client, overview::overview, surfaces::differing_server, valkey::Valkey, wait::until};
use serde_json::Value;
use std::net::SocketAddr;

/// The verdict on `route`, as the report has it.
async fn verdict(admin: SocketAddr, route: &str) -> Value {
    let usage: Value = serde_json::from_str(&Client::new().get(admin, "/usage").await.text()).expect("JSON");
    let verdicts = usage["verdicts"].as_array().expect("verdicts");
    let of_route = verdicts.iter().find(|one| one["route"] == route);
    of_route.expect("a verdict")["verdict"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn charts_tiles_and_clients_count_the_calls_of_all_and_a_failure_of_one_is_seen_on_the_other() {
    let Some(valkey) = Valkey::start("charts", &[]) else {
        return;
    };
    let server = server(1).await;
    let mut replicas = Replicas::start(2, &server.url(), &valkey.url(), &["--admin", "127.0.0.1:0"]);
    let [one, other] = [0, 1].map(|nth| replicas.programs[nth].admin());
    for admin in [one, other] {
        overview(admin, "hour", "it knows of the other", |told| told["jobshims"] == 2).await;
    }
    let client = Client::new();
    for nth in 0..2 {
        let at = replicas.at(nth);
        for _ in 0..3 + nth {
            client.get_with(at, "/history", &[("user-agent", "a-script")]).await;
        }
    }
    drop(server);
    let at = replicas.at(0);
    until("failures", async || client.get(at, "/queue").await.status == 502).await;
    for _ in 0..3 {
        client.get(at, "/queue").await;
    }
    for admin in [one, other] {
        let told = overview(admin, "hour", "all calls are counted", |told| {
            told["series"]["totals"]["history"]["count"] == 7
                && told["series"]["totals"]["queue"]["failed"].as_u64() >= Some(4)
                && told["usage"]["clients"]
                    .as_array()
                    .is_some_and(|clients| clients.iter().any(|one| one["within"]["history"]["count"] == 7))
                && told["series"]["routes"]["history"]
                    .as_array()
                    .is_some_and(|steps| steps.iter().filter_map(Value::as_u64).sum::<u64>() == 7)
        })
        .await;
        let latency = told["series"]["latency"]["jobs_api"]["p50"].as_array().expect("steps");
        assert!(latency.iter().any(Value::is_f64), "{latency:?}");
        until("its verdict is of all calls, too", async || {
            verdict(admin, "queue").await == "failing"
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_has_compared_and_what_happened_to_it_is_on_the_page_of_the_other_and_of_a_new_one() {
    let Some(valkey) = Valkey::start("compared", &[]) else {
        return;
    };
    let server = differing_server().await;
    let shadow = ["--admin", "127.0.0.1:0", "--mode", "shadow"];
    let mut replicas = Replicas::start(2, &server.url(), &valkey.url(), &shadow);
    let (one, other) = (replicas.at(0), replicas.programs[1].admin());
    let client = Client::new();
    assert_eq!(
        client
            .get_with(one, "/history", &[("x-request-id", "the-one")])
            .await
            .status,
        200
    );
    replicas.programs[0].signal("HUP");
    let tells_all = |told: &Value| {
        let reloads = told["events"].as_array().into_iter().flatten();
        told["findings"]["history"]["compared"]["different"] == 1
            && told["differing"][0]["request_id"] == "the-one"
            && reloads
                .filter(|event| event["kind"] == "reloaded" && event["jobshim"].is_string())
                .count()
                == 1
    };
    let told = overview(other, "hour", "it tells of what the first one has seen", tells_all).await;
    assert_eq!(
        told["findings"]["history"]["fields"]["prompt[0]"]["differences"], 1,
        "{told:#}"
    );
    assert_eq!(verdict(other, "history").await, "differs");
    // What one has seen outlives it for a while.
    replicas.programs[0].signal("KILL");
    replicas.programs[0].end();
    let mut third = replicas.new_program();
    let admin = third.admin();
    overview(admin, "hour", "a new one tells of it, too", tells_all).await;
    assert_eq!(verdict(admin, "history").await, "differs");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_is_told_by_each_of_all() {
    let Some(valkey) = Valkey::start("usage", &[]) else {
        return;
    };
    let server = server(1).await;
    let mut replicas = Replicas::start(2, &server.url(), &valkey.url(), &["--admin", "127.0.0.1:0"]);
    let client = Client::new();
    for nth in 0..2 {
        let at = replicas.at(nth);
        for _ in 0..=nth {
            client.get_with(at, "/history", &[("user-agent", "a-script")]).await;
        }
    }
    let calls = async |admin: SocketAddr| -> u64 {
        let usage: Value = serde_json::from_str(&client.get(admin, "/usage").await.text()).expect("JSON");
        let clients = usage["clients"].as_array().expect("clients");
        clients
            .iter()
            .filter_map(|client| client["routes"]["history"]["count"].as_u64())
            .sum()
    };
    for nth in 0..2 {
        let admin = replicas.programs[nth].admin();
        until("it tells of the calls of both", async || calls(admin).await == 3).await;
    }
    // What one has noted outlives it, and nobody waits for it.
    assert_eq!(valkey.says("ZCARD {jobshim}:replicas").as_deref(), Some(":2\r\n"));
    replicas.programs[0].signal("TERM");
    replicas.programs[0].end();
    assert_eq!(valkey.says("ZCARD {jobshim}:replicas").as_deref(), Some(":1\r\n"));
    let mut third = replicas.new_program();
    let admin = third.admin();
    until("a new one tells of all", async || calls(admin).await == 3).await;
}
