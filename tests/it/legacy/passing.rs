//! What is hidden from a client is hidden in the Jobs API's answers that pass through for it, and for nobody else is a byte
//! of them changed.

use crate::support::{
    Client, Reply, Running, StateFolder,
    program::Program,
    raw::sender,
    server::{Server, Setup, board},
    start,
    upstream::{Scripted, TestBody, reply},
    wait::until,
};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use jobshim::{
    config::DialectChoice,
    demo::{Job, Rules},
};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Semaphore;

const ANNA: [(&str, &str); 1] = [("comfy-user", "anna")];

fn uuid(nth: usize) -> String {
    format!("{nth:08}-0000-4000-8000-000000000000")
}

fn time(nth: usize) -> u64 {
    1_795_000_000_000 + nth as u64
}

/// A job that was created at `nth`; its text has all that could be taken for the end of it.
fn job(nth: usize, status: &str, created: usize) -> Job {
    let text = format!(
        r#"{{"id": "{}", "status": "{status}", "priority": {nth}, "create_time": {}, "execution_end_time": {}, "x": {{"a": ["}},\"", {nth}.0]}}}}"#,
        uuid(nth),
        time(created),
        time(created) + 5,
    );
    Job::new(&text, &text).expect("a job")
}

async fn server(rules: Rules, count: usize) -> Server {
    let mut board = board(rules);
    (1..=count).for_each(|nth| board.add(job(nth, "completed", nth)));
    Server::start(board, Setup::default()).await
}

async fn delete(jobshim: &Running, body: Value) {
    let reply = Client::new()
        .send(Method::POST, jobshim.address, "/api/history", &ANNA, body.to_string())
        .await
        .expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
}

