//! The end of the program: what it still does, and what its clients see of it.

#![cfg(target_os = "linux")]

use crate::support::{
    Client,
    program::Program,
    upstream::{Gate, Scripted, raw, read_head},
    wait::{until, within},
};
use jobshim::demo::{Board, Rules};
use serde_json::Value;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
};

fn arguments<'a>(upstream: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--dialect",
        "comfyui",
        "--upstream",
        upstream,
    ];
    [&arguments, more].concat()
}

fn start(upstream: &str, more: &[&str]) -> Program {
    Program::start(&arguments(upstream, more), &[])
}

/// An upstream that grants every upgrade and hands its side of the tunnels to the test.
async fn tunnels() -> (SocketAddr, mpsc::UnboundedReceiver<TcpStream>) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let address = raw(move |mut stream, head| {
        let sender = sender.clone();
        async move {
            let protocol = head.lines().find_map(|line| line.strip_prefix("upgrade: "));
            let answer = format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {}\r\n\r\n",
                protocol.unwrap_or_default()
            );
            stream.write_all(answer.as_bytes()).await.expect("sent");
            sender.send(stream).expect("a test");
        }
    })
    .await;
    (address, receiver)
}

async fn until_none_is_taken(at: SocketAddr) {
    until("no connection is taken", async || TcpStream::connect(at).await.is_err()).await;
}

