//! A cloud upstream for clients that were written for a local ComfyUI and know neither a prefix nor a key.

mod accounts;
mod clients;
mod key;
mod targets;

use crate::support::{
    Client, Reply, Running,
    server::{Server, Setup, board},
    start,
    upstream::{Arrived, Scripted},
};
use http::{HeaderName, HeaderValue, Method};
use jobshim::{
    config::{Config, DialectChoice},
    demo::{Job, Rules},
};
use std::net::SocketAddr;

const KEY: &str = "comfyui-key-7c1d/+=";
const OTHER_KEY: &str = "comfyui-key-of-another-9e2a";

fn with_key(config: &mut Config) {
    config.upstream.dialect = DialectChoice::Cloud;
    config.upstream.headers = vec![(HeaderName::from_static("x-api-key"), HeaderValue::from_static(KEY))];
}

async fn in_front_of(url: &str) -> Running {
    start(url, with_key).await
}

/// A cloud with two accounts, whose lists have pages of 100.
async fn cloud(storage: Option<String>) -> Server {
    let setup = Setup {
        keys: &[KEY, OTHER_KEY],
        page: Some(100),
        storage,
        ..Setup::default()
    };
    Server::start(board(Rules::Cloud), setup).await
}

fn job(id: &str, status: &str, created: usize) -> Job {
    let text = format!(
        r#"{{"id": "{id}", "status": "{status}", "create_time": {}}}"#,
        1_795_000_000_000 + created
    );
    Job::new(&text, &text).expect("a job")
}

async fn send(at: SocketAddr, method: Method, target: &str, headers: &[(&str, &str)], body: impl ToString) -> Reply {
    Client::new()
        .send(method, at, target, headers, body.to_string())
        .await
        .expect("an answer")
}

fn last(recorder: &Scripted) -> Arrived {
    recorder.arrived().pop().expect("a request")
}
