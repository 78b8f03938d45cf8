//! Upstreams that fail in every way, on every route: the right status in time, nothing kept of a failure, and the first
//! request after it succeeds.

use crate::support::{
    Client,
    program::Program,
    unsteady::{Manner, Unsteady},
};
use http::Method;
use jobshim::demo::{Board, Job, Rules};
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::task::JoinSet;

const ID: &str = "11111111-2222-4333-8444-555555555555";
const PROMPT: &str = r#"{"prompt": {"1": {"class_type": "SaveImage", "inputs": {}}}}"#;

/// How a request goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Translated.
    Translated,
    /// As it came.
    Passing,
    /// As it came, and the answer is read.
    Prompt,
}

fn routes() -> Vec<(Method, String, &'static str, Way)> {
    let reads = [
        "/history",
        "/history/ID",
        "/queue",
        "/api/history_v2",
        "/api/history_v2/ID",
        "/api/job/ID/status",
    ];
    let reads = reads.iter().map(|path| (Method::GET, *path, "", Way::Translated));
    let others = [
        (Method::POST, "/queue", r#"{"clear": true}"#, Way::Translated),
        (Method::POST, "/interrupt", "{}", Way::Translated),
        (Method::POST, "/api/queue", r#"{"delete": ["ID"]}"#, Way::Translated),
        (Method::POST, "/history", r#"{"delete": ["x"]}"#, Way::Passing),
        (Method::GET, "/system_stats", "", Way::Passing),
        (Method::POST, "/upload/image", "picture", Way::Passing),
        (Method::POST, "/prompt", PROMPT, Way::Prompt),
    ];
    reads
        .chain(others)
        .map(|(method, path, body, way)| (method, path.replace("ID", ID), body, way))
        .collect()
}

fn well(call: &str) -> String {
    let text = format!(r#"{{"id": "{ID}", "status": "completed", "create_time": 1, "outputs": {{}}}}"#);
    let mut board = Board::new(Rules::Comfyui);
    board.jobs.push(Job::new(&text, &text).expect("a job"));
    let target = call.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    match path.strip_prefix("/api/jobs") {
        Some("") => board.list(query).1,
        Some(id) if call.starts_with("GET") => board.detail(id.trim_start_matches('/')).1,
        _ => format!(r#"{{"prompt_id": "{ID}"}}"#),
    }
}

/// What a client must get: a status, or `None` for a body that visibly breaks off.
fn expected(manner: Manner, way: Way) -> Option<u16> {
    match (manner, way) {
        (Manner::Well, _) => Some(200),
        (Manner::Hangs, _) => Some(504),
        (Manner::ResetsInBody | Manner::EndsInBody, Way::Passing) => None,
        (Manner::AnnouncesLess, Way::Passing | Way::Prompt) => Some(200),
        (Manner::Drips, Way::Translated) => Some(504),
        (Manner::Drips, _) => Some(200),
        (Manner::Fails, _) => Some(500),
        (Manner::IsBusy, _) => Some(429),
        _ => Some(502),
    }
}

async fn ask(
    at: SocketAddr,
    (method, path, body, _): &(Method, String, &'static str, Way),
) -> Option<(u16, String, String)> {
    let begun = Instant::now();
    let reply = Client::new().send(method.clone(), at, path, &[], *body).await;
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{method} {path} took {:?}",
        begun.elapsed()
    );
    let reply = reply.ok()?;
    Some((
        reply.status.as_u16(),
        reply.header("retry-after").to_owned(),
        reply.text(),
    ))
}

async fn every_answer(at: SocketAddr) -> Vec<Option<(u16, String, String)>> {
    let mut answers = Vec::new();
    for route in routes() {
        answers.push(ask(at, &route).await);
    }
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn however_the_upstream_fails_the_answer_is_right_and_nothing_of_it_stays() {
    let unsteady = Unsteady::start(well).await;
    let url = format!("http://{}", unsteady.upstream.address);
    let limits = [
        "--answer-timeout",
        "800ms",
        "--first-byte-timeout",
        "800ms",
        "--gap-timeout",
        "15s",
    ];
    let arguments = ["--listen", "127.0.0.1:0", "--dialect", "comfyui", "--upstream", &url];
    let mut program = Program::start(&[&arguments[..], &limits].concat(), &[]);
    let at = program.address();
    // The first round notes a prompt, which the second one shows.
    every_answer(at).await;
    let right = every_answer(at).await;
    assert!(
        right
            .iter()
            .all(|answer| answer.as_ref().is_some_and(|answer| answer.0 == 200)),
        "{right:#?}"
    );
    let files = program.open_files();
    let manners = [
        Manner::ResetsAtOnce,
        Manner::ResetsInHead,
        Manner::ResetsInBody,
        Manner::EndsInBody,
        Manner::AnnouncesLess,
        Manner::Garbage,
        Manner::Fails,
        Manner::IsBusy,
        Manner::Hangs,
        Manner::Drips,
    ];
    for manner in manners {
        unsteady.behave(manner);
        let mut asked = JoinSet::new();
        for route in routes() {
            // A body of thirty bytes, one a second.
            if manner != Manner::Drips || route.3 == Way::Translated {
                asked.spawn(async move { (ask(at, &route).await, route) });
            }
        }
        for (got, (method, path, _, way)) in asked.join_all().await {
            let status = got.as_ref().map(|answer| answer.0);
            assert_eq!(status, expected(manner, way), "{manner:?}: {method} {path}: {got:?}");
            if manner == Manner::IsBusy {
                assert_eq!(got.expect("an answer").1, "7", "{method} {path}");
            }
        }
        unsteady.behave(Manner::Well);
        assert_eq!(every_answer(at).await, right, "after {manner:?}");
    }
    program.until_open_files(files + 3).await;
}
