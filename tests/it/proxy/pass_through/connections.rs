//! The connections of both sides: the server's are used again, and a client's may speak HTTP/2.

use crate::support::{
    Client, facing,
    upstream::{Scripted, reply},
};
use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;

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
