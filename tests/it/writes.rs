//! The legacy writes: what each touches, what it answers, and what it does when the server cannot (CONTRACT.md sections
//! 1, 4 and 5).

use crate::support::{
    Client, Reply, Running,
    corpus::{Case, Legacy, case, finished, items, parts, submission},
    json::{Difference, Json, differences},
    program::Program,
    server::{Server, Setup, board},
    start,
    upstream::{Recorder, raw},
};
use http::Method;
use jobshim::{
    config::DialectChoice,
    demo::{Board, Job, Rules},
};
use serde_json::{Value, json};
use std::{future::Future, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn uuid(nth: usize) -> String {
    format!("{nth:08}-0000-4000-8000-000000000000")
}

fn job(id: &str, status: &str, created: usize) -> Job {
    let text = format!(r#"{{"id": "{id}", "status": "{status}", "priority": {created}, "create_time": {created}}}"#);
    Job::new(&text, &text).expect("a job")
}

/// Job 1 runs, as many more as `pending` says wait.
fn busy(rules: Rules, pending: usize) -> Board {
    let mut board = board(rules);
    board.add(job(&uuid(1), "in_progress", 1));
    for nth in 2..2 + pending {
        board.add(job(&uuid(nth), "pending", nth));
    }
    board
}

async fn behind(board: Board, setup: Setup) -> (Server, Running) {
    let server = Server::start(board, setup).await;
    let jobshim = start(&server.url(), |_| {}).await;
    (server, jobshim)
}

async fn post(jobshim: &Running, target: &str, body: impl ToString) -> Reply {
    Client::new()
        .send(Method::POST, jobshim.address, target, &[], body.to_string())
        .await
        .expect("an answer")
}

fn states(server: &Server) -> Vec<(String, Vec<String>)> {
    let words = ["pending", "in_progress", "completed", "failed", "cancelled"];
    server.with(|state| {
        let of = |word: &&str| (word.to_string(), state.board.in_state(word));
        words.iter().map(of).filter(|(_, ids)| !ids.is_empty()).collect()
    })
}

/// 200, no body, as a self-hosted server answers a write.
fn assert_done(reply: &Reply, what: &str) {
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, ""), "{what}");
    assert_eq!(reply.header("content-type"), "", "{what}");
}

/// The cancel calls that arrived: their targets and the ids in their bodies.
fn cancels(server: &Server) -> Vec<(String, Vec<String>)> {
    let calls = server.arrived(Method::POST, "/api/jobs/").into_iter();
    calls
        .map(|call| {
            let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
            let ids = serde_json::from_value(body["job_ids"].clone()).unwrap_or_default();
            (call.target, ids)
        })
        .collect()
}

// ------------------------------------------------------------------------------------------------ the recordings

async fn assert_like(jobshim: &Running, legacy: &Legacy, what: &str, found: &mut Vec<Difference>) {
    let reply = Client::new().get(jobshim.address, &legacy.target).await;
    assert_eq!(reply.status.as_u16(), legacy.status, "{what}: {}", reply.text());
    let mut wanted = Json::parse(legacy.body.as_bytes()).expect("a recorded body");
    let mut given = Json::parse(&reply.body).expect("JSON");
    wanted.settle();
    given.settle();
    let differing = differences(&wanted, &given).into_iter();
    found.extend(differing.map(|difference| Difference {
        path: format!("{what} {} {}", legacy.target, difference.path),
        ..difference
    }));
}

/// Submits every recorded queue item through jobshim, so that nothing is lost of it.
async fn submit_recorded(server: &Server, jobshim: &Running, queue: &str) {
    for list in parts(queue).values() {
        for item in items(list) {
            let id: String = serde_json::from_str(&items(&item)[1]).expect("an id");
            server.with(|state| state.ids.push(id.clone()));
            let reply = post(jobshim, "/prompt", submission(&item)).await;
            assert!(reply.text().contains(&id), "{}", reply.text());
        }
    }
}

