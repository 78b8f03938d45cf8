//! Bodies that are read whole take the memory of their bytes and no more, in however small pieces they come; all together
//! they have one limit, and what they took is free again when whoever sent them has gone.
//!
//! `JOBSHIM_TEST_BODY=8388608` makes them as long as that, in bytes.

use crate::support::{
    Client,
    http2::{ACK, DATA, END_HEADERS, HEADERS, PREFACE, SETTINGS, block, frame},
    program::Program,
    raw,
    upstream::{Scripted, raw as upstream, reply},
    wait::{at_rest, until},
};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request};
use http_body_util::{BodyExt, StreamBody};
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
    sync::Notify,
};

/// Pieces, in bytes.
const PIECES: [usize; 3] = [1, 7, 4096];
/// Frames that a client of HTTP/2 sends before it waits until they are read: one that is some 2,000 small ones ahead is cut
/// off (a limit of h2).
const BURST: usize = 500;
/// And the most bytes: what any client may send before it hears that some were read.
const WINDOW: usize = 256 << 10;
/// Clients, or answers, at the same time.
const SENDERS: usize = 4;
/// What else a program needs for them, in KiB: connections and their buffers, frames that have come and not been read, the
/// metrics, and what the allocator keeps at hand.
const ELSE: u64 = 4096;

/// How long a body is that comes in pieces of `size`, in bytes. Small pieces take their time.
fn body_length(size: usize) -> usize {
    let told = std::env::var("JOBSHIM_TEST_BODY").map(|text| text.parse().expect("a number of bytes"));
    told.unwrap_or(if size < 100 { 1 << 17 } else { 2 << 20 })
}

/// How much all senders send in pieces of `size`, in KiB.
fn sent(size: usize) -> u64 {
    (body_length(size) * SENDERS / 1024) as u64
}

/// The beginning of a body of JSON, cut into pieces.
fn pieces(size: usize, wrap: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let mut text = br#"{"prompt": {"1": {"class_type": "A", "inputs": {"x": ""#.to_vec();
    text.resize(body_length(size), b'x');
    text.chunks(size).flat_map(wrap).collect()
}

fn chunk(piece: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
}

/// What a program takes before it is sent anything, in KiB.
#[derive(Clone, Copy)]
struct Before {
    /// Of its own, now.
    memory: u64,
    /// All that is resident.
    resident: u64,
}

impl Before {
    fn of(program: &Program) -> Self {
        Self {
            memory: program.memory(),
            resident: program.reset_peak_memory(),
        }
    }

    /// Waits until it has read and holds `SENDERS` bodies that came in pieces of `size`; it must not have taken more for it on
    /// the way.
    async fn holds_no_more_than_it_got(self, program: &mut Program, size: usize, what: &str) {
        let total = sent(size);
        until(what, async || buffered(program).await >= total as usize * 1024).await;
        let now = program.memory().saturating_sub(self.memory);
        let peak = program.peak_memory().saturating_sub(self.resident);
        let most = total * 3 / 2 + ELSE;
        println!("{what}: {total} KiB sent, {now} KiB held, {peak} KiB at most");
        assert!(now <= most, "{what}: {total} KiB take {now} KiB");
        // Code that runs for the first time comes into memory, too.
        assert!(peak <= most + ELSE, "{what}: {total} KiB took {peak} KiB on the way");
    }
}

/// How much a program holds of bodies by its own count, in bytes.
async fn buffered(program: &mut Program) -> usize {
    let metrics = Client::new().get(program.admin(), "/metrics").await.text();
    let count = metrics
        .lines()
        .find_map(|line| line.strip_prefix("jobshim_buffered_bytes "));
    count.and_then(|count| count.parse().ok()).expect("a count")
}

/// Waits until it holds nothing, by its own count: its allocator gives memory back in its own time.
async fn holds_nothing(program: &mut Program, what: &str) {
    until(&format!("{what}: what was held is free"), async || {
        buffered(program).await == 0
    })
    .await;
}

