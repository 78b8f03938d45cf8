//! Bodies that are read whole take the memory of their bytes and no more, in however small pieces they come; all together
//! they have one limit, and what they took is free again when whoever sent them has gone.
//!
//! `JOBSHIM_TEST_BODY=8388608` makes them as long as that, in bytes.

#![cfg(target_os = "linux")]

mod answers;
mod limit;
mod requests;

use crate::support::{Client, program::Program, wait::until};
use std::net::SocketAddr;
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// Pieces, in bytes.
const PIECES: [usize; 3] = [1, 7, 4096];
/// Clients, or answers, at the same time.
const SENDERS: usize = 4;
/// What else a program needs for them, in KiB: connections and their buffers, frames that have come and not been read, and
/// what the allocator keeps at hand.
const ELSE: u64 = 3072;

/// How long a body is that comes in pieces of `size`, in bytes. Small pieces take their time.
fn body_length(size: usize) -> usize {
    let told = std::env::var("JOBSHIM_TEST_BODY").map(|text| text.parse().expect("a number of bytes"));
    told.unwrap_or(if size < 100 { 1 << 18 } else { 2 << 20 })
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
    /// Of a program that has told its metrics, as it does again while it is watched.
    async fn of(program: &mut Program) -> Self {
        for _ in 0..10 {
            buffered(program).await;
        }
        program.until_at_rest().await;
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

async fn send(at: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.expect("a connection");
    stream.write_all(bytes).await.expect("it is read");
    stream
}
