//! How long a server may keep a client waiting, for a connection, the first byte or the next one: each limit is waited
//! out, and what has none is not ended by another's.

use crate::support::timeouts::{FIRST_BYTE, GAP, IDLE, LONG, facing, until_end};
use crate::support::{
    self, Client,
    upstream::{raw, read_head},
};
use http::Method;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::{sleep, timeout},
};

#[tokio::test]
async fn an_upstream_that_does_not_accept_is_a_504_after_the_connect_timeout() {
    // With its backlog full, the system leaves further connections waiting.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind("127.0.0.1:0".parse().expect("an address")).expect("bound");
    let listener = socket.listen(1).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let mut filling = Vec::new();
    while let Ok(Ok(stream)) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        filling.push(stream);
    }
    let jobshim = facing(address, |config| config.upstream.connect_timeout = GAP).await;
    for path in ["/x", "/history"] {
        let begun = Instant::now();
        let reply = Client::new().get(jobshim.address, path).await;
        assert_eq!(reply.status, 504, "{path}: {}", reply.text());
        assert!(begun.elapsed() >= GAP * 9 / 10, "{path}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_speak_tls_is_a_504_after_the_connect_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let holding = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    let jobshim = support::facing(&format!("https://{address}"), |config| {
        config.upstream.connect_timeout = GAP;
    })
    .await;
    for path in ["/x", "/history"] {
        let begun = Instant::now();
        let reply = timeout(LONG, Client::new().get(jobshim.address, path)).await;
        let reply = reply.unwrap_or_else(|_| panic!("no answer to {path} after {:?}", begun.elapsed()));
        assert_eq!(reply.status, 504, "{path}: {}", reply.text());
        let said = format!("within {} ms", GAP.as_millis());
        assert!(reply.text().contains(&said), "{path}: {}", reply.text());
    }
    holding.abort();
}

#[tokio::test]
async fn an_answer_that_does_not_begin_is_a_504() {
    let upstream = raw(|stream, _| async move {
        sleep(LONG * 2).await;
        drop(stream);
    })
    .await;
    let jobshim = facing(upstream, |config| config.upstream.first_byte_timeout = FIRST_BYTE).await;
    for (method, body) in [(Method::GET, ""), (Method::POST, "hello"), (Method::HEAD, "")] {
        let begun = Instant::now();
        let reply = Client::new()
            .send(method.clone(), jobshim.address, "/x", &[], body)
            .await
            .expect("an answer");
        assert_eq!(reply.status, 504, "{method}: {}", reply.text());
        assert!(
            begun.elapsed() >= FIRST_BYTE * 9 / 10,
            "{method}: {:?}",
            begun.elapsed()
        );
    }
}

/// An upstream that sends a chunk every `pause`, `count` of them, and the end if `whole`.
async fn chunks(pause: Duration, count: usize, whole: bool) -> SocketAddr {
    raw(move |mut stream, _| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            .await;
        for _ in 0..count {
            let _ = stream.write_all(b"1\r\nx\r\n").await;
            sleep(pause).await;
        }
        match whole {
            true => drop(stream.write_all(b"0\r\n\r\n").await),
            false => sleep(LONG * 2).await,
        }
    })
    .await
}

#[tokio::test]
async fn an_answer_that_lies_still_is_broken_off_and_never_looks_complete() {
    let jobshim = facing(chunks(Duration::ZERO, 3, false).await, |config| {
        config.upstream.gap_timeout = GAP;
    })
    .await;
    let mut stream = TcpStream::connect(jobshim.address).await.expect("a connection");
    stream
        .write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("sent");
    let (got, took) = until_end(&mut stream).await;
    assert!(got.contains("1\r\nx\r\n") || got.contains("\r\nxxx\r\n"), "{got:?}");
    assert!(!got.contains("\r\n0\r\n"), "{got:?}");
    assert!(took >= GAP * 9 / 10, "{took:?}");
}

#[tokio::test]
async fn an_answer_that_moves_may_take_as_long_as_it_likes() {
    let jobshim = facing(chunks(GAP / 4, 16, true).await, |config| {
        config.upstream.gap_timeout = GAP;
        config.upstream.first_byte_timeout = FIRST_BYTE;
    })
    .await;
    assert_eq!(Client::new().get(jobshim.address, "/x").await.text(), "x".repeat(16));
}

#[tokio::test]
async fn a_tunnel_may_be_quiet_for_as_long_as_it_likes() {
    let upstream = raw(|mut stream, _| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            .await;
        while let Ok(byte) = stream.read_u8().await {
            sleep(IDLE * 2).await;
            let _ = stream.write_u8(byte + 1).await;
        }
    })
    .await;
    let jobshim = facing(upstream, |config| {
        config.upstream.gap_timeout = GAP;
        config.upstream.first_byte_timeout = FIRST_BYTE;
    })
    .await;
    let mut stream = TcpStream::connect(jobshim.address).await.expect("a connection");
    stream
        .write_all(b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await
        .expect("sent");
    let head = read_head(&mut stream).await.expect("an answer");
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for byte in [1, 7] {
        sleep(IDLE * 2).await;
        stream.write_u8(byte).await.expect("open");
        let back = timeout(LONG, stream.read_u8()).await.expect("in time");
        assert_eq!(back.expect("open"), byte + 1);
    }
}
