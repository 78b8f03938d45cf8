//! Names where the server's own legacy endpoints answer.

use super::{MEMBER, User, segment, submitted};
use crate::support::{
    Running,
    server::{Server, Setup, board},
    start_with,
    wait::as_soon_as,
};
use http::Method;
use jobshim::{
    config::{
        Options,
        settings::{LEGACY, UPSTREAM},
    },
    demo::Rules,
    telemetry::Compared,
};
use serde_json::{Value, json};

async fn forwarding(server: &Server) -> Running {
    in_mode(server, "forward").await
}

async fn in_mode(server: &Server, mode: &str) -> Running {
    let options = Options::default()
        .with(&UPSTREAM.url.key, server.url())
        .with(&UPSTREAM.dialect.key, "comfyui")
        .with(&LEGACY.mode.key, mode);
    start_with(options).await
}

/// A server whose legacy reads tell of the last job that was submitted.
async fn server() -> Server {
    let setup = Setup {
        legacy_writes: true,
        workflow_while_queued: true,
        ..Setup::default()
    };
    let server = Server::start(board(Rules::Comfyui), setup).await;
    let mut last = Value::Null;
    server.intercept(move |_, arrived| {
        if arrived.target == "/prompt" {
            last = serde_json::from_slice(&arrived.body).unwrap_or_default();
        }
        let id = last["prompt_id"].as_str().unwrap_or_default();
        let item = json!([1, id, last["prompt"], last["extra_data"], ["9"]]);
        let entry = json!({id: {"prompt": item, "outputs": {}, "status": {"messages": [["x", {"prompt_id": id}]]}}});
        let answer = match arrived.path() {
            "/history" => entry,
            "/queue" if arrived.method == Method::GET => json!({"queue_running": [item], "queue_pending": []}),
            path if path.strip_prefix("/history/") == Some(id) => entry,
            path if path.starts_with("/history/") => json!({}),
            _ => return None,
        };
        Some((200, answer.to_string()))
    });
    server
}

#[tokio::test]
async fn forwarded_reads_speak_the_name_before_and_after_a_restart() {
    let server = server().await;
    let jobshim = forwarding(&server).await;
    let name = "my job/1";
    assert_eq!(User::of(&jobshim).prompt(name).await, name);
    let is_spoken = async |jobshim: &Running, first: &str| {
        let user = User::of(jobshim);
        let path = format!("/history/{}", segment(name));
        for target in [first, "/history", &path, "/queue"] {
            let text = user.text(target).await;
            assert!(
                text.contains("\"my job/1\"") && text.contains("\"mine\""),
                "{target}: {text}"
            );
        }
        assert_eq!(user.get(&path).await[name]["prompt"][1], name);
        assert_eq!(user.queue().await[0], [name]);
    };
    is_spoken(&jobshim, "/history").await;
    jobshim.stop().await;
    for first in ["/history", "/history/my%20job%2F1", "/queue"] {
        let jobshim = forwarding(&server).await;
        is_spoken(&jobshim, first).await;
        // Another one has no name for it.
        let other = User::with_key(&jobshim, "other");
        let id = submitted(&server).pop().expect("a prompt")["prompt_id"].clone();
        assert_eq!(other.queue().await[0], [id.as_str().expect("an id")]);
        drop(other);
        jobshim.stop().await;
    }
}

#[tokio::test]
async fn forwarded_writes_name_the_job_that_the_server_knows() {
    let server = server().await;
    let jobshim = forwarding(&server).await;
    let user = User::of(&jobshim);
    user.prompt("my job/1").await;
    let id = submitted(&server).pop().expect("a prompt")["prompt_id"].clone();
    user.order("/queue", json!({"delete": ["my job/1", 5]})).await;
    user.order("/interrupt", json!({"prompt_id": "my job/1"})).await;
    let sent = |target: &str| {
        let all = server.arrived(Method::POST, target);
        serde_json::from_slice::<Value>(&all.last().expect("a write").body).expect("JSON")
    };
    assert_eq!(sent("/queue"), json!({"delete": [id, 5]}));
    assert_eq!(sent("/interrupt"), json!({"prompt_id": id}));
    assert!(submitted(&server)[1]["extra_data"][MEMBER] == "my job/1");
    // What names no job goes as it came.
    let untouched = r#"{ "clear" : false, "delete": ["0b8d4d0a-6d0c-4b3e-9c39-0d6a0f8f1c11"]}"#;
    user.send(Method::POST, "/queue", untouched.to_owned()).await;
    assert_eq!(
        server.arrived(Method::POST, "/queue").pop().expect("a write").body,
        untouched
    );
}

/// Which fields of the history of one job differ from those of the server's own, which shows less of a job.
async fn differing_fields(id: &str) -> Vec<String> {
    let server = server().await;
    let jobshim = in_mode(&server, "shadow").await;
    let user = User::of(&jobshim);
    user.prompt(id).await;
    server.step();
    server.step();
    let shown = serde_json::to_string(id).expect("text");
    assert!(user.text("/history").await.contains(&shown));
    let found = || jobshim.observer().findings().by_route();
    let is_compared = || {
        found()
            .values()
            .any(|found| found.compared.contains_key(&Compared::Different))
    };
    as_soon_as("it is compared", is_compared).await;
    let found = found();
    found
        .values()
        .flat_map(|found| found.fields.keys().map(<_>::to_string))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_are_compared_where_jobs_have_names_too_and_differ_in_nothing_else() {
    let without = differing_fields("00000001-0000-4000-8000-000000000000").await;
    assert!(!without.is_empty());
    assert_eq!(differing_fields("my job/1").await, without);
}
