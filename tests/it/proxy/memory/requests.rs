//! Bodies of requests, in chunks and in frames.

use super::{Before, ELSE, PIECES, SENDERS, chunk, holds_nothing, pieces, send, start};
use crate::support::{
    http2::{ACK, DATA, END_HEADERS, HEADERS, PREFACE, SETTINGS, block, frame},
    program::Program,
    upstream::{Scripted, raw as upstream, reply},
    wait::{at_rest, until},
};
use bytes::Bytes;
use futures_util::{future::join_all, stream};
use http::Request;
use http_body_util::StreamBody;
use hyper::{body::Frame, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Frames that a client of HTTP/2 sends before it waits until they are read: one that is some 2,000 small ones ahead is cut
/// off (a limit of h2).
const BURST: usize = 500;
/// And the most bytes: what any client may send before it hears that some were read.
const WINDOW: usize = 256 << 10;

/// Sends bodies by `clients`, which gets a program, a path and the size of pieces: they take their bytes, and these are free
/// when the clients have gone.
async fn takes_its_bytes<C>(kind: &str, clients: impl AsyncFn(&mut Program, &'static str, usize) -> C) {
    let server = Scripted::start(|_| async { reply(200, &[], "{}") }).await;
    for path in ["/prompt", "/queue"] {
        for size in PIECES {
            let what = format!("POST {path} in {kind} of {size}");
            let mut program = start(&server.url(), &[]);
            let before = Before::of(&mut program).await;
            let clients = clients(&mut program, path, size).await;
            before.holds_no_more_than_it_got(&mut program, size, &what).await;
            drop(clients);
            holds_nothing(&mut program, &what).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_small_chunks_takes_its_bytes_and_they_are_free_when_its_client_has_gone() {
    takes_its_bytes("chunks", async |program, path, size| {
        let at = program.address();
        let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
        let bytes: Arc<[u8]> = [head.as_bytes(), &pieces(size, chunk)].concat().into();
        let clients = (0..SENDERS).map(|_| {
            tokio::spawn({
                let bytes = Arc::clone(&bytes);
                async move { send(at, &bytes).await }
            })
        });
        join_all(clients).await
    })
    .await;
}

/// A client of HTTP/2 that has sent the head of a POST and is to send its body.
async fn begin_over_http2(at: SocketAddr, path: &str) -> TcpStream {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", path),
    ];
    let head = frame(HEADERS, END_HEADERS, 1, &block(&fields));
    let mut client = send(at, &[PREFACE, &frame(SETTINGS, 0, 0, &[]), &head].concat()).await;
    // The windows that it was told are open once it says that it heard so.
    client.read_u8().await.expect("settings");
    client
        .write_all(&frame(SETTINGS, ACK, 0, &[]))
        .await
        .expect("it is read");
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_small_frames_of_http2_takes_its_bytes_and_they_are_free_when_its_client_has_gone() {
    takes_its_bytes("frames", async |program, path, size| {
        let at = program.address();
        let mut clients = Vec::new();
        for _ in 0..SENDERS {
            clients.push(begin_over_http2(at, path).await);
        }
        // They do not end.
        for burst in pieces(size, <[u8]>::to_vec).chunks((size * BURST).min(WINDOW)) {
            let frames: Vec<u8> = burst.chunks(size).flat_map(|piece| frame(DATA, 0, 1, piece)).collect();
            for client in &mut clients {
                client.write_all(&frames).await.expect("it is read");
            }
            program.until_at_rest().await;
        }
        clients
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_slow_server_leaves_unread_of_small_frames_takes_little() {
    let server = upstream(|mut stream, request| async move {
        if request.starts_with("GET /x ") {
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
            return;
        }
        // It reads no more than the head.
        std::future::pending().await
    })
    .await;
    let mut program = start(&format!("http://{server}"), &[]);
    let (at, before) = (program.address(), Before::of(&mut program).await);
    let stream = TcpStream::connect(at).await.expect("a connection");
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("HTTP/2");
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let frames = (0..20_000_000).map(move |_| {
        counted.fetch_add(1, SeqCst);
        Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"x")))
    });
    let body = StreamBody::new(stream::iter(frames));
    let request = Request::post("http://a/upload/image").body(body).expect("a request");
    tokio::spawn(connection);
    tokio::spawn(async move { sender.send_request(request).await });
    until("many frames are taken", async || sent.load(SeqCst) > 60_000).await;
    let sent = at_rest(&sent).await;
    let held = program.memory() - before.memory;
    assert!(held < 3 * ELSE, "{sent} frames of one byte take {held} KiB");
}