fn start(url: &str, more: &[&str]) -> Program {
    let limits = [
        "--dialect",
        "comfyui",
        "--legacy-max-body",
        "64MiB",
        "--notes-max-body",
        "64MiB",
        "--admin",
        "127.0.0.1:0",
    ];
    Program::before(url, &[&limits, more].concat())
}

/// With so much room for all bodies, of which requests may take half, and for each of them.
fn start_with_limits(url: &str, all: &str, each: &str) -> Program {
    let limits = [
        ("--max-buffered", all),
        ("--max-answer-bytes", each),
        ("--legacy-max-body", each),
        ("--notes-max-body", each),
    ];
    let limits = limits.map(|(flag, size)| [flag, size]).concat();
    Program::before(url, &[&["--dialect", "comfyui"], &limits[..]].concat())
}

async fn send(at: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.expect("a connection");
    stream.write_all(bytes).await.expect("it is read");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_small_chunks_takes_its_bytes_and_they_are_free_when_its_client_has_gone() {
    let server = Scripted::start(|_| async { reply(200, &[], "{}") }).await;
    for (path, size) in ["/prompt", "/queue"]
        .into_iter()
        .flat_map(|path| PIECES.map(|size| (path, size)))
    {
        let what = format!("POST {path} in chunks of {size}");
        let mut program = start(&server.url(), &[]);
        let (at, before) = (program.address(), Before::of(&program));
        let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
        let bytes: Arc<[u8]> = [head.as_bytes(), &pieces(size, chunk)].concat().into();
        let clients = (0..SENDERS).map(|_| {
            tokio::spawn({
                let bytes = Arc::clone(&bytes);
                async move { send(at, &bytes).await }
            })
        });
        let clients = futures_util::future::join_all(clients).await;
        before.holds_no_more_than_it_got(&mut program, size, &what).await;
        drop(clients);
        holds_nothing(&mut program, &what).await;
    }
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
    let server = Scripted::start(|_| async { reply(200, &[], "{}") }).await;
    for (path, size) in ["/prompt", "/queue"]
        .into_iter()
        .flat_map(|path| PIECES.map(|size| (path, size)))
    {
        let what = format!("POST {path} in frames of {size}");
        let mut program = start(&server.url(), &[]);
        let (at, before) = (program.address(), Before::of(&program));
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
        before.holds_no_more_than_it_got(&mut program, size, &what).await;
        drop(clients);
        holds_nothing(&mut program, &what).await;
    }
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
    let (at, before) = (program.address(), Before::of(&program));
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

/// A server that sends a list or a detail, whatever it is asked, in chunks and never to its end.
async fn endless(beginning: &'static str, size: usize, gone: Arc<Notify>) -> SocketAddr {
    let mut text = beginning.as_bytes().to_vec();
    text.resize(body_length(size), b'x');
    let chunks: Arc<[u8]> = text.chunks(size).flat_map(chunk).collect::<Vec<_>>().into();
    upstream(move |mut stream, request| {
        let (chunks, gone) = (Arc::clone(&chunks), Arc::clone(&gone));
        async move {
            if request.starts_with("GET /x ") {
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                return;
            }
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            let _ = stream.write_all(head).await;
            let _ = stream.write_all(&chunks).await;
            gone.notified().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_small_chunks_takes_its_bytes_and_they_are_free_when_the_server_has_gone() {
    for (route, mode, beginning) in [
        (
            "/queue",
            "translate",
            r#"{"jobs": [{"id": "a", "status": "pending", "x": ""#,
        ),
        (
            "/history/ID",
            "translate",
            r#"{"id": "ID", "status": "completed", "x": ""#,
        ),
        ("/history/ID", "shadow", r#"{"ID": {"prompt": [1, ""#),
    ] {
        for size in PIECES {
            let what = format!("{route} in mode {mode}, answered in chunks of {size}");
            let gone = Arc::new(Notify::new());
            let server = endless(beginning, size, Arc::clone(&gone)).await;
            let mut program = start(&format!("http://{server}"), &["--mode", mode]);
            let (at, before) = (program.address(), Before::of(&program));
            // In shadow the answer that is made to be compared is gathered besides the one that passes.
            let requests = if mode == "shadow" { SENDERS / 2 } else { SENDERS };
            let clients = (0..requests).map(|nth| {
                // Other ids, other users: none shares the call of another.
                let path = route.replace("ID", &format!("1111111{nth}-2222-4333-8444-555555555555"));
                let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nx-api-key: {nth}\r\n\r\n");
                tokio::spawn(async move {
                    let stream = send(at, request.as_bytes()).await;
                    let (mut read, write) = stream.into_split();
                    tokio::spawn(async move { while read.read(&mut [0; 65_536]).await.is_ok_and(|got| got > 0) {} });
                    write
                })
            });
            let clients = futures_util::future::join_all(clients).await;
            before.holds_no_more_than_it_got(&mut program, size, &what).await;
            drop(clients);
            gone.notify_waiters();
            holds_nothing(&mut program, &what).await;
        }
    }
}

/// A server that reads each request to its end, as what it left unread would end the connection.
async fn reading() -> Scripted {
    Scripted::start(|request| async {
        request.into_body().collect().await.expect("a whole body");
        reply(200, &[], r#"{"jobs": [], "pagination": {"has_more": false}}"#)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn all_bodies_together_have_one_limit_and_what_is_beyond_is_refused_until_there_is_room() {
    let server = reading().await;
    let mut program = start_with_limits(&server.url(), "2MiB", "1MiB");
    let at = program.address();
    let client = Client::new();
    let delete = |bytes: usize| format!(r#"{{"delete": ["{}"]}}"#, "x".repeat(bytes));
    let post = async |body: String| {
        client
            .send(Method::POST, at, "/queue", &[], body)
            .await
            .expect("an answer")
    };
    let head = "POST /queue HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let before = program.memory();
    let held = send(at, &[head.as_bytes(), &chunk(&vec![b' '; 700_000])].concat()).await;
    until("it is held", async || program.memory() >= before + 600).await;
    let refused = async || {
        let reply = post(delete(600_000)).await;
        let refused = reply.status == 503;
        if refused {
            assert_eq!(reply.headers["retry-after"], "1");
            assert!(reply.text().contains("server.max_buffered"), "{}", reply.text());
        }
        refused
    };
    until("a refusal", refused).await;
    assert_eq!(post(delete(10_000)).await.status, 200, "what is short still has room");
    // What passes unread is not held.
    let passed = client
        .send(Method::POST, at, "/x", &[], "x".repeat(600_000))
        .await
        .expect("an answer");
    assert_eq!(passed.status, 200, "{}", passed.text());
    drop(held);
    until("room again", async || post(delete(600_000)).await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_how_much_it_will_send_and_sends_nothing_takes_nothing() {
    let server =
        Scripted::start(|_| async { reply(200, &[], r#"{"jobs": [], "pagination": {"has_more": false}}"#) }).await;
    let mut program = start_with_limits(&server.url(), "32MiB", "16MiB");
    let at = program.address();
    let head = "POST /queue HTTP/1.1\r\nhost: a\r\ncontent-length: 16000000\r\n\r\n{";
    let silent = futures_util::future::join_all((0..20).map(|_| send(at, head.as_bytes()))).await;
    let answer = raw::exchange(
        at,
        b"POST /queue HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 13\r\n\r\n{\"delete\": []}",
    )
    .await;
    assert!(
        answer.as_ref().is_ok_and(|text| text.starts_with("HTTP/1.1 ")),
        "{answer:?}"
    );
    let memory = program.memory();
    assert!(memory < 32 << 10, "{memory} KiB");
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_to_the_server_holds_nothing_of_the_request_that_was_sent_on_it() {
    let server = reading().await;
    let mut program = start_with_limits(&server.url(), "2MiB", "1MiB");
    let at = program.address();
    let client = Client::new();
    let long = "x".repeat(600_000);
    let post = async |path: &str, body: String| {
        let reply = client.send(Method::POST, at, path, &[], body).await;
        let reply = reply.expect("an answer");
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    };
    post("/prompt", format!(r#"{{"prompt": {{}}, "x": "{long}"}}"#)).await;
    post("/queue", format!(r#"{{"delete": ["{long}"]}}"#)).await;
}
