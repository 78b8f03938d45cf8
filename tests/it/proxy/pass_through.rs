//! Everything that is not a legacy route goes through as it came, both ways.

use crate::support::{
    Client, facing,
    program::Program,
    raw::sender,
    start,
    upstream::{Arrived, Scripted, TestBody, raw, read_head, reply},
    wait::{at_rest, within},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Method, Request, Response, Version};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    body::{Body, Frame},
    client::conn::http2,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jobshim::config::DialectChoice;
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Sends raw bytes and reads until the answer's head is over.
pub async fn raw_request(at: SocketAddr, request: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(at).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let head = within("an answer", read_head(&mut stream)).await.expect("an answer");
    (stream, head)
}

fn only(recorder: &Scripted) -> Arrived {
    let mut arrived = recorder.arrived();
    assert_eq!(arrived.len(), 1, "{arrived:?}");
    arrived.remove(0)
}

#[tokio::test]
async fn methods_targets_and_bodies_arrive_as_sent() {
    let targets = [
        "/",
        "/prompt",
        "/api/jobs/x/cancel",
        "/view?filename=a%20b.png&type=output&&x",
        "/historyx",
        "/History",
        "/history/",
        "/history//x",
        "/history/a/b",
        "//queue",
        "/history_v2",
        "/userdata/workflows%2Fmine.json?overwrite=true",
        "/a/../b/./c",
        "/%7Euser/%E2%82%AC?q=%zz",
    ];
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let recorder = Scripted::always(201, &[("x-from", "upstream")], "made").await;
        let jobshim = facing(&recorder.url(), |_| {}).await;
        let client = Client::new();
        let method: Method = method.parse().expect("a method");
        for target in targets {
            let body: Bytes = vec![0, 159, 255, 13, 10].into();
            let reply = client
                .send(method.clone(), jobshim.address, target, &[], body.clone())
                .await
                .expect("an answer");
            assert_eq!(
                (reply.status.as_u16(), reply.text().as_str(), reply.header("x-from")),
                (201, "made", "upstream"),
                "{method} {target}"
            );
            let arrived = recorder.arrived().pop().expect("a request");
            assert_eq!(
                (arrived.method, arrived.target.as_str(), arrived.body),
                (method.clone(), target, body)
            );
        }
    }
}

#[tokio::test]
async fn writes_on_legacy_paths_without_a_translation_and_preflights_pass() {
    let recorder = Scripted::always(200, &[("access-control-allow-methods", "POST")], "").await;
    let jobshim = facing(&recorder.url(), |_| {}).await;
    for path in ["/history", "/api/queue", "/history/x", "/api/job/x/status"] {
        let reply = Client::new()
            .send(Method::OPTIONS, jobshim.address, path, &[], "")
            .await
            .expect("an answer");
        assert_eq!(reply.header("access-control-allow-methods"), "POST", "{path}");
    }
    assert_eq!(recorder.arrived().len(), 4);
}

