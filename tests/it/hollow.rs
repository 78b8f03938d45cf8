//! A queued job that cannot be shown whole has an empty prompt. A client that moves jobs, which reads the queue, deletes and
//! submits again, must not lose it so.

use crate::support::{
    Client, Reply, Running,
    server::{Server, Setup, board},
    start,
};
use http::Method;
use jobshim::demo::{Job, Rules};
use serde_json::{Value, json};
use std::net::SocketAddr;

fn id(nth: usize) -> String {
    format!("{nth:08}-0000-4000-8000-00000000cafe")
}

/// A server whose details of queued jobs have no workflow, with jobs that were not submitted through jobshim.
async fn server(count: usize, setup: Setup) -> (Server, Running) {
    let mut board = board(Rules::Comfyui);
    for nth in 1..=count {
        let created = 1_795_000_000_000 + nth;
        let text = format!(
            r#"{{"id": "{}", "status": "pending", "priority": {nth}, "create_time": {created}}}"#,
            id(nth)
        );
        board.add(Job::new(&text, &text).expect("a job"));
    }
    let server = Server::start(board, setup).await;
    let jobshim = start(&server.url(), |_| {}).await;
    (server, jobshim)
}

async fn post_as(at: SocketAddr, headers: &[(&str, &str)], target: &str, body: &Value) -> Reply {
    Client::new()
        .send(Method::POST, at, target, headers, body.to_string())
        .await
        .expect("an answer")
}

async fn post(at: SocketAddr, target: &str, body: Value) -> Reply {
    post_as(at, &[], target, &body).await
}

/// What waits, as `/queue` shows it.
async fn pending(at: SocketAddr) -> Vec<Value> {
    let reply = Client::new().get(at, "/queue").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let queue: Value = serde_json::from_slice(&reply.body).expect("JSON");
    queue["queue_pending"].as_array().expect("a list").clone()
}

fn waiting(server: &Server) -> usize {
    server.with(|state| state.board.in_state("pending").len())
}

#[tokio::test]
async fn a_client_that_moves_jobs_loses_none_however_often_it_tries() {
    for no_cancel in [None, Some(405)] {
        let setup = Setup {
            no_cancel,
            legacy_writes: no_cancel.is_some(),
            ..Setup::default()
        };
        let (server, jobshim) = server(3, setup).await;
        let at = jobshim.address;
        for _ in 0..3 {
            // It does not look at answers.
            for item in pending(at).await {
                let refused = post(at, "/queue", json!({"delete": [item[1]]})).await;
                assert_eq!(refused.status, 409, "{}", refused.text());
                assert!(refused.text().contains("empty"), "{}", refused.text());
                let refused = post(at, "/prompt", json!({"prompt": item[2], "extra_data": item[3]})).await;
                assert_eq!(refused.status, 400, "{}", refused.text());
                assert!(refused.text().contains("jobshim"), "{}", refused.text());
            }
        }
        assert_eq!(waiting(&server), 3);
        assert!(server.arrived(Method::POST, "/prompt").is_empty());
    }
}

#[tokio::test]
async fn a_delete_that_is_repeated_is_meant() {
    let (server, jobshim) = server(3, Setup::default()).await;
    let at = jobshim.address;
    assert_eq!(pending(at).await.len(), 3);
    let two = json!({"delete": [id(1), id(2)]});
    assert_eq!(post(at, "/queue", two.clone()).await.status, 409);
    assert_eq!(waiting(&server), 3, "nothing is done by half");
    pending(at).await;
    assert_eq!(post(at, "/queue", two).await.status, 200, "also after another look");
    assert_eq!(waiting(&server), 1);
    assert_eq!(
        post(at, "/queue", json!({"clear": true})).await.status,
        200,
        "all means all"
    );
    assert_eq!(waiting(&server), 0);
}

#[tokio::test]
async fn who_was_not_shown_an_empty_prompt_is_not_asked_again() {
    let (server, jobshim) = server(2, Setup::default()).await;
    let at = jobshim.address;
    assert_eq!(pending(at).await.len(), 2);
    let bert = [("comfy-user", "bert")];
    assert_eq!(
        post_as(at, &bert, "/queue", &json!({"delete": [id(1)]})).await.status,
        200
    );
    assert_eq!(waiting(&server), 1);
    // Whose own prompt it is: the server says what it thinks of that.
    assert_eq!(post_as(at, &bert, "/prompt", &json!({"prompt": {}})).await.status, 200);
    assert_eq!(server.arrived(Method::POST, "/prompt").len(), 1);
}

#[tokio::test]
async fn jobs_that_are_shown_whole_are_deleted_at_once_and_can_be_sent_back() {
    let (server, jobshim) = server(1, Setup::default()).await;
    let at = jobshim.address;
    let prompt = json!({"9": {"class_type": "SaveImage", "inputs": {}}});
    let submitted = post(at, "/prompt", json!({"prompt": prompt})).await;
    assert_eq!(submitted.status, 200, "{}", submitted.text());
    let items = pending(at).await;
    let whole = items.iter().find(|item| item[2] == prompt).expect("the submitted job");
    assert_eq!(post(at, "/queue", json!({"delete": [whole[1]]})).await.status, 200);
    assert_eq!(waiting(&server), 1);
    assert_eq!(post(at, "/prompt", json!({"prompt": whole[2]})).await.status, 200);
    assert_eq!(waiting(&server), 2);
}
