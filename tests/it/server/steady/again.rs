//! What is sent again, and what never is.

use crate::support::{
    Client,
    accepting::ANY,
    facing,
    upstream::{RawServer, Received, read_request},
};
use http::Method;
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

async fn answer(mut stream: TcpStream) -> Option<TcpStream> {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
    stream.write_all(answer).await.ok()?;
    Some(stream)
}

/// Takes one request on each connection; when a second one has arrived, does `then` with it and closes.
async fn closing_when_reused(then: &'static [u8]) -> RawServer<Received> {
    RawServer::answering(ANY, move |mut stream, one| async move {
        if one.nth == 0 {
            return answer(stream).await;
        }
        let _ = stream.write_all(then).await;
        None
    })
    .await
}

/// Where the requests for `call` arrived: connection and place on it.
fn places(upstream: &RawServer<Received>, call: &str) -> Vec<(usize, usize)> {
    let received = upstream.received(call).into_iter();
    received.map(|one: Received| (one.connection, one.nth)).collect()
}

#[tokio::test]
async fn a_get_whose_reused_connection_dies_unanswered_is_sent_once_more_on_a_new_one() {
    let upstream = closing_when_reused(b"").await;
    let jobshim = facing(&upstream.url(), |_| {}).await;
    let client = Client::new();
    for method in [Method::GET, Method::HEAD] {
        // What was sent again had a connection for itself alone, so the pool is empty.
        client.get(jobshim.address, "/warm").await;
        let reply = client.send(method.clone(), jobshim.address, "/again", &[], "").await;
        assert_eq!(reply.expect("an answer").status, 200, "{method}");
        let arrived = places(&upstream, &format!("{method} /again"));
        assert_eq!(arrived.len(), 2, "{method} {arrived:?}");
        assert_eq!(
            arrived[0].1, 1,
            "the first came on a connection used before: {arrived:?}"
        );
        assert_eq!(arrived[1].1, 0, "the second on a new one: {arrived:?}");
    }
}

#[tokio::test]
async fn a_translated_read_survives_it_too() {
    let upstream = RawServer::answering(ANY, |mut stream, one| async move {
        if one.nth == 1 {
            return None;
        }
        let body = r#"{"jobs": [], "pagination": {"offset": 0, "limit": null, "total": 0, "has_more": false}}"#;
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + body).as_bytes()).await.ok()?;
        Some(stream)
    })
    .await;
    let jobshim = facing(&upstream.url(), |_| {}).await;
    let client = Client::new();
    for nth in 0..6 {
        let reply = client.get(jobshim.address, "/queue").await;
        assert_eq!(reply.status, 200, "request {nth}: {}", reply.text());
    }
}

#[tokio::test]
async fn what_may_have_been_taken_is_never_sent_again() {
    for (method, body, what) in [
        (Method::POST, "{}", "a write"),
        (Method::POST, "", "a write without a body"),
        (Method::PUT, "x", "a put, though it may be repeated"),
        (Method::DELETE, "", "a delete"),
        (Method::GET, "x", "a read with a body, which is gone"),
    ] {
        for path in [
            "/prompt",
            "/upload/image",
            "/api/jobs/0b8d4d0a-6d0c-4b3e-9c39-0d6a0f8f1c11/cancel",
        ] {
            let upstream = closing_when_reused(b"").await;
            let jobshim = facing(&upstream.url(), |_| {}).await;
            let client = Client::new();
            assert_eq!(client.get(jobshim.address, "/first").await.text(), "{}");
            let reply = client.send(method.clone(), jobshim.address, path, &[], body).await;
            let reply = reply.expect("an answer");
            assert_eq!(reply.status, 502, "{what} to {path}: {}", reply.text());
            let arrived = places(&upstream, &format!("{method} {path}"));
            assert_eq!(arrived, [(0, 1)], "{what} to {path}");
        }
    }
}

