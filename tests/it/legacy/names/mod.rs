//! Jobs that their clients call by names which the server refuses (`legacy.ids`).

mod forwarded;
mod server;
mod spoken;
mod written;

use crate::support::{
    Client, Reply, Running, facing,
    server::{Server, Setup, board},
};
use http::Method;
use jobshim::{config::Ids, demo::Rules};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The member by which a name travels.
const MEMBER: &str = "jobshim_name";

/// Ids that servers since 0.25 refuse.
fn names() -> [String; 6] {
    [
        "my job/1".to_owned(),
        "0B8D4D0A-6D0C-4B3E-9C39-0D6A0F8F1C11".to_owned(),
        "x".repeat(300),
        "\u{1f388} fête \"a\\b\"".to_owned(),
        "..".to_owned(),
        "status".to_owned(),
    ]
}

/// A server since 0.25, and jobshim in front of it.
async fn start(ids: Ids, setup: Setup) -> (Server, Running) {
    let server = Server::start(board(Rules::Comfyui), setup).await;
    let jobshim = facing(&server.url(), |config| config.legacy.ids = ids).await;
    (server, jobshim)
}

/// A client with credentials, or without.
struct User {
    client: Client,
    at: SocketAddr,
    headers: Vec<(&'static str, &'static str)>,
}

impl User {
    fn of(jobshim: &Running) -> Self {
        Self {
            client: Client::new(),
            at: jobshim.address,
            headers: Vec::new(),
        }
    }

    fn with_key(jobshim: &Running, key: &'static str) -> Self {
        Self {
            headers: vec![("x-api-key", key)],
            ..Self::of(jobshim)
        }
    }

    async fn send(&self, method: Method, target: &str, body: String) -> Reply {
        let reply = self.client.send(method, self.at, target, &self.headers, body).await;
        reply.unwrap_or_else(|error| panic!("{target}: {error}"))
    }

    /// A text, in which no trace of jobshim is.
    async fn text(&self, target: &str) -> String {
        let reply = self.send(Method::GET, target, String::new()).await;
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        let text = reply.text();
        assert!(!text.contains(MEMBER), "{target}: {text}");
        let length = reply.header("content-length");
        assert!(
            length.is_empty() || length == text.len().to_string(),
            "{target}: {length}"
        );
        text
    }

    async fn get(&self, target: &str) -> Value {
        let text = self.text(target).await;
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{target}: {text}"))
    }

    async fn post(&self, target: &str, body: Value) -> Reply {
        self.send(Method::POST, target, body.to_string()).await
    }

    async fn order(&self, target: &str, body: Value) {
        let reply = self.post(target, body.clone()).await;
        assert_eq!(reply.status, 200, "{target} {body}: {}", reply.text());
    }

    /// Submits a job, and gives the id that it has.
    async fn prompt(&self, name: &str) -> String {
        let reply = self.post("/prompt", prompt(name)).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
        let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
        answer["prompt_id"].as_str().expect("an id").to_owned()
    }

    /// The ids of the jobs that `/queue` shows: what runs, what waits.
    async fn queue(&self) -> [Vec<String>; 2] {
        let queue = self.get("/queue").await;
        ["queue_running", "queue_pending"].map(|list| {
            let items = queue[list].as_array().expect("a list").iter();
            items.map(|item| item[1].as_str().expect("an id").to_owned()).collect()
        })
    }

    async fn history(&self) -> Vec<String> {
        let history = self.get("/history").await;
        history.as_object().expect("an object").keys().cloned().collect()
    }

    /// The ids that the Jobs API lists.
    async fn jobs(&self) -> Vec<String> {
        let list = self.get("/api/jobs").await;
        let jobs = list["jobs"].as_array().expect("a list").iter();
        jobs.map(|job| job["id"].as_str().expect("an id").to_owned()).collect()
    }
}

fn prompt(name: &str) -> Value {
    json!({
        "prompt": {"9": {"class_type": "SaveImage", "inputs": {"x": 1.0}}},
        "prompt_id": name,
        "client_id": "me",
        "extra_data": {"mine": [1]},
    })
}

/// A name as one segment of a path.
fn segment(name: &str) -> String {
    utf8_percent_encode(name, NON_ALPHANUMERIC).to_string()
}

/// What the server was sent under `POST /prompt`.
fn submitted(server: &Server) -> Vec<Value> {
    let sent = server.arrived(Method::POST, "/prompt").into_iter();
    sent.map(|one| serde_json::from_slice(&one.body).expect("JSON"))
        .collect()
}
