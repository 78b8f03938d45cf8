//! Against the recordings of comfy-api-proxy: members and types of every answer, states, outputs and errors.

use super::{Api, told};
use http::Method;
use jobshim::demo::v2::{Options, Variant};
use serde_json::{Value, json};
use std::{fs, path::Path};

fn recordings() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/comfy-v2/jobs.json");
    serde_json::from_str(&fs::read_to_string(path).expect("the recordings")).expect("JSON")
}

fn body(recorded: &Value) -> Value {
    serde_json::from_str(recorded["body"].as_str().expect("a body")).expect("JSON")
}

/// Members and types alone: `{"a": [1]}` is `{"a": ["number"]}`.
fn shape(value: &Value) -> Value {
    match value {
        Value::Null => json!("null"),
        Value::Bool(_) => json!("bool"),
        Value::Number(_) => json!("number"),
        Value::String(_) => json!("text"),
        Value::Array(items) => items.iter().map(shape).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| (name.clone(), shape(value)))
            .collect(),
    }
}

/// As [`shape`], where null and a text, say, are no difference: what one server leaves out another one tells.
fn agree(recorded: &Value, given: &Value) -> bool {
    match (recorded, given) {
        (Value::Null, _) | (_, Value::Null) => true,
        (Value::Object(one), Value::Object(other)) => {
            one.keys().eq(other.keys()) && one.iter().all(|(name, value)| agree(value, &other[name]))
        }
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| agree(one, other))
        }
        _ => shape(recorded) == shape(given),
    }
}

/// What of an output does not depend on counters and times.
fn outputs(job: &Value) -> Vec<[String; 3]> {
    let outputs = job["outputs"].as_array().expect("outputs").iter();
    outputs
        .map(|output| ["node_id", "type", "content_type"].map(|name| output[name].to_string()))
        .collect()
}

/// Sends a recorded request; its ids are as `ids` has them.
async fn ask(api: &Api, recorded: &Value, ids: &[(String, String)]) -> (u16, Value) {
    let (method, target) = recorded["request"]
        .as_str()
        .and_then(|request| request.split_once(' '))
        .expect("a request");
    let mut target = target.to_owned();
    for (recorded, given) in ids {
        target = target.replace(recorded, given);
    }
    let method: Method = method.parse().expect("a method");
    let sent = recorded
        .get("request_body")
        .map_or(String::new(), |body| body.to_string());
    let reply = api.send(method, &target, &[], &sent).await;
    let content_type = recorded
        .get("content_type")
        .or_else(|| recorded["headers"].get("Content-Type"));
    let content_type = content_type.and_then(Value::as_str).expect("a type");
    assert_eq!(reply.header("content-type"), content_type, "{target}");
    told(&reply)
}

/// All that was submitted, in that order: the recorded id and the one that the simulator gave.
async fn submit_all(api: &Api, recordings: &Value) -> Vec<(String, String)> {
    let mut ids = Vec::new();
    for recorded in recordings["submit"].as_array().expect("submissions") {
        let (status, job) = ask(api, recorded, &[]).await;
        let wanted = body(recorded);
        assert_eq!(status, recorded["status"], "{job}");
        assert!(agree(&wanted, &job), "{wanted:#}\n{job:#}");
        if api_proxy(api).await {
            assert_eq!(shape(&wanted), shape(&job), "{wanted:#}\n{job:#}");
        }
        let text = |job: &Value| job["id"].as_str().expect("an id").to_owned();
        ids.push((text(&wanted), text(&job)));
    }
    ids
}

async fn api_proxy(api: &Api) -> bool {
    api.get("/api/v2/health").await.0 == 200
}

