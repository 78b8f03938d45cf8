//! Answers that are no plain whole body.

use crate::support::{
    Client, facing,
    upstream::{Scripted, raw},
};
use http::Method;
use tokio::io::AsyncWriteExt;

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
