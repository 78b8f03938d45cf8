//! How much a client may ask for, and how much the server may answer: each limit at its edge.

use crate::support::{
    Client, facing,
    raw::{exchange, statuses},
    start,
    upstream::{RawServer, Scripted, read_head, reply},
    wait::within,
};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jobshim::{
    config::DialectChoice,
    demo::{Board, Rules},
};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

const LONG: Duration = Duration::from_secs(20);

/// The statuses of one request of these header lines, and of nothing after it.
async fn ask(at: SocketAddr, line: &str, headers: &str) -> Vec<u16> {
    let request = format!("{line} HTTP/1.1\r\n{headers}\r\n");
    statuses(&exchange(at, request.as_bytes()).await.expect("an end"))
}

/// The status of one request over HTTP/2.
async fn ask_http2(at: SocketAddr, path: &str, headers: &[(&str, String)]) -> u16 {
    let stream = TcpStream::connect(at).await.expect("a connection");
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    let mut request = Request::get(format!("http://a{path}"));
    for (name, value) in headers {
        request = request.header(*name, value);
    }
    let request = request.body(Full::<Bytes>::default()).expect("a request");
    let answer = timeout(LONG, sender.send_request(request)).await.expect("in time");
    answer.expect("an answer").status().as_u16()
}

#[tokio::test]
async fn header_bytes() {
    let recorder = Scripted::always(200, &[], "ok").await;
    let jobshim = facing(&recorder.url(), |config| config.server.max_header_bytes = 1000).await;
    // "host" and "a", "connection" and "close", "x" and what is left of a thousand bytes.
    let rest = 1000 - (4 + 1) - (10 + 5) - 1;
    for (length, status) in [(rest, 200), (rest + 1, 431), (20_000, 431), (500_000, 431)] {
        let headers = format!("Host: a\r\nConnection: close\r\nX: {}\r\n", "y".repeat(length));
        assert_eq!(ask(jobshim.address, "GET /x", &headers).await, [status], "{length}");
    }
    for (length, status) in [(999, 200), (1000, 431)] {
        let headers = [("x", "y".repeat(length))];
        assert_eq!(ask_http2(jobshim.address, "/x", &headers).await, status, "{length}");
    }
    assert_eq!(recorder.arrived().len(), 2);
}

#[tokio::test]
async fn header_count() {
    let tape = RawServer::tape().await;
    let url = tape.url();
    for most in [10, 100, 300] {
        let jobshim = facing(&url, |config| config.server.max_headers = most).await;
        for (more, status) in [(0, 200), (1, 431)] {
            let many: String = (2..most + more).map(|nth| format!("X-{nth}: y\r\n")).collect();
            let headers = format!("Host: a\r\nConnection: close\r\n{many}");
            assert_eq!(
                ask(jobshim.address, "GET /x", &headers).await,
                [status],
                "{most} and {more}"
            );
        }
    }
}

#[tokio::test]
async fn a_head_that_is_at_every_limit_at_once() {
    let tape = RawServer::tape().await;
    let jobshim = facing(&tape.url(), |_| {}).await;
    let line = format!("GET /{}", "x".repeat((16 << 10) - 1));
    let many: String = (0..97).map(|nth| format!("X-{nth:02}: y\r\n")).collect();
    // Host, Connection, those of five bytes each, and one that takes the rest.
    let rest = (64 << 10) - (4 + 1) - (10 + 5) - 97 * 5 - 1;
    for (more, status) in [(0, 200), (1, 431)] {
        let headers = format!(
            "Host: a\r\nConnection: close\r\n{many}Y: {}\r\n",
            "y".repeat(rest + more)
        );
        assert_eq!(ask(jobshim.address, &line, &headers).await, [status], "{more}");
    }
}

#[tokio::test]
async fn uri_length() {
    let recorder = Scripted::always(200, &[], "ok").await;
    let jobshim = facing(&recorder.url(), |config| config.server.max_uri_bytes = 100).await;
    for (length, status) in [(100, 200), (101, 414), (5_000, 414)] {
        for target in [
            format!("/{}", "x".repeat(length - 1)),
            format!("/?{}", "x".repeat(length - 2)),
        ] {
            let line = format!("GET {target}");
            assert_eq!(
                ask(jobshim.address, &line, "Host: a\r\nConnection: close\r\n").await,
                [status],
                "{length}"
            );
            assert_eq!(ask_http2(jobshim.address, &target, &[]).await, status, "{length}");
        }
    }
}

