//! The Jobs API for its own clients, answered as a self-hosted ComfyUI does.

use super::{Setup, workflow};
use crate::support::{StateFolder, wait::until};
use http::Method;
use jobshim::demo::v2::{Call, Fault, Options, Status};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

fn ids(list: &Value) -> Vec<&str> {
    let jobs = list["jobs"].as_array().expect("a list").iter();
    jobs.map(|job| job["id"].as_str().expect("an id")).collect()
}

impl Setup {
    /// Two jobs that have ended, one that runs, and two that wait: oldest first.
    async fn with_jobs() -> Self {
        let setup = Self::new(Options::default()).await;
        for name in ["ended", "gone", "runs", "waits", "last"] {
            let also = json!({
                "prompt_id": name,
                "extra_data": {"extra_pnginfo": {"workflow": {"id": format!("of {name}")}}},
            });
            setup.submit(&[], also).await;
            // Lists are sorted by times in ms.
            let since = Instant::now();
            until("the next ms", async || since.elapsed() > Duration::from_millis(2)).await;
        }
        let at_server = setup.server.in_state(Status::Queued);
        setup.server.finish(&at_server[0]);
        setup.server.finish(&at_server[1]);
        setup.server.step();
        setup
    }
}

#[tokio::test]
async fn a_list_is_filtered_sorted_and_paged_as_comfyui_does() {
    let setup = Setup::with_jobs().await;
    let all = setup.get("/api/jobs").await;
    assert_eq!(ids(&all), ["last", "waits", "runs", "gone", "ended"], "{all}");
    let pagination = json!({"offset": 0, "limit": null, "total": 5, "has_more": false});
    assert_eq!(all["pagination"], pagination);
    let states: Vec<&Value> = all["jobs"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|job| &job["status"])
        .collect();
    assert_eq!(states, ["pending", "pending", "in_progress", "completed", "completed"]);
    for (query, wanted) in [
        ("status=pending", &["last", "waits"][..]),
        ("status=in_progress,completed", &["runs", "gone", "ended"]),
        ("status=failed%2Ccancelled", &[]),
        ("status=", &["last", "waits", "runs", "gone", "ended"]),
        ("limit=2", &["last", "waits"]),
        ("limit=2&offset=1", &["waits", "runs"]),
        ("offset=-1&limit=1", &["last"]),
        ("offset=9", &[]),
        ("sort_order=asc", &["ended", "gone", "runs", "waits", "last"]),
        ("sort_by=created_at&sort_order=asc&limit=1&offset=2", &["runs"]),
        ("workflow_id=of+runs", &["runs"]),
        ("workflow_id=of%20nobody", &[]),
    ] {
        let list = setup.get(&format!("/api/jobs?{query}")).await;
        assert_eq!(ids(&list), wanted, "{query}");
    }
    let page = setup.get("/api/jobs?limit=2&offset=1").await;
    assert_eq!(
        page["pagination"],
        json!({"offset": 1, "limit": 2, "total": 5, "has_more": true})
    );
    for query in ["limit=0", "limit=x", "offset=y", "status=ended"] {
        let answer = setup
            .client
            .get(setup.jobshim.address, &format!("/api/jobs?{query}"))
            .await;
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
    }
}

