//! A job that jobshim was told to delete is gone for good.

use super::{finished, get, history, id, is_marked, job, keeping, post, read, restart};
use crate::support::{Client, server::Setup, start_with, wait::until};
use jobshim::config::{
    Options,
    settings::{HISTORY, LEGACY, UPSTREAM},
};
use serde_json::json;
use std::net::SocketAddr;

fn setups() -> [Setup; 2] {
    [false, true].map(|legacy_writes| Setup {
        legacy_writes,
        ..Setup::default()
    })
}

/// The ids that `/api/history_v2` shows, as numbers of jobs, the oldest first.
async fn shown(at: SocketAddr) -> Vec<usize> {
    let all = read(&get(at, "/api/history_v2").await);
    let ids = all["history"].as_array().expect("a list").iter().rev();
    ids.map(|entry| {
        entry["prompt_id"].as_str().expect("an id")[..8]
            .parse()
            .expect("a number")
    })
    .collect()
}

#[tokio::test]
async fn a_deleted_job_does_not_come_back_with_a_restart_of_the_server() {
    for (setup, mode) in setups()
        .into_iter()
        .zip(["translate", "translate"])
        .chain(setups().into_iter().skip(1).zip(["forward"]))
    {
        let what = format!("{mode}, the server forgets: {}", setup.legacy_writes);
        let server = finished(5, setup).await;
        let options = Options::default()
            .with(&UPSTREAM.url.key, server.url().as_str())
            .with(&HISTORY.keep.key, "1000 jobs")
            .with(&LEGACY.routes.key, format!("history={mode}").as_str());
        let jobshim = start_with(options).await;
        let at = jobshim.address;
        assert_eq!(shown(at).await, [1, 2, 3, 4, 5], "{what}");
        let pipeline = jobshim.pipeline();
        until("they are kept", async || pipeline.kept().0 == 5).await;
        let reply = post(at, "/history", &json!({"delete": [id(2), id(4), "unknown"]})).await;
        assert_eq!(reply.status, 200, "{what}: {}", reply.text());
        restart(&server);
        assert_eq!(shown(at).await, [1, 3, 5], "{what}");
        for nth in [2, 4] {
            assert_eq!(get(at, &format!("/history/{}", id(nth))).await.text(), "{}", "{what}");
            assert_eq!(
                Client::new().get(at, &format!("/api/jobs/{}", id(nth))).await.status,
                404
            );
        }
        let reply = post(at, "/history", &json!({"delete": [id(3)]})).await;
        assert_eq!(reply.status, 200, "one that the server has lost: {}", reply.text());
        assert_eq!(shown(at).await, [1, 5], "{what}");
    }
}

#[tokio::test]
async fn a_clear_is_of_lost_jobs_too() {
    for setup in setups() {
        let server = finished(3, setup).await;
        let jobshim = keeping(&server, |_| {}).await;
        let at = jobshim.address;
        history(at, "").await;
        let pipeline = jobshim.pipeline();
        until("they are kept", async || pipeline.kept().0 == 3).await;
        restart(&server);
        server.with(|state| state.board.add(job(6, "completed")));
        assert_eq!(history(at, "").await, [1, 2, 3, 6]);
        assert_eq!(post(at, "/history", &json!({"clear": true})).await.status, 200);
        assert_eq!(history(at, "").await, [0; 0]);
        restart(&server);
        assert_eq!(history(at, "").await, [0; 0]);
        assert!(!is_marked(&get(at, "/history").await));
    }
}

#[tokio::test]
async fn on_a_server_without_users_what_one_deletes_is_deleted_for_all() {
    let setup = Setup {
        legacy_writes: true,
        ..Setup::default()
    };
    let server = finished(2, setup).await;
    let jobshim = keeping(&server, |_| {}).await;
    let client = Client::new();
    for user in ["one", "two"] {
        client
            .get_with(jobshim.address, "/history", &[("comfy-user", user)])
            .await;
    }
    let pipeline = jobshim.pipeline();
    until("they are kept for both", async || pipeline.kept().0 == 4).await;
    let body = json!({"delete": [id(1)]}).to_string();
    let deleted = client
        .send(
            http::Method::POST,
            jobshim.address,
            "/history",
            &[("comfy-user", "one")],
            body,
        )
        .await;
    assert_eq!(deleted.expect("an answer").status, 200);
    restart(&server);
    for user in ["one", "two"] {
        let reply = client
            .get_with(jobshim.address, "/history", &[("comfy-user", user)])
            .await;
        assert!(
            !reply.text().contains(&id(1)) && reply.text().contains(&id(2)),
            "{user}: {}",
            reply.text()
        );
    }
}

#[tokio::test]
async fn what_the_server_refuses_to_delete_stays() {
    let setup = Setup {
        legacy_writes: true,
        ..Setup::default()
    };
    for route in ["history=translate", "history=forward"] {
        let server = finished(3, setup.clone()).await;
        let options = Options::default()
            .with(&UPSTREAM.url.key, server.url().as_str())
            .with(&HISTORY.keep.key, "1000 jobs")
            .with(&LEGACY.routes.key, route);
        let jobshim = start_with(options).await;
        let at = jobshim.address;
        assert_eq!(shown(at).await, [1, 2, 3]);
        let pipeline = jobshim.pipeline();
        until("they are kept", async || pipeline.kept().0 == 3).await;
        server.intercept(|_, arrived| {
            let is_delete = arrived.method == http::Method::POST && arrived.path() == "/history";
            is_delete.then(|| (403, r#"{"error": "another site"}"#.to_owned()))
        });
        for body in [json!({"delete": [id(1)]}), json!({"clear": true})] {
            assert_eq!(post(at, "/history", &body).await.status, 403, "{route}");
        }
        restart(&server);
        assert_eq!(shown(at).await, [1, 2, 3], "{route}");
    }
}
