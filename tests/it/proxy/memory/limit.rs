//! The one limit for all bodies: what counts, what is refused, and what gives room again.

use super::{chunk, send};
use crate::support::{
    Client,
    program::Program,
    raw,
    upstream::{Scripted, reply},
    wait::until,
};
use http::Method;
use http_body_util::BodyExt;

/// With so much room for all bodies, of which requests may take half, and for each of them.
fn start_with_limits(url: &str, all: &str, each: &str) -> Program {
    let limits = [
        ("--max-buffered", all),
        ("--max-answer-bytes", each),
        ("--legacy-max-body", each),
        ("--notes-max-body", each),
    ];
    let limits = limits.map(|(flag, size)| [flag, size]).concat();
    Program::before(url, &[&["--dialect", "comfyui"], &limits[..]].concat())
}

/// A server that reads each request to its end, as what it left unread would end the connection.
async fn reading() -> Scripted {
    Scripted::start(|request| async {
        request.into_body().collect().await.expect("a whole body");
        reply(200, &[], r#"{"jobs": [], "pagination": {"has_more": false}}"#)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_bodies_together_have_one_limit_and_what_is_beyond_is_refused_until_there_is_room() {
    let server = reading().await;
    let mut program = start_with_limits(&server.url(), "2MiB", "1MiB");
    let at = program.address();
    let client = Client::new();
    let delete = |bytes: usize| format!(r#"{{"delete": ["{}"]}}"#, "x".repeat(bytes));
    let post = async |body: String| {
        client
            .send(Method::POST, at, "/queue", &[], body)
            .await
            .expect("an answer")
    };
    let head = "POST /queue HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let before = program.memory();
    let held = send(at, &[head.as_bytes(), &chunk(&vec![b' '; 700_000])].concat()).await;
    until("it is held", async || program.memory() >= before + 600).await;
    let refused = async || {
        let reply = post(delete(600_000)).await;
        let refused = reply.status == 503;
        if refused {
            assert_eq!(reply.headers["retry-after"], "1");
            assert!(reply.text().contains("server.max_buffered"), "{}", reply.text());
        }
        refused
    };
    until("a refusal", refused).await;
    assert_eq!(post(delete(10_000)).await.status, 200, "what is short still has room");
    // What passes unread is not held.
    let passed = client
        .send(Method::POST, at, "/x", &[], "x".repeat(600_000))
        .await
        .expect("an answer");
    assert_eq!(passed.status, 200, "{}", passed.text());
    drop(held);
    until("room again", async || post(delete(600_000)).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_how_much_it_will_send_and_sends_nothing_takes_nothing() {
    let server =
        Scripted::start(|_| async { reply(200, &[], r#"{"jobs": [], "pagination": {"has_more": false}}"#) }).await;
    let mut program = start_with_limits(&server.url(), "32MiB", "16MiB");
    let at = program.address();
    let head = "POST /queue HTTP/1.1\r\nhost: a\r\ncontent-length: 16000000\r\n\r\n{";
    let silent = futures_util::future::join_all((0..20).map(|_| send(at, head.as_bytes()))).await;
    let answer = raw::exchange(
        at,
        b"POST /queue HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 13\r\n\r\n{\"delete\": []}",
    )
    .await;
    assert!(
        answer.as_ref().is_ok_and(|text| text.starts_with("HTTP/1.1 ")),
        "{answer:?}"
    );
    let memory = program.memory();
    assert!(memory < 32 << 10, "{memory} KiB");
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_to_the_server_holds_nothing_of_the_request_that_was_sent_on_it() {
    let server = reading().await;
    let mut program = start_with_limits(&server.url(), "2MiB", "1MiB");
    let at = program.address();
    let client = Client::new();
    let long = "x".repeat(600_000);
    let post = async |path: &str, body: String| {
        let reply = client.send(Method::POST, at, path, &[], body).await;
        let reply = reply.expect("an answer");
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    };
    post("/prompt", format!(r#"{{"prompt": {{}}, "x": "{long}"}}"#)).await;
    post("/queue", format!(r#"{{"delete": ["{long}"]}}"#)).await;
}
