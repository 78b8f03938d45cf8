//! Jobs that were deleted or cleared where the server has no `POST /history` any more: in no legacy answer of that scope.

mod answers;
mod endpoint;
mod limit;
mod restart;

use crate::support::{
    Client, Reply, Running,
    server::{Server, Setup, board},
};
use http::Method;
use jobshim::demo::{Job, Rules};
use serde_json::Value;
use std::net::SocketAddr;

pub(super) fn uuid(nth: usize) -> String {
    format!("{nth:08}-0000-4000-8000-000000000000")
}

/// A job that was created at `nth` and ends at `ended`.
fn job(nth: usize, status: &str, ended: usize) -> Job {
    let text = format!(
        r#"{{"id": "{}", "status": "{status}", "priority": {nth}, "create_time": {}, "execution_start_time": {}, "execution_end_time": {}}}"#,
        uuid(nth),
        time(nth),
        time(nth),
        time(ended)
    );
    Job::new(&text, &text).expect("a job")
}

/// In ms.
pub(super) fn time(nth: usize) -> u64 {
    1_795_000_000_000 + nth as u64
}

/// A server without legacy writes, with `count` jobs that completed one after another.
async fn finished(rules: Rules, count: usize) -> Server {
    let mut board = board(rules);
    for nth in 1..=count {
        board.add(job(nth, "completed", nth));
    }
    Server::start(board, Setup::default()).await
}

async fn post_as(at: SocketAddr, target: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    Client::new()
        .send(Method::POST, at, target, headers, body.to_string())
        .await
        .expect("an answer")
}

async fn post(jobshim: &Running, target: &str, body: Value) {
    let reply = post_as(jobshim.address, target, &[], &body).await;
    assert_eq!(
        (reply.status.as_u16(), reply.text().as_str()),
        (200, ""),
        "{target} {body}"
    );
}

async fn get(at: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Value {
    let reply = Client::new().get_with(at, target, headers).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    serde_json::from_slice(&reply.body).expect("JSON")
}

/// The numbers of the jobs that `/history` shows, in its order.
async fn history(at: SocketAddr, query: &str, headers: &[(&str, &str)]) -> Vec<usize> {
    let reply = Client::new().get_with(at, &format!("/history{query}"), headers).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let shown = crate::support::json::Json::parse(&reply.body).expect("JSON");
    shown
        .keys()
        .iter()
        .map(|id| id[..8].parse().expect("a number"))
        .collect()
}

/// The numbers of the jobs that `/api/history_v2` shows, in its order.
async fn history_v2(at: SocketAddr, query: &str) -> Vec<usize> {
    let shown = get(at, &format!("/api/history_v2{query}"), &[]).await;
    let entries = shown["history"].as_array().expect("a list").iter();
    let ids = entries.map(|entry| entry["prompt_id"].as_str().expect("an id").to_owned());
    ids.map(|id| id[..8].parse().expect("a number")).collect()
}
