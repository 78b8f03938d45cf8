//! What `/queue` shows of a prompt that went through jobshim, and that a comparison finds it to be what the server shows.

use crate::support::{
    Client, Running, facing,
    server::{Server, Setup, State, board},
    start_with,
    unsteady::{Manner, Unsteady},
    upstream::Arrived,
};
use http::Method;
use jobshim::{
    config::{
        Options,
        settings::{LEGACY, UPSTREAM},
    },
    demo::Rules,
    routes::Endpoint,
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};
use tokio::time::{sleep, timeout};

/// As JavaScript writes it, and some values that a script has as texts.
const SENT: &str = r#"{"3":{"class_type":"KSampler","inputs":{"seed":"64","steps":20.0,"cfg":6,"denoise":1,"sampler_name":"euler","model":["4",0],"extra":1}},"4":{"class_type":"LoadImage","inputs":{"image":12,"flag":1,"list":{"__value__":[1,2]}}},"8":{"class_type":"KSampler","inputs":{"cfg":6}},"9":{"class_type":"SaveImage","inputs":{"images":["3",0],"filename_prefix":7.50}}}"#;

/// As the server queues it. Nothing leads from the output node to 8, and `extra` is not declared.
const QUEUED: &str = r#"{"3": {"class_type": "KSampler", "inputs": {"seed": 64, "steps": 20, "cfg": 6.0, "denoise": 1.0, "sampler_name": "euler", "model": ["4", 0], "extra": 1}}, "4": {"class_type": "LoadImage", "inputs": {"image": "12", "flag": true, "list": [1, 2]}}, "8": {"class_type": "KSampler", "inputs": {"cfg": 6}}, "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "7.5"}}}"#;

/// A server that describes the inputs of its classes, and turns what it queues into their types.
async fn converting_server() -> Server {
    let mut board = board(Rules::Comfyui);
    let sampler = json!({"output_node": false, "input": {
        "required": {
            "model": ["MODEL"], "seed": ["INT", {"default": 0, "min": 0}], "steps": ["INT", {}],
            "cfg": ["FLOAT", {"default": 8.0}], "sampler_name": [["euler", "ddim"]],
        },
        "optional": {"denoise": ["FLOAT", {}]},
    }});
    let load = json!({"output_node": false, "input": {
        "required": {"image": ["STRING", {}], "flag": ["BOOLEAN", {}], "list": ["COMBO", {"options": []}]},
    }});
    let save = json!({"output_node": true, "input": {
        "required": {"images": ["IMAGE"], "filename_prefix": ["STRING", {"default": "ComfyUI"}]},
    }});
    for (class, description) in [("KSampler", sampler), ("LoadImage", load), ("SaveImage", save)] {
        board.classes.insert(class.to_owned(), description.to_string());
    }
    let server = Server::start(board, Setup::default()).await;
    server.intercept(legacy_queue);
    server
}

