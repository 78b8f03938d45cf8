//! Clients that speak HTTP/2 and send what costs them little and a server much, without end: each is cut off, whatever it
//! does, the memory that it costs has a bound, and others are served meanwhile. Who only does little is no flood.

#![cfg(target_os = "linux")]

use crate::support::{
    Client, Running, facing,
    http2::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, GO_AWAY, HEADERS, PING, PREFACE, PRIORITY, RESET, SETTINGS,
        WINDOW_UPDATE, block, frame,
    },
    program::Program,
    upstream::{raw, raw_bytes},
    wait::within,
};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

/// Only a flood that nobody stops goes on so long.
const PATIENCE: Duration = Duration::from_secs(30);
/// What all floods, one after the other, may cost at any moment, in KiB.
const MAX_MEMORY: u64 = 24 << 10;
/// How many requests of one flood may reach the upstream: as many as one connection may have at the same time, and more
/// that are taken back before it is noticed.
const MAX_REQUESTS: usize = 200;

struct Flood {
    name: &'static str,
    /// Sent once, after the preface and an empty SETTINGS.
    begin: Vec<u8>,
    /// The part with this number of what is sent over and over.
    more: fn(u32) -> Vec<u8>,
}

fn request(stream: u32, flags: u8) -> Vec<u8> {
    let fields = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/hangs"),
    ];
    frame(HEADERS, flags, stream, &block(&fields))
}

fn many(one: &[u8]) -> Vec<u8> {
    one.repeat(1 + 16_000 / one.len())
}

fn floods() -> Vec<Flood> {
    let open = request(1, END_HEADERS);
    let flood = |name, begin: &[u8], more| Flood {
        name,
        begin: begin.to_vec(),
        more,
    };
    vec![
        // CVE-2024-27316 and others.
        flood("heads without end", &request(1, 0), |number| {
            let value = format!("{number:08}").repeat(12);
            frame(CONTINUATION, 0, 1, &block(&[("x", &value)]).repeat(100))
        }),
        flood("heads without end, in empty pieces", &request(1, 0), |_| {
            many(&frame(CONTINUATION, 0, 1, &[]))
        }),
        flood("a head that refers to itself", &[], |number| {
            // One field of 3000 bytes, kept in the table, and named over and over (RFC 7541 section 6.1).
            let field = [&[0x40, 1, b'x', 0x7f, 0xb9, 0x16][..], &[b'y'; 3000]].concat();
            let fields = [
                block(&[(":method", "GET"), (":scheme", "http"), (":path", "/x")]),
                field,
                vec![0xbe; 10_000],
            ];
            frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &fields.concat())
        }),
        // CVE-2023-44487.
        flood("requests that are taken back", &[], |number| {
            let one = |nth| {
                let stream = 2 * (100 * number + nth) + 1;
                [
                    request(stream, END_HEADERS | END_STREAM),
                    frame(RESET, 0, stream, &[0, 0, 0, 8]),
                ]
                .concat()
            };
            (0..100).flat_map(one).collect()
        }),
        // CVE-2025-8671.
        flood("requests that jobshim must reset", &[], |number| {
            let one = |nth| {
                let stream = 2 * (100 * number + nth) + 1;
                [request(stream, END_HEADERS), frame(WINDOW_UPDATE, 0, stream, &[0; 4])].concat()
            };
            (0..100).flat_map(one).collect()
        }),
        flood("more requests than are allowed", &[], |number| {
            let one = |nth| request(2 * (100 * number + nth) + 1, END_HEADERS | END_STREAM);
            (0..100).flat_map(one).collect()
        }),
        // CVE-2019-9512, 9515, 9513, 9518, and their like.
        flood("pings", &[], |_| many(&frame(PING, 0, 0, &[0; 8]))),
        flood("settings", &[], |_| many(&frame(SETTINGS, 0, 0, &[]))),
        flood("settings of the table's size", &[], |number| {
            let size = [0, 1, 0, 0, if number % 2 == 0 { 16 } else { 0 }, 0];
            many(&frame(SETTINGS, 0, 0, &size))
        }),
        flood("priorities", &[], |_| many(&frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 9]))),
        flood("windows", &[], |_| many(&frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]))),
        flood("windows of a request", &open, |_| {
            many(&frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]))
        }),
        flood("a body of nothing", &open, |_| many(&frame(DATA, 0, 1, &[]))),
        flood("a body of padding", &open, |_| {
            many(&frame(DATA, 8, 1, &[&[255][..], &[0; 255]].concat()))
        }),
        flood("frames of no known kind", &[], |_| many(&frame(0x42, 0, 0, &[0; 64]))),
    ]
}

/// Reads frames to the end, and tells why the connection was ended, if that was said.
async fn reason(stream: impl AsyncRead + Unpin) -> Option<u8> {
    within("the end of a connection", read_reason(stream)).await
}

async fn read_reason(mut stream: impl AsyncRead + Unpin) -> Option<u8> {
    let mut reason = None;
    let mut head = [0; 9];
    while stream.read_exact(&mut head).await.is_ok() {
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        if stream.read_exact(&mut payload).await.is_err() {
            break;
        }
        if head[3] == GO_AWAY {
            reason = Some(payload[7]);
        }
    }
    reason
}