/// Replays the steps of `writes`: the state before them is that of the case `busy`, recorded a moment earlier.
async fn replay_writes(name: &str, setup: Setup) {
    let (writes, busy) = (case(name, "writes"), case(name, "busy"));
    let (server, jobshim) = behind(busy.board(), setup).await;
    let queue = busy.legacy.iter().find(|legacy| legacy.target == "/queue");
    submit_recorded(&server, &jobshim, &queue.expect("a queue").body).await;
    let running = server.with(|state| state.board.in_state("in_progress"));
    let status = if name == "comfyui-0.8" { "failed" } else { "cancelled" };
    for after in writes.steps.iter().filter_map(|step| step.after.as_ref()) {
        if let Some(entry) = parts(&after.body).get(&running[0]) {
            let job = finished(&running[0], status, entry);
            server.with(|state| state.stopped.insert(running[0].clone(), job));
        }
    }
    let mut found = Vec::new();
    for (nth, step) in writes.steps.iter().enumerate() {
        let what = format!("{name} step {nth} {} {}", step.write.target, step.request_body);
        if let Some(before) = &step.before {
            assert_like(&jobshim, before, &format!("{what} before"), &mut found).await;
        }
        let reply = post(&jobshim, &step.write.target, &step.request_body).await;
        assert_eq!(reply.status.as_u16(), step.write.status, "{what}");
        assert_eq!(reply.text(), step.write.body, "{what}");
        assert_eq!(reply.header("content-type"), step.write.content_type, "{what}");
        if let Some(after) = &step.after {
            assert_like(&jobshim, after, &format!("{what} after"), &mut found).await;
        }
    }
    assert!(found.is_empty(), "not like the recording: {found:#?}");
}

/// Replays the steps of `failures` on the state before them: the job that was deleted waits, the one that was
/// interrupted runs.
async fn replay_failures(name: &str, setup: Setup) {
    let failures = case(name, "failures");
    let mut board = failures.board();
    let order: Value = serde_json::from_str(&failures.steps[0].request_body).expect("an order");
    let deleted = order["delete"][0].as_str().expect("an id").to_owned();
    let interrupted = interrupted(&failures);
    let ended = board
        .jobs
        .iter()
        .find(|job| job.id == interrupted)
        .expect("the job")
        .clone();
    let created: Value = serde_json::from_str(&ended.entry).expect("an entry");
    let created = created["create_time"].as_u64().expect("a time") as usize;
    board.replace(job(&interrupted, "in_progress", created));
    board.add(job(&deleted, "pending", created + 1));
    let (server, jobshim) = behind(board, setup).await;
    server.with(|state| state.stopped.insert(interrupted, ended));
    for step in &failures.steps {
        let reply = post(&jobshim, &step.write.target, &step.request_body).await;
        assert_done(&reply, &format!("{name} {} {}", step.write.target, step.request_body));
    }
    let mut found = Vec::new();
    for legacy in &failures.legacy {
        assert_like(&jobshim, legacy, name, &mut found).await;
    }
    assert!(found.is_empty(), "not like the recording: {found:#?}");
}

/// The job whose recorded end is an interrupt.
fn interrupted(case: &Case) -> String {
    let is = |(_, detail): &(&String, &String)| detail.contains("execution_interrupted");
    case.details.iter().find(is).expect("an interrupted job").0.clone()
}

fn without_legacy_writes() -> Setup {
    Setup::default()
}

fn with_both() -> Setup {
    Setup {
        legacy_writes: true,
        ..Setup::default()
    }
}

fn with_legacy_writes_only() -> Setup {
    Setup {
        legacy_writes: true,
        no_cancel: Some(405),
        ..Setup::default()
    }
}

#[tokio::test]
async fn the_recorded_writes_do_through_the_jobs_api_what_they_did() {
    for name in ["comfyui-0.27", "comfyui-next"] {
        replay_writes(name, without_legacy_writes()).await;
        replay_failures(name, without_legacy_writes()).await;
    }
}

#[tokio::test]
async fn the_recorded_writes_do_the_same_where_the_server_still_has_the_legacy_ones() {
    for name in ["comfyui-0.27", "comfyui-next"] {
        replay_writes(name, with_both()).await;
        replay_failures(name, with_both()).await;
    }
}

#[tokio::test]
async fn the_recorded_writes_are_forwarded_where_the_server_has_only_the_legacy_ones() {
    replay_writes("comfyui-0.8", with_legacy_writes_only()).await;
    replay_failures("comfyui-0.8", with_legacy_writes_only()).await;
}

// ------------------------------------------------------------------------------------------------ what is touched