#[tokio::test]
async fn hop_by_hop_headers_stay_on_their_connection_and_all_others_pass() {
    let answer = [
        ("keep-alive", "timeout=5"),
        ("connection", "x-private"),
        ("x-private", "upstream"),
        ("proxy-connection", "keep-alive"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("x-public", "yes"),
        ("server", "comfy"),
    ];
    let recorder = Scripted::always(200, &answer, "x").await;
    let jobshim = facing(&recorder.url(), |_| {}).await;
    let (_stream, head) = raw_request(
        jobshim.address,
        "GET /x HTTP/1.1\r\nHost: a.example\r\nConnection: close, X-Private, Authorization\r\nX-Private: client\r\n\
         Authorization: Bearer t\r\nKeep-Alive: 5\r\nProxy-Connection: close\r\nTE: trailers, deflate\r\nX-Twice: 1\r\nX-Twice: 2\r\n\r\n",
    )
    .await;
    let head = head.to_lowercase();
    for gone in ["keep-alive", "x-private", "proxy-connection"] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
    for kept in ["set-cookie: a=1", "set-cookie: b=2", "x-public: yes", "server: comfy"] {
        assert!(head.contains(kept), "{kept} not in {head}");
    }
    let arrived = only(&recorder).headers;
    for gone in ["connection", "x-private", "keep-alive", "proxy-connection", "te"] {
        assert!(!arrived.contains_key(gone), "{gone} in {arrived:?}");
    }
    assert_eq!(
        arrived["authorization"], "Bearer t",
        "no connection option takes a credential away"
    );
    let twice: Vec<_> = arrived.get_all("x-twice").iter().collect();
    assert_eq!(twice, ["1", "2"]);
}

fn values(headers: &HeaderMap, names: [&str; 6]) -> [String; 6] {
    names.map(|name| {
        let values = headers.get_all(name).iter();
        let texts: Vec<_> = values.map(|value| value.to_str().expect("text")).collect();
        texts.join("|")
    })
}

#[tokio::test]
async fn host_origin_and_fetch_site_arrive_as_sent_and_forwarded_headers_are_added() {
    let recorder = Scripted::always(200, &[], "").await;
    let jobshim = facing(&recorder.url(), |_| {}).await;
    let names = [
        "host",
        "origin",
        "sec-fetch-site",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
    ];
    let own = [
        ("host", "comfy.lan:99"),
        ("origin", "http://comfy.lan:99"),
        ("sec-fetch-site", "same-origin"),
    ];
    Client::new().get_with(jobshim.address, "/x", &own).await;
    assert_eq!(
        values(&recorder.arrived()[0].headers, names),
        [
            "comfy.lan:99",
            "http://comfy.lan:99",
            "same-origin",
            "127.0.0.1",
            "http",
            "comfy.lan:99"
        ]
    );
    let chained = [
        ("host", "inner"),
        ("x-forwarded-for", "203.0.113.7"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "outer.example"),
    ];
    // A stranger cannot say who it is; a trusted proxy can.
    Client::new().get_with(jobshim.address, "/x", &chained).await;
    let behind_proxy = facing(&recorder.url(), |config| {
        config.listen.trusted_proxies = "127.0.0.1".parse().expect("a list");
    })
    .await;
    Client::new().get_with(behind_proxy.address, "/x", &chained).await;
    let arrived = recorder.arrived();
    assert_eq!(
        values(&arrived[1].headers, names),
        ["inner", "", "", "127.0.0.1", "http", "inner"]
    );
    assert_eq!(
        values(&arrived[2].headers, names),
        ["inner", "", "", "203.0.113.7, 127.0.0.1", "https", "outer.example"]
    );
}

#[tokio::test]
async fn the_cloud_gets_its_own_host() {
    let recorder = Scripted::always(200, &[], "").await;
    let jobshim = start(&recorder.url(), |config| config.upstream.dialect = DialectChoice::Cloud).await;
    Client::new()
        .get_with(jobshim.address, "/api/x", &[("host", "127.0.0.1:8188")])
        .await;
    let arrived = only(&recorder).headers;
    assert_eq!(arrived["host"], recorder.address.to_string());
    assert_eq!(arrived["x-forwarded-host"], "127.0.0.1:8188");
}

#[tokio::test]
async fn a_base_path_of_the_upstream_goes_in_front() {
    let recorder = Scripted::always(200, &[], r#"{"jobs": [], "pagination": {"has_more": false}}"#).await;
    for url in [
        format!("{}/comfy/one", recorder.url()),
        format!("{}/comfy/one/", recorder.url()),
    ] {
        let jobshim = facing(&url, |_| {}).await;
        let client = Client::new();
        client.get(jobshim.address, "/view?a=1").await;
        let passed = recorder.arrived().pop().expect("a request");
        assert_eq!(passed.target, "/comfy/one/view?a=1");
        assert_eq!(client.get(jobshim.address, "/history").await.text(), "{}");
        let listed = recorder.arrived().pop().expect("a request");
        assert_eq!(listed.target, "/comfy/one/api/jobs");
    }
}

#[tokio::test]
async fn redirects_and_not_modified_reach_the_client() {
    for status in [204, 301, 302, 304, 307, 404, 418, 500] {
        let recorder = Scripted::always(
            status,
            &[("location", "https://elsewhere.example/x"), ("etag", "\"e\"")],
            "",
        )
        .await;
        let jobshim = facing(&recorder.url(), |_| {}).await;
        let reply = Client::new().get(jobshim.address, "/view").await;
        assert_eq!(reply.status, status);
        assert_eq!(
            (reply.header("location"), reply.header("etag")),
            ("https://elsewhere.example/x", "\"e\"")
        );
    }
}

#[tokio::test]
async fn head_keeps_the_length_it_announces() {
    let upstream = raw(|mut stream, head| async move {
        assert!(head.starts_with("HEAD /view "), "{head}");
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5000\r\n\r\n")
            .await;
    })
    .await;
    let jobshim = facing(&format!("http://{upstream}"), |_| {}).await;
    let reply = Client::new()
        .send(Method::HEAD, jobshim.address, "/view", &[], "")
        .await
        .expect("an answer");
    assert_eq!((reply.status.as_u16(), reply.header("content-length")), (200, "5000"));
}

#[tokio::test]
async fn a_body_that_breaks_off_never_looks_complete() {
    for head in ["content-length: 100", "transfer-encoding: chunked"] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello");
        let upstream = crate::support::upstream::raw_bytes(bytes).await;
        let jobshim = facing(&format!("http://{upstream}"), |_| {}).await;
        let outcome = Client::new().send(Method::GET, jobshim.address, "/view", &[], "").await;
        assert!(outcome.is_err(), "{head}: {outcome:?}");
    }
}

#[tokio::test]
async fn connections_to_the_upstream_are_used_again() {
    let upstream = Scripted::start(|_| async { reply(200, &[], "x") }).await;
    let jobshim = facing(&upstream.url(), |_| {}).await;
    for _ in 0..50 {
        // A connection a request on the client's side: the pool behind is shared.
        assert_eq!(Client::new().get(jobshim.address, "/x").await.text(), "x");
    }
    assert!(upstream.connections() <= 2, "{:?}", upstream.connections());
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served_and_becomes_http1_behind() {
    let recorder = Scripted::always(
        200,
        &[("connection", "keep-alive")],
        r#"{"jobs": [], "pagination": {"has_more": false}}"#,
    )
    .await;
    let jobshim = facing(&recorder.url(), |_| {}).await;
    let stream = TcpStream::connect(jobshim.address).await.expect("a connection");
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("HTTP/2");
    tokio::spawn(connection);
    for (path, body) in [
        ("/view", r#"{"jobs": [], "pagination": {"has_more": false}}"#),
        ("/history", "{}"),
    ] {
        let request = Request::post(format!("http://comfy.lan{path}"))
            .header("cookie", "a=1")
            .header("cookie", "b=2");
        let request = if path == "/history" {
            request.method("GET")
        } else {
            request
        };
        let request = request.body(Full::new(Bytes::from("sent"))).expect("a request");
        let response = sender.send_request(request).await.expect("an answer");
        assert_eq!(
            (response.version(), response.status().as_u16()),
            (Version::HTTP_2, 200),
            "{path}"
        );
        assert!(!response.headers().contains_key("connection"));
        let got = response.into_body().collect().await.expect("a body").to_bytes();
        assert_eq!(got, body, "{path}");
        let arrived = recorder.arrived().pop().expect("a request");
        assert_eq!(
            (&arrived.headers["host"], &arrived.headers["cookie"]),
            (
                &"comfy.lan".parse().expect("a value"),
                &"a=1; b=2".parse().expect("a value")
            )
        );
    }
}

/// `count` chunks of 1 MiB; `sent` counts the bytes taken so far.
fn endless(count: u64, sent: Arc<AtomicU64>) -> impl Body<Data = Bytes, Error = Infallible> + Send + Sync {
    let chunk = Bytes::from(vec![b'x'; 1 << 20]);
    StreamBody::new(stream::iter(0..count).map(move |_| {
        sent.fetch_add(chunk.len() as u64, Ordering::SeqCst);
        Ok(Frame::data(chunk.clone()))
    }))
}

/// An upstream that sends `count` MiB for a GET, and counts what comes with a POST.
async fn large(count: u64, sent: Arc<AtomicU64>) -> Scripted {
    Scripted::start(move |request| {
        let sent = Arc::clone(&sent);
        async move {
            if request.method() == Method::GET {
                let body: TestBody = endless(count, sent).map_err(|never| match never {}).boxed();
                return Response::new(body);
            }
            let mut body = request.into_body();
            let mut total = 0;
            while let Some(frame) = body.frame().await {
                total += frame.expect("a frame").into_data().map_or(0, |data| data.len() as u64);
            }
            reply(200, &[], total.to_string())
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_gigabytes_up_and_down_do_not_raise_memory() {
    const COUNT: u64 = 2048;
    let upstream = large(COUNT, Arc::default()).await;
    let mut program = Program::before(&upstream.url(), &["--dialect", "comfyui"]);
    let address = program.address();
    let mut sender = sender(address).await;
    let upload = Request::post("/upload/image").header("host", "x");
    let upload = upload.body(endless(COUNT, Arc::default()).boxed()).expect("a request");
    let response = sender.send_request(upload).await.expect("an answer");
    let counted = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(counted, (COUNT << 20).to_string());
    let download = Request::get("/view").header("host", "x");
    let nothing = Full::default().boxed();
    sender.ready().await.expect("the same connection");
    let response = sender
        .send_request(download.body(nothing).expect("a request"))
        .await
        .expect("an answer");
    let mut body = response.into_body();
    let mut total = 0;
    while let Some(frame) = body.frame().await {
        total += frame.expect("a frame").into_data().map_or(0, |data| data.len() as u64);
    }
    assert_eq!(total, COUNT << 20);
    let peak = program.peak_memory();
    assert!(peak < 48 << 10, "peak memory {peak} KiB");
}

#[tokio::test]
async fn a_slow_reader_holds_the_upstream_back() {
    let sent = Arc::new(AtomicU64::new(0));
    let upstream = large(4096, Arc::clone(&sent)).await;
    let jobshim = facing(&upstream.url(), |_| {}).await;
    let (mut stream, _) = raw_request(jobshim.address, "GET /view HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let held = at_rest(&sent).await;
    assert!(
        held < 64 << 20,
        "{held} bytes were taken from the upstream for a client that reads nothing"
    );
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..64 {
        within("it goes on", stream.read_exact(&mut buffer))
            .await
            .expect("it goes on");
    }
    drop(stream);
}