/// Sends it until the connection ends, and tells how many bytes that took, and why it ended.
async fn send(begin: Vec<u8>, more: fn(u32) -> Vec<u8>, stream: TcpStream, reads: bool) -> (usize, Option<u8>) {
    let (reading, mut writing) = stream.into_split();
    let answers = reads.then(|| tokio::spawn(reason(reading)));
    let mut bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &begin].concat();
    let (mut sent, mut number) = (0, 0);
    while writing.write_all(&bytes).await.is_ok() {
        sent += bytes.len();
        if answers.as_ref().is_some_and(|answers| answers.is_finished()) {
            break;
        }
        bytes = more(number);
        number += 1;
    }
    let reason = match answers {
        Some(answers) => answers.await.expect("a reader"),
        None => None,
    };
    (sent, reason)
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_floods_a_connection_loses_it_and_costs_a_bounded_memory() {
    let reached = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&reached);
    let upstream = raw(move |mut stream, head| {
        let hangs = head.contains(" /hangs ");
        count.fetch_add(usize::from(hangs), Relaxed);
        async move {
            let _ = match hangs {
                // Until jobshim gives it up.
                true => within("its end", stream.read_to_end(&mut Vec::new())).await.map(drop),
                false => {
                    stream
                        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                        .await
                }
            };
        }
    })
    .await;
    let url = format!("http://{upstream}");
    let more = ["--dialect", "comfyui", "--idle-timeout", "2s", "--log-access", "off"];
    let mut program = Program::before(&url, &more);
    let (at, client) = (program.address(), Client::new());
    assert_eq!(client.get(at, "/x").await.status, 200);
    let (files, memory) = (program.open_files() + 2, program.peak_memory());
    let mut wrong = Vec::new();
    for flood in floods() {
        for reads in [true, false] {
            reached.store(0, Relaxed);
            let begun = Instant::now();
            let stream = TcpStream::connect(at).await.expect("a connection");
            let sending = tokio::spawn(timeout(PATIENCE, send(flood.begin.clone(), flood.more, stream, reads)));
            let during = timeout(PATIENCE, client.get(at, "/x")).await.expect("an answer");
            let ended = sending.await.expect("an end");
            let (took, reached) = (begun.elapsed(), reached.load(Relaxed));
            let said = format!(
                "{}, reads: {reads}: {ended:?} after {took:?}, {reached} reached",
                flood.name
            );
            println!("{said}");
            if ended.is_err() || during.status != 200 || reached > MAX_REQUESTS {
                wrong.push(said);
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let cost = program.peak_memory() - memory;
    assert!(cost < MAX_MEMORY, "{cost} KiB");
    program.until_open_files(files).await;
}

const IDLE: Duration = Duration::from_millis(800);

async fn impatient(upstream: SocketAddr) -> Running {
    facing(&format!("http://{upstream}"), |config| {
        config.server.idle_timeout = IDLE
    })
    .await
}

#[tokio::test]
async fn who_only_pings_is_idle() {
    let upstream = raw_bytes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let jobshim = impatient(upstream).await;
    let stream = TcpStream::connect(jobshim.address).await.expect("a connection");
    let (reading, mut writing) = stream.into_split();
    let reading = tokio::spawn(reason(reading));
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/x"),
    ];
    let request = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(&fields));
    let bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &request].concat();
    writing.write_all(&bytes).await.expect("sent");
    let begun = Instant::now();
    let pinging = async {
        while !reading.is_finished() && writing.write_all(&frame(PING, 0, 0, &[0; 8])).await.is_ok() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, pinging).await.expect("an end");
    assert!(begun.elapsed() >= IDLE * 9 / 10, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn who_reads_a_long_answer_slowly_in_small_windows_gets_all_of_it() {
    const BIG: usize = 4 << 20;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {BIG}\r\n\r\n");
    let jobshim = impatient(raw_bytes([head.into_bytes(), vec![b'x'; BIG]].concat()).await).await;
    let stream = TcpStream::connect(jobshim.address).await.expect("a connection");
    // Thousands of windows, each opened by frames of its own.
    let (mut sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(1 << 10)
        .initial_connection_window_size(1 << 10)
        .handshake(TokioIo::new(stream))
        .await
        .expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let request = Request::get("http://a/x")
        .body(Empty::<Bytes>::new())
        .expect("a request");
    let answer = within("an answer", sender.send_request(request)).await;
    let mut body = answer.expect("an answer").into_body();
    let (mut length, begun) = (0, Instant::now());
    while let Some(frame) = timeout(PATIENCE, body.frame()).await.expect("in time") {
        length += frame.expect("whole").data_ref().map_or(0, Bytes::len);
        // Slowly, for three times the idle timeout.
        if begun.elapsed() < IDLE * 3 {
            sleep(Duration::from_millis(10)).await;
        }
    }
    assert_eq!(length, BIG);
    connection.abort();
}