#[tokio::test]
async fn deleting_a_running_job_leaves_it_running_self_hosted_and_cancels_it_on_the_cloud() {
    let order = json!({"delete": [uuid(1), uuid(2)]});
    for (rules, target) in [
        (Rules::Comfyui, "/queue"),
        (Rules::Comfyui, "/api/queue"),
        (Rules::Cloud, "/queue"),
    ] {
        let (server, jobshim) = behind(busy(rules, 2), Setup::default()).await;
        assert_done(&post(&jobshim, target, &order).await, target);
        server.with(|state| {
            assert_eq!(state.board.in_state("in_progress"), [uuid(1)], "{rules:?} {target}");
            assert_eq!(state.board.in_state("pending"), [uuid(3)], "{rules:?} {target}");
        });
    }
    let (server, jobshim) = behind(busy(Rules::Cloud, 2), Setup::default()).await;
    let reply = post(&jobshim, "/api/queue", &order).await;
    assert_eq!(reply.status, 200);
    let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(answer["cleared"], false);
    let mut deleted: Vec<String> = serde_json::from_value(answer["deleted"].clone()).expect("ids");
    deleted.sort_unstable();
    assert_eq!(deleted, [uuid(1), uuid(2)]);
    assert_eq!(
        states(&server),
        [
            ("pending".to_owned(), vec![uuid(3)]),
            ("cancelled".to_owned(), vec![uuid(2), uuid(1)])
        ]
    );
}

