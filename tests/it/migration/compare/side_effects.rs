//! A comparison hurts nobody: no client waits for it, it repeats no write, and it is left out where it is not wanted.

use super::{ID, differing_server, findings, jobshim};
use crate::support::{
    Client,
    server::board,
    surfaces::{Surfaces, legacy},
    upstream::Scripted,
};
use http::Method;
use jobshim::routes::Endpoint;
use jobshim::{
    config::settings::{LEGACY, SHADOW, UPSTREAM},
    demo::{Job, Rules},
    telemetry::Compared,
};
use std::time::{Duration, Instant};

#[tokio::test]
async fn the_client_waits_for_nothing_and_feels_no_failure() {
    // The Jobs API hangs for ever; the legacy endpoint is a server of its own.
    let mut jobs = board(Rules::Comfyui);
    let text = format!(r#"{{"id": "{ID}", "status": "completed", "create_time": 1700000000000, "priority": 7}}"#);
    jobs.jobs.push(Job::new(&text, &text).expect("a job"));
    let hanging = Scripted::of_board(jobs).await;
    let gate = hanging.hold_details();
    let target = format!("/history/{ID}");
    let old = Surfaces::start(board(Rules::Comfyui), vec![legacy(&target, "{}")]).await;
    let old_url = old.url();
    let options = [
        (&LEGACY.mode.key, "shadow"),
        (&LEGACY.upstream.key, old_url.as_str()),
        (&SHADOW.max_in_flight.key, "2"),
        (&UPSTREAM.answer_timeout.key, "2s"),
    ];
    let shadowing = jobshim(&hanging.url(), &options).await;
    let client = Client::new();
    let began = Instant::now();
    for _ in 0..50 {
        let reply = client.get(shadowing.address, &target).await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "{}"));
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // Two at the most go on at the same time, and the others were left out.
    let found = shadowing.observer().findings().by_route();
    assert!(
        found[&Endpoint::HistoryEntry].count(Compared::Dropped) >= 40,
        "{found:#?}"
    );
    assert!(gate.came() <= 12, "{} translations were begun", gate.came());
    let refusing = [(&LEGACY.mode.key, "shadow"), (&LEGACY.upstream.key, old_url.as_str())];
    let without = jobshim("http://127.0.0.1:9", &refusing).await;
    assert_eq!(client.get(without.address, &target).await.text(), "{}");
    assert_eq!(
        findings(&without, 1).await[&Endpoint::HistoryEntry].count(Compared::Failed),
        1
    );
}

#[tokio::test]
async fn shadow_repeats_no_write_and_opens_no_second_socket() {
    let server = differing_server().await;
    let jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
    let client = Client::new();
    for (method, target, body) in [
        (Method::POST, "/queue", r#"{"clear": true}"#),
        (Method::POST, "/history", r#"{"clear": true}"#),
        (Method::POST, "/interrupt", ""),
        (Method::POST, "/api/job/x/cancel", ""),
        (Method::POST, "/prompt", r#"{"prompt": {}}"#),
        (Method::GET, "/ws?clientId=a", ""),
    ] {
        client
            .send(method, jobshim.address, target, &[], body)
            .await
            .expect("an answer");
    }
    // A read is compared after all of them: whatever they would have led to has been there before.
    client.get(jobshim.address, "/history").await;
    findings(&jobshim, 1).await;
    let arrived = server.all();
    let effects: Vec<(String, String)> = arrived
        .iter()
        .filter(|one| one.method == Method::POST || one.target.starts_with("/ws"))
        .map(|one| (one.method.to_string(), one.target.clone()))
        .collect();
    let wanted = [
        ("POST", "/queue"),
        ("POST", "/history"),
        ("POST", "/interrupt"),
        ("POST", "/api/job/x/cancel"),
        ("POST", "/prompt"),
        ("GET", "/ws?clientId=a"),
    ];
    assert_eq!(
        effects,
        wanted.map(|(method, target)| (method.to_owned(), target.to_owned()))
    );
}

#[tokio::test]
async fn a_sample_of_none_compares_none() {
    let server = differing_server().await;
    let options = [(&LEGACY.mode.key, "shadow"), (&SHADOW.sample.key, "0%")];
    let jobshim = jobshim(&server.url(), &options).await;
    for _ in 0..20 {
        Client::new().get(jobshim.address, "/history").await;
    }
    assert_eq!(server.counts(), (0, 20));
    assert!(jobshim.observer().findings().by_route().is_empty());
}
