//! Jobs: what is taken, what is refused, and what becomes of them.

use super::{Api, code, picture, slow, told};
use crate::support::wait::until;
use http::Method;
use jobshim::demo::v2::{Call, Options, Status};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn jobs_run_one_after_the_other_and_tell_their_times() {
    let api = Api::start(Options::default()).await;
    let (first, second) = (api.submit(&picture()).await, api.submit(&picture()).await);
    assert_eq!(api.job(&second).await["queue_position"], 2);
    assert!(api.simulator.step());
    assert_eq!(api.simulator.in_state(Status::Running), [first.as_str()]);
    assert_eq!(api.job(&second).await["queue_position"], 1);
    api.simulator.finish_all();
    let mut ends = Vec::new();
    for id in [&first, &second] {
        let job = api.job(id).await;
        assert_eq!(job["status"], "succeeded");
        let time = |name: &str| -> jiff::Timestamp { job[name].as_str().expect("a time").parse().expect(name) };
        assert!(time("created_at") <= time("started_at"));
        assert!(time("started_at") <= time("completed_at"));
        assert!(time("completed_at") < time("expires_at"));
        ends.push(time("completed_at"));
        let own = format!("{}/api/v2/jobs/{id}", api.simulator.url());
        assert_eq!(job["urls"]["self"], own);
        assert_eq!(job["outputs"][0]["job_id"], *id);
    }
    assert!(ends[0] <= ends[1]);
    let names: Vec<Value> = [api.job(&first).await, api.job(&second).await]
        .iter()
        .map(|job| job["outputs"][0]["name"].clone())
        .collect();
    assert_eq!(names, ["cat_00001_.png", "cat_00002_.png"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_clock_a_job_runs_and_ends_by_itself() {
    let options = Options {
        runs_for: Some(Duration::from_millis(200)),
        ..Options::default()
    };
    let api = Api::start(options).await;
    let ids = [api.submit(&slow(0.5)).await, api.submit(&picture()).await];
    until("both have succeeded", async || {
        api.simulator.in_state(Status::Succeeded) == ids
    })
    .await;
    let [first, second] = [api.job(&ids[0]).await, api.job(&ids[1]).await];
    let time =
        |job: &Value, name: &str| -> jiff::Timestamp { job[name].as_str().expect("a time").parse().expect(name) };
    for job in [&first, &second] {
        let ran = time(job, "completed_at").duration_since(time(job, "started_at"));
        assert!(ran >= jiff::SignedDuration::from_millis(200), "{ran}");
    }
    assert!(time(&second, "started_at") >= time(&first, "completed_at"));
    let options = Options {
        retention: Duration::ZERO,
        ..Options::default()
    };
    let api = Api::start(options).await;
    let id = api.submit(&picture()).await;
    assert_eq!(api.job(&id).await["status"], "queued", "it has not ended");
    api.simulator.finish(&id);
    let (status, _) = api.get(&format!("/api/v2/jobs/{id}")).await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_twice_is_cancelling_once() {
    let api = Api::start(Options::default()).await;
    let (runs, waits) = (api.submit(&slow(1.0)).await, api.submit(&picture()).await);
    api.simulator.step();
    for _ in 0..2 {
        for (id, status) in [(&runs, "canceling"), (&waits, "expired")] {
            let (answered, job) = api.post(&format!("/api/v2/jobs/{id}/cancel"), &json!({})).await;
            assert_eq!((answered, &job["status"]), (200, &json!(status)));
        }
    }
    api.simulator.finish_all();
    for (id, status) in [(&runs, "canceled"), (&waits, "expired")] {
        let (answered, job) = api.post(&format!("/api/v2/jobs/{id}/cancel"), &json!({})).await;
        assert_eq!((answered, &job["status"]), (200, &json!(status)));
    }
    let (status, error) = api.post("/api/v2/jobs/none/cancel", &json!({})).await;
    assert_eq!((status, code(&error)), (404, "not_found"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_can_be_made_to_expire_and_to_be_forgotten() {
    let api = Api::start(Options::default()).await;
    let id = api.submit(&picture()).await;
    api.simulator.finish(&id);
    let before = api.job(&id).await;
    let asset = before["outputs"][0]["id"].as_str().expect("an id").to_owned();
    assert!(api.simulator.content(&asset).is_some());
    assert!(api.simulator.expire(&id));
    let after = api.job(&id).await;
    assert_eq!((&after["status"], &after["outputs"]), (&json!("expired"), &json!([])));
    assert_eq!(after["completed_at"], before["completed_at"]);
    assert_eq!(api.get(&format!("/api/v2/assets/{asset}")).await.0, 404);
    assert!(api.simulator.forget(&id) && !api.simulator.forget(&id));
    for target in [format!("/api/v2/jobs/{id}"), format!("/api/v2/jobs/{id}/workflow")] {
        let (status, error) = api.get(&target).await;
        assert_eq!((status, code(&error)), (404, "not_found"), "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workflow_comes_back_as_it_was_sent() {
    let api = Api::start(Options::default()).await;
    let sent = r#"{"9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "n": 1.0, "big": 123456789012345678901234567890}},
        "1": {"class_type": "EmptyImage", "inputs": {"small": 1e-07, "text": "\ud83d\ude00 \u00fc"}}}"#;
    let body = format!(r#"{{"workflow": {sent}, "extra_data": {{"api_key_comfy_org": "secret"}}}}"#);
    let (status, job) = told(&api.send(Method::POST, "/api/v2/jobs", &[], &body).await);
    assert_eq!(status, 201, "{job}");
    let id = job["id"].as_str().expect("an id");
    let target = format!("/api/v2/jobs/{id}/workflow");
    let reply = api.send(Method::GET, &target, &[], "").await;
    assert_eq!(reply.text(), format!(r#"{{"workflow": {sent}, "format": "api"}}"#));
    assert!(!reply.text().contains("secret"));
    assert!(!api.job(id).await.to_string().contains("secret"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_accepted_is_refused_and_makes_no_job() {
    let api = Api::start(Options::default()).await;
    let with = |name: &str, value: Value| {
        let mut body = json!({"workflow": picture()});
        body[name] = value;
        body
    };
    let workflow = |workflow: Value| json!({ "workflow": workflow });
    for (body, status, wanted) in [
        (json!([]), 400, "invalid_request"),
        (workflow(json!("text")), 422, "invalid_workflow"),
        (workflow(json!({})), 422, "invalid_workflow"),
        (workflow(json!({"1": {"inputs": {}}})), 422, "invalid_workflow"),
        (
            workflow(json!({"1": {"class_type": "EmptyImage"}})),
            422,
            "invalid_workflow",
        ),
        (with("inputs", json!({})), 422, "invalid_workflow"),
        (with("prompt_id", json!("mine")), 400, "invalid_request"),
        (with("client_id", json!("me")), 400, "invalid_request"),
        (with("extra_data", json!({"extra_pnginfo": {}})), 400, "invalid_request"),
        (
            with("extra_data", json!({"api_key_comfy_org": null})),
            400,
            "invalid_request",
        ),
        (with("extra_data", json!("text")), 400, "invalid_request"),
    ] {
        let (given, error) = api.post("/api/v2/jobs", &body).await;
        assert_eq!((given, code(&error)), (status, wanted), "{body}: {error}");
    }
    let reply = api.send(Method::POST, "/api/v2/jobs", &[], "{no JSON").await;
    assert_eq!(reply.status, 400);
    assert_eq!(api.simulator.in_state(Status::Queued), Vec::<String>::new());
    let (status, _) = api.post("/api/v2/jobs", &with("extra_data", Value::Null)).await;
    assert_eq!(status, 201);
    assert_eq!(api.simulator.count(Call::Submit), 13);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_nodes_are_told_as_comfyui_or_as_the_document_says_them() {
    let workflow = json!({"workflow": {
        "9": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}},
    }});
    let missing = json!({
        "type": "required_input_missing", "message": "Required input is missing", "details": "images",
        "extra_info": {"input_name": "images"},
    });
    let as_comfyui = json!({"errors": [missing], "dependent_outputs": ["9"], "class_type": "SaveImage"});
    let as_documented = json!([{"field": "images", "reason": "missing_input"}]);
    for (short, wanted) in [(false, as_comfyui), (true, as_documented)] {
        let options = Options {
            short_node_errors: short,
            ..Options::default()
        };
        let api = Api::start(options).await;
        let (status, error) = api.post("/api/v2/jobs", &workflow).await;
        assert_eq!((status, code(&error)), (422, "invalid_workflow"));
        assert_eq!(error["error"]["details"], json!({"node_errors": {"9": wanted}}));
        // What can be made is made all the same.
        let mut both = workflow.clone();
        both["workflow"]["1"] = json!({"class_type": "EmptyImage"});
        both["workflow"]["8"] = json!({"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}});
        let (status, job) = api.post("/api/v2/jobs", &both).await;
        assert_eq!(status, 201);
        api.simulator.finish_all();
        let job = api.job(job["id"].as_str().expect("an id")).await;
        assert_eq!(job["outputs"].as_array().map(Vec::len), Some(1));
        assert_eq!(job["outputs"][0]["node_id"], "8");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_job_says_which_node_failed_and_how() {
    let api = Api::start(Options {
        classes: vec![("Strange".to_owned(), true), ("Between".to_owned(), false)],
        ..Options::default()
    })
    .await;
    let id = api
        .submit(&json!({
            "1": {"class_type": "EmptyImage"},
            "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
            "3": {"class_type": "LabFail", "inputs": {"images": ["2", 0], "message": "boom"}},
            "4": {"class_type": "Between", "inputs": {"x": ["3", 0]}},
            "9": {"class_type": "Strange", "inputs": {"x": ["4", 0]}},
        }))
        .await;
    api.simulator.finish_all();
    let job = api.job(&id).await;
    assert_eq!(job["status"], "failed");
    let error = &job["error"];
    assert_eq!((&error["message"], &error["node_id"]), (&json!("boom\n"), &json!("3")));
    assert_eq!(error["class_type"], "LabFail");
    assert!(
        error["traceback"].as_str().is_some_and(|text| text.contains("boom")),
        "{job}"
    );
    assert_eq!(job["outputs"][0]["node_id"], "2", "what was made before is there");
}
