//! What is a difference, what is noise, and how a difference is told.

use super::{ID, differing, differing_server, findings, jobshim};
use crate::support::{
    Client,
    corpus::case,
    metrics::Metrics,
    server::board,
    surfaces::{Surfaces, legacy},
};
use http::Method;
use jobshim::routes::Endpoint;
use jobshim::{
    config::settings::LEGACY,
    demo::{Job, Rules},
    telemetry::Compared,
};
use serde_json::{Value, json};

/// The recordings have no job status: one by the contract.
#[tokio::test]
async fn a_job_status_is_compared_field_by_field() {
    let mut jobs = board(Rules::Cloud);
    let text = format!(
        r#"{{"id": "{ID}", "status": "completed", "create_time": 1700000000000, "update_time": 1700000005000}}"#
    );
    jobs.jobs.push(Job::new(&text, &text).expect("a job"));
    let target = format!("/api/job/{ID}/status");
    let status = |word: &str| {
        let mut answer = legacy(
            &target,
            &format!(
                r#"{{"id":"{ID}","status":"{word}","created_at":"2023-11-14T22:13:20.000Z","updated_at":"2023-11-14T22:13:25.000Z","last_state_update":"2023-11-14T22:13:25.000Z","assigned_inference":"machine-1","error_message":null}}"#
            ),
        );
        answer.content_type = "application/json".to_owned();
        answer
    };
    let server = Surfaces::start(jobs, vec![status("success")]).await;
    let jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
    Client::new().get(jobshim.address, &target).await;
    let found = findings(&jobshim, 1).await;
    assert_eq!(differing(&found), [], "{found:#?}");
    assert_eq!(found[&Endpoint::JobStatus].fields["assigned_inference"].losses, 1);
    server.with(|surfaces| surfaces.legacy = vec![status("lost")]);
    Client::new().get(jobshim.address, &target).await;
    let found = findings(&jobshim, 2).await;
    assert_eq!(differing(&found), [("job_status", "status", 1)], "{found:#?}");
}

#[tokio::test]
async fn a_sample_shows_where_and_what_kind_and_no_text() {
    let server = differing_server().await;
    let jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
    Client::new().get(jobshim.address, "/history").await;
    let found = findings(&jobshim, 1).await;
    assert_eq!(
        differing(&found),
        [("history", "prompt[0]", 1), ("history", "prompt[3]", 1)]
    );
    let fields = &found[&Endpoint::History].fields;
    assert_eq!(fields["prompt[0]"].sample.to_string(), "prompt[0]: 8 became 7");
    assert_eq!(
        fields["prompt[3]"].sample.to_string(),
        "prompt[3].secret: a text of 14 bytes became a text of 6 bytes"
    );
}

#[tokio::test]
async fn of_a_head_the_heads_are_compared() {
    let server = differing_server().await;
    let jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
    let head = async || {
        let reply = Client::new()
            .send(Method::HEAD, jobshim.address, "/history", &[], "")
            .await;
        reply.expect("an answer")
    };
    assert_eq!(head().await.status, 200);
    let found = findings(&jobshim, 1).await;
    // The bodies would differ.
    assert_eq!(differing(&found), [], "{found:#?}");
    server.with(|surfaces| surfaces.legacy[0].content_type = "text/plain".to_owned());
    assert_eq!(head().await.header("content-type"), "text/plain");
    let found = findings(&jobshim, 2).await;
    assert_eq!(differing(&found), [("history", "(content type)", 1)]);
    let asked = server.all().into_iter().filter(|one| one.target == "/history");
    let heads: Vec<_> = asked.map(|one| one.method).collect();
    assert_eq!(
        heads,
        [Method::HEAD, Method::HEAD, Method::HEAD],
        "the second was looked at again"
    );
}

#[tokio::test]
async fn what_two_reads_of_the_legacy_endpoint_show_between_themselves_is_noise() {
    let server = differing_server().await;
    // The number is another one with each read, the secret is always the same.
    server.with(|surfaces| surfaces.counting = Some("[8, "));
    let jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
    Client::new().get(jobshim.address, "/history").await;
    let found = findings(&jobshim, 1).await;
    assert_eq!(differing(&found), [("history", "prompt[3]", 1)]);
    assert_eq!(found[&Endpoint::History].fields["prompt[0]"].noise, 1);
}

#[tokio::test]
async fn a_queue_that_moved_between_the_two_answers_is_looked_at_once_more() {
    let case = case("comfyui-next", "busy");
    let server = Surfaces::start(case.board(), case.legacy).await;
    let target = "/queue";
    let now = server.with(|surfaces| {
        let queue = surfaces.legacy.iter_mut().find(|legacy| legacy.target == target);
        let queue = queue.expect("a recorded queue");
        std::mem::replace(
            &mut queue.body,
            r#"{"queue_running": [], "queue_pending": []}"#.to_owned(),
        )
    });
    // The first read saw the queue before the jobs came; all later ones see them.
    server.with(|surfaces| surfaces.next = Some((target, now)));
    let jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
    let reply = Client::new().get(jobshim.address, target).await;
    assert_eq!(reply.text(), r#"{"queue_running": [], "queue_pending": []}"#);
    let found = findings(&jobshim, 1).await;
    let queue = &found[&Endpoint::Queue];
    assert_eq!((queue.answers(), queue.count(Compared::Same)), (1, 1), "{queue:#?}");
}

#[tokio::test]
async fn metrics_page_and_log_tell_of_the_same_findings() {
    let server = differing_server().await;
    let mut jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
    let admin = jobshim.admin(&[]).await;
    let client = Client::new();
    for count in 1..=2 {
        client.get(jobshim.address, "/history").await;
        findings(&jobshim, count).await;
    }
    client.get(jobshim.address, "/queue").await;
    findings(&jobshim, 3).await;
    let metrics = Metrics::of(&client, admin).await;
    for (series, count) in [
        (
            r#"jobshim_shadow_comparisons_total{outcome="different",route="history"}"#,
            2.0,
        ),
        (
            r#"jobshim_shadow_differences_total{field="prompt[0]",route="history"}"#,
            2.0,
        ),
        (
            r#"jobshim_shadow_differences_total{field="prompt[3]",route="history"}"#,
            2.0,
        ),
    ] {
        assert_eq!(metrics.value(series), count, "{series}\n{}", metrics.text);
    }
    let durations = "jobshim_shadow_translation_duration_seconds_bucket";
    assert_eq!(metrics.sum(durations, r#"route="history""#), 2.0, "{}", metrics.text);
    let overview: Value = serde_json::from_slice(&client.get(admin, "/overview").await.body).expect("JSON");
    let history = &overview["findings"]["history"];
    assert_eq!(history["compared"], json!({"different": 2}));
    let field = &history["fields"]["prompt[0]"];
    assert_eq!(
        (&field["differences"], &field["noise"]),
        (&json!(2), &json!(0)),
        "{history:#}"
    );
    let sample = json!({"path": "prompt[0]", "forwarded": "8", "translated": "7"});
    assert_eq!(field["sample"], sample);
    assert!(field["last_ms"].as_u64() <= overview["now_ms"].as_u64());
}
