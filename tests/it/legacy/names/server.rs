//! What the server makes of names decides where nothing is set.

use super::{User, names, prompt, segment, start, submitted};
use crate::support::server::Setup;
use http::Method;
use jobshim::config::Ids;
use serde_json::{Value, json};

fn before_0_25() -> Setup {
    Setup {
        takes_any_id: true,
        ..Setup::default()
    }
}

#[tokio::test]
async fn a_server_that_takes_names_gets_them() {
    let (server, jobshim) = start(Ids::Auto, before_0_25()).await;
    let user = User::of(&jobshim);
    for name in ["my job/1", "two"] {
        assert_eq!(user.prompt(name).await, name);
        assert_eq!(user.queue().await[1], [name]);
        server.step();
        server.step();
        let entry = user.get(&format!("/history/{}", segment(name))).await;
        assert_eq!(entry[name]["prompt"][1], name);
    }
    for (sent, name) in submitted(&server).iter().zip(["my job/1", "two"]) {
        assert_eq!(*sent, prompt(name));
    }
    user.order("/history", json!({"delete": ["two"]})).await;
    assert_eq!(user.history().await, ["my job/1"]);
    // Nothing was asked for under a UUID.
    let asked = server.arrived(Method::GET, "/api/jobs/").into_iter();
    let mut asked: Vec<String> = asked.map(|one| one.target).collect();
    asked.sort();
    asked.dedup();
    assert_eq!(asked, ["/api/jobs/my%20job%2F1", "/api/jobs/two"]);
}

#[tokio::test]
async fn a_server_that_is_upgraded_gets_uuids_from_then_on() {
    let (server, jobshim) = start(Ids::Auto, before_0_25()).await;
    let user = User::of(&jobshim);
    assert_eq!(user.prompt("one").await, "one");
    server.intercept(|_, arrived| {
        let body: Value = serde_json::from_slice(&arrived.body).unwrap_or_default();
        let is_name = body["prompt_id"].as_str().is_some_and(|id| id.len() != 36);
        (arrived.target == "/prompt" && is_name).then(|| (400, r#"{"error": "no UUID"}"#.to_owned()))
    });
    for name in names() {
        assert_eq!(user.prompt(&name).await, name);
    }
    // The first one was tried as it was.
    assert_eq!(submitted(&server).len(), 1 + 1 + names().len());
    assert_eq!(user.queue().await[1].len(), 1 + names().len());
}

#[tokio::test]
async fn what_else_is_wrong_with_a_prompt_is_said() {
    let (server, jobshim) = start(Ids::Auto, Setup::default()).await;
    let user = User::of(&jobshim);
    let wrong = json!({"prompt": null, "prompt_id": "my job/1"});
    for _ in 0..2 {
        let reply = user.post("/prompt", wrong.clone()).await;
        assert_eq!(reply.status, 400);
        assert!(reply.text().contains("prompt_no_outputs"), "{}", reply.text());
    }
    assert_eq!(submitted(&server).len(), 4, "nothing is known of the server yet");
    assert_eq!(user.prompt("my job/1").await, "my job/1");
    assert_eq!(user.post("/prompt", wrong).await.status, 400);
    assert_eq!(submitted(&server).len(), 7);
}

#[tokio::test]
async fn off_passes_names_as_they_are() {
    let (server, jobshim) = start(Ids::Off, Setup::default()).await;
    let user = User::of(&jobshim);
    let reply = user.post("/prompt", prompt("my job/1")).await;
    assert_eq!(reply.status, 400);
    assert!(reply.text().contains("invalid_prompt_id"), "{}", reply.text());
    assert_eq!(submitted(&server), [prompt("my job/1")]);
    assert_eq!(user.get("/history/my%20job%2F1").await, json!({}));
    let asked = server.arrived(Method::GET, "/api/jobs/");
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].target, "/api/jobs/my%20job%2F1");
}

#[tokio::test]
async fn where_no_job_has_a_name_answers_soon_pass_as_they_are() {
    let (server, jobshim) = start(Ids::Auto, Setup::default()).await;
    let user = User::of(&jobshim);
    // As another one would have submitted it, past jobshim.
    let foreign = "0b8d4d0a-6d0c-5b3e-9c39-0d6a0f8f1c11";
    server.with(|state| state.ids.push(foreign.to_owned()));
    let own = json!({"prompt": {"9": {"class_type": "SaveImage"}}});
    user.post("/prompt", own).await;
    let asked = |method: Method| {
        let all = server.arrived(method, "/api/jobs/");
        all.iter().filter(|one| one.target.ends_with(foreign)).count()
    };
    // It could be of a name: its detail tells that it is not.
    assert_eq!(user.jobs().await, [foreign]);
    assert_eq!(asked(Method::GET), 1);
    for _ in 0..3 {
        assert_eq!(user.jobs().await, [foreign]);
        user.get("/api/jobs?limit=1").await;
    }
    assert_eq!(asked(Method::GET), 1);
}
