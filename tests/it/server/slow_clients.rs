//! A thousand clients who send heads or bodies slowly, or do not read, against the real program: nobody else waits for
//! them, and the memory that they cost has a bound.

#![cfg(target_os = "linux")]

use crate::support::{
    Client, descriptors,
    program::Program,
    upstream::{raw, read_head},
};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

const MANY: usize = 1000;
/// An answer that no buffers on the way hold.
const BIG: usize = 16 << 20;
/// What others may have to wait, on the busiest of machines.
const SOON: Duration = Duration::from_secs(5);
const LONG: Duration = Duration::from_secs(60);

/// An upstream that answers `/big` with `BIG` bytes, a `POST` once its body is there, and everything else at once.
async fn upstream() -> SocketAddr {
    raw(|mut stream, first| async move {
        let mut head = Some(first);
        while let Some(asked) = head {
            let length = if asked.starts_with("GET /big ") { BIG } else { 2 };
            if asked.starts_with("POST ") && stream.read_exact(&mut [0; 1000]).await.is_err() {
                return;
            }
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
            let block = [b'x'; 4096];
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            let mut left = length;
            while left > 0 {
                match stream.write(&block[..left.min(block.len())]).await {
                    Ok(written) => left -= written,
                    Err(_) => return,
                }
            }
            head = read_head(&mut stream).await;
        }
    })
    .await
}

async fn slow(at: SocketAddr, begun: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small window");
    let mut stream = timeout(LONG, socket.connect(at))
        .await
        .expect("in time")
        .expect("a connection");
    stream.write_all(begun).await.expect("sent");
    stream
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_clients_keep_nobody_waiting_and_cost_a_bounded_memory() {
    let long_head = format!("GET /x HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(60 << 10));
    let kinds: [(&str, &[u8], u64); 4] = [
        ("a head that is begun", b"GET /x HTTP/1.1\r\nHost: a\r\nX: ", 64),
        ("a long head without its end", long_head.as_bytes(), 192),
        (
            "a body that is begun",
            b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhello",
            128,
        ),
        (
            "an answer that is not read",
            b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n",
            768,
        ),
    ];
    for (kind, begun, most) in kinds {
        let url = format!("http://{}", upstream().await);
        let arguments = ["--listen", "127.0.0.1:0", "--upstream", &url, "--dialect", "comfyui"];
        let mut program = Program::start(&arguments, &[]);
        let at = program.address();
        assert_eq!(Client::new().get(at, "/x").await.status, 200, "{kind}");
        let before = program.peak_memory();
        let mut held = Vec::new();
        for _ in 0..MANY.min(descriptors() / 2) {
            held.push(slow(at, begun).await);
        }
        let mut slowest = Duration::ZERO;
        for _ in 0..50 {
            let asked = Instant::now();
            let reply = timeout(SOON, Client::new().get(at, "/x")).await;
            assert_eq!(reply.expect("soon").status, 200, "{kind}");
            slowest = slowest.max(asked.elapsed());
        }
        let grown = (program.peak_memory() - before) >> 10;
        println!(
            "{kind}: {} clients, {grown} MiB, others waited {slowest:?} at most",
            held.len()
        );
        assert!(
            grown <= most,
            "{kind}: {grown} MiB more than the {} before",
            before >> 10
        );
    }
}
