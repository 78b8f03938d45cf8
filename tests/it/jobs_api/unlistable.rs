//! One job that the server cannot list must not take the legacy surface from everybody: such a prompt is sent so that its
//! job can be listed, and where a job came another way, all that can be answered is.

use crate::support::{
    Client, Reply, Running, facing,
    prompts::{PNGINFO, body},
    server::{Server, Setup, board},
    start, start_with,
    upstream::{Scripted, reply},
};
use flate2::{Compression, write::GzEncoder};
use http::{Method, Request};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use jobshim::{
    config::DialectChoice,
    config::{
        Options,
        settings::{LEGACY, UPSTREAM},
    },
    demo::Rules,
};
use serde_json::{Value, json};
use std::{
    io::Write,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

async fn post(at: SocketAddr, target: &str, body: impl ToString) -> Reply {
    Client::new()
        .send(Method::POST, at, target, &[], body.to_string())
        .await
        .expect("an answer")
}

async fn submit(at: SocketAddr, extra_data: &str) -> String {
    let reply = post(at, "/prompt", body(extra_data)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
    answer["prompt_id"].as_str().expect("an id").to_owned()
}

async fn get(at: SocketAddr, target: &str) -> Value {
    let reply = Client::new().get(at, target).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    serde_json::from_slice(&reply.body).expect("JSON")
}

/// Says which job it is about, and what to do.
fn assert_named(reply: &Reply, states: &str, what: &str) {
    assert_eq!(reply.status, 502, "{what}: {}", reply.text());
    let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(body["error"]["type"], "unlistable_job", "{what}: {body}");
    let message = body["error"]["message"].as_str().expect("a message");
    for part in [
        &format!("one of its {states} jobs"),
        "extra_data.extra_pnginfo or extra_data.extra_pnginfo.workflow",
    ] {
        assert!(message.contains(part), "{what}: {message}");
    }
    let details = body["error"]["details"].as_str().expect("details");
    assert!(details.contains("POST /queue {\"delete\": [id]}"), "{what}: {details}");
}

#[tokio::test]
async fn what_the_list_fails_at_does_not_go_on_and_every_other_byte_does() {
    for (dialect, stripped) in [(DialectChoice::Comfyui, true), (DialectChoice::Cloud, false)] {
        let recorder = Scripted::always(200, &[], r#"{"prompt_id": "a"}"#).await;
        let jobshim = start(&recorder.url(), |config| config.upstream.dialect = dialect).await;
        for (sent, arrives) in PNGINFO {
            let whole = body(&format!(r#""y":  1e5 , {sent}"#));
            let rest = match (stripped, arrives) {
                (false, _) => whole.clone(),
                (true, "") => body(r#""y":  1e5"#),
                (true, arrives) => body(&format!(r#""y":  1e5 , {arrives}"#)),
            };
            assert_eq!(post(jobshim.address, "/prompt", &whole).await.status, 200);
            let arrived = recorder.arrived().pop().expect("a request");
            assert_eq!(String::from_utf8_lossy(&arrived.body), rest, "{dialect:?}: {sent}");
            assert_eq!(arrived.headers["content-length"], rest.len().to_string(), "{sent}");
        }
    }
}

#[tokio::test]
async fn neither_does_it_from_a_compressed_prompt() {
    let recorder = Scripted::always(200, &[], r#"{"prompt_id": "a"}"#).await;
    let jobshim = start(&recorder.url(), |config| {
        config.upstream.dialect = DialectChoice::Comfyui
    })
    .await;
    let sent = body(r#""y": 1, "extra_pnginfo": {"workflow": null}"#);
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(sent.as_bytes()).expect("written");
    let client = Client::new();
    let sending = client.send(
        Method::POST,
        jobshim.address,
        "/prompt",
        &[("content-encoding", "gzip")],
        encoder.finish().expect("gzip"),
    );
    assert_eq!(sending.await.expect("an answer").status, 200);
    let arrived = recorder.arrived().pop().expect("a request");
    let rest = body(r#""y": 1, "extra_pnginfo": {}"#);
    assert_eq!(String::from_utf8_lossy(&arrived.body), rest);
    assert_eq!(arrived.headers["content-length"], rest.len().to_string());
    assert!(!arrived.headers.contains_key("content-encoding"));
}

#[tokio::test]
async fn a_prompt_is_sent_again_as_the_server_that_takes_it_can_list_it() {
    let (is_cloud, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let (now, told) = (Arc::clone(&is_cloud), Arc::clone(&taken));
    let upstream = Scripted::start(move |request: Request<Incoming>| {
        let (is_cloud, told) = (now.load(SeqCst), Arc::clone(&told));
        async move {
            let path = request.uri().path().to_owned();
            let probe = request.uri().query().unwrap_or_default().contains("create_time");
            let (status, answer) = match (&path[..], is_cloud) {
                ("/api/jobs", false) if probe => (400, r#"{"error": "sort_by"}"#),
                ("/api/jobs", _) => (200, r#"{"jobs": [], "pagination": {"has_more": false}}"#),
                ("/prompt", false) | ("/api/prompt", true) => (200, r#"{"prompt_id": "an-id", "number": 1}"#),
                _ => (405, "<html>"),
            };
            let body = request.into_body().collect().await.expect("a body").to_bytes();
            if path.ends_with("/prompt") {
                let text = String::from_utf8_lossy(&body).into_owned();
                told.lock().expect("notes").push((status, text));
            }
            reply(status, &[], answer)
        }
    })
    .await;
    let jobshim = start(&upstream.url(), |_| {}).await;
    let sent = body(r#""extra_pnginfo": null"#);
    let stripped = body("");
    for (cloud, arrivals) in [
        (false, vec![(200, stripped.clone())]),
        (true, vec![(405, stripped), (200, sent.clone())]),
    ] {
        is_cloud.store(cloud, SeqCst);
        taken.lock().expect("notes").clear();
        assert_eq!(post(jobshim.address, "/prompt", &sent).await.status, 200);
        assert_eq!(*taken.lock().expect("notes"), arrivals, "cloud {cloud}");
    }
}

#[tokio::test]
async fn a_job_without_it_is_shown_with_it_in_queue_and_history() {
    for workflow_while_queued in [false, true] {
        for (sent, arrives) in PNGINFO {
            let setup = Setup {
                workflow_while_queued,
                ..Setup::default()
            };
            let server = Server::start(board(Rules::Comfyui), setup).await;
            let jobshim = facing(&server.url(), |_| {}).await;
            let at = jobshim.address;
            let id = submit(at, &format!(r#""y": 2, {sent}"#)).await;
            let expected: Value = match sent.contains("ud83d") {
                // Half a character, which the comparison cannot read.
                true => continue,
                false => serde_json::from_str(&format!("{{{sent}}}")).expect("JSON"),
            };
            let is_shown = |shown: &Value, place: &str| {
                let what = format!("{place} {sent} {arrives}");
                assert_eq!(shown["extra_pnginfo"], expected["extra_pnginfo"], "{what}: {shown}");
                assert!(shown.get("extra_pnginfo").is_some(), "{what}: {shown}");
                assert_eq!((&shown["y"], &shown["client_id"]), (&json!(2), &json!("me")), "{what}");
                assert!(shown["create_time"].is_number(), "{what}: {shown}");
            };
            is_shown(&get(at, "/queue").await["queue_pending"][0][3], "pending");
            server.step();
            is_shown(&get(at, "/queue").await["queue_running"][0][3], "running");
            server.step();
            for _ in 0..2 {
                is_shown(&get(at, "/history").await[&id]["prompt"][3], "history");
                is_shown(&get(at, &format!("/history/{id}")).await[&id]["prompt"][3], "one");
            }
            is_shown(
                &get(at, &format!("/api/history_v2/{id}")).await[&id]["prompt"]["extra_data"],
                "detail",
            );
        }
    }
}

/// A server with a finished job that it can list, and then jobs that came past jobshim, the last one of which it cannot.
async fn with_a_bad_job(setup: Setup, mode: &str) -> (Server, Running, [String; 3]) {
    let server = Server::start(board(Rules::Comfyui), setup).await;
    let straight = server.upstream.address;
    let good = submit(straight, "").await;
    server.step();
    server.step();
    let bad = submit(straight, r#""extra_pnginfo": {"workflow": null}"#).await;
    let waiting = submit(straight, "").await;
    let options = Options::default()
        .with(&UPSTREAM.url.key, server.url())
        .with(&UPSTREAM.dialect.key, "comfyui")
        .with(&LEGACY.mode.key, mode);
    let jobshim = start_with(options).await;
    (server, jobshim, [good, bad, waiting])
}

fn ids(board: &Server, state: &str) -> Vec<String> {
    board.with(|known| known.board.in_state(state))
}

#[tokio::test]
async fn while_such_a_job_waits_the_history_is_whole_and_the_job_can_be_taken_out() {
    let (server, jobshim, [good, bad, waiting]) = with_a_bad_job(Setup::default(), "translate").await;
    let at = jobshim.address;
    for target in ["/history", "/history?max_items=5", "/history?offset=0"] {
        let history = get(at, target).await;
        let keys: Vec<&String> = history.as_object().expect("an object").keys().collect();
        assert_eq!(keys, [&good], "{target}");
    }
    assert_eq!(get(at, "/api/history_v2").await["history"][0]["prompt_id"], *good);
    assert!(get(at, &format!("/history/{good}")).await[&good].is_object());
    assert_eq!(get(at, &format!("/history/{waiting}")).await, json!({}));
    let client = Client::new();
    assert_named(&client.get(at, "/queue").await, "pending", "/queue");
    assert_named(
        &client.get(at, &format!("/history/{bad}")).await,
        "pending",
        "its own entry",
    );
    // What cannot be told apart is not done by halves.
    assert_named(&post(at, "/queue", r#"{"clear": true}"#).await, "pending", "clear");
    assert_eq!(ids(&server, "pending").len(), 2);
    // An interrupt finds nothing running, and takes nothing out of the queue.
    for body in ["{}".to_owned(), json!({"prompt_id": bad}).to_string()] {
        assert_eq!(post(at, "/interrupt", body).await.status, 200);
    }
    assert_eq!(ids(&server, "pending").len(), 2);
    let reply = post(at, "/queue", json!({"delete": [bad, "unknown", good]})).await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, ""));
    assert_eq!(ids(&server, "pending"), [waiting.as_str()]);
    assert_eq!(get(at, "/queue").await["queue_pending"][0][1], *waiting);
}

#[tokio::test]
async fn a_job_that_was_shown_with_an_empty_prompt_is_not_lost_behind_such_a_one() {
    let server = Server::start(board(Rules::Comfyui), Setup::default()).await;
    let straight = server.upstream.address;
    let hollow = submit(straight, "").await;
    let jobshim = facing(&server.url(), |_| {}).await;
    let at = jobshim.address;
    assert_eq!(get(at, "/queue").await["queue_pending"][0][2], json!({}));
    submit(straight, r#""extra_pnginfo": null"#).await;
    let delete = json!({"delete": [hollow]});
    assert_eq!(post(at, "/queue", &delete).await.status, 409);
    assert_eq!(ids(&server, "pending").len(), 2);
    assert_eq!(post(at, "/queue", &delete).await.status, 200);
    assert_eq!(ids(&server, "pending").len(), 1);
}

#[tokio::test]
async fn while_such_a_job_runs_the_others_can_be_taken_out_and_the_job_be_stopped_by_its_id() {
    let (server, jobshim, [good, bad, waiting]) = with_a_bad_job(Setup::default(), "translate").await;
    let at = jobshim.address;
    server.step();
    assert_eq!(ids(&server, "in_progress"), [bad.as_str()]);
    assert!(get(at, "/history").await[&good].is_object());
    let client = Client::new();
    assert_named(&client.get(at, "/queue").await, "running", "/queue");
    assert_named(&post(at, "/interrupt", "{}").await, "running", "whatever runs");
    // What runs is no more in the queue.
    assert_eq!(post(at, "/queue", json!({"delete": [bad, waiting]})).await.status, 200);
    assert_eq!(ids(&server, "in_progress"), [bad.as_str()]);
    assert_eq!(ids(&server, "pending"), [""; 0]);
    assert_eq!(post(at, "/queue", r#"{"clear": true}"#).await.status, 200);
    assert_eq!(post(at, "/interrupt", json!({"prompt_id": bad})).await.status, 200);
    assert_eq!(ids(&server, "cancelled"), [bad.as_str()]);
    assert_eq!(
        get(at, "/queue").await,
        json!({"queue_running": [], "queue_pending": []})
    );
}

#[tokio::test]
async fn once_such_a_job_has_ended_the_queue_and_single_jobs_are_answered_and_a_history_is_never_short() {
    let (server, jobshim, [good, bad, waiting]) = with_a_bad_job(Setup::default(), "translate").await;
    let at = jobshim.address;
    server.step();
    server.step();
    assert_eq!(get(at, "/queue").await["queue_running"][0][1], *waiting);
    assert!(get(at, &format!("/history/{good}")).await[&good].is_object());
    let client = Client::new();
    for target in [
        "/history",
        "/history?max_items=1",
        "/api/history_v2",
        "/history/BAD",
        "/api/job/BAD/status",
    ] {
        let target = target.replace("BAD", &bad);
        assert_named(&client.get(at, &target).await, "finished", &target);
    }
    let reply = post(at, "/history", r#"{"clear": true}"#).await;
    assert_named(&reply, "finished", "a clear that cannot know what there is");
    assert_eq!(post(at, "/interrupt", "{}").await.status, 200);
    assert_eq!(ids(&server, "cancelled"), [waiting.as_str()]);
}

#[tokio::test]
async fn a_server_before_0_9_is_asked_in_its_own_words() {
    let server = Server::start(board(Rules::ComfyuiEarly), Setup::default()).await;
    let straight = server.upstream.address;
    let good = submit(straight, "").await;
    server.step();
    server.step();
    submit(straight, r#""extra_pnginfo": null"#).await;
    let jobshim = facing(&server.url(), |_| {}).await;
    let history = get(jobshim.address, "/history").await;
    assert!(history[&good].is_object(), "{history}");
}

#[tokio::test]
async fn where_the_servers_own_endpoints_are_there_they_answer_instead() {
    for mode in ["translate", "auto"] {
        let setup = Setup {
            legacy_writes: true,
            ..Setup::default()
        };
        let (server, jobshim, [_, _, waiting]) = with_a_bad_job(setup, mode).await;
        let at = jobshim.address;
        server.intercept(|_, arrived| {
            let is_own = arrived.method == Method::GET && !arrived.target.contains("/jobs");
            is_own.then(|| (200, json!({"own": arrived.target}).to_string()))
        });
        assert_eq!(get(at, "/queue").await["own"], "/queue", "{mode}");
        assert_eq!(post(at, "/queue", r#"{"clear": true}"#).await.status, 200);
        assert_eq!(ids(&server, "pending"), [""; 0], "{mode}");
        let straight = server.upstream.address;
        let bad = submit(straight, r#""extra_pnginfo": []"#).await;
        server.step();
        assert_eq!(post(at, "/interrupt", "{}").await.status, 200);
        assert_eq!(ids(&server, "in_progress"), [""; 0], "{mode}");
        let bad_again = submit(straight, r#""extra_pnginfo": []"#).await;
        server.step();
        server.step();
        for target in ["/history", "/history?max_items=1", &format!("/history/{bad_again}")] {
            assert_eq!(get(at, target).await["own"], target, "{mode}");
        }
        assert_ne!(bad, waiting);
    }
}

#[tokio::test]
async fn a_server_that_fails_at_everything_is_not_said_to_have_such_a_job() {
    let server = Server::start(board(Rules::Comfyui), Setup::default()).await;
    server.intercept(|_, arrived| {
        let is_list = arrived.target.starts_with("/api/jobs");
        is_list.then(|| (500, r#"{"own": "words"}"#.to_owned()))
    });
    let jobshim = facing(&server.url(), |_| {}).await;
    for target in ["/history", "/queue", "/history/x", "/api/history_v2"] {
        let reply = Client::new().get(jobshim.address, target).await;
        assert_eq!(
            (reply.status.as_u16(), reply.text().as_str()),
            (500, r#"{"own": "words"}"#),
            "{target}"
        );
    }
}
