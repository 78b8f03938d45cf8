//! Whether jobshim is ready: what its upstream is, whether it answers, and whether it takes connections.

use crate::{
    admin::listener::simulated,
    support::{
        Client, facing,
        metrics::Metrics,
        start,
        upstream::{Scripted, raw, read_request, reply},
    },
};
use serde_json::Value;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
};
use tokio::{
    io::AsyncWriteExt,
    net::{TcpListener, TcpStream},
    sync::Notify,
};

async fn readiness(client: &Client, admin: SocketAddr) -> (u16, Value) {
    let reply = client.get(admin, "/readyz").await;
    assert_eq!(reply.header("content-type"), "application/json");
    let body = serde_json::from_slice(&reply.body).expect("JSON");
    (reply.status.as_u16(), body)
}

#[tokio::test]
async fn readiness_says_what_the_upstream_is_and_since_when_it_answers() {
    let (simulator, mut jobshim) = simulated().await;
    let admin = jobshim.admin(&[]).await;
    let client = Client::new();
    let (status, ready) = readiness(&client, admin).await;
    assert_eq!((status, &ready["ready"]), (200, &Value::Bool(true)), "{ready}");
    let upstream = &ready["upstream"];
    assert_eq!(upstream["url"], simulator.url());
    assert_eq!(
        upstream["dialect"],
        Value::Null,
        "nobody has asked for a translation yet: {ready}"
    );
    assert!(
        upstream["since"].as_str().is_some_and(|since| since.ends_with('Z')),
        "{ready}"
    );
    assert_eq!(upstream["last_failure"], Value::Null);
    client.get(jobshim.address, "/history").await;
    let (_, again) = readiness(&client, admin).await;
    assert_eq!(again["upstream"]["dialect"], "comfyui");
    assert!(
        again["upstream"]["about"]
            .as_str()
            .is_some_and(|about| about.contains("ComfyUI"))
    );
    assert_eq!(again["upstream"]["since"], ready["upstream"]["since"]);
}

#[tokio::test]
async fn readiness_follows_an_upstream_that_fails_and_comes_back() {
    let status = Arc::new(AtomicU16::new(503));
    let answers = Arc::clone(&status);
    let upstream = Scripted::start(move |_| {
        let status = answers.load(Ordering::SeqCst);
        async move { reply(status, &[], "{}") }
    })
    .await;
    let mut jobshim = start(&upstream.url(), |_| {}).await;
    let admin = jobshim.admin(&[]).await;
    let client = Client::new();
    let (code, down) = readiness(&client, admin).await;
    assert_eq!((code, &down["ready"]), (503, &Value::Bool(false)), "{down}");
    let reason = down["upstream"]["last_failure"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("503"), "{down}");
    assert_eq!(Metrics::of(&client, admin).await.value("jobshim_upstream_up{}"), 0.0);
    // A server that wants a key is there all the same.
    status.store(401, Ordering::SeqCst);
    let (code, up) = readiness(&client, admin).await;
    assert_eq!((code, &up["upstream"]["answers"]), (200, &Value::Bool(true)), "{up}");
    assert!(
        up["upstream"]["since"].as_str() > down["upstream"]["since"].as_str(),
        "{up}\n{down}"
    );
    assert_eq!(Metrics::of(&client, admin).await.value("jobshim_upstream_up{}"), 1.0);
    // Traffic tells of a failure before anybody asks.
    status.store(502, Ordering::SeqCst);
    client.get(jobshim.address, "/view").await;
    let seen = Metrics::of(&client, admin).await;
    assert_eq!(seen.value("jobshim_upstream_up{}"), 0.0);
}

#[tokio::test]
async fn an_upstream_that_cannot_be_reached_or_hangs_is_not_ready() {
    let client = Client::new();
    let mut refused = start("http://127.0.0.1:9", |_| {}).await;
    let admin = refused.admin(&[]).await;
    let (code, down) = readiness(&client, admin).await;
    assert_eq!(code, 503);
    let reason = down["upstream"]["last_failure"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("refused"), "{down}");
    assert_eq!(down["upstream"]["takes_connections"], false, "{down}");
    let silent = raw(|stream, _| async move {
        let _stream = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let mut hanging = start(&format!("http://{silent}"), |_| {}).await;
    let admin = hanging.admin(&[]).await;
    let (code, down) = readiness(&client, admin).await;
    assert_eq!(code, 503);
    let reason = down["upstream"]["last_failure"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("within"), "{down}");
    assert_eq!(down["upstream"]["takes_connections"], true, "{down}");
}

/// Answers requests until the connection ends; one for `/held` when told.
async fn serve(mut stream: TcpStream, told: Arc<Notify>) {
    while let Some(call) = read_request(&mut stream).await {
        if call == "GET /held" {
            told.notified().await;
        }
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        stream.write_all(answer).await.expect("sent");
    }
}

#[tokio::test]
async fn readiness_says_so_when_no_new_connection_is_taken_though_an_old_one_still_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let (address, told) = (listener.local_addr().expect("an address"), Arc::new(Notify::new()));
    let mut jobshim = facing(&format!("http://{address}"), |_| {}).await;
    let (admin, at) = (jobshim.admin(&[]).await, jobshim.address);
    let held = tokio::spawn(async move { Client::new().get(at, "/held").await });
    let (old, _) = listener.accept().await.expect("a connection");
    let serving = tokio::spawn(serve(old, Arc::clone(&told)));
    drop(listener);
    let client = Client::new();
    assert_eq!(client.get(at, "/new").await.status, 502);
    told.notify_one();
    assert_eq!(held.await.expect("an answer").status, 200);
    // The last call was answered, a moment ago.
    let (code, down) = readiness(&client, admin).await;
    assert_eq!((code, &down["ready"]), (503, &Value::Bool(false)), "{down}");
    assert_eq!(down["upstream"]["takes_connections"], false, "{down}");
    let reason = down["upstream"]["last_failure"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("refused"), "{down}");
    assert_eq!(client.get(at, "/x").await.status, 200, "by the old connection");
    assert_eq!(readiness(&client, admin).await.0, 503);

    let listener = TcpListener::bind(address).await.expect("the same port");
    let new = tokio::spawn(async move {
        let (new, _) = listener.accept().await.expect("a connection");
        serve(new, Arc::default()).await;
    });
    // Nobody else needs a new connection, and yet it is noticed.
    let (code, up) = readiness(&client, admin).await;
    assert_eq!((code, &up["ready"]), (200, &Value::Bool(true)), "{up}");
    assert_eq!(up["upstream"]["takes_connections"], true, "{up}");
    serving.abort();
    new.abort();
}