#[tokio::test]
async fn a_clear_touches_what_waits_and_nothing_else() {
    for (rules, target) in [
        (Rules::Comfyui, "/queue"),
        (Rules::Comfyui, "/api/queue"),
        (Rules::Cloud, "/queue"),
        (Rules::Cloud, "/api/queue"),
    ] {
        let mut board = busy(rules, 3);
        board.add(job(&uuid(99), "completed", 99));
        let (server, jobshim) = behind(board, Setup::default()).await;
        let reply = post(&jobshim, target, r#"{"clear": true}"#).await;
        match (rules, target) {
            (Rules::Cloud, "/api/queue") => {
                let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
                assert_eq!(answer, json!({"deleted": [], "cleared": true}));
                assert_eq!(reply.header("content-type"), "application/json");
            }
            _ => assert_done(&reply, target),
        }
        server.with(|state| {
            assert_eq!(state.board.in_state("pending"), [""; 0], "{rules:?} {target}");
            assert_eq!(state.board.in_state("in_progress"), [uuid(1)], "{rules:?} {target}");
            assert_eq!(state.board.in_state("completed"), [uuid(99)], "{rules:?} {target}");
        });
    }
}

#[tokio::test]
async fn an_interrupt_stops_what_runs_and_with_an_id_only_that_job() {
    for target in ["/interrupt", "/api/interrupt"] {
        for rules in [Rules::Comfyui, Rules::Cloud] {
            for body in [
                "",
                "{}",
                "not JSON",
                "{\"prompt_id\": null}",
                "{\"prompt_id\": \"\"}",
                &format!(r#"{{"prompt_id": "{}"}}"#, uuid(1)),
            ] {
                let (server, jobshim) = behind(busy(rules, 1), Setup::default()).await;
                assert_done(&post(&jobshim, target, body).await, body);
                server.with(|state| {
                    assert_eq!(state.board.in_state("cancelled"), [uuid(1)], "{rules:?} {body}");
                    assert_eq!(state.board.in_state("pending"), [uuid(2)], "{rules:?} {body}");
                });
            }
            let (server, jobshim) = behind(busy(rules, 1), Setup::default()).await;
            for id in [uuid(2), uuid(77), "x".to_owned(), "../../queue".to_owned()] {
                assert_done(&post(&jobshim, target, json!({"prompt_id": id})).await, &id);
            }
            assert_done(&post(&jobshim, target, r#"{"prompt_id": 7}"#).await, "a number");
            assert_eq!(cancels(&server), [], "nothing is to be cancelled");
        }
    }
}

#[tokio::test]
async fn an_interrupt_whose_json_is_no_object_is_refused_and_stops_nothing() {
    let (server, jobshim) = behind(busy(Rules::Comfyui, 1), Setup::default()).await;
    for body in ["[]", "5", "\"text\"", "null", "[{\"prompt_id\": \"x\"}]"] {
        let reply = post(&jobshim, "/interrupt", body).await;
        assert_eq!(reply.status, 400, "{body}: {}", reply.text());
    }
    assert_eq!(cancels(&server), []);
}

#[tokio::test]
async fn nothing_queued_is_nothing_cancelled() {
    for rules in [Rules::Comfyui, Rules::Cloud] {
        let (server, jobshim) = behind(board(rules), Setup::default()).await;
        for (target, body) in [
            ("/queue", r#"{"clear": true}"#),
            ("/interrupt", "{}"),
            ("/queue", "{}"),
            ("/history", "{}"),
        ] {
            assert_done(&post(&jobshim, target, body).await, target);
        }
        assert_eq!(cancels(&server), []);
    }
}

// ------------------------------------------------------------------------------------------------ batches

#[tokio::test]
async fn ids_that_are_unknown_or_no_uuids_do_not_spoil_the_batch() {
    for (rules, target) in [
        (Rules::Comfyui, "/queue"),
        (Rules::Cloud, "/api/queue"),
        (Rules::Cloud, "/queue"),
    ] {
        let mut board = busy(rules, 3);
        board.add(job("named-by-its-client", "pending", 50));
        board.add(job(&uuid(60), "completed", 60));
        let (server, jobshim) = behind(board, Setup::default()).await;
        let order = json!({"delete": [
            "", "x", "..", "named-by-its-client", uuid(2), uuid(77), 5, null, uuid(60), ["a"], uuid(3), uuid(3).to_uppercase(), "\u{1f388}",
        ]});
        let reply = post(&jobshim, target, &order).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        server.with(|state| {
            assert_eq!(state.board.in_state("pending"), [uuid(4)], "{rules:?}");
            assert_eq!(state.board.in_state("completed"), [uuid(60)], "{rules:?}");
            assert_eq!(state.board.in_state("in_progress"), [uuid(1)], "{rules:?}");
        });
    }
}

#[tokio::test]
async fn two_hundred_and_fifty_waiting_jobs_are_cancelled_in_batches_of_at_most_a_hundred() {
    for rules in [Rules::Comfyui, Rules::Cloud] {
        let (server, jobshim) = behind(busy(rules, 250), Setup::default()).await;
        let reply = post(&jobshim, "/queue", r#"{"clear": true}"#).await;
        assert_done(&reply, "clear");
        let sizes: Vec<usize> = cancels(&server).iter().map(|(_, ids)| ids.len()).collect();
        assert_eq!(sizes, [100, 100, 50], "{rules:?}");
        server.with(|state| assert_eq!(state.board.in_state("pending"), [""; 0]));
    }
}

#[tokio::test]
async fn as_many_ids_as_a_body_may_hold_take_no_time_to_speak_of() {
    let mut board = busy(Rules::Comfyui, 3);
    board.add(job(&uuid(99), "completed", 99));
    let (server, jobshim) = behind(board, Setup::default()).await;
    let mut ids: Vec<String> = (0..130_000).map(|nth| format!("{nth:x}")).collect();
    ids.extend([uuid(2), uuid(99)]);
    let order = json!({"delete": ids});
    for target in ["/queue", "/history"] {
        let answer = tokio::time::timeout(Duration::from_secs(30), post(&jobshim, target, &order)).await;
        assert_done(&answer.expect("an answer in time"), target);
    }
    server.with(|state| assert_eq!(state.board.in_state("pending"), [uuid(4), uuid(3)]));
    assert_eq!(Client::new().get(jobshim.address, "/history").await.text(), "{}");
}

#[tokio::test]
async fn a_server_that_takes_no_batch_is_asked_one_by_one() {
    let (server, jobshim) = behind(busy(Rules::Comfyui, 3), Setup::default()).await;
    server.intercept(|_, request| (request.target == "/api/jobs/cancel").then(|| (404, "404: Not Found".to_owned())));
    assert_done(&post(&jobshim, "/queue", r#"{"clear": true}"#).await, "clear");
    server.with(|state| assert_eq!(state.board.in_state("pending"), [""; 0]));
}

#[tokio::test]
async fn a_job_that_ends_between_looking_and_cancelling_is_no_error() {
    for rules in [Rules::Comfyui, Rules::Cloud] {
        for gone in [false, true] {
            for order in [
                json!({"delete": [uuid(2)]}),
                json!({"delete": [uuid(2), uuid(3)]}),
                json!({"clear": true}),
            ] {
                let (server, jobshim) = behind(busy(rules, 3), Setup::default()).await;
                server.intercept(move |state, request| {
                    if request.method == Method::POST {
                        match gone {
                            true => state.board.jobs.retain(|job| job.id != uuid(2)),
                            false => state.board.replace(job(&uuid(2), "completed", 2)),
                        }
                    }
                    None
                });
                assert_done(
                    &post(&jobshim, "/queue", &order).await,
                    &format!("{rules:?} {gone} {order}"),
                );
                let left = if order["clear"] == true {
                    0
                } else {
                    4 - order["delete"].as_array().map_or(0, Vec::len) - 1
                };
                server
                    .with(|state| assert_eq!(state.board.in_state("pending").len(), left, "{rules:?} {gone} {order}"));
            }
        }
    }
    // The cloud says which were: one that was not is not said to be.
    let (server, jobshim) = behind(busy(Rules::Cloud, 2), Setup::default()).await;
    server.intercept(|state, request| {
        if request.method == Method::POST {
            state.board.replace(job(&uuid(2), "completed", 2));
        }
        None
    });
    let reply = post(&jobshim, "/api/queue", json!({"delete": [uuid(2), uuid(3)]})).await;
    let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(answer, json!({"deleted": [uuid(3)], "cleared": false}));
}

// ------------------------------------------------------------------------------------------------ failures

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_failed_is_heard_by_the_client_and_the_log_says_what_was_done() {
    let server = Server::start(busy(Rules::Comfyui, 150), Setup::default()).await;
    let mut calls = 0;
    server.intercept(move |_, request| {
        calls += usize::from(request.target == "/api/jobs/cancel");
        (calls == 2).then(|| (503, r#"{"error": "later"}"#.to_owned()))
    });
    let mut program = Program::start(&["--listen", "127.0.0.1:0", "--upstream", &server.url()], &[]);
    let address = program.address();
    let reply = Client::new()
        .send(Method::POST, address, "/queue", &[], r#"{"clear": true}"#)
        .await
        .expect("an answer");
    assert_eq!(reply.status, 503);
    assert_eq!(reply.text(), r#"{"error": "later"}"#);
    let line = program.line_with("jobs could not be cancelled");
    let (done, not_done) = line.split_once("not_done=").unwrap_or_else(|| panic!("{line}"));
    let still = server.with(|state| state.board.in_state("pending"));
    assert_eq!(still.len(), 50);
    for nth in 2..152 {
        let id = uuid(nth);
        let (inside, outside) = match still.contains(&id) {
            true => (not_done, done),
            false => (done, not_done),
        };
        assert!(inside.contains(&id) && !outside.contains(&id), "{id}: {line}");
    }
}

#[tokio::test]
async fn what_the_server_says_to_a_cancel_is_what_the_client_gets() {
    for (status, given) in [
        (401, 401),
        (402, 402),
        (403, 403),
        (429, 429),
        (500, 500),
        (502, 502),
        (503, 503),
        // None of them is an answer of the Jobs API.
        (302, 502),
        (204, 502),
        (418, 502),
    ] {
        for (target, body) in [
            ("/queue", r#"{"clear": true}"#),
            ("/interrupt", ""),
            ("/api/queue", r#"{"clear": true}"#),
        ] {
            for waiting in [1, 2] {
                let (server, jobshim) = behind(busy(Rules::Comfyui, waiting), Setup::default()).await;
                server.intercept(move |_, request| {
                    (request.method == Method::POST).then(|| (status, r#"{"error": "no"}"#.to_owned()))
                });
                let reply = post(&jobshim, target, body).await;
                assert_eq!(
                    reply.status.as_u16(),
                    given,
                    "{target} {waiting} {status}: {}",
                    reply.text()
                );
                if given == status {
                    assert_eq!(reply.text(), r#"{"error": "no"}"#);
                }
            }
        }
    }
    for body in ["", "no JSON", "{}", "[]", r#"{"cancelled": "#] {
        let (server, jobshim) = behind(busy(Rules::Comfyui, 1), Setup::default()).await;
        server.intercept(move |_, request| (request.method == Method::POST).then(|| (200, body.to_owned())));
        for (target, order) in [("/queue", r#"{"clear": true}"#), ("/interrupt", "")] {
            let reply = post(&jobshim, target, order).await;
            assert_eq!(reply.status, 502, "{target} {body}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn a_proper_id_that_the_server_calls_malformed_was_not_cancelled_and_the_client_hears_it() {
    let (server, jobshim) = behind(busy(Rules::Comfyui, 1), Setup::default()).await;
    server
        .intercept(|_, request| (request.method == Method::POST).then(|| (400, r#"{"error": "not now"}"#.to_owned())));
    for (target, order) in [("/queue", r#"{"clear": true}"#), ("/interrupt", "")] {
        assert_eq!(post(&jobshim, target, order).await.status, 502, "{target}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_list_reaches_the_client_as_it_is_and_a_dead_server_is_a_502() {
    let headers = [
        ("content-type", "application/problem+json"),
        ("retry-after", "17"),
        ("www-authenticate", "Bearer realm=\"a\""),
        ("access-control-allow-origin", "*"),
    ];
    for status in [401, 402, 403, 429, 500, 503] {
        let upstream = Recorder::start(status, &headers, r#"{"code": "NO"}"#).await;
        let jobshim = start(&upstream.url(), |_| {}).await;
        for target in [
            "/queue",
            "/interrupt",
            "/history",
            "/api/queue",
            "/api/interrupt",
            "/api/history",
            "/api/job/x/cancel",
        ] {
            let reply = post(&jobshim, target, "{}").await;
            assert_eq!(
                (reply.status.as_u16(), reply.text().as_str()),
                (status, r#"{"code": "NO"}"#),
                "{target}"
            );
            for (name, value) in headers {
                assert_eq!(reply.header(name), value, "{status} {target} {name}");
            }
        }
    }
    let jobshim = start("http://127.0.0.1:9", |_| {}).await;
    for target in ["/queue", "/interrupt", "/history", "/api/job/x/cancel"] {
        let reply = post(&jobshim, target, "{}").await;
        assert_eq!(reply.status, 502, "{target}");
        assert!(
            reply.text().contains("upstream_unreachable"),
            "{target}: {}",
            reply.text()
        );
    }
}

/// A server that lists one running and two waiting jobs, and then does `then` with every cancel.
async fn until_the_cancel<A: Future<Output = ()> + Send + 'static>(then: fn(TcpStream) -> A) -> Running {
    let (_, list) = busy(Rules::Comfyui, 2).list("");
    let upstream = raw(move |mut stream, head| {
        let list = list.clone();
        async move {
            if head.starts_with("POST") {
                return then(stream).await;
            }
            let length = list.len();
            let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{list}");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    start(&format!("http://{upstream}"), |config| {
        config.upstream.dialect = DialectChoice::Comfyui;
        config.upstream.answer_timeout = Duration::from_millis(300);
    })
    .await
}

#[tokio::test]
async fn a_server_that_dies_or_hangs_in_the_middle_of_a_write_is_no_success() {
    let job = format!("/api/job/{}/cancel", uuid(1));
    let writes = [
        ("/queue", r#"{"clear": true}"#),
        ("/api/queue", r#"{"clear": true}"#),
        ("/interrupt", ""),
        (&job, ""),
    ];
    let dead = until_the_cancel(|stream| async move { drop(stream) }).await;
    let cut = until_the_cancel(|mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"cancelled\": true")
            .await;
    })
    .await;
    let hanging = until_the_cancel(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    for (target, body) in writes {
        for (jobshim, status, kind) in [
            (&dead, 502, "upstream_interrupted"),
            (&cut, 502, "upstream_interrupted"),
            (&hanging, 504, "upstream_timeout"),
        ] {
            let reply = post(jobshim, target, body).await;
            assert_eq!(reply.status.as_u16(), status, "{target}: {}", reply.text());
            let error: Value = serde_json::from_slice(&reply.body).expect("JSON");
            assert_eq!(error["error"]["type"], kind, "{target}");
        }
    }
}

#[tokio::test]
async fn half_an_order_is_no_order() {
    let mut board = busy(Rules::Comfyui, 2);
    board.add(job(&uuid(99), "completed", 99));
    let (server, jobshim) = behind(board, Setup::default()).await;
    let before = states(&server);
    for target in ["/queue", "/api/queue", "/interrupt", "/history"] {
        // The part that came would do by itself.
        for head in ["content-length: 30", "transfer-encoding: chunked"] {
            let mut stream = TcpStream::connect(jobshim.address).await.expect("a connection");
            let body = if head.contains("chunked") {
                "f\r\n{\"clear\": true}\r\n"
            } else {
                "{\"clear\": true}"
            };
            let sent = format!("POST {target} HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n{body}");
            stream.write_all(sent.as_bytes()).await.expect("sent");
            stream.shutdown().await.expect("closed");
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            let rest = String::from_utf8_lossy(&rest).into_owned();
            assert!(!rest.starts_with("HTTP/1.1 200"), "{target} {head}: {rest}");
        }
    }
    assert_eq!(states(&server), before);
    assert!(server.arrived(Method::POST, "/").is_empty());
    let history = Client::new().get(jobshim.address, "/history").await;
    assert!(history.text().contains(&uuid(99)), "{}", history.text());
}

#[tokio::test]
async fn where_the_server_cannot_cancel_the_legacy_call_is_forwarded_as_it_came() {
    for missing in [404, 405, 501] {
        let setup = Setup {
            legacy_writes: true,
            no_cancel: Some(missing),
            ..Setup::default()
        };
        for prefix in ["", "/api"] {
            let (server, jobshim) = behind(busy(Rules::Comfyui, 2), setup.clone()).await;
            let body = format!("{{ \"delete\":  [{:?}] }}\n", uuid(2));
            assert_done(&post(&jobshim, &format!("{prefix}/queue"), &body).await, "forwarded");
            let forwarded = server.arrived(Method::POST, &format!("{prefix}/queue"));
            assert_eq!(forwarded.len(), 1, "{missing}");
            assert_eq!(forwarded[0].body, body, "to the byte");
            server.with(|state| assert_eq!(state.board.in_state("pending"), [uuid(3)]));
            assert_done(&post(&jobshim, &format!("{prefix}/interrupt"), "").await, "forwarded");
            server.with(|state| assert_eq!(state.board.in_state("failed"), [uuid(1)]));
        }
    }
}

#[tokio::test]
async fn what_neither_the_jobs_api_nor_the_legacy_endpoint_can_do_is_a_501() {
    for missing in [404, 405, 501] {
        let setup = Setup {
            no_cancel: Some(missing),
            ..Setup::default()
        };
        let (server, jobshim) = behind(busy(Rules::Comfyui, 2), setup).await;
        let job = format!("/api/job/{}/cancel", uuid(1));
        for (target, body) in [
            ("/queue", r#"{"clear": true}"#),
            ("/interrupt", ""),
            ("/api/queue", r#"{"clear": true}"#),
            (&job, ""),
        ] {
            let reply = post(&jobshim, target, body).await;
            assert_eq!(reply.status, 501, "{missing} {target}: {}", reply.text());
            let error: Value = serde_json::from_slice(&reply.body).expect("JSON");
            assert_eq!(error["error"]["type"], "not_implemented", "{target}");
        }
        assert_eq!(states(&server).len(), 2, "nothing was touched");
    }
    // Before 0.6.0 there is no Jobs API at all, and the legacy writes are there.
    let server = Recorder::start(404, &[], "404: Not Found").await;
    let jobshim = start(&server.url(), |_| {}).await;
    assert_eq!(post(&jobshim, "/queue", r#"{"clear": true}"#).await.status, 501);
    let forwarded = server.arrived();
    assert_eq!(forwarded.last().map(|one| one.target.as_str()), Some("/queue"));
}

#[tokio::test]
async fn a_body_that_orders_nothing_possible_is_refused_and_nothing_is_done() {
    let (server, jobshim) = behind(busy(Rules::Comfyui, 2), Setup::default()).await;
    for target in ["/queue", "/api/queue", "/history", "/api/history"] {
        for body in [
            "",
            "not JSON",
            "[]",
            "5",
            "null",
            r#"{"delete": "all"}"#,
            r#"{"delete": 5}"#,
            r#"{"delete": {}}"#,
            r#"{"clear": true"#,
            r#"{"clear": true} x"#,
        ] {
            let reply = post(&jobshim, target, body).await;
            assert_eq!(reply.status, 400, "{target} {body}: {}", reply.text());
            let error: Value = serde_json::from_slice(&reply.body).expect("JSON");
            assert_eq!(error["error"]["type"], "invalid_body", "{target} {body}");
        }
        let long = format!(r#"{{"clear": true, "x": "{}"}}"#, "x".repeat(2 << 20));
        assert_eq!(post(&jobshim, target, long).await.status, 413, "{target}");
    }
    let long = "x".repeat(2 << 20);
    assert_eq!(post(&jobshim, "/interrupt", long).await.status, 413);
    assert_eq!(cancels(&server), []);
}

#[tokio::test]
async fn other_methods_are_405_and_a_preflight_is_the_servers() {
    let (_server, jobshim) = behind(board(Rules::Comfyui), Setup::default()).await;
    for (method, target) in [
        (Method::PUT, "/queue"),
        (Method::GET, "/interrupt"),
        (Method::DELETE, "/history"),
        (Method::GET, "/api/job/x/cancel"),
    ] {
        let reply = Client::new()
            .send(method, jobshim.address, target, &[], "")
            .await
            .expect("an answer");
        assert_eq!(reply.status, 405, "{target}");
        assert!(reply.header("allow").contains("POST"), "{target}");
    }
}

// ------------------------------------------------------------------------------------------------ one job

#[tokio::test]
async fn a_cloud_cancel_stops_a_pending_or_running_job_and_answers_as_the_jobs_api_does() {
    for rules in [Rules::Comfyui, Rules::Cloud] {
        let (server, jobshim) = behind(busy(rules, 1), Setup::default()).await;
        for nth in [1, 2] {
            let reply = post(&jobshim, &format!("/api/job/{}/cancel", uuid(nth)), "").await;
            assert_eq!(
                (reply.status.as_u16(), reply.text().as_str()),
                (200, r#"{"cancelled":true}"#),
                "{rules:?}"
            );
            assert_eq!(reply.header("content-type"), "application/json");
        }
        assert!(
            states(&server).iter().all(|(word, _)| word == "cancelled"),
            "{:?}",
            states(&server)
        );
        let again = post(&jobshim, &format!("/api/job/{}/cancel", uuid(1)), "").await;
        assert_eq!(
            (again.status.as_u16(), again.text().as_str()),
            (200, r#"{"cancelled":false}"#)
        );
        let unknown = post(&jobshim, &format!("/api/job/{}/cancel", uuid(9)), "").await;
        let wanted = if rules == Rules::Cloud { 404 } else { 200 };
        assert_eq!(unknown.status, wanted, "{}", unknown.text());
    }
}

#[tokio::test]
async fn a_refusal_of_one_cancel_keeps_its_headers() {
    let headers = vec![
        ("retry-after", "17"),
        ("www-authenticate", "Bearer"),
        ("access-control-allow-origin", "*"),
    ];
    let setup = Setup {
        headers: headers.clone(),
        ..Setup::default()
    };
    for status in [401, 403, 429, 503] {
        let (server, jobshim) = behind(busy(Rules::Comfyui, 1), setup.clone()).await;
        server.intercept(move |_, request| {
            (request.method == Method::POST).then(|| (status, r#"{"error": "no"}"#.to_owned()))
        });
        for (target, body) in [
            (format!("/api/job/{}/cancel", uuid(1)), ""),
            ("/queue".to_owned(), r#"{"clear": true}"#),
        ] {
            let reply = post(&jobshim, &target, body).await;
            assert_eq!(
                (reply.status.as_u16(), reply.text().as_str()),
                (status, r#"{"error": "no"}"#),
                "{target}"
            );
            for (name, value) in &headers {
                assert_eq!(reply.header(name), *value, "{target} {status} {name}");
            }
        }
    }
}

// ------------------------------------------------------------------------------------------------ whoever asks

#[tokio::test]
async fn answers_to_writes_carry_the_servers_cors_headers_and_cancels_the_clients_credentials() {
    let setup = Setup {
        headers: vec![
            ("access-control-allow-origin", "https://editor.example"),
            ("vary", "Origin"),
        ],
        ..Setup::default()
    };
    let mut board = busy(Rules::Comfyui, 2);
    board.add(job(&uuid(99), "completed", 99));
    let (server, jobshim) = behind(board, setup).await;
    let job = format!("/api/job/{}/cancel", uuid(1));
    for (target, body) in [
        ("/queue", r#"{"clear": true}"#),
        ("/history", r#"{"clear": true}"#),
        ("/interrupt", ""),
        (&job, ""),
    ] {
        let sent = [
            ("authorization", "Bearer mine"),
            ("comfy-user", "me"),
            ("origin", "https://editor.example"),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "text/plain"),
        ];
        let reply = Client::new()
            .send(Method::POST, jobshim.address, target, &sent, body)
            .await
            .expect("an answer");
        assert_eq!(reply.status, 200, "{target}");
        assert_eq!(
            reply.header("access-control-allow-origin"),
            "https://editor.example",
            "{target}"
        );
        assert_eq!(reply.header("vary"), "Origin", "{target}");
    }
    let calls = server.arrived(Method::POST, "/api/jobs/");
    assert!(calls.len() >= 3, "{calls:#?}");
    for call in calls {
        for (name, value) in [
            ("authorization", "Bearer mine"),
            ("comfy-user", "me"),
            ("origin", "https://editor.example"),
            ("sec-fetch-site", "same-origin"),
            ("content-type", "application/json"),
        ] {
            assert_eq!(call.headers[name], value, "{}", call.target);
        }
        assert_eq!(call.headers["host"], jobshim.address.to_string());
    }
}
