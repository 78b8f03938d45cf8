//! Bodies that are far larger than memory go on as they come.

#![cfg(target_os = "linux")]

use crate::support::raw::raw_request;
use crate::support::{
    facing,
    program::Program,
    raw::sender,
    upstream::{Scripted, TestBody, reply},
    wait::{at_rest, within},
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Body, Frame};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::io::AsyncReadExt;

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
            // Not for jobshim's own first question.
            if request.method() == Method::GET && request.uri().path() != "/system_stats" {
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
