//! A list is looked into while it comes; one that cannot be goes on as it is, or is cut, and the log says so.

use super::{ANNA, delete, get, job, time, uuid};
use crate::support::{
    Client,
    program::Program,
    raw::sender,
    start,
    upstream::{Scripted, TestBody, reply},
    wait::until,
};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;
use jobshim::config::DialectChoice;
use serde_json::json;
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::Semaphore;

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
