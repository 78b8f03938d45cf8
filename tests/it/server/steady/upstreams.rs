//! Upstreams that fail in every way, on every route: the right status in time, nothing kept of a failure, the first request
//! after it succeeds, and memory and descriptors are back to where they were.

#![cfg(target_os = "linux")]

use crate::support::{
    program::Program,
    raw::exchange,
    unsteady::{Manner, Unsteady},
};
use jobshim::demo::{Board, Job, Rules};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const PROMPT: &str = r#"{"prompt": {"1": {"class_type": "SaveImage", "inputs": {}}}}"#;
/// What an upstream may take for an answer to a call, and for the head of one that passes through.
const PATIENCE: Duration = Duration::from_millis(800);
/// What that may become on the busiest of machines.
const LONG: Duration = Duration::from_secs(20);
/// How much more memory the program may hold after a failure than before all, in KiB.
const MAX_MEMORY: u64 = 6 << 10;

/// What a request is, by how it goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Translated calls that change nothing, and that do.
    Read,
    Write,
    /// A translated call whose answer is told as it is.
    Told,
    /// Requests that go through as they are, without a body and with one.
    Get,
    Post,
    /// The same, and its answer is read on the way.
    Prompt,
    /// A tunnel.
    Upgrade,
}

const ROUTES: [(Kind, &str, &str); 20] = [
    (Kind::Read, "GET /history", ""),
    (Kind::Read, "GET /history?max_items=1", ""),
    (Kind::Read, "GET /history/d", ""),
    (Kind::Read, "GET /queue", ""),
    (Kind::Read, "GET /api/queue", ""),
    (Kind::Read, "HEAD /queue", ""),
    (Kind::Read, "GET /api/history_v2", ""),
    (Kind::Read, "GET /api/history_v2/d", ""),
    (Kind::Read, "GET /api/job/d/status", ""),
    (Kind::Get, "GET /system_stats", ""),
    (Kind::Post, "POST /upload/image", "picture"),
    (Kind::Post, "DELETE /userdata/x", ""),
    (Kind::Prompt, "POST /prompt", PROMPT),
    (Kind::Upgrade, "GET /ws", ""),
    (Kind::Write, "POST /interrupt", "{}"),
    (Kind::Told, "POST /api/job/w/cancel", ""),
    (Kind::Write, "POST /api/queue", r#"{"delete": ["w"]}"#),
    (Kind::Write, "POST /queue", r#"{"delete": ["w"]}"#),
    (Kind::Write, "POST /queue", r#"{"clear": true}"#),
    // The server's own endpoint comes first.
    (Kind::Post, "POST /history", r#"{"delete": ["d"]}"#),
];

/// An answer that visibly breaks off.
const CUT: u16 = 0;

/// The status that a client must get.
#[rustfmt::skip]
const EXPECTED: [(Manner, [u16; 7]); 13] = [
    //                       read write told get  post prompt upgrade
    (Manner::Refuses,        [502, 502, 502, 502, 502, 502, 502]),
    (Manner::Hangs,          [504, 504, 504, 504, 504, 504, 504]),
    (Manner::ResetsAtOnce,   [502, 502, 502, 502, 502, 502, 502]),
    (Manner::ResetsInHead,   [502, 502, 502, 502, 502, 502, 502]),
    // A tunnel ends as it likes, and what was read on the way is whole or a failure.
    (Manner::ResetsInBody,   [502, 502, 502, CUT, CUT, 502, 101]),
    (Manner::EndsInBody,     [502, 502, 502, CUT, CUT, 502, 101]),
    // What passes is as long as it was said to be.
    (Manner::AnnouncesLess,  [502, 502, 200, 200, 200, 200, 101]),
    (Manner::Garbage,        [502, 502, 502, 502, 502, 502, 502]),
    (Manner::Drips,          [504, 504, 504, 200, 200, 200, 101]),
    (Manner::Fails,          [500, 500, 500, 500, 500, 500, 500]),
    (Manner::IsBusy,         [429, 429, 429, 429, 429, 429, 429]),
    (Manner::ClosesIdle,     [200, 200, 200, 200, 200, 200, 101]),
    // A write may have been taken.
    (Manner::ClosesAsReused, [200, 502, 502, 200, 502, 502, 101]),
];

fn well(call: &str) -> String {
    let mut board = Board::new(Rules::Comfyui);
    for (id, status) in [("w", "pending"), ("r", "in_progress"), ("d", "completed")] {
        let text = format!(
            r#"{{"id": "{id}", "status": "{status}", "create_time": 1, "outputs": {{}},
                "workflow": {{"prompt": {{}}, "extra_data": {{}}}}}}"#
        );
        board.jobs.push(Job::new(&text, &text).expect("a job"));
    }
    let (method, target) = call.split_once(' ').expect("a call");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path.strip_prefix("/api/jobs") {
        Some("") => board.list(query).1,
        Some(id) if method == "GET" => board.detail(id.trim_start_matches('/')).1,
        Some(_) => r#"{"cancelled": true}"#.to_owned(),
        None if path == "/prompt" => r#"{"prompt_id": "d"}"#.to_owned(),
        None => "{ }".to_owned(),
    }
}

/// An answer: its status or [`CUT`], its `Retry-After`, its body.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Got {
    status: u16,
    retry_after: String,
    body: String,
}

async fn ask(at: SocketAddr, (kind, call, body): (Kind, &str, &str), patience: Duration) -> Got {
    let begun = Instant::now();
    let connection = match kind {
        Kind::Upgrade => "Connection: upgrade, close\r\nUpgrade: echo/1",
        _ => "Connection: close",
    };
    let length = match body {
        "" => String::new(),
        body => format!("Content-Length: {}\r\n", body.len()),
    };
    let request = format!("{call} HTTP/1.1\r\nHost: a\r\n{connection}\r\n{length}\r\n{body}");
    let answer = exchange(at, request.as_bytes()).await.expect("an end");
    assert!(begun.elapsed() < patience, "{call} took {:?}", begun.elapsed());
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let header = |name: &str| {
        let mut values = head.lines().filter_map(|line| line.strip_prefix(name));
        values.next().unwrap_or_default().to_owned()
    };
    let cut = match header("content-length: ").parse() {
        Ok(length) => !call.starts_with("HEAD") && body.len() < length,
        Err(_) => header("transfer-encoding: ") == "chunked" && !body.ends_with("0\r\n\r\n"),
    };
    let status = head.get(9..12).and_then(|status| status.parse().ok());
    Got {
        status: status.filter(|_| !cut).unwrap_or(CUT),
        retry_after: header("retry-after: "),
        body: body.to_owned(),
    }
}

/// One after the other, so that each finds the connections that the one before has left.
async fn every_answer(at: SocketAddr) -> Vec<Got> {
    let mut answers = Vec::new();
    for route in ROUTES {
        // One connection lies idle.
        ask(at, (Kind::Get, "GET /x", ""), LONG).await;
        answers.push(ask(at, route, LONG).await);
    }
    answers
}

/// One after the other, each once there is no connection that lies idle.
async fn every_answer_anew(at: SocketAddr, program: &Program, files: usize) -> Vec<Got> {
    let mut answers = Vec::new();
    for route in ROUTES {
        answers.push(ask(at, route, LONG).await);
        program.until_open_files(files).await;
    }
    answers
}

async fn all_at_once(at: SocketAddr) -> Vec<Got> {
    // The longest body, byte by byte.
    let patience = LONG + Duration::from_secs(20);
    let mut asked = JoinSet::new();
    for (nth, route) in ROUTES.into_iter().enumerate() {
        asked.spawn(async move { (nth, ask(at, route, patience).await) });
    }
    let mut answers = asked.join_all().await;
    answers.sort_by_key(|(nth, _)| *nth);
    answers.into_iter().map(|(_, got)| got).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn however_the_upstream_fails_the_answer_is_right_and_nothing_of_it_stays() {
    let mut unsteady = Unsteady::start(well).await;
    let url = format!("http://{}", unsteady.address);
    let patience = format!("{}ms", PATIENCE.as_millis());
    let limits = [
        "--answer-timeout",
        &patience,
        "--first-byte-timeout",
        &patience,
        "--gap-timeout",
        "15s",
    ];
    let mut program = Program::before(&url, &[&["--dialect", "comfyui"], &limits[..]].concat());
    let at = program.address();
    let files = program.open_files();
    // The first round notes a prompt, which the second one shows.
    every_answer(at).await;
    let right = every_answer(at).await;
    for ((kind, call, _), got) in ROUTES.iter().zip(&right) {
        let well = if *kind == Kind::Upgrade { 101 } else { 200 };
        assert_eq!(got.status, well, "{call}: {got:?}");
    }
    let memory = program.memory();
    let mut wrong = Vec::new();
    for (manner, statuses) in EXPECTED {
        unsteady.behave(manner).await;
        let got = match manner {
            Manner::ClosesIdle => every_answer_anew(at, &program, files).await,
            Manner::ClosesAsReused => every_answer(at).await,
            _ => all_at_once(at).await,
        };
        for ((kind, call, body), got) in ROUTES.iter().zip(&got) {
            let expected = statuses[*kind as usize];
            let retry_after = if manner == Manner::IsBusy { "7" } else { "" };
            if got.status != expected || got.retry_after != retry_after {
                wrong.push(format!("{manner:?}: {call} {body}: {expected} expected, not {got:?}"));
            }
        }
        unsteady.behave(Manner::Well).await;
        // All of them are the first.
        for answers in [all_at_once(at).await, every_answer(at).await] {
            for (((_, call, _), right), got) in ROUTES.iter().zip(&right).zip(answers) {
                if got != *right {
                    wrong.push(format!("{call} after {manner:?}: {got:?}, not {right:?}"));
                }
            }
        }
        // Those that lie idle are no leak.
        unsteady.hang_up().await;
        program.until_open_files(files).await;
        let held = program.memory();
        println!("{manner:?}: {held} KiB, {memory} before");
        if held > memory + MAX_MEMORY {
            wrong.push(format!("after {manner:?}: {held} KiB, {memory} before"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