#[tokio::test]
async fn body_of_a_write() {
    let recorder = Scripted::always(200, &[], r#"{"jobs": [], "pagination": {"has_more": false}}"#).await;
    let jobshim = facing(&recorder.url(), |config| config.legacy.max_body = 100).await;
    for (length, status) in [(100, 200), (101, 413), (1_000_000, 413)] {
        for path in ["/queue", "/interrupt"] {
            let body = format!("{{\"x\": \"{}\"}}", "y".repeat(length - 9));
            assert_eq!(body.len(), length);
            let reply = Client::new()
                .send(Method::POST, jobshim.address, path, &[], body.clone())
                .await
                .expect("an answer");
            assert_eq!(reply.status, status, "{path} {length}: {}", reply.text());
            let chunked = format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
            );
            let answer = exchange(jobshim.address, chunked.as_bytes()).await.expect("an end");
            assert_eq!(statuses(&answer), [status], "{path} {length}, chunked");
        }
    }
    // What passes through has no such limit.
    let big = Client::new()
        .send(
            Method::POST,
            jobshim.address,
            "/upload/image",
            &[],
            "x".repeat(1_000_000),
        )
        .await
        .expect("an answer");
    assert_eq!(big.status, 200);
}

#[tokio::test]
async fn answer_of_the_server() {
    let body = format!(
        r#"{{"jobs": [], "pagination": {{"has_more": false}}}}{}"#,
        " ".repeat(500)
    );
    for chunked in [false, true] {
        let (answer, length) = (body.clone(), body.len());
        let upstream = Scripted::start(move |_| {
            let answer = answer.clone();
            async move {
                let mut reply = reply(200, &[], answer);
                if chunked {
                    let headers = reply.headers_mut();
                    headers.insert("transfer-encoding", "chunked".parse().expect("a value"));
                }
                reply
            }
        })
        .await;
        for (limit, status) in [(length, 200), (length - 1, 502)] {
            let jobshim = facing(&upstream.url(), |config| config.upstream.max_answer_bytes = limit).await;
            let reply = Client::new().get(jobshim.address, "/history").await;
            assert_eq!(reply.status, status, "{limit}, chunked {chunked}");
        }
    }
}

