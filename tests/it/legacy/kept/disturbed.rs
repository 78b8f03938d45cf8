//! What goes wrong around kept jobs: other users, other jobshims, stores that are away, servers that list not all, and clients
//! that leave.

use super::{StateFolder, finished, get, history, id, in_folder, job, keeping, post, prompt, read, restart};
use crate::support::{
    Client, Running,
    server::{Server, Setup, board},
    start_with,
    valkey::Valkey,
    wait::until,
};
use http::Method;
use jobshim::{
    config::{
        Options,
        settings::{HISTORY, STATE, UPSTREAM},
    },
    demo::Rules,
};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};
use tokio::time::sleep;

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

fn infinite(server: &Server) {
    server.intercept(|state, arrived| {
        let changed = |text: String| text.replace(r#""priority": 1,"#, r#""priority": Infinity,"#);
        if arrived.method != Method::GET {
            return None;
        }
        if arrived.path() == "/api/jobs" {
            let (status, text) = state.board.list(arrived.query());
            return Some((status, changed(text)));
        }
        let id = arrived.path().strip_prefix("/api/jobs/")?;
        let (status, text) = state.board.detail(id);
        Some((status, changed(text)))
    });
}

#[tokio::test]
async fn a_hidden_job_that_is_asked_for_does_not_come_back() {
    let server = finished(2, Setup::default()).await;
    let jobshim = keeping(&server, |_| {}).await;
    let at = jobshim.address;
    assert_eq!(history(at, "").await, [1, 2]);
    let pipeline = jobshim.pipeline();
    until("kept", async || pipeline.kept().0 == 2).await;
    let reply = post(at, "/history", &json!({"delete": [id(1)]})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(get(at, &format!("/history/{}", id(1))).await.text(), "{}");
    sleep(Duration::from_millis(500)).await;
    restart(&server);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(history(at, "").await);
        sleep(Duration::from_millis(200)).await;
    }
    assert!(seen.iter().all(|shown| *shown == [2]), "{seen:?}");
}

#[tokio::test]
async fn a_hidden_job_that_is_looked_after_does_not_come_back() {
    let server = server().await;
    let jobshim = watched(&server, None).await;
    let at = jobshim.address;
    let id = submit(at).await;
    server.step();
    server.step();
    let reply = post(at, "/history", &json!({"delete": [id]})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    sleep(Duration::from_secs(3)).await;
    restart(&server);
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(read(&get(at, "/history").await).as_object().map(serde_json::Map::len));
        sleep(Duration::from_millis(200)).await;
    }
    assert!(seen.iter().all(|shown| *shown == Some(0)), "{seen:?}");
}

#[tokio::test]
async fn a_number_beyond_all_numbers_does_no_harm_to_a_folder() {
    let folder = StateFolder::new("kept-infinite");
    let server = finished(2, Setup::default()).await;
    infinite(&server);
    let jobshim = keeping(&server, |config| in_folder(config, &folder)).await;
    sleep(Duration::from_secs(1)).await;
    jobshim.stop().await;
    let jobshim = keeping(&server, |config| in_folder(config, &folder)).await;
    assert_eq!(history(jobshim.address, "").await, [1, 2]);
}

#[tokio::test]
async fn a_number_beyond_all_numbers_does_no_harm_to_a_valkey() {
    let valkey = Valkey::start("kept-infinite", &[]).expect("a Valkey");
    let server = finished(2, Setup::default()).await;
    infinite(&server);
    let options = Options::default()
        .with(&UPSTREAM.url.key, server.url().as_str())
        .with(&HISTORY.keep.key, "1000 jobs")
        .with(&STATE.max_stale.key, "2s")
        .with(&STATE.store.key, valkey.url().as_str());
    let (one, other) = (start_with(options.clone()).await, start_with(options).await);
    get(one.address, "/history").await;
    let mut seen = Vec::new();
    for _ in 0..6 {
        sleep(Duration::from_secs(1)).await;
        let client = Client::new();
        let statuses = (
            client.get(one.address, "/history").await.status.as_u16(),
            client.get(other.address, "/history").await.status.as_u16(),
        );
        seen.push(statuses);
    }
    assert!(seen.iter().all(|statuses| *statuses == (200, 200)), "{seen:?}");
}

#[tokio::test]
async fn a_running_job_beside_one_that_cannot_be_listed_is_not_lost() {
    let server = server().await;
    let jobshim = watched(&server, None).await;
    let at = jobshim.address;
    let id = submit(at).await;
    server.step();
    server.with(|state| state.board.add(job(9, "pending").unlistable()));
    sleep(LOST_AFTER * 3).await;
    let listed = read(&get(at, "/history").await);
    assert!(listed.get(&id).is_none(), "{listed}");
}

#[tokio::test]
async fn a_job_that_is_cancelled_first_thing_after_a_restart_is_not_lost() {
    let folder = StateFolder::new("kept-cancelled");
    let server = server().await;
    let jobshim = watched(&server, Some(&folder)).await;
    let (first, second) = (submit(jobshim.address).await, submit(jobshim.address).await);
    server.step();
    sleep(Duration::from_secs(1)).await;
    jobshim.stop().await;
    let jobshim = watched(&server, Some(&folder)).await;
    let at = jobshim.address;
    let reply = post(at, "/queue", &json!({"delete": [second]})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(server.with(|state| state.board.jobs.len()), 1, "{first}");
    get(at, "/queue").await;
    sleep(LOST_AFTER * 3).await;
    assert_eq!(entry(at, &second).await, Value::Null);
}

#[tokio::test]
async fn a_job_that_is_cancelled_through_another_jobshim_is_not_lost() {
    let valkey = Valkey::start("kept-kept", &[]).expect("a Valkey");
    let server = server().await;
    let options = Options::default()
        .with(&UPSTREAM.url.key, server.url().as_str())
        .with(&HISTORY.keep.key, "1000 jobs")
        .with(&HISTORY.lost_after.key, "1500ms")
        .with(&STATE.store.key, valkey.url().as_str());
    let (one, other) = (start_with(options.clone()).await, start_with(options).await);
    let (first, second) = (submit(one.address).await, submit(one.address).await);
    server.step();
    sleep(Duration::from_secs(1)).await;
    let reply = post(other.address, "/queue", &json!({"delete": [second]})).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(server.with(|state| state.board.jobs.len()), 1, "{first}");
    sleep(LOST_AFTER * 3).await;
    assert_eq!(entry(one.address, &second).await, Value::Null);
}

#[tokio::test]
async fn a_page_of_another_site_asks_for_nobodys_jobs() {
    let folder = StateFolder::new("kept-foreign");
    let server = server().await;
    let again = async || {
        keeping(&server, |config| {
            config.history.lost_after = LOST_AFTER;
            config.upstream.dialect = jobshim::config::DialectChoice::Comfyui;
            in_folder(config, &folder);
        })
        .await
    };
    let jobshim = again().await;
    submit(jobshim.address).await;
    server.step();
    sleep(Duration::from_secs(1)).await;
    jobshim.stop().await;
    server.intercept(|_, arrived| {
        let origin = arrived
            .headers
            .get("origin")
            .is_some_and(|origin| origin == "http://evil.example");
        origin.then(|| (403, r#"{"error": "foreign"}"#.to_owned()))
    });
    let jobshim = again().await;
    let at = jobshim.address;
    let foreign = Client::new()
        .get_with(at, "/queue", &[("origin", "http://evil.example")])
        .await;
    assert_eq!(foreign.status, 403);
    server.step();
    let pipeline = jobshim.pipeline();
    until("its job is kept", async || {
        get(at, "/queue").await;
        pipeline.kept().0 == 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_delete_whose_client_leaves_is_a_delete() {
    use tokio::io::AsyncWriteExt;
    let setup = Setup {
        legacy_writes: true,
        ..Setup::default()
    };
    let server = finished(2, setup).await;
    let jobshim = keeping(&server, |_| {}).await;
    let at = jobshim.address;
    history(at, "").await;
    let pipeline = jobshim.pipeline();
    until("kept", async || pipeline.kept().0 == 2).await;
    server.intercept(|state, arrived| {
        (arrived.method == Method::POST).then(|| {
            state.board.jobs.clear();
            std::thread::sleep(Duration::from_millis(1500));
            (200, String::new())
        })
    });
    let mut stream = tokio::net::TcpStream::connect(at).await.expect("a connection");
    let body = r#"{"clear": true}"#;
    let text = format!(
        "POST /history HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(text.as_bytes()).await.expect("sent");
    sleep(Duration::from_millis(400)).await;
    drop(stream);
    until("they are gone", async || history(at, "").await.is_empty()).await;
}

#[tokio::test]
async fn what_is_hidden_from_one_is_kept_for_another() {
    let server = finished(2, Setup::default()).await;
    let jobshim = keeping(&server, |_| {}).await;
    let at = jobshim.address;
    let client = Client::new();
    for key in ["a", "b"] {
        client.get_with(at, "/history", &[("x-api-key", key)]).await;
    }
    let pipeline = jobshim.pipeline();
    until("kept", async || pipeline.kept().0 == 4).await;
    restart(&server);
    let reply = client
        .send(
            Method::POST,
            at,
            "/history",
            &[("x-api-key", "a")],
            r#"{"clear": true}"#.to_owned(),
        )
        .await
        .expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let text = client.get_with(at, "/history", &[("x-api-key", "b")]).await.text();
    assert!(text.contains(&id(1)), "{text}");
}

#[tokio::test]
async fn a_job_that_is_submitted_while_the_store_is_away_is_looked_after() {
    let mut valkey = Valkey::start("kept-away", &[]).expect("a Valkey");
    let server = server().await;
    let options = Options::default()
        .with(&UPSTREAM.url.key, server.url().as_str())
        .with(&HISTORY.keep.key, "1000 jobs")
        .with(&HISTORY.lost_after.key, "1500ms")
        .with(&STATE.store.key, valkey.url().as_str());
    let jobshim = start_with(options).await;
    let at = jobshim.address;
    submit(at).await;
    sleep(Duration::from_millis(300)).await;
    valkey.kill();
    sleep(Duration::from_millis(300)).await;
    submit(at).await;
    sleep(Duration::from_millis(500)).await;
    valkey.restart();
    for _ in 0..3 {
        server.step();
    }
    let pipeline = jobshim.pipeline();
    until("both are kept", async || pipeline.kept().0 == 2).await;
}