#[tokio::test]
async fn a_cancel_is_sent_once_whatever_becomes_of_its_connection() {
    const IDS: [&str; 2] = [
        "11111111-2222-4333-8444-555555555555",
        "21111111-2222-4333-8444-555555555555",
    ];
    for waiting in [1, 2] {
        let upstream = RawServer::answering(ANY, move |mut stream, one| async move {
            if one.call.starts_with("POST") {
                return None;
            }
            let job = |id: &&str| format!(r#"{{"id": "{id}", "status": "pending", "create_time": 1}}"#);
            let jobs: Vec<String> = IDS.iter().take(waiting).map(job).collect();
            let body = format!(
                r#"{{"jobs": [{}], "pagination": {{"has_more": false}}}}"#,
                jobs.join(", ")
            );
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).await.ok()?;
            Some(stream)
        })
        .await;
        let jobshim = facing(&upstream.url(), |_| {}).await;
        let client = Client::new();
        let clear = client.send(Method::POST, jobshim.address, "/queue", &[], r#"{"clear": true}"#);
        let reply = clear.await.expect("an answer");
        assert_eq!(reply.status, 502, "{}", reply.text());
        let one = format!("POST /api/jobs/{}/cancel", IDS[0]);
        let cancels = [places(&upstream, "POST /api/jobs/cancel"), places(&upstream, &one)].concat();
        assert_eq!(cancels.len(), 1, "{waiting} waiting: {cancels:?}");
        assert_eq!(cancels[0].1, 1, "on a connection used before: {cancels:?}");
    }
}

#[tokio::test]
async fn a_get_is_not_sent_again_once_a_byte_came_back_or_on_a_new_connection() {
    let upstream = closing_when_reused(b"HTTP/1.1 200 O").await;
    let jobshim = facing(&upstream.url(), |_| {}).await;
    let client = Client::new();
    client.get(jobshim.address, "/first").await;
    let reply = client.get(jobshim.address, "/begun").await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert_eq!(places(&upstream, "GET /begun").len(), 1);

    let upstream = RawServer::answering(ANY, |_, _| async { None }).await;
    let jobshim = facing(&upstream.url(), |_| {}).await;
    let reply = client.get(jobshim.address, "/new").await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert_eq!(places(&upstream, "GET /new"), [(0, 0)]);
}

#[tokio::test]
async fn it_is_sent_once_more_and_no_oftener() {
    let upstream = RawServer::answering(ANY, |stream, one| async move {
        match one.call == "GET /never" {
            true => None,
            false => answer(stream).await,
        }
    })
    .await;
    let jobshim = facing(&upstream.url(), |_| {}).await;
    let client = Client::new();
    // Several connections in the pool, so that one more would be at hand for every try.
    let mut warm = JoinSet::new();
    for _ in 0..8 {
        let at = jobshim.address;
        warm.spawn(async move { Client::new().get(at, "/warm").await });
    }
    warm.join_all().await;
    let reply = client.get(jobshim.address, "/never").await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    let arrived = places(&upstream, "GET /never");
    assert_eq!(arrived.len(), 2, "{arrived:?}");
}

#[tokio::test]
async fn connections_that_the_server_closed_while_they_lay_idle_cost_no_request() {
    // Answers, and closes at once, without a word about it.
    let upstream = RawServer::answering(ANY, |stream, _| async move {
        drop(answer(stream).await);
        None
    })
    .await;
    let jobshim = facing(&upstream.url(), |_| {}).await;
    let client = Client::new();
    for nth in 0..200 {
        let reply = client.get(jobshim.address, "/x").await;
        assert_eq!(reply.status, 200, "request {nth}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_server_that_refuses_fails_every_call_at_once_and_the_first_after_it_is_back_succeeds() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = closed.local_addr().expect("an address");
    drop(closed);
    let jobshim = facing(&format!("http://{address}"), |_| {}).await;
    let begun = std::time::Instant::now();
    let mut calls = JoinSet::new();
    for nth in 0..200 {
        let (at, path) = (jobshim.address, ["/x", "/queue", "/history"][nth % 3]);
        calls.spawn(async move { Client::new().get(at, path).await });
    }
    for reply in calls.join_all().await {
        assert_eq!(reply.status, 502, "{}", reply.text());
        assert!(reply.text().contains("upstream_unreachable"), "{}", reply.text());
        assert!(
            reply.header("proxy-status").contains("connection_refused"),
            "{}",
            reply.header("proxy-status")
        );
    }
    assert!(begun.elapsed().as_secs() < 15, "{:?}", begun.elapsed());
    let upstream = TcpListener::bind(address).await.expect("the same port");
    let serving = tokio::spawn(async move {
        let (mut stream, _) = upstream.accept().await.expect("a connection");
        read_request(&mut stream).await;
        answer(stream).await
    });
    assert_eq!(Client::new().get(jobshim.address, "/x").await.text(), "{}");
    serving.abort();
}
