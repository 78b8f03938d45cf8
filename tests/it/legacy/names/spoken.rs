//! The client's name is spoken everywhere, to this client alone.

use super::{MEMBER, User, names, segment, start, submitted};
use crate::support::{
    StateFolder, facing,
    server::{Server, Setup, board},
};
use jobshim::{config::Ids, demo::Rules};
use serde_json::{Value, json};

fn with_workflows() -> Setup {
    Setup {
        workflow_while_queued: true,
        ..Setup::default()
    }
}

/// What every answer about the finished job of this name says.
async fn is_spoken(user: &User, name: &str) {
    let id = segment(name);
    let entry = user.get(&format!("/history/{id}")).await;
    assert_eq!(entry[name]["prompt"][1], *name);
    assert_eq!(entry[name]["prompt"][3]["mine"], json!([1]));
    assert_eq!(entry[name]["status"]["messages"][0][1]["prompt_id"], *name);
    let all = user.get("/history").await;
    assert_eq!(all[name], entry[name]);
    let list = user.get("/api/history_v2").await;
    let listed = list["history"].as_array().expect("a list").iter();
    let listed: Vec<&Value> = listed.map(|entry| &entry["prompt_id"]).collect();
    assert!(listed.contains(&&json!(name)), "{listed:?}");
    let detail = user.get(&format!("/api/history_v2/{id}")).await;
    assert_eq!(detail[name]["prompt"]["prompt_id"], *name);
    assert_eq!(user.get(&format!("/api/job/{id}/status")).await["id"], *name);
    assert!(user.jobs().await.contains(&name.to_owned()));
    let job = user.get(&format!("/api/jobs/{id}")).await;
    assert_eq!(job["id"], *name);
    assert_eq!(job["workflow"]["extra_data"]["mine"], json!([1]));
    assert_eq!(job["execution_status"]["messages"][1][1]["prompt_id"], *name);
}

#[tokio::test]
async fn a_name_is_spoken_by_every_endpoint() {
    for ids in [Ids::Any, Ids::Auto] {
        for setup in [with_workflows(), Setup::default()] {
            let (server, jobshim) = start(ids, setup).await;
            let user = User::of(&jobshim);
            for (nth, name) in names().iter().enumerate() {
                assert_eq!(user.prompt(name).await, *name);
                assert_eq!(user.queue().await, [vec![], vec![name.clone()]]);
                assert!(user.jobs().await.contains(name), "waiting");
                assert_eq!(user.get(&format!("/history/{}", segment(name))).await, json!({}));
                server.step();
                assert_eq!(user.queue().await, [vec![name.clone()], vec![]]);
                server.step();
                // Twice: the second time from memory.
                is_spoken(&user, name).await;
                is_spoken(&user, name).await;
                assert_eq!(user.history().await.len(), nth + 1);
            }
            let sent = submitted(&server);
            // The first one was refused where jobshim did not know.
            assert_eq!(sent.len(), names().len() + usize::from(ids == Ids::Auto));
            let last = sent.last().expect("a prompt");
            assert_eq!(last["extra_data"], json!({"mine": [1], MEMBER: names()[5]}));
            let id = last["prompt_id"].as_str().expect("an id");
            assert_eq!((id.len(), &id[14..15]), (36, "5"));
        }
    }
}

