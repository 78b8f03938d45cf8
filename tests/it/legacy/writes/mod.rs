//! The legacy writes: what each touches, what it answers, and what it does when the server cannot (docs/contract.md sections
//! 1, 4 and 5).

mod active;
mod bodies;
mod failed;
mod recorded;
mod touched;
mod whole;

use crate::support::{
    Client, Reply, Running,
    corpus::{Case, Legacy, case, finished, items, parts, submission},
    json::{Difference, Json, differences},
    program::Program,
    server::{Server, Setup, board},
    start,
    upstream::{Scripted, raw},
};
use http::Method;
use jobshim::{
    config::DialectChoice,
    demo::{Board, Job, Rules},
};
use serde_json::{Value, json};
use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn uuid(nth: usize) -> String {
    format!("{nth:08}-0000-4000-8000-000000000000")
}

fn job(id: &str, status: &str, created: usize) -> Job {
    let text = format!(r#"{{"id": "{id}", "status": "{status}", "priority": {created}, "create_time": {created}}}"#);
    Job::new(&text, &text).expect("a job")
}

/// Job 1 runs, as many more as `pending` says wait.
fn busy(rules: Rules, pending: usize) -> Board {
    let mut board = board(rules);
    board.add(job(&uuid(1), "in_progress", 1));
    for nth in 2..2 + pending {
        board.add(job(&uuid(nth), "pending", nth));
    }
    board
}

async fn behind(board: Board, setup: Setup) -> (Server, Running) {
    let server = Server::start(board, setup).await;
    let jobshim = start(&server.url(), |_| {}).await;
    (server, jobshim)
}

async fn post(jobshim: &Running, target: &str, body: impl ToString) -> Reply {
    Client::new()
        .send(Method::POST, jobshim.address, target, &[], body.to_string())
        .await
        .expect("an answer")
}

fn states(server: &Server) -> Vec<(String, Vec<String>)> {
    let words = ["pending", "in_progress", "completed", "failed", "cancelled"];
    server.with(|state| {
        let of = |word: &&str| (word.to_string(), state.board.in_state(word));
        words.iter().map(of).filter(|(_, ids)| !ids.is_empty()).collect()
    })
}

/// 200, no body, as a self-hosted server answers a write.
fn assert_done(reply: &Reply, what: &str) {
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, ""), "{what}");
    assert_eq!(reply.header("content-type"), "", "{what}");
}

/// The cancel calls that arrived: their targets and the ids in their bodies.
fn cancels(server: &Server) -> Vec<(String, Vec<String>)> {
    let calls = server.arrived(Method::POST, "/api/jobs/").into_iter();
    calls
        .map(|call| {
            let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
            let ids = serde_json::from_value(body["job_ids"].clone()).unwrap_or_default();
            (call.target, ids)
        })
        .collect()
}