#[tokio::test]
async fn a_job_is_told_with_its_workflow_and_one_that_there_is_not_is_a_404() {
    let setup = Setup::with_jobs().await;
    let job = setup.get("/api/jobs/ended").await;
    assert_eq!((&job["id"], &job["status"]), (&json!("ended"), &json!("completed")));
    assert_eq!(job["workflow"]["prompt"], workflow());
    assert_eq!(job["outputs"]["9"]["images"][0]["type"], "output", "{job}");
    let answer = setup.client.get(setup.jobshim.address, "/api/jobs/none").await;
    assert_eq!(
        (answer.status.as_u16(), answer.text()),
        (404, r#"{"error": "Job not found"}"#.to_owned())
    );
    let head = setup
        .client
        .send(Method::HEAD, setup.jobshim.address, "/api/jobs", &[], "")
        .await;
    let head = head.expect("an answer");
    assert!(head.status == 200 && head.body.is_empty());
}

#[tokio::test]
async fn the_first_request_of_all_may_be_one_for_a_list() {
    let setup = Setup::new(Options::default()).await;
    assert_eq!(ids(&setup.get("/api/jobs").await), [""; 0]);
    let mut other = setup.server.seen().into_iter().filter(|(call, _)| *call == Call::Other);
    // By this it is found out what the server speaks.
    let asked = other.find(|(_, seen)| !seen.target.contains("sort_by="));
    assert!(asked.is_none(), "the server was asked for what it has not: {asked:?}");
}

#[tokio::test]
async fn a_server_that_fails_is_no_empty_list() {
    let setup = Setup::with_jobs().await;
    for status in [401, 429, 500, 503] {
        for target in ["/api/jobs", "/api/jobs/waits"] {
            setup.server.heal();
            setup.server.fail_next(Some(Call::Job), 1, Fault::Status(status));
            let answer = setup.client.get(setup.jobshim.address, target).await;
            assert_eq!(answer.status.as_u16(), status, "{target}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn jobs_are_cancelled_one_by_one_and_many_at_once() {
    let setup = Setup::with_jobs().await;
    let cancel = async |target: &str, body: Value| {
        let answer = setup.post(target, &[], &body).await;
        (answer.status.as_u16(), answer.text())
    };
    let yes = |text: &str| serde_json::from_str::<Value>(text).expect("JSON") == json!({"cancelled": true});
    let (status, text) = cancel("/api/jobs/last/cancel", Value::Null).await;
    assert!(status == 200 && yes(&text), "{status} {text}");
    for id in ["ended", "none"] {
        let (status, text) = cancel(&format!("/api/jobs/{id}/cancel"), Value::Null).await;
        assert!(status == 200 && !yes(&text), "{id}: {status} {text}");
    }
    let (status, text) = cancel("/api/jobs/cancel", json!({"job_ids": ["waits", "runs", "none"]})).await;
    assert!(status == 200 && yes(&text), "{status} {text}");
    for body in [
        json!({}),
        json!({"job_ids": "waits"}),
        json!({"job_ids": {}}),
        json!({"job_ids": [1]}),
        json!([]),
    ] {
        let (status, text) = cancel("/api/jobs/cancel", body.clone()).await;
        assert_eq!(status, 400, "{body}: {text}");
    }
    setup.server.step();
    let left = setup.get("/api/jobs?status=pending,in_progress").await;
    assert_eq!(ids(&left), [""; 0]);
}

#[tokio::test]
async fn what_is_deleted_from_the_history_is_in_no_list() {
    let setup = Setup::with_jobs().await;
    let answer = setup.post("/history", &[], &json!({"delete": ["ended"]})).await;
    assert_eq!(answer.status, 200);
    let list = setup.get("/api/jobs").await;
    assert_eq!(ids(&list), ["last", "waits", "runs", "gone"]);
    assert_eq!(list["pagination"]["total"], 4);
    let answer = setup.client.get(setup.jobshim.address, "/api/jobs/ended").await;
    assert_eq!(answer.status, 404, "{}", answer.text());
}

#[tokio::test]
async fn nothing_of_one_key_is_listed_told_or_cancelled_for_another() {
    let setup = Setup::new(Options {
        keys: vec!["one".to_owned(), "other".to_owned()],
        ..Options::default()
    })
    .await;
    let [one, other] = ["Bearer one", "Bearer other"].map(|key| [("authorization", key)]);
    let (id, _) = setup.submit(&one, json!({})).await;
    assert_eq!(ids(&setup.get_with("/api/jobs", &one).await), [id.as_str()]);
    assert_eq!(ids(&setup.get_with("/api/jobs", &other).await), [""; 0]);
    let target = format!("/api/jobs/{id}");
    let answer = setup.client.get_with(setup.jobshim.address, &target, &other).await;
    assert_eq!(answer.status, 404, "{}", answer.text());
    let answer = setup.post(&format!("{target}/cancel"), &other, &Value::Null).await;
    assert_eq!(answer.text(), r#"{"cancelled":false}"#);
    assert_eq!(setup.get_with(&target, &one).await["status"], "pending");
}

#[tokio::test]
async fn jobs_that_the_server_has_lost_are_listed_where_the_history_is_kept() {
    let folder = StateFolder::new("v2-served");
    let setup = Setup::keeping(&folder).await;
    let (id, _) = setup.submit(&[], json!({})).await;
    setup.server.finish(&id);
    let job = setup.get(&format!("/api/jobs/{id}")).await;
    let list = setup.get("/api/jobs").await;
    setup.get("/history").await;
    let pipeline = setup.jobshim.pipeline();
    until("it is kept", async || pipeline.kept().0 == 1).await;
    assert!(setup.server.forget(&id));
    assert_eq!(setup.get(&format!("/api/jobs/{id}")).await, job);
    assert_eq!(setup.get("/api/jobs").await, list);
    let answer = setup
        .client
        .get(setup.jobshim.address, "/api/jobs?status=completed")
        .await;
    assert!(answer.text().contains(&id));
}
