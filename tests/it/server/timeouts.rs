//! How long a client may keep jobshim waiting, with a head, a body, or by not reading: each limit is waited out, and what
//! has none is not ended by another's.

use crate::support::timeouts::{FIRST_BYTE, HEADER, IDLE, LONG, facing, until_end};
use crate::support::{
    Client,
    raw::statuses,
    upstream::{raw, read_head},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    sync::oneshot,
    time::{sleep, timeout},
};

/// An upstream that says ok to everything.
async fn fine() -> SocketAddr {
    raw(|mut stream, _| async move {
        loop {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
            if read_head(&mut stream).await.is_none() {
                return;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let jobshim = facing(fine().await, |_| {}).await;
    for begun in [
        "",
        "G",
        "GET /x HTTP/1.1\r\nHost: a\r\n",
        "PRI * HTTP/2.0\r\n",
        "\r\n\r\n",
    ] {
        let mut stream = TcpStream::connect(jobshim.address).await.expect("a connection");
        stream.write_all(begun.as_bytes()).await.expect("sent");
        let (got, took) = until_end(&mut stream).await;
        assert_eq!(got, "", "{begun:?}");
        assert!(took >= HEADER * 9 / 10, "{begun:?}: {took:?}");
    }
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_has_the_same_time() {
    let jobshim = facing(fine().await, |_| {}).await;
    for (before, dripped) in [
        ("", "GET /x HTTP/1.1\r\nHost: a\r\nX: "),
        ("", "PRI * HTTP/2.0\r\n\r\nSM\r\n"),
        (
            "GET /x HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /y HTTP/1.1\r\nHost: a\r\nX: ",
        ),
    ] {
        let mut stream = TcpStream::connect(jobshim.address).await.expect("a connection");
        stream.write_all(before.as_bytes()).await.expect("sent");
        if !before.is_empty() {
            read_head(&mut stream).await.expect("an answer");
        }
        let begun = Instant::now();
        let dripping = async {
            for byte in dripped.bytes().chain(std::iter::repeat(b'y')) {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(LONG, dripping).await.expect("an end");
        assert!(begun.elapsed() >= HEADER * 9 / 10, "{dripped:?}: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_quiet_connection_ends_after_the_idle_timeout_and_not_before() {
    let jobshim = facing(fine().await, |_| {}).await;
    let mut stream = TcpStream::connect(jobshim.address).await.expect("a connection");
    // Twice longer than a head may take.
    for _ in 0..4 {
        stream
            .write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .expect("sent");
        read_head(&mut stream).await.expect("an answer");
        stream.read_exact(&mut [0; 2]).await.expect("a body");
        sleep(HEADER / 2).await;
    }
    let (got, took) = until_end(&mut stream).await;
    assert_eq!(got, "");
    assert!(took >= IDLE / 2, "{took:?}");
}

#[tokio::test]
async fn a_client_that_waits_for_a_slow_server_is_not_idle() {
    let upstream = raw(|mut stream, _| async move {
        sleep(IDLE * 2).await;
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nsl")
            .await;
        sleep(IDLE * 2).await;
        let _ = stream.write_all(b"ow").await;
    })
    .await;
    let jobshim = facing(upstream, |_| {}).await;
    assert_eq!(Client::new().get(jobshim.address, "/x").await.text(), "slow");
}

#[tokio::test]
async fn a_body_that_stops_coming_is_a_408_and_the_server_sees_that_it_was_cut() {
    let (cut, was_cut) = oneshot::channel();
    let cut = std::sync::Mutex::new(Some(cut));
    let upstream = raw(move |mut stream, _| {
        let cut = cut.lock().expect("once").take();
        async move {
            let mut got = Vec::new();
            let _ = stream.read_to_end(&mut got).await;
            if let Some(cut) = cut {
                let _ = cut.send(String::from_utf8_lossy(&got).into_owned());
            }
        }
    })
    .await;
    let jobshim = facing(upstream, |_| {}).await;
    for path in ["/upload", "/prompt", "/queue"] {
        let mut stream = TcpStream::connect(jobshim.address).await.expect("a connection");
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello");
        stream.write_all(head.as_bytes()).await.expect("sent");
        let (got, took) = until_end(&mut stream).await;
        assert_eq!(statuses(&got), [408], "{path}: {got}");
        assert!(took >= IDLE * 9 / 10, "{path}: {took:?}");
    }
    let got = timeout(LONG, was_cut)
        .await
        .expect("in time")
        .expect("the first request");
    assert_eq!(got, "hello", "no more than was sent");
}

#[tokio::test]
async fn a_body_that_comes_slowly_may_take_as_long_as_it_likes() {
    let upstream = raw(|mut stream, _| async move {
        let mut body = [0; 12];
        if stream.read_exact(&mut body).await.is_ok() {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                .await;
        }
    })
    .await;
    let jobshim = facing(upstream, |config| config.upstream.first_byte_timeout = FIRST_BYTE).await;
    let mut stream = TcpStream::connect(jobshim.address).await.expect("a connection");
    stream
        .write_all(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\nConnection: close\r\n\r\n")
        .await
        .expect("sent");
    // Three times longer than the idle timeout, and four times the time to the first byte of an answer.
    for byte in b"slow upload!" {
        sleep(Duration::from_millis(200)).await;
        stream.write_all(&[*byte]).await.expect("sent");
    }
    let (got, _) = until_end(&mut stream).await;
    assert_eq!(statuses(&got), [200], "{got}");
}

/// More than all buffers on the way hold.
const BIG: usize = 32 << 20;

/// An upstream that sends `BIG` bytes, and tells when its connection is ended before that.
async fn big() -> (SocketAddr, oneshot::Receiver<()>) {
    let (ended, end) = oneshot::channel();
    let ended = std::sync::Mutex::new(Some(ended));
    let upstream = raw(move |mut stream, _| {
        let ended = ended.lock().expect("once").take();
        async move {
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {BIG}\r\n\r\n");
            let _ = stream.write_all(head.as_bytes()).await;
            let block = vec![b'x'; 64 << 10];
            for _ in 0..BIG / block.len() {
                if stream.write_all(&block).await.is_err() {
                    break;
                }
            }
            if let Some(ended) = ended {
                let _ = ended.send(());
            }
        }
    })
    .await;
    (upstream, end)
}

async fn small_window(at: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(16 << 10).expect("a small window");
    socket.connect(at).await.expect("a connection")
}

#[tokio::test]
async fn a_client_that_stops_reading_is_given_up_and_the_server_is_let_go() {
    let (upstream, ended) = big().await;
    let jobshim = facing(upstream, |_| {}).await;
    let mut stream = small_window(jobshim.address).await;
    stream
        .write_all(b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .expect("sent");
    read_head(&mut stream).await.expect("an answer");
    timeout(LONG, ended)
        .await
        .expect("in time")
        .expect("the upstream's word");
    let mut got = Vec::new();
    let _ = timeout(LONG, stream.read_to_end(&mut got)).await.expect("an end");
    assert!(got.len() < BIG, "it must not look complete");
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_all_of_it() {
    let (upstream, _ended) = big().await;
    let jobshim = facing(upstream, |config| config.server.idle_timeout = HEADER).await;
    let mut stream = small_window(jobshim.address).await;
    stream
        .write_all(b"GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        .await
        .expect("sent");
    read_head(&mut stream).await.expect("an answer");
    let (mut length, mut block) = (0, vec![0; 1 << 20]);
    // The first megabyte in pieces, for three times the idle timeout.
    for _ in 0..24 {
        length += stream.read(&mut block[..40 << 10]).await.expect("more");
        sleep(Duration::from_millis(50)).await;
    }
    while length < BIG {
        match timeout(LONG, stream.read(&mut block)).await.expect("in time") {
            Ok(1..) if length == 0 => unreachable!(),
            Ok(0) => break,
            Ok(more) => length += more,
            Err(error) => panic!("{error} after {length} bytes"),
        }
    }
    assert_eq!(length, BIG);
}

#[tokio::test]
async fn no_timeout_is_off_for_want_of_a_timer() {
    // The same listener, told to wait for an hour, does wait.
    let jobshim = facing(fine().await, |config| {
        config.server.header_timeout = Duration::from_secs(3600);
        config.server.idle_timeout = Duration::from_secs(3600);
    })
    .await;
    let mut stream = TcpStream::connect(jobshim.address).await.expect("a connection");
    stream.write_all(b"GET /x HTTP/1.1\r\n").await.expect("sent");
    sleep(HEADER * 3).await;
    stream.write_all(b"Host: a\r\n\r\n").await.expect("still open");
    let head = timeout(LONG, read_head(&mut stream)).await.expect("in time");
    assert!(head.is_some_and(|head| head.starts_with("HTTP/1.1 200 ")));
}