#[tokio::test]
async fn a_name_is_of_one_scope() {
    let (server, jobshim) = start(Ids::Any, with_workflows()).await;
    let (nobody, one, other) = (
        User::of(&jobshim),
        User::with_key(&jobshim, "one"),
        User::with_key(&jobshim, "other"),
    );
    let name = "my job/1";
    assert_eq!(one.prompt(name).await, name);
    let id = submitted(&server)[0]["prompt_id"].as_str().expect("an id").to_owned();
    for stranger in [&nobody, &other] {
        assert_eq!(stranger.queue().await[1], [id.as_str()]);
        // A name of nothing: nothing is cancelled.
        stranger.order("/queue", json!({"delete": [name]})).await;
        stranger.order("/interrupt", json!({"prompt_id": name})).await;
    }
    server.step();
    server.step();
    is_spoken(&one, name).await;
    for stranger in [&nobody, &other] {
        let path = format!("/history/{}", segment(name));
        assert_eq!(stranger.get(&path).await, json!({}));
        assert_eq!(stranger.history().await, [id.as_str()]);
        assert_eq!(stranger.jobs().await, [id.as_str()]);
        assert_eq!(stranger.get(&format!("/history/{id}")).await[&id]["prompt"][1], *id);
        assert_eq!(stranger.get(&format!("/api/jobs/{id}")).await["id"], *id);
        let path = format!("/api/jobs/{}", segment(name));
        let missing = stranger.send(http::Method::GET, &path, String::new()).await;
        assert_eq!(missing.status, 404);
    }
    // Theirs is another job.
    assert_eq!(other.prompt(name).await, name);
    assert_eq!(other.queue().await[1], [name]);
    assert_ne!(submitted(&server)[1]["prompt_id"], *id);
    assert_eq!(one.history().await, [name]);
}

#[tokio::test]
async fn a_name_is_still_spoken_after_a_restart_without_a_store_whatever_is_asked_first() {
    for ids in [Ids::Any, Ids::Auto] {
        let (server, jobshim) = start(ids, with_workflows()).await;
        let name = "my job/1";
        let user = User::of(&jobshim);
        user.prompt(name).await;
        server.step();
        server.step();
        user.prompt("waits").await;
        drop(user);
        jobshim.stop().await;
        let path = format!("/history/{}", segment(name));
        let job = format!("/api/jobs/{}", segment(name));
        for first in ["/history", &path, "/api/jobs", &job, "/queue", "/api/history_v2"] {
            let jobshim = facing(&server.url(), |config| config.legacy.ids = ids).await;
            let user = User::of(&jobshim);
            let text = user.text(first).await;
            let expected = if first == "/queue" { "waits" } else { name };
            assert!(text.contains(&format!("\"{expected}\"")), "{first}: {text}");
            is_spoken(&user, name).await;
            assert_eq!(user.queue().await[1], ["waits"], "{first}");
            drop(user);
            jobshim.stop().await;
        }
    }
}

#[tokio::test]
async fn a_uuid_goes_through_as_before_and_no_id_is_none() {
    let (server, jobshim) = start(Ids::Any, Setup::default()).await;
    let user = User::of(&jobshim);
    let own = "0b8d4d0a-6d0c-4b3e-9c39-0d6a0f8f1c11";
    for body in [
        format!(r#" {{"prompt_id":"{own}" , "prompt": {{"9":{{"x":1.0}}}},"extra_data":null}}"#),
        r#"{"prompt": {"9": {}}, "prompt_id": ""}"#.to_owned(),
        r#"{"prompt": {"9": {}}, "prompt_id": null}"#.to_owned(),
    ] {
        user.send(http::Method::POST, "/prompt", body.clone()).await;
        let sent = server.arrived(http::Method::POST, "/prompt");
        assert_eq!(sent.last().expect("a prompt").body, body);
    }
    assert!(user.queue().await[1].contains(&own.to_owned()));
}

#[tokio::test]
async fn a_client_with_credentials_keeps_its_names_where_their_key_is_stored() {
    let folder = StateFolder::new("names-of-credentials");
    let server = Server::start(board(Rules::Comfyui), with_workflows()).await;
    let stored = async || {
        facing(&server.url(), |config| {
            config.state.place = jobshim::config::StatePlace::Folder(folder.path.clone())
        })
        .await
    };
    let jobshim = stored().await;
    let user = User::with_key(&jobshim, "one");
    user.prompt("my job/1").await;
    server.step();
    server.step();
    drop(user);
    jobshim.stop().await;
    let jobshim = stored().await;
    assert_eq!(User::with_key(&jobshim, "one").jobs().await, ["my job/1"]);
    is_spoken(&User::with_key(&jobshim, "one"), "my job/1").await;
    assert_ne!(User::with_key(&jobshim, "other").jobs().await, ["my job/1"]);
    // Without it the job is there under its UUID.
    let jobshim = facing(&server.url(), |_| {}).await;
    assert_ne!(User::with_key(&jobshim, "one").jobs().await, ["my job/1"]);
}