async fn get(at: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Reply {
    Client::new().get_with(at, target, headers).await
}

/// The numbers of the jobs that a list shows to Anna.
async fn listed(at: SocketAddr, target: &str) -> Vec<usize> {
    let reply = get(at, target, &ANNA).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let list: Value = serde_json::from_slice(&reply.body).expect("JSON");
    let jobs = list["jobs"].as_array().expect("a list").iter();
    jobs.map(|job| job["id"].as_str().expect("an id")[..8].parse().expect("a number"))
        .collect()
}

async fn detail(at: SocketAddr, nth: usize) -> u16 {
    let reply = get(at, &format!("/api/jobs/{}", uuid(nth)), &ANNA).await;
    reply.status.as_u16()
}

#[tokio::test]
async fn a_hidden_job_is_in_no_list_and_its_detail_is_the_servers_404() {
    for (rules, choice) in [
        (Rules::Comfyui, DialectChoice::Comfyui),
        (Rules::Cloud, DialectChoice::Cloud),
    ] {
        let server = server(rules, 4).await;
        let jobshim = start(&server.url(), |config| config.upstream.dialect = choice).await;
        let at = jobshim.address;
        delete(&jobshim, json!({"delete": [uuid(2), uuid(4)]})).await;
        assert_eq!(listed(at, "/api/jobs").await, [3, 1]);
        assert_eq!(
            listed(at, "/api/jobs?limit=2&offset=1&status=completed").await,
            [3],
            "a page of the server's own"
        );
        assert_eq!(detail(at, 1).await, 200);
        let hidden = get(at, &format!("/api/jobs/{}", uuid(2)), &ANNA).await;
        let unknown = get(at, &format!("/api/jobs/{}", uuid(77)), &ANNA).await;
        assert_eq!((hidden.status, hidden.text()), (unknown.status, unknown.text()));
        assert_eq!(hidden.header("content-type"), unknown.header("content-type"));
        if rules == Rules::Cloud {
            assert_eq!(listed(at, "/jobs").await, [3, 1], "as a local client asks");
        }
        delete(&jobshim, json!({"clear": true})).await;
        assert_eq!(listed(at, "/api/jobs").await, [0; 0]);
        assert_eq!(detail(at, 1).await, 404);
    }
}

#[tokio::test]
async fn who_hides_nothing_gets_every_byte_and_asks_as_before() {
    let body = r#"{"jobs" : [ {"id": "a", "status": "completed" , "create_time": 1795000000000} ,{"id":"b"}],"pagination":{} } "#;
    let recorder = Scripted::always(200, &[("content-type", "application/json"), ("etag", "\"x\"")], body).await;
    let jobshim = start(&recorder.url(), |config| {
        config.upstream.dialect = DialectChoice::Comfyui
    })
    .await;
    let at = jobshim.address;
    let asks = [("accept-encoding", "gzip"), ("if-none-match", "\"y\"")];
    let same = async |when: &str| {
        for target in ["/api/jobs", "/api/jobs?limit=1", "/api/jobs/a"] {
            let reply = get(at, target, &asks).await;
            assert_eq!(reply.text(), body, "{when}");
            assert_eq!(reply.header("etag"), "\"x\"", "{when}");
            assert_eq!(reply.header("content-length"), body.len().to_string(), "{when}");
            let sent = recorder.all().pop().expect("a request");
            for (name, value) in asks {
                assert_eq!(sent.headers[name], value, "{when}");
            }
        }
    };
    same("nothing is hidden").await;
}

#[tokio::test]
async fn another_scope_and_the_bytes_of_other_jobs_are_untouched() {
    let server = server(Rules::Comfyui, 3).await;
    let jobshim = start(&server.url(), |_| {}).await;
    let at = jobshim.address;
    let before = get(at, "/api/jobs", &[]).await;
    delete(&jobshim, json!({"delete": [uuid(2)]})).await;
    let after = get(at, "/api/jobs", &[("accept-encoding", "gzip")]).await;
    assert_eq!(after.body, before.body);
    assert_eq!(after.header("content-length"), before.header("content-length"));
    let sent = server.arrived(Method::GET, "/api/jobs").pop().expect("a request");
    assert_eq!(sent.headers["accept-encoding"], "gzip");
    // To who hides it, all but that one.
    let filtered = get(at, "/api/jobs", &[ANNA[0], ("accept-encoding", "gzip")]).await;
    let sent = server.arrived(Method::GET, "/api/jobs").pop().expect("a request");
    assert!(
        !sent.headers.contains_key("accept-encoding"),
        "what is packed cannot be looked into"
    );
    let expected = before
        .text()
        .replace(&format!("{}, ", job(2, "completed", 2).entry), "");
    assert_eq!(filtered.text(), expected);
    let one = get(at, &format!("/api/jobs/{}", uuid(1)), &ANNA).await;
    assert_eq!(one.text(), job(1, "completed", 1).detail);
    assert_eq!(one.header("content-length"), one.body.len().to_string());
}

#[tokio::test]
async fn a_job_that_waits_or_runs_under_a_hidden_id_and_a_later_run_of_it_are_shown() {
    let server = server(Rules::Comfyui, 2).await;
    let folder = StateFolder::new("hidden-passing");
    let keeping = async || start(&server.url(), |config| config.state_dir = Some(folder.path.clone())).await;
    let jobshim = keeping().await;
    delete(&jobshim, json!({"delete": [uuid(1)]})).await;
    server.with(|state| state.board.add(job(1, "pending", 5)));
    assert_eq!(listed(jobshim.address, "/api/jobs").await, [1, 2]);
    assert_eq!(
        detail(jobshim.address, 1).await,
        404,
        "the detail is that of the run which has ended"
    );
    jobshim.stop().await;
    let jobshim = keeping().await;
    assert_eq!(detail(jobshim.address, 1).await, 404, "after a restart, too");
    server.with(|state| state.board.replace(job(1, "completed", 5)));
    assert_eq!(listed(jobshim.address, "/api/jobs").await, [1, 2]);
    assert_eq!(detail(jobshim.address, 1).await, 200);
}

#[tokio::test]
async fn heads_are_asked_for_too_and_other_methods_are_not_looked_into() {
    let server = server(Rules::Comfyui, 2).await;
    let jobshim = start(&server.url(), |_| {}).await;
    let at = jobshim.address;
    delete(&jobshim, json!({"delete": [uuid(2)]})).await;
    for (target, status) in [
        ("/api/jobs".to_owned(), 200),
        (format!("/api/jobs/{}", uuid(1)), 200),
        (format!("/api/jobs/{}", uuid(2)), 404),
    ] {
        let reply = Client::new()
            .send(Method::HEAD, at, &target, &ANNA, "")
            .await
            .expect("an answer");
        assert_eq!(reply.status, status, "{target}");
        assert!(reply.body.is_empty());
    }
    let cancel = format!("/api/jobs/{}/cancel", uuid(2));
    let reply = Client::new()
        .send(Method::POST, at, &cancel, &ANNA, "")
        .await
        .expect("an answer");
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn the_option_leaves_the_jobs_api_as_it_is() {
    let server = server(Rules::Comfyui, 2).await;
    let jobshim = start(&server.url(), |config| config.history.hide_in_jobs_api = false).await;
    delete(&jobshim, json!({"delete": [uuid(2)]})).await;
    assert_eq!(listed(jobshim.address, "/api/jobs").await, [2, 1]);
    assert_eq!(detail(jobshim.address, 2).await, 200);
}

/// A server that sends its list in two parts, the second one when told.
async fn in_parts(gate: Arc<Semaphore>) -> Scripted {
    Scripted::start(move |request: Request<hyper::body::Incoming>| {
        let gate = Arc::clone(&gate);
        async move {
            if request.method() == Method::POST {
                return reply(404, &[], "404: Not Found");
            }
            let entry = |nth| job(nth, "completed", nth).entry;
            let first = format!("{{\"jobs\": [{}, {}, {{\"id\": \"half", entry(3), entry(2));
            let second = format!("\", \"status\": \"completed\"}}, {}]}}", entry(1));
            if !request.headers().contains_key("x-slow") {
                return reply(200, &[("content-type", "application/json")], first + &second);
            }
            let parts = stream::unfold(0, move |nth| {
                let (gate, first, second) = (Arc::clone(&gate), first.clone(), second.clone());
                async move {
                    let part = match nth {
                        0 => first,
                        1 => {
                            gate.acquire().await.expect("a permit").forget();
                            second
                        }
                        _ => return None,
                    };
                    Some((Ok::<_, std::io::Error>(Frame::data(Bytes::from(part))), nth + 1))
                }
            });
            let body: TestBody = StreamBody::new(Box::pin(parts)).boxed();
            Response::new(body)
        }
    })
    .await
}

#[tokio::test]
async fn a_list_goes_on_while_it_comes() {
    let gate = Arc::new(Semaphore::new(0));
    let upstream = in_parts(Arc::clone(&gate)).await;
    let jobshim = start(&upstream.url(), |config| {
        config.upstream.dialect = DialectChoice::Comfyui
    })
    .await;
    delete(&jobshim, json!({"delete": [uuid(2)]})).await;
    let mut sender = sender(jobshim.address).await;
    let request = Request::get("/api/jobs").header("host", "x").header("x-slow", "1");
    let request = request.header(ANNA[0].0, ANNA[0].1);
    let request = request.body(Empty::<Bytes>::new().map_err(|never: Infallible| match never {}));
    let response = sender
        .send_request(request.expect("a request"))
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200);
    let (mut body, text, more) = (response.into_body(), Arc::default(), Arc::new(AtomicBool::new(true)));
    let reading = {
        let (text, more): (Arc<std::sync::Mutex<String>>, _) = (Arc::clone(&text), Arc::clone(&more));
        tokio::spawn(async move {
            while let Some(Ok(frame)) = body.frame().await {
                let data = frame.into_data().unwrap_or_default();
                text.lock().expect("text").push_str(&String::from_utf8_lossy(&data));
            }
            more.store(false, Ordering::SeqCst);
        })
    };
    let so_far = || text.lock().expect("text").clone();
    let first = format!("{{\"jobs\": [{}", job(3, "completed", 3).entry);
    until("the first job is here", async || so_far() == first).await;
    assert!(more.load(Ordering::SeqCst));
    gate.add_permits(1);
    reading.await.expect("an end");
    let rest = format!(
        ", {{\"id\": \"half\", \"status\": \"completed\"}}, {}]}}",
        job(1, "completed", 1).entry
    );
    assert_eq!(so_far(), first + &rest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_compresses_unasked_is_named_in_the_log_and_its_list_goes_on_as_it_is() {
    let compressed = b"\x1f\x8b no list that could be read";
    let server = Scripted::start(move |request: Request<hyper::body::Incoming>| async move {
        let json = ("content-type", "application/json");
        match (request.method(), request.headers().contains_key("x-packed")) {
            (&Method::POST, _) => reply(404, &[], "404: Not Found"),
            (_, false) => reply(
                200,
                &[json],
                format!(
                    "{{\"jobs\": [{}], \"pagination\": {{\"has_more\": false}}}}",
                    job(1, "completed", 1).entry
                ),
            ),
            (_, true) => {
                assert!(!request.headers().contains_key("accept-encoding"), "it is not asked to");
                reply(200, &[json, ("content-encoding", "gzip")], &compressed[..])
            }
        }
    })
    .await;
    let mut program = Program::before(&server.url(), &["--dialect", "comfyui"]);
    let at = program.address();
    let body = json!({"delete": [uuid(1)]}).to_string();
    let client = Client::new();
    let deleted = client.send(Method::POST, at, "/history", &ANNA, body).await;
    assert_eq!(deleted.expect("an answer").status, 200);
    let packed = [ANNA[0], ("x-packed", "1"), ("accept-encoding", "gzip")];
    let reply = get(at, "/api/jobs", &packed).await;
    assert_eq!(reply.body, &compressed[..]);
    program.line_with("deleted jobs may be shown");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_for_which_there_is_no_room_is_cut_and_the_log_says_why() {
    let long = "x".repeat(700_000);
    let server = Scripted::answering(move |arrived| {
        let json = [("content-type", "application/json")];
        if arrived.method == Method::POST {
            return reply(404, &json, "{}");
        }
        let named = format!(
            r#"{{"id": "{}", "status": "completed", "create_time": {}}}"#,
            uuid(1),
            time(1)
        );
        // What names it comes last.
        let unnamed = format!(r#"{{"x": "{long}", {}"#, &named[1..]);
        let query = arrived.query();
        let jobs = if query.contains("long") {
            [named, unnamed].join(", ")
        } else {
            named
        };
        reply(
            200,
            &json,
            format!(r#"{{"jobs": [{jobs}], "pagination": {{"has_more": false}}}}"#),
        )
    })
    .await;
    let limits = [
        "--dialect",
        "comfyui",
        "--max-buffered",
        "800KiB",
        "--max-answer-bytes",
        "400KiB",
    ];
    let limits = [
        &limits[..],
        &["--legacy-max-body", "64KiB", "--notes-max-body", "64KiB"],
    ]
    .concat();
    let mut program = Program::before(&server.url(), &limits);
    let at = program.address();
    let client = Client::new();
    let deleted = client.send(
        Method::POST,
        at,
        "/history",
        &[],
        json!({"delete": [uuid(1)]}).to_string(),
    );
    assert_eq!(deleted.await.expect("an answer").status, 200);
    let mut sender = sender::<Empty<Bytes>>(at).await;
    let request = Request::get("/api/jobs?long").header("host", "a").body(Empty::new());
    let answer = async {
        sender
            .send_request(request.expect("a request"))
            .await?
            .into_body()
            .collect()
            .await
    };
    answer.await.expect_err("it does not look whole");
    let said = program.line_with("is cut short");
    assert!(said.contains("server.max_buffered"), "{said}");
    let whole = client.get(at, "/api/jobs").await;
    assert_eq!((whole.status.as_u16(), whole.text().contains(&uuid(1))), (200, false));
}
