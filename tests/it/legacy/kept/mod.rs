//! Jobs that stay answerable after their server has lost them (`history.keep`).

mod deleted;
#[cfg(unix)]
mod disturbed;
mod limits;
mod many;
mod restarted;
mod submitted;

use crate::support::{
    Client, Reply, Running, StateFolder,
    server::{Server, Setup, board},
    start,
};
use http::Method;
use jobshim::{
    config::{Config, KeepLimits, StatePlace},
    demo::{Job, Rules},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};

const KEEP: KeepLimits = KeepLimits {
    time: Duration::from_secs(365 * 86_400 * 100),
    jobs: 1_000,
    bytes: 1 << 30,
};

fn id(nth: usize) -> String {
    format!("{nth:08}-0000-4000-8000-000000000000")
}

/// In ms.
fn time(nth: usize) -> u64 {
    1_795_000_000_000 + 1000 * nth as u64
}

/// A job that was created at `nth` and ended half a second later.
fn job(nth: usize, status: &str) -> Job {
    let own = format!(
        r#""id": "{}", "status": "{status}", "priority": {nth}, "create_time": {}"#,
        id(nth),
        time(nth)
    );
    let ended = format!(
        r#"{own}, "execution_start_time": {}, "execution_end_time": {}, "outputs_count": 1, "workflow_id": "w{}""#,
        time(nth) + 100 * nth as u64,
        time(nth) + 500,
        nth % 2
    );
    let detail = format!(
        r#"{{{ended}, "outputs": {{"9": {{"images": [{{"filename": "{nth}.png", "subfolder": "", "type": "output"}}]}}}}, "workflow": {{"prompt": {{"9": {{"class_type": "SaveImage", "inputs": {{"x": 1.0, "y": "\u00e9"}}}}}}, "extra_data": {{"create_time": {}}}}}}}"#,
        time(nth)
    );
    Job::new(&format!("{{{ended}}}"), &detail).expect("a job")
}

/// A server with `count` jobs that have ended.
async fn finished(count: usize, setup: Setup) -> Server {
    let mut board = board(Rules::Comfyui);
    for nth in 1..=count {
        board.add(job(nth, ["completed", "failed", "cancelled"][nth % 3]));
    }
    Server::start(board, setup).await
}

/// All that a ComfyUI knows of jobs is gone when it is started again.
fn restart(server: &Server) {
    server.with(|state| state.board.jobs.clear());
}

async fn keeping(server: &Server, change: impl FnOnce(&mut Config)) -> Running {
    start(&server.url(), |config| {
        config.history.keep = Some(KEEP);
        change(config);
    })
    .await
}

fn in_folder(config: &mut Config, folder: &StateFolder) {
    config.state.place = StatePlace::Folder(folder.path.clone());
}

async fn get(at: SocketAddr, target: &str) -> Reply {
    let reply = Client::new().get(at, target).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    reply
}

async fn post(at: SocketAddr, target: &str, body: &Value) -> Reply {
    let reply = Client::new()
        .send(Method::POST, at, target, &[], body.to_string())
        .await;
    reply.expect("an answer")
}

fn read(reply: &Reply) -> Value {
    serde_json::from_slice(&reply.body).expect("JSON")
}

/// The ids that `/history` shows, in its order, as numbers of jobs.
async fn history(at: SocketAddr, query: &str) -> Vec<usize> {
    let reply = get(at, &format!("/history{query}")).await;
    let shown = crate::support::json::Json::parse(&reply.body).expect("JSON");
    let keys = shown.keys();
    keys.iter().map(|id| id[..8].parse().expect("a number")).collect()
}

/// Whether an answer says that some of it is of jobs that the server has lost.
fn is_marked(reply: &Reply) -> bool {
    let (state, age) = (reply.header("jobshim-job-state"), reply.header("age"));
    assert_eq!(state == "kept", age.parse::<u64>().is_ok(), "{:?}", reply.headers);
    state == "kept"
}

fn prompt() -> Value {
    json!({"prompt": {"9": {"class_type": "SaveImage", "inputs": {"x": 1.5}}}, "client_id": "me", "extra_data": {"mine": [1.0]}})
}
