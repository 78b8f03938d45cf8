//! jobshim before a server that speaks Comfy API v2, in all its layers.

mod absent;
mod files;
mod foreign;
mod history;
mod keys;
mod killed;
mod listed;
mod served;
mod sockets;
mod submit;

use crate::support::{Client, Reply, Running, StateFolder, start};
use http::Method;
use jobshim::{
    config::{Config, KeepLimits, StatePlace},
    demo::v2::{Options, Simulator},
};
use serde_json::{Value, json};
use std::time::Duration;

/// A simulated server, jobshim before it, and a client.
struct Setup {
    server: Simulator,
    jobshim: Running,
    client: Client,
}

/// What saves one picture.
fn workflow() -> Value {
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "sub/example"}}
    })
}

impl Setup {
    async fn new(options: Options) -> Self {
        Self::with(options, |_| {}).await
    }

    async fn with(options: Options, change: impl FnOnce(&mut Config)) -> Self {
        let server = Simulator::start(options).await.expect("a simulator");
        let jobshim = start(&server.url(), change).await;
        Self {
            server,
            jobshim,
            client: Client::new(),
        }
    }

    /// Where the history is kept in `folder`, and nothing is cached.
    async fn keeping(folder: &StateFolder) -> Self {
        Self::with(Options::default(), |config| {
            config.state.place = StatePlace::Folder(folder.path.clone());
            config.history.keep = Some(KeepLimits {
                time: Duration::from_secs(86_400),
                jobs: 100,
                bytes: 1 << 20,
            });
            config.cache.max_bytes = 0;
        })
        .await
    }

    async fn post(&self, target: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let sent = self
            .client
            .send(Method::POST, self.jobshim.address, target, headers, body);
        sent.await.expect("an answer")
    }

    async fn get(&self, target: &str) -> Value {
        self.get_with(target, &[]).await
    }

    async fn get_with(&self, target: &str, headers: &[(&str, &str)]) -> Value {
        let answer = self.client.get_with(self.jobshim.address, target, headers).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{target}: {error}: {}", answer.text()))
    }

    /// Submits a prompt, and gives the id and the number of its job.
    async fn submit(&self, headers: &[(&str, &str)], also: Value) -> (String, Value) {
        let mut body = json!({"prompt": workflow()});
        let members = body.as_object_mut().expect("an object");
        members.extend(also.as_object().expect("an object").clone());
        let answer = self.post("/prompt", headers, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let said: Value = serde_json::from_slice(&answer.body).expect("JSON");
        assert_eq!(said["node_errors"], json!({}), "{said}");
        (
            said["prompt_id"].as_str().expect("an id").to_owned(),
            said["number"].clone(),
        )
    }
}

/// The ids in a history, or in the pending list of a queue.
fn ids(of: &Value) -> Vec<String> {
    match of.get("queue_pending") {
        Some(pending) => {
            let items = pending.as_array().expect("a list").iter();
            items.map(|item| item[1].as_str().expect("an id").to_owned()).collect()
        }
        None => of.as_object().expect("an object").keys().cloned().collect(),
    }
}
