//! The simulated server of Comfy API v2.

mod assets;
mod events;
mod faults;
mod jobs;
mod keys;
mod recorded;

use crate::support::{Client, Reply};
use http::Method;
use jobshim::demo::v2::{Options, Simulator};
use serde_json::{Value, json};

/// A simulated server and a client of it.
struct Api {
    simulator: Simulator,
    client: Client,
}

impl Api {
    async fn start(options: Options) -> Self {
        Self {
            simulator: Simulator::start(options).await.expect("a simulator"),
            client: Client::new(),
        }
    }

    async fn send(&self, method: Method, target: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let at = self.simulator.address();
        let reply = self.client.send(method, at, target, headers, body.to_owned()).await;
        reply.unwrap_or_else(|error| panic!("{target}: {error}"))
    }

    async fn get(&self, target: &str) -> (u16, Value) {
        told(&self.send(Method::GET, target, &[], "").await)
    }

    async fn post(&self, target: &str, body: &Value) -> (u16, Value) {
        told(&self.send(Method::POST, target, &[], &body.to_string()).await)
    }

    /// The job of an id, which must be there.
    async fn job(&self, id: &str) -> Value {
        let (status, job) = self.get(&format!("/api/v2/jobs/{id}")).await;
        assert_eq!(status, 200, "{id}: {job}");
        job
    }

    /// Submits a workflow that is taken, and gives the id.
    async fn submit(&self, workflow: &Value) -> String {
        let (status, job) = self.post("/api/v2/jobs", &json!({"workflow": workflow})).await;
        assert_eq!(status, 201, "{job}");
        job["id"].as_str().expect("an id").to_owned()
    }
}

/// Status and body of an answer that is JSON.
fn told(reply: &Reply) -> (u16, Value) {
    let body = serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {}", reply.text()));
    (reply.status.as_u16(), body)
}

/// The code of an error, which has its three members.
fn code(error: &Value) -> &str {
    let members: Vec<&String> = error["error"].as_object().expect("an error").keys().collect();
    assert_eq!(members, ["code", "details", "message"], "{error}");
    error["error"]["code"].as_str().expect("a code")
}

/// A workflow that saves a picture.
fn picture() -> Value {
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 5}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "sub/cat"}},
    })
}

/// The same, with a node of several steps between.
fn slow(seconds: f64) -> Value {
    let mut workflow = picture();
    workflow["3"] = json!({"class_type": "LabSleep", "inputs": {"images": ["1", 0], "seconds": seconds}});
    workflow["9"]["inputs"]["images"] = json!(["3", 0]);
    workflow
}