async fn upgrade(at: SocketAddr, protocol: &str) -> TcpStream {
    let mut client = TcpStream::connect(at).await.expect("a connection");
    let request = format!("GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n");
    client.write_all(request.as_bytes()).await.expect("sent");
    let head = within("the answer to an upgrade", read_head(&mut client)).await;
    let head = head.expect("an answer");
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_gets_a_close_frame_after_the_frame_under_way_and_the_server_hears_the_clients_answer() {
    let (address, mut opened) = tunnels().await;
    let mut program = start(&format!("http://{address}"), &[]);
    let mut client = upgrade(program.address(), "WebSocket").await;
    let mut server = within("a tunnel", opened.recv()).await.expect("a tunnel");
    // Half a text frame of five bytes.
    server.write_all(b"\x81\x05he").await.expect("sent");
    let mut got = [0; 4];
    within("half a frame", client.read_exact(&mut got))
        .await
        .expect("half a frame");
    program.signal("TERM");
    until_none_is_taken(program.address()).await;
    client
        .write_all(b"\x81\x80mask")
        .await
        .expect("still open to the server");
    let mut ping = [0; 6];
    within("what the client sent", server.read_exact(&mut ping))
        .await
        .expect("what the client sent");
    server.write_all(b"llo\x81\x04more").await.expect("sent");
    let mut rest = [0; 7];
    within("the rest", client.read_exact(&mut rest))
        .await
        .expect("the rest");
    assert_eq!(&rest[..3], b"llo");
    assert_eq!(
        rest[3..],
        [0x88, 2, 0x03, 0xe9],
        "1001 follows, not what the server sent after its frame"
    );
    // The client answers as it must, and the server sees it.
    client.write_all(b"\x88\x82\0\0\0\0\x03\xe9").await.expect("sent");
    let mut answer = [0; 8];
    within("the close frame", server.read_exact(&mut answer))
        .await
        .expect("the close frame");
    assert_eq!(&answer, b"\x88\x82\0\0\0\0\x03\xe9");
    drop(server);
    let mut nothing = Vec::new();
    within("the end", client.read_to_end(&mut nothing))
        .await
        .expect("the end");
    assert_eq!(nothing, b"");
    drop(client);
    assert_eq!(program.end().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_of_another_protocol_gets_nothing_put_into_it_and_may_end_by_itself() {
    let (address, mut opened) = tunnels().await;
    let mut program = start(
        &format!("http://{address}"),
        &["--drain-timeout", "60s", "--admin", "127.0.0.1:0"],
    );
    let (at, admin) = (program.address(), program.admin());
    let mut client = upgrade(at, "echo/1").await;
    let mut server = within("a tunnel", opened.recv()).await.expect("a tunnel");
    program.signal("TERM");
    until_none_is_taken(at).await;
    assert_eq!(
        Client::new().get(admin, "/readyz").await.status,
        503,
        "and can be asked to the end"
    );
    server.write_all(b"\x81\x05hello").await.expect("sent");
    drop(server);
    let mut got = Vec::new();
    within("all of it", client.read_to_end(&mut got))
        .await
        .expect("all of it");
    assert_eq!(got, b"\x81\x05hello");
    drop(client);
    assert_eq!(program.end().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_taken_until_the_drain_delay_is_over_and_readiness_is_denied_at_once() {
    let upstream = Scripted::always(200, &[], "ok").await;
    let mut program = start(&upstream.url(), &["--drain-delay", "700ms", "--admin", "127.0.0.1:0"]);
    let (at, admin) = (program.address(), program.admin());
    let client = Client::new();
    assert_eq!(client.get(admin, "/readyz").await.status, 200);
    let begun = Instant::now();
    program.signal("TERM");
    program.line_with("stopping");
    let ready = client.get(admin, "/readyz").await;
    let said: Value = serde_json::from_slice(&ready.body).expect("JSON");
    assert_eq!(
        (ready.status.as_u16(), &said["ready"], &said["stopping"]),
        (503, &Value::Bool(false), &Value::Bool(true)),
        "{said}"
    );
    assert_eq!(
        client.get(admin, "/healthz").await.status,
        200,
        "it is well all the same"
    );
    let mut served = 0;
    while let Ok(reply) = Client::new().send(http::Method::GET, at, "/x", &[], "").await {
        assert_eq!(reply.status, 200);
        served += 1;
    }
    assert!(
        served > 0 && begun.elapsed() >= Duration::from_millis(700),
        "{served} in {:?}",
        begun.elapsed()
    );
    assert_eq!(program.end().code(), Some(0));
}

/// A request that is under way, held back at `gate`.
async fn under_way(at: SocketAddr, gate: &Gate) -> TcpStream {
    let mut client = TcpStream::connect(at).await.expect("a connection");
    let request = b"GET /api/jobs/x HTTP/1.1\r\nhost: x\r\n\r\n";
    client.write_all(request).await.expect("sent");
    gate.until_came(1).await;
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let upstream = Scripted::of_board(Board::new(Rules::Comfyui)).await;
    let gate = upstream.hold_details();
    let mut program = start(&upstream.url(), &["--drain-timeout", "10m"]);
    let _client = under_way(program.address(), &gate).await;
    program.signal("TERM");
    program.line_with("stopping");
    let first = Instant::now();
    // A person tries again.
    while program.is_running() {
        assert!(first.elapsed() < Duration::from_secs(30), "{:#?}", program.log);
        program.signal("INT");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(program.end().code(), Some(1));
    assert!(
        program.log.iter().any(|line| line.contains("cut off")),
        "{:#?}",
        program.log
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_that_is_signalled_twice_in_a_moment_is_one_stop() {
    for under_timeout in [false, true] {
        let upstream = Scripted::of_board(Board::new(Rules::Comfyui)).await;
        let gate = upstream.hold_details();
        let url = upstream.url();
        let arguments = arguments(&url, &[]);
        let mut program = match under_timeout {
            true => Program::start_under_timeout(&arguments),
            false => Program::start(&arguments, &[]),
        };
        let mut client = under_way(program.address(), &gate).await;
        // `timeout` signals the program, and then the group that the program is in.
        program.signal("TERM");
        if !under_timeout {
            program.signal("INT");
        }
        program.line_with("stopping");
        gate.open();
        let head = within("the answer to an upgrade", read_head(&mut client)).await;
        let head = head.expect("an answer");
        assert!(head.starts_with("HTTP/1.1 404"), "{head}");
        drop(client);
        assert_eq!(program.end().code(), Some(0), "{:#?}", program.log);
    }
}
