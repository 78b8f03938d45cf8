//! Jobs that were submitted through jobshim: each is kept as soon as it has ended, and said to be lost where it cannot any more.

use super::{StateFolder, get, in_folder, is_marked, keeping, post, prompt, read, restart};
use crate::support::{
    Running,
    server::{Server, Setup, board},
    wait::until,
};
use http::Method;
use jobshim::demo::Rules;
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};

const LOST_AFTER: Duration = Duration::from_millis(1500);

async fn server() -> Server {
    Server::start(board(Rules::Comfyui), Setup::default()).await
}

async fn watched(server: &Server, folder: Option<&StateFolder>) -> Running {
    keeping(server, |config| {
        config.history.lost_after = LOST_AFTER;
        if let Some(folder) = folder {
            in_folder(config, folder);
        }
    })
    .await
}

async fn submit(at: SocketAddr) -> String {
    let reply = post(at, "/prompt", &prompt()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    read(&reply)["prompt_id"].as_str().expect("an id").to_owned()
}

async fn entry(at: SocketAddr, id: &str) -> Value {
    read(&get(at, &format!("/history/{id}")).await)[id].clone()
}

#[tokio::test]
async fn a_job_that_nobody_read_is_kept_once_it_has_ended() {
    let server = server().await;
    let jobshim = watched(&server, None).await;
    let id = submit(jobshim.address).await;
    server.step();
    server.step();
    let pipeline = jobshim.pipeline();
    until("it is kept", async || pipeline.kept().0 == 1).await;
    restart(&server);
    let reply = get(jobshim.address, &format!("/history/{id}")).await;
    assert!(is_marked(&reply));
    let entry = &read(&reply)[&id];
    assert_eq!(entry["status"]["status_str"], "success", "{entry}");
    assert_eq!(entry["prompt"][2], prompt()["prompt"]);
    // Nobody is asked any more once there is nothing left to look for.
    until("it asks no more", async || {
        let before = server.arrived(Method::GET, "/api/jobs").len();
        tokio::time::sleep(Duration::from_secs(4)).await;
        server.arrived(Method::GET, "/api/jobs").len() == before
    })
    .await;
}

#[tokio::test]
async fn a_job_that_ran_when_its_server_was_restarted_is_an_error_that_says_so() {
    let server = server().await;
    let jobshim = watched(&server, None).await;
    let at = jobshim.address;
    let (running, waiting) = (submit(at).await, submit(at).await);
    server.step();
    restart(&server);
    // It may only be late: that it is gone is no answer yet.
    assert_eq!(entry(at, &running).await, Value::Null);
    for id in [&running, &waiting] {
        until("it is said to be lost", async || entry(at, id).await != Value::Null).await;
        let reply = get(at, &format!("/history/{id}")).await;
        assert!(is_marked(&reply));
        let entry = &read(&reply)[id];
        assert_eq!(entry["status"]["status_str"], "error", "{entry}");
        assert_eq!(entry["status"]["completed"], false);
        assert_eq!(entry["prompt"][1], id.as_str());
        assert_eq!(entry["prompt"][2], prompt()["prompt"]);
        assert_eq!(entry["prompt"][3]["mine"], json!([1.0]));
        assert_eq!(entry["outputs"], json!({}));
        let messages = entry["status"]["messages"].as_array().expect("a list");
        let error = messages
            .iter()
            .find(|message| message[0] == "execution_error")
            .expect("an error");
        assert_eq!(error[1]["prompt_id"], id.as_str());
        let message = error[1]["exception_message"].as_str().expect("a text");
        assert!(message.contains("does not know this job any more"), "{message}");
    }
    let all = read(&get(at, "/history").await);
    assert_eq!(all.as_object().map(serde_json::Map::len), Some(2), "{all}");
    let failed = read(&get(at, "/api/jobs?status=failed").await);
    assert_eq!(failed["jobs"].as_array().map(Vec::len), Some(2), "{failed}");
    let status = read(&get(at, &format!("/api/job/{running}/status")).await);
    assert_eq!(status["status"], "error", "{status}");
}

#[tokio::test]
async fn a_job_whose_server_and_jobshim_were_restarted_is_lost_too() {
    let folder = StateFolder::new("kept-lost");
    let server = server().await;
    let jobshim = watched(&server, Some(&folder)).await;
    let id = submit(jobshim.address).await;
    until("it is looked for", async || {
        server.arrived(Method::GET, "/api/jobs").len() > 1
    })
    .await;
    jobshim.stop().await;
    restart(&server);
    let jobshim = watched(&server, Some(&folder)).await;
    // Whose job it is was never stored: somebody has to ask.
    until("it is said to be lost", async || {
        entry(jobshim.address, &id).await != Value::Null
    })
    .await;
    let entry = entry(jobshim.address, &id).await;
    assert_eq!(entry["prompt"][2], prompt()["prompt"]);
    assert_eq!(entry["status"]["status_str"], "error");
}

#[tokio::test]
async fn a_job_that_was_taken_out_of_the_queue_is_not_lost() {
    for way in ["/queue", "/api/jobs/ID/cancel", "/api/jobs/cancel"] {
        let server = server().await;
        let jobshim = watched(&server, None).await;
        let at = jobshim.address;
        let ids = [submit(at).await, submit(at).await, submit(at).await];
        server.step();
        let body = json!({"delete": [ids[1]], "job_ids": [ids[1]]});
        let reply = post(at, &way.replace("ID", &ids[1]), &body).await;
        assert_eq!(reply.status, 200, "{way}: {}", reply.text());
        restart(&server);
        // Which one a cancel of many was of is in its body, which passes unread.
        let lost: &[&String] = match way {
            "/api/jobs/cancel" => &[],
            _ => &[&ids[0], &ids[2]],
        };
        for id in lost {
            until("it is said to be lost", async || entry(at, id).await != Value::Null).await;
        }
        tokio::time::sleep(LOST_AFTER * 2).await;
        assert_eq!(entry(at, &ids[1]).await, Value::Null, "{way}");
    }
}

#[tokio::test]
async fn a_lost_job_that_comes_back_is_what_its_server_says() {
    let server = server().await;
    let jobshim = watched(&server, None).await;
    let at = jobshim.address;
    let id = submit(at).await;
    server.step();
    let jobs = server.with(|state| std::mem::take(&mut state.board.jobs));
    until("it is said to be lost", async || entry(at, &id).await != Value::Null).await;
    server.with(|state| state.board.jobs = jobs);
    server.step();
    let reply = get(at, &format!("/history/{id}")).await;
    assert!(!is_marked(&reply));
    assert_eq!(read(&reply)[&id]["status"]["status_str"], "success");
    let pipeline = jobshim.pipeline();
    until("it is kept as it is", async || {
        restart(&server);
        let _ = &pipeline;
        entry(at, &id).await["status"]["status_str"] == "success"
    })
    .await;
}