#[tokio::test]
async fn pages_of_a_list() {
    // Three pages of one job each.
    let job = |nth: &str| format!(r#"{{"id": "{nth}", "status": "pending", "create_time": 1}}"#);
    let upstream = Scripted::start(move |request| async move {
        if let Some(id) = request.uri().path().strip_prefix("/api/jobs/") {
            return reply(200, &[], job(id));
        }
        let query = request.uri().query().unwrap_or_default().to_owned();
        let page = ["after=p1", "after=p2"]
            .iter()
            .position(|cursor| query.contains(cursor));
        let page = page.map_or(0, |page| page + 1);
        let next = match page {
            2 => String::new(),
            _ => format!(r#", "next_cursor": "p{}""#, page + 1),
        };
        let body = format!(
            r#"{{"jobs": [{}], "pagination": {{"has_more": {}{next}}}}}"#,
            job(&page.to_string()),
            page < 2
        );
        reply(200, &[], body)
    })
    .await;
    for (limit, status) in [(3, 200), (2, 502)] {
        let jobshim = start(&upstream.url(), |config| {
            config.upstream.dialect = DialectChoice::Cloud;
            config.legacy.max_pages = limit;
        })
        .await;
        let reply = Client::new().get(jobshim.address, "/api/queue").await;
        assert_eq!(reply.status, status, "{limit}: {}", reply.text());
        assert_eq!(
            reply.text().contains("legacy.max_pages"),
            status == 502,
            "{}",
            reply.text()
        );
    }
}

/// A connection that has been served once and is kept.
async fn kept(at: SocketAddr, from: &str) -> Result<TcpStream, String> {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind(format!("{from}:0").parse().expect("an address"))
        .expect("bound");
    let mut stream = socket.connect(at).await.expect("a connection");
    stream
        .write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("sent");
    let head = within("the head of an answer", read_head(&mut stream)).await;
    let head = head.expect("an answer");
    match head.contains(" 200 ") {
        true => {
            let reading = within("a body", stream.read_exact(&mut [0; 2])).await;
            reading.expect("a body");
            Ok(stream)
        }
        false => Err(head),
    }
}

/// Asks until there is a place again.
async fn place_again(at: SocketAddr, from: &str) -> TcpStream {
    let asking = async {
        loop {
            match kept(at, from).await {
                Ok(stream) => return stream,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    };
    within("a place", asking).await
}

#[tokio::test]
async fn connections() {
    let recorder = Scripted::always(200, &[], "ok").await;
    let jobshim = facing(&recorder.url(), |config| config.server.max_connections = 3).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        open.push(kept(jobshim.address, "127.0.0.1").await.expect("a place"));
    }
    for _ in 0..3 {
        let refused = kept(jobshim.address, "127.0.0.2").await.expect_err("no place");
        assert!(
            refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: 1"),
            "{refused}"
        );
    }
    open.pop();
    place_again(jobshim.address, "127.0.0.1").await;
}

#[tokio::test]
async fn connections_of_one_address() {
    let recorder = Scripted::always(200, &[], "ok").await;
    let jobshim = facing(&recorder.url(), |config| config.server.max_connections_per_address = 2).await;
    let mut open = Vec::new();
    for address in ["127.0.0.1", "127.0.0.2"] {
        for _ in 0..2 {
            open.push(kept(jobshim.address, address).await.expect("a place"));
        }
        let refused = kept(jobshim.address, address).await.expect_err("no place");
        assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    }
    open.remove(0);
    place_again(jobshim.address, "127.0.0.1").await;
}

#[tokio::test]
async fn translations_at_the_same_time() {
    let upstream = Scripted::of_board(Board::new(Rules::Comfyui)).await;
    let gate = upstream.hold_details();
    let jobshim = facing(&upstream.url(), |config| config.legacy.max_translations = 2).await;
    let at = jobshim.address;
    let made: Vec<_> = (0..2)
        .map(|nth| tokio::spawn(async move { Client::new().get(at, &format!("/history/{nth}")).await.status }))
        .collect();
    timeout(LONG, gate.until_came(2)).await.expect("both are being made");
    let refused = Client::new().get(at, "/history/2").await;
    assert_eq!(
        (refused.status.as_u16(), refused.header("retry-after")),
        (503, "1"),
        "{}",
        refused.text()
    );
    // What passes through needs no turn.
    assert_eq!(Client::new().get(at, "/view").await.status, 200);
    let waiting = tokio::spawn(async move { Client::new().get(at, "/history/3").await.status });
    gate.open();
    for one in made.into_iter().chain([waiting]) {
        assert_eq!(one.await.expect("an answer"), 200, "whoever waits gets a turn");
    }
}

#[tokio::test]
async fn requests_on_one_connection() {
    let recorder = Scripted::always(200, &[], "ok").await;
    let jobshim = facing(&recorder.url(), |config| config.server.max_requests = 3).await;
    let request = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    let answers = exchange(jobshim.address, request.repeat(5).as_bytes())
        .await
        .expect("an end");
    assert_eq!(statuses(&answers), [200, 200, 200]);
    assert_eq!(answers.matches("connection: close").count(), 1, "{answers}");
    assert_eq!(recorder.arrived().len(), 3);

    let stream = TcpStream::connect(jobshim.address).await.expect("a connection");
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("HTTP/2");
    let ended = tokio::spawn(connection);
    for _ in 0..3 {
        let request = Request::get("http://a/x")
            .body(Full::<Bytes>::default())
            .expect("a request");
        let answer = within("an answer", sender.send_request(request))
            .await
            .expect("an answer");
        let body = within("a whole body", answer.into_body().collect()).await;
        let body = body.expect("a body").to_bytes();
        assert_eq!(body, "ok");
    }
    timeout(LONG, ended)
        .await
        .expect("in time")
        .expect("no panic")
        .expect("a decent end");
}