/// `GET /queue` as the server's own legacy endpoint answers it.
fn legacy_queue(state: &mut State, arrived: &Arrived) -> Option<(u16, String)> {
    let is_asked = arrived.method == Method::GET && arrived.target == "/queue";
    let job: Value = serde_json::from_str(&state.board.jobs.first().filter(|_| is_asked)?.entry).ok()?;
    let (id, number, created) = (&job["id"], &job["priority"], &job["create_time"]);
    let item = format!(r#"[{number}, {id}, {QUEUED}, {{"client_id": "me", "create_time": {created}}}, ["9"]]"#);
    Some((200, format!(r#"{{"queue_running": [], "queue_pending": [{item}]}}"#)))
}

async fn submit(at: SocketAddr) {
    let body = format!(r#"{{"prompt": {SENT}, "client_id": "me"}}"#);
    let reply = Client::new().send(Method::POST, at, "/prompt", &[], body).await;
    assert_eq!(reply.expect("an answer").status, 200);
}

/// The prompt of the first pending job of `/queue`.
async fn pending(at: SocketAddr) -> Value {
    let reply = Client::new().get(at, "/queue").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let queue: Value = serde_json::from_slice(&reply.body).expect("JSON");
    queue["queue_pending"][0][2].clone()
}

async fn shadowing(server: &Server) -> Running {
    let options = [
        (&UPSTREAM.url.key, server.url()),
        (&UPSTREAM.dialect.key, "comfyui".to_owned()),
        (&LEGACY.mode.key, "shadow".to_owned()),
    ];
    let given = options.iter().fold(Options::default(), |given, (key, value)| {
        given.with(key, value.as_str())
    });
    start_with(given).await
}

#[tokio::test]
async fn a_queued_prompt_is_shown_as_the_server_queued_it() {
    let server = converting_server().await;
    let jobshim = facing(&server.url(), |_| {}).await;
    submit(jobshim.address).await;
    let queued: Value = serde_json::from_str(QUEUED).expect("JSON");
    assert_eq!(pending(jobshim.address).await, queued);
    assert_eq!(pending(jobshim.address).await, queued, "from memory");
    assert_eq!(
        server.arrived(Method::GET, "/object_info/").len(),
        3,
        "each class is asked for once"
    );
}

#[tokio::test]
async fn shadow_finds_no_difference_in_the_queue_of_a_server_that_converts() {
    let server = converting_server().await;
    let jobshim = shadowing(&server).await;
    submit(jobshim.address).await;
    assert_eq!(
        pending(jobshim.address).await,
        serde_json::from_str::<Value>(QUEUED).expect("JSON")
    );
    let compared = async {
        loop {
            match jobshim.observer().findings().by_route().remove(&Endpoint::Queue) {
                Some(found) if found.answers() > 0 => return found,
                _ => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    let mut found = timeout(Duration::from_secs(30), compared).await.expect("a comparison");
    // The simulated server has another one for all that it answers.
    found.fields.remove("(content type)");
    assert!(found.fields.is_empty(), "{found:#?}");
}

/// Whether the server has started again, with another version of its nodes.
static UPDATED: AtomicBool = AtomicBool::new(false);

/// A server with one pending job, and another one after its start.
fn before_and_after(call: &str) -> String {
    let (id, kind) = match UPDATED.load(Relaxed) {
        false => ("11111111-0000-4000-8000-000000000000", "FLOAT"),
        true => ("22222222-0000-4000-8000-000000000000", "STRING"),
    };
    let job = json!({"id": id, "status": "pending", "priority": 1, "create_time": 1_795_000_000_000_u64});
    let answer = match call {
        call if call.starts_with("POST /prompt") => json!({"prompt_id": id, "number": 1, "node_errors": {}}),
        call if call.starts_with("GET /object_info/") => {
            json!({"SaveImage": {"output_node": true, "input": {"required": {"x": [kind, {}]}}}})
        }
        call if call.starts_with("GET /api/jobs/") => job,
        _ => json!({"jobs": [job], "pagination": {"offset": 0, "limit": null, "total": 1, "has_more": false}}),
    };
    answer.to_string()
}

#[tokio::test]
async fn classes_are_asked_for_anew_once_the_server_was_away() {
    let mut server = Unsteady::start(before_and_after).await;
    let jobshim = facing(&format!("http://{}", server.address), |_| {}).await;
    let prompt = json!({"prompt": {"9": {"class_type": "SaveImage", "inputs": {"x": 6}}}}).to_string();
    let shown = async || {
        let posted = Client::new()
            .send(Method::POST, jobshim.address, "/prompt", &[], prompt.clone())
            .await;
        assert_eq!(posted.expect("an answer").status, 200);
        pending(jobshim.address).await["9"]["inputs"]["x"].clone()
    };
    assert_eq!(shown().await, json!(6.0));
    server.behave(Manner::Refuses).await;
    assert_eq!(Client::new().get(jobshim.address, "/queue").await.status, 502);
    UPDATED.store(true, Relaxed);
    server.behave(Manner::Well).await;
    assert_eq!(shown().await, json!("6"));
}
