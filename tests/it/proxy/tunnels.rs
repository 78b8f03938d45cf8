//! An upgrade: a tunnel after the 101 of the upstream, and HTTP otherwise.

use crate::support::{
    Client, facing,
    raw::raw_request,
    upstream::{Scripted, raw, read_head},
    wait::within,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[tokio::test]
async fn an_upgrade_becomes_a_tunnel_after_the_upstreams_101() {
    let upstream = raw(|mut stream, head| async move {
        assert!(head.starts_with("GET /ws?clientId=abc%20d HTTP/1.1\r\n"), "{head}");
        let lower = head.to_lowercase();
        for part in ["upgrade: websocket", "connection: upgrade", "sec-websocket-key: k=="] {
            assert!(lower.contains(part), "{part} not in {head}");
        }
        let _ = stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: y\r\n\r\nfirst")
            .await;
        let mut got = [0; 4];
        while stream.read_exact(&mut got).await.is_ok() {
            let _ = stream.write_all(&got.map(|byte| byte.to_ascii_uppercase())).await;
        }
    })
    .await;
    let jobshim = facing(&format!("http://{upstream}"), |_| {}).await;
    let request = "GET /ws?clientId=abc%20d HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k==\r\n\r\n";
    let (mut stream, head) = raw_request(jobshim.address, request).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.to_lowercase().contains("upgrade: websocket"), "{head}");
    assert!(head.to_lowercase().contains("sec-websocket-accept: y"), "{head}");
    let mut first = [0; 5];
    within("bytes from the upstream", stream.read_exact(&mut first))
        .await
        .expect("bytes from the upstream");
    assert_eq!(&first, b"first");
    for word in [b"ping", b"pong"] {
        stream.write_all(word).await.expect("sent");
        let mut got = [0; 4];
        within("bytes from the upstream", stream.read_exact(&mut got))
            .await
            .expect("bytes from the upstream");
        assert_eq!(got, word.map(|byte| byte.to_ascii_uppercase()));
    }
}

#[tokio::test]
async fn an_upgrade_that_is_not_granted_stays_http() {
    let recorder = Scripted::always(403, &[], "no sockets here").await;
    let jobshim = facing(&recorder.url(), |_| {}).await;
    let request = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    let (mut stream, head) = raw_request(jobshim.address, request).await;
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    let mut body = [0; 15];
    within("the refusal", stream.read_exact(&mut body))
        .await
        .expect("the refusal");
    assert_eq!(&body, b"no sockets here");
    // What follows on the connection is a request, not tunnelled bytes.
    stream
        .write_all(b"GET /next HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .expect("sent");
    let head = within("an answer", read_head(&mut stream)).await.expect("an answer");
    assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
    let targets: Vec<String> = recorder.arrived().into_iter().map(|one| one.target).collect();
    assert_eq!(targets, ["/ws", "/next"]);
}

#[tokio::test]
async fn a_101_that_nobody_asked_for_is_a_502() {
    let upstream = crate::support::upstream::raw_bytes(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    )
    .await;
    let jobshim = facing(&format!("http://{upstream}"), |_| {}).await;
    let reply = Client::new().get(jobshim.address, "/x").await;
    assert_eq!(reply.status, 502, "{}", reply.text());
}
