//! What is hidden from a client is hidden in the Jobs API's answers that pass through for it, and for nobody else is a byte
//! of them changed.

mod filtered;
mod streamed;

use super::hidden::{time, uuid};
use crate::support::{
    Client, Reply, Running,
    server::{Server, Setup, board},
};
use http::Method;
use jobshim::demo::{Job, Rules};
use serde_json::Value;
use std::net::SocketAddr;

const ANNA: [(&str, &str); 1] = [("comfy-user", "anna")];

/// A job that was created at `nth`; its text has all that could be taken for the end of it.
fn job(nth: usize, status: &str, created: usize) -> Job {
    let text = format!(
        r#"{{"id": "{}", "status": "{status}", "priority": {nth}, "create_time": {}, "execution_end_time": {}, "x": {{"a": ["}},\"", {nth}.0]}}}}"#,
        uuid(nth),
        time(created),
        time(created) + 5,
    );
    Job::new(&text, &text).expect("a job")
}

async fn server(rules: Rules, count: usize) -> Server {
    let mut board = board(rules);
    (1..=count).for_each(|nth| board.add(job(nth, "completed", nth)));
    Server::start(board, Setup::default()).await
}

async fn delete(jobshim: &Running, body: Value) {
    let reply = Client::new()
        .send(Method::POST, jobshim.address, "/api/history", &ANNA, body.to_string())
        .await
        .expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
}

async fn get(at: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Reply {
    Client::new().get_with(at, target, headers).await
}
