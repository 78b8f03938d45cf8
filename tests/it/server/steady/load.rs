//! Many connections, most of them idle and some busy, round after round: no error, and afterwards memory and descriptors
//! are back to where they were. What the suite does is short; for the whole of it, in minutes:
//!
//!     cargo build --release
//!     JOBSHIM_TEST_PROGRAM=target/release/jobshim JOBSHIM_TEST_LOAD=10000,1000,60,10 \
//!         cargo test --test it steady::load -- --nocapture
//!
//! (idle connections, busy ones, seconds, rounds). It takes about as many descriptors as there are connections.

#![cfg(target_os = "linux")]

use crate::support::{
    descriptors,
    program::Program,
    raw::sender,
    upstream::{Scripted, reply},
    wait::until,
};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::SendRequest;
use std::{
    env,
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const DETAIL: &str = r#"{"id": "d", "status": "completed", "create_time": 1, "outputs": {}}"#;
/// How many connections are opened at the same time.
const OPENING: usize = 100;

struct Load {
    idle: usize,
    busy: usize,
    time: Duration,
    rounds: usize,
}

impl Load {
    fn wanted() -> Self {
        let wanted = env::var("JOBSHIM_TEST_LOAD").unwrap_or_else(|_| "1000,100,2,3".to_owned());
        let numbers: Vec<usize> = wanted.split(',').filter_map(|word| word.trim().parse().ok()).collect();
        let [idle, busy, seconds, rounds] = numbers[..] else {
            panic!("JOBSHIM_TEST_LOAD is IDLE,BUSY,SECONDS,ROUNDS, not {wanted:?}");
        };
        Self {
            // A busy one has one to the server, too.
            idle: idle.min(descriptors().saturating_sub(2 * busy)),
            busy,
            time: Duration::from_secs(seconds as u64),
            rounds,
        }
    }
}

type Sender = SendRequest<Full<Bytes>>;

/// What passes, what has a body, what is translated.
async fn ask(sender: &mut Sender, nth: usize) -> Result<(), String> {
    let (method, path, body) = match nth % 3 {
        0 => (Method::GET, "/x", ""),
        1 => (Method::POST, "/x", "a body"),
        _ => (Method::GET, "/history/d", ""),
    };
    let request = Request::builder().method(method).uri(path).header("host", "a");
    let request = request.body(Full::from(body)).expect("a request");
    let asked = async {
        let (head, body) = sender.send_request(request).await?.into_parts();
        Ok::<_, hyper::Error>((head.status, body.collect().await?.to_bytes()))
    };
    match asked.await {
        Ok((StatusCode::OK, body)) if body.len() > 1 => Ok(()),
        other => Err(format!("{path}: {other:?}")),
    }
}

/// Opens connections, each of which has asked once.
async fn open(at: SocketAddr, count: usize) -> Vec<Sender> {
    let mut opened = Vec::with_capacity(count);
    while opened.len() < count {
        let mut opening = JoinSet::new();
        for _ in 0..OPENING.min(count - opened.len()) {
            opening.spawn(async move {
                let mut sender = sender(at).await;
                ask(&mut sender, 0).await.expect("an answer");
                sender
            });
        }
        opened.extend(opening.join_all().await);
    }
    opened
}

/// How many requests were answered; every error.
async fn round(at: SocketAddr, load: &Load) -> (usize, Vec<String>) {
    let mut idle = open(at, load.idle).await;
    let mut busy = JoinSet::new();
    let until = Instant::now() + load.time;
    for mut sender in open(at, load.busy).await {
        busy.spawn(async move {
            let (mut answered, mut errors) = (0, Vec::new());
            while Instant::now() < until && errors.is_empty() {
                match ask(&mut sender, answered).await {
                    Ok(()) => answered += 1,
                    Err(error) => errors.push(error),
                }
            }
            (answered, errors)
        });
    }
    let (mut answered, mut errors) = (0, Vec::new());
    for (more, wrong) in busy.join_all().await {
        answered += more;
        errors.extend(wrong);
    }
    // Whoever was idle is still there.
    for (nth, sender) in idle.iter_mut().enumerate() {
        errors.extend(ask(sender, nth).await.err());
    }
    (answered + load.busy + 2 * load.idle, errors)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_connections_round_after_round_make_no_error_and_leave_nothing() {
    let load = Load::wanted();
    let upstream = Scripted::start(|request| async move {
        let (head, body) = request.into_parts();
        body.collect().await.expect("a whole body");
        let detail = head.uri.path() == "/api/jobs/d";
        reply(200, &[], if detail { DETAIL } else { "{ }" })
    })
    .await;
    let most = (load.idle + load.busy + 100).to_string();
    let more = [
        "--dialect",
        "comfyui",
        "--log-access",
        "off",
        "--idle-timeout",
        "10m",
        "--max-connections",
        &most,
    ];
    let mut program = Program::before(&upstream.url(), &more);
    let at = program.address();
    let files = program.open_files();
    let mut first = None;
    for nth in 1..=load.rounds {
        let begun = Instant::now();
        let (answered, errors) = round(at, &load).await;
        // What the pool keeps is no leak.
        until("all descriptors are back", async || {
            program.open_files() <= files + upstream.open_connections()
        })
        .await;
        let (held, took) = (program.memory(), begun.elapsed());
        println!(
            "round {nth}: {} idle, {} busy, {answered} answers in {took:.1?}, {} errors; afterwards {held} KiB, {} \
             descriptors, {} of them of the pool",
            load.idle,
            load.busy,
            errors.len(),
            program.open_files(),
            upstream.open_connections(),
        );
        assert!(errors.is_empty(), "{errors:#?}");
        // The allocator keeps more or less of what is free. What leaks grows with each round.
        let first = *first.get_or_insert(held);
        assert!(held <= first + first / 2, "{held} KiB, {first} after the first round");
    }
}
