//! An answer that comes in tiny pieces, and a client that does not read them: what waits for it takes little more memory than
//! its bytes, not that of what they were read into.

#![cfg(target_os = "linux")]

use crate::support::{
    http2::{END_HEADERS, END_STREAM, HEADERS, PREFACE, SETTINGS, WINDOW_UPDATE, block, frame},
    program::Program,
    upstream::raw,
    wait::until,
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
    time::sleep,
};

/// Answers on one connection, and pieces of each.
const ANSWERS: usize = 4;
const PIECES: usize = 8_000;
/// What all of them may take, in KiB: a frame that waits has its own bookkeeping. Each piece with 8 KiB of a read buffer were
/// 250 MiB.
const MOST: u64 = 24 << 10;

/// A server that answers in `PIECES` pieces of one byte, each in a packet of its own, and counts those it has sent.
async fn dribbling(head: &'static str, piece: &'static [u8]) -> (SocketAddr, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&sent);
    let at = raw(move |mut stream, _| {
        let sent = Arc::clone(&counted);
        async move {
            stream.set_nodelay(true).expect("a socket");
            stream.write_all(head.as_bytes()).await.expect("sent");
            for _ in 0..PIECES {
                // The one before is read by then.
                sleep(Duration::from_micros(1)).await;
                stream.write_all(piece).await.expect("sent");
                sent.fetch_add(1, Ordering::SeqCst);
            }
            // Until jobshim has gone.
            let _ = stream.read_u8().await;
        }
    })
    .await;
    (at, sent)
}

#[tokio::test(flavor = "multi_thread")]
async fn tiny_pieces_that_a_client_does_not_read_do_not_keep_what_they_were_read_into() {
    for (head, piece) in [
        ("transfer-encoding: chunked", &b"1\r\nx\r\n"[..]),
        ("content-length: 1000000", b"x"),
        ("connection: close", b"x"),
    ] {
        let whole = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n");
        let (server, sent) = dribbling(whole.leak(), piece).await;
        let mut program = Program::before(&format!("http://{server}"), &["--dialect", "comfyui"]);
        let (at, before) = (program.address(), program.memory());
        // Windows that hold nothing up, and a client that reads nothing.
        let window = i32::MAX.to_be_bytes();
        let settings = frame(SETTINGS, 0, 0, &[&[0, 4][..], &window].concat());
        let more = frame(WINDOW_UPDATE, 0, 0, &(i32::MAX - 65_535).to_be_bytes());
        let fields = [
            (":method", "GET"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/x"),
        ];
        let requests =
            (0..ANSWERS as u32).map(|nth| frame(HEADERS, END_STREAM | END_HEADERS, 2 * nth + 1, &block(&fields)));
        let requests: Vec<u8> = requests.flatten().collect();
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("a small buffer");
        let mut client = socket.connect(at).await.expect("a connection");
        let all = [PREFACE, &settings, &more, &requests].concat();
        client.write_all(&all).await.expect("sent");
        until(head, async || sent.load(Ordering::SeqCst) == ANSWERS * PIECES).await;
        let took = program.memory().saturating_sub(before);
        println!("{head}: {took} KiB");
        assert!(took < MOST, "{head}: {took} KiB");
        drop(client);
    }
}