#[tokio::test(flavor = "multi_thread")]
async fn every_job_has_the_recorded_members_and_types_in_every_state() {
    let recordings = recordings();
    for options in [Options::api_proxy(), Options::default()] {
        let exact = options.variant == Variant::ApiProxy;
        let api = Api::start(options).await;
        let ids = submit_all(&api, &recordings).await;
        let compare = |recorded: &Value, (status, given): (u16, Value)| {
            let wanted = body(recorded);
            assert_eq!(status, recorded["status"], "{given:#}");
            assert_eq!(wanted["status"], given["status"], "{wanted:#}\n{given:#}");
            assert_eq!(outputs(&wanted), outputs(&given), "{wanted:#}\n{given:#}");
            assert_eq!(wanted["queue_position"], given["queue_position"], "{given:#}");
            assert!(agree(&wanted, &given), "{wanted:#}\n{given:#}");
            if exact {
                assert_eq!(shape(&wanted), shape(&given), "{wanted:#}\n{given:#}");
                assert_eq!(wanted["error"], given["error"]);
                assert_eq!(wanted["progress"], given["progress"]);
            }
        };
        // The last two were recorded while one ran and the other waited.
        let (finished, busy) = ids.split_at(ids.len() - 2);
        for (_, id) in finished {
            assert!(api.simulator.finish(id));
        }
        assert!(api.simulator.step());
        for state in ["running", "queued"] {
            let recorded = &recordings["busy"][state];
            compare(recorded, ask(&api, recorded, &ids).await);
        }
        for recorded in recordings["cancel"].as_array().expect("cancels") {
            compare(recorded, ask(&api, recorded, &ids).await);
        }
        assert!(api.simulator.step());
        assert!(!api.simulator.step());
        for (recorded, _) in busy {
            let recorded = &recordings["cancelled"][recorded]["detail"];
            compare(recorded, ask(&api, recorded, &ids).await);
        }
        for (id, _) in finished {
            let recorded = &recordings["jobs"][id];
            compare(&recorded["detail"], ask(&api, &recorded["detail"], &ids).await);
            let (status, workflow) = ask(&api, &recorded["workflow"], &ids).await;
            assert_eq!((status, workflow), (200, body(&recorded["workflow"])));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recorded_error_is_given() {
    let api = Api::start(Options::api_proxy()).await;
    for recorded in recordings()["errors"].as_array().expect("errors") {
        let (status, given) = ask(&api, recorded, &[]).await;
        let wanted = body(recorded);
        assert_eq!(status, recorded["status"], "{}: {given}", recorded["request"]);
        match status {
            200 => assert_eq!(shape(&given), shape(&wanted)),
            _ => assert_eq!(given, wanted, "{}", recorded["request"]),
        }
    }
    assert_eq!(
        api.simulator.in_state(jobshim::demo::v2::Status::Queued),
        Vec::<String>::new()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_as_recorded_and_404_where_there_is_none() {
    let recordings = recordings();
    let api = Api::start(Options::api_proxy()).await;
    let ids = submit_all(&api, &recordings).await;
    for (_, id) in &ids[..ids.len() - 2] {
        api.simulator.finish(id);
    }
    api.simulator.step();
    let recorded = &recordings["busy"]["list"];
    let (status, given) = ask(&api, recorded, &[]).await;
    assert_eq!(status, 200);
    // Both list the newest first.
    assert_eq!(shape(&given), shape(&body(recorded)), "{given:#}");
    let listed = |list: &Value| -> Vec<String> {
        let jobs = list["jobs"].as_array().expect("jobs").iter();
        jobs.map(|job| job["id"].as_str().expect("an id").to_owned()).collect()
    };
    let newest_first: Vec<String> = ids.iter().rev().map(|(_, id)| id.clone()).collect();
    assert_eq!(listed(&given), newest_first);
    let (_, two) = api.get("/api/v2/jobs?status=failed,queued&limit=5").await;
    assert_eq!(listed(&two), [ids[8].1.clone(), ids[2].1.clone()]);
    assert_eq!(listed(&api.get("/api/v2/jobs?limit=1").await.1), newest_first[..1]);
    for query in ["limit=0", "limit=101", "limit=x", "status=pending"] {
        let (status, error) = api.get(&format!("/api/v2/jobs?{query}")).await;
        assert_eq!((status, super::code(&error)), (400, "invalid_request"), "{query}");
    }
    let (status, error) = Api::start(Options::default()).await.get("/api/v2/jobs").await;
    assert_eq!((status, super::code(&error)), (404, "not_found"));
}

/// The events of a stream: kind and data.
fn events(stream: &str) -> Vec<(String, Value)> {
    let frames = stream.split("\n\n").filter(|frame| !frame.is_empty());
    frames
        .map(|frame| {
            let (kind, data) = frame.split_once('\n').expect("two lines");
            let kind = kind.strip_prefix("event: ").expect("a kind").to_owned();
            let data = data.strip_prefix("data: ").expect("data");
            (kind, serde_json::from_str(data).expect("JSON"))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stream_of_a_job_that_has_ended_is_as_recorded() {
    let recordings = recordings();
    let api = Api::start(Options::api_proxy()).await;
    let ids = submit_all(&api, &recordings).await;
    let mut compared = 0;
    for (recorded, id) in &ids {
        api.simulator.finish(id);
        let recorded = &recordings["jobs"][recorded]["events"];
        let Some(stream) = recorded["body"].as_str() else {
            continue;
        };
        let wanted = events(stream);
        let reply = api
            .send(Method::GET, &format!("/api/v2/jobs/{id}/events"), &[], "")
            .await;
        assert_eq!(reply.header("content-type"), recorded["content_type"]);
        let given = events(&reply.text());
        // Others were recorded from the start: what they say first is in the tests of streams.
        let from_the_end = wanted[0].1["status"] != "running";
        if from_the_end {
            let shapes = |events: &[(String, Value)]| -> Vec<(String, Value)> {
                events.iter().map(|(kind, data)| (kind.clone(), shape(data))).collect()
            };
            assert_eq!(shapes(&given), shapes(&wanted), "{}", reply.text());
            compared += 1;
        }
        let kinds = |kind: &str| wanted.iter().filter(|(of, _)| of == kind).count();
        assert_eq!(given.iter().filter(|(of, _)| of == "output").count(), kinds("output"));
    }
    assert_eq!(compared, 4);
}
