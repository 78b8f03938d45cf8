//! Several jobshims in front of one server, which share a store: to their clients they are one, also when some of them, or the
//! store, are killed.

mod killed;
mod lost;
mod told;

use crate::support::{
    Client, Reply,
    program::Program,
    server::{Server, Setup, board},
    valkey::Valkey,
    wait::until,
};
use http::Method;
use jobshim::demo::{Job, Rules};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    time::{Duration, Instant},
};

fn uuid(nth: usize) -> String {
    format!("{nth:08}-0000-4000-8000-000000000000")
}

fn job(nth: usize, status: &str) -> Job {
    let time = 1_795_000_000_000 + nth as u64;
    let text = format!(
        r#"{{"id": "{}", "status": "{status}", "priority": {nth}, "create_time": {time}, "execution_start_time": {time}, "execution_end_time": {time}}}"#,
        uuid(nth)
    );
    Job::new(&text, &text).expect("a job")
}

/// A server without legacy writes, with so many completed jobs.
async fn server(count: usize) -> Server {
    let mut board = board(Rules::Comfyui);
    for nth in 1..=count {
        board.add(job(nth, "completed"));
    }
    Server::start(board, Setup::default()).await
}

/// Some jobshims with one store.
struct Replicas {
    programs: Vec<Program>,
    upstream: String,
    state: String,
    more: Vec<String>,
}

impl Replicas {
    fn start(count: usize, server: &str, state: &str, more: &[&str]) -> Self {
        let mut replicas = Self {
            programs: Vec::new(),
            upstream: server.to_owned(),
            state: state.to_owned(),
            more: more.iter().map(|&one| one.to_owned()).collect(),
        };
        for _ in 0..count {
            let program = replicas.new_program();
            replicas.programs.push(program);
        }
        replicas
    }

    fn new_program(&self) -> Program {
        let mut arguments = vec!["--state", &self.state];
        arguments.extend(self.more.iter().map(String::as_str));
        Program::before(&self.upstream, &arguments)
    }

    fn at(&mut self, nth: usize) -> SocketAddr {
        self.programs[nth].address()
    }

    /// One is killed, and another takes its place.
    fn replace(&mut self, nth: usize) {
        self.programs[nth].signal("KILL");
        self.programs[nth].end();
        self.programs[nth] = self.new_program();
    }
}

async fn post(at: SocketAddr, target: &str, user: &str, body: &Value) -> Result<Reply, String> {
    let headers: &[(&str, &str)] = if user.is_empty() { &[] } else { &[("comfy-user", user)] };
    Client::new()
        .send(Method::POST, at, target, headers, body.to_string())
        .await
}

/// The numbers of the jobs that `/history` shows.
async fn history(at: SocketAddr, user: &str) -> BTreeSet<usize> {
    let headers: &[(&str, &str)] = if user.is_empty() { &[] } else { &[("comfy-user", user)] };
    let reply = Client::new().get_with(at, "/history", headers).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let shown: Value = serde_json::from_slice(&reply.body).expect("JSON");
    shown
        .as_object()
        .expect("a history")
        .keys()
        .map(|id| id[..8].parse().expect("a number"))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_that_was_sent_through_one_is_in_the_queue_of_the_others() {
    let Some(valkey) = Valkey::start("prompt", &[]) else {
        return;
    };
    let server = server(0).await;
    let mut replicas = Replicas::start(2, &server.url(), &valkey.url(), &[]);
    let (one, other) = (replicas.at(0), replicas.at(1));
    for nth in 1..=50 {
        let text = format!("prompt number {nth}");
        let prompt =
            json!({"prompt_id": uuid(nth), "prompt": {"1": {"class_type": "SaveImage", "inputs": {"text": text}}}});
        let sent = post(one, "/prompt", "ann", &prompt).await.expect("an answer");
        assert_eq!(sent.status, 200, "{}", sent.text());
        let queue = Client::new().get_with(other, "/queue", &[("comfy-user", "ann")]).await;
        assert!(queue.text().contains(&text), "{}", queue.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_a_client_gave_through_one_is_spoken_by_the_others() {
    let Some(valkey) = Valkey::start("names", &[]) else {
        return;
    };
    let server = server(0).await;
    let mut replicas = Replicas::start(2, &server.url(), &valkey.url(), &["--ids", "any"]);
    let (one, other) = (replicas.at(0), replicas.at(1));
    for nth in 1..=20 {
        let name = format!("my job/{nth}");
        let prompt = json!({"prompt_id": name, "prompt": {"1": {"class_type": "SaveImage", "inputs": {}}}});
        let sent = post(one, "/prompt", "ann", &prompt).await.expect("an answer");
        assert!(sent.text().contains(&name), "{}", sent.text());
        let ann = [("comfy-user", "ann")];
        let queue = Client::new().get_with(other, "/queue", &ann).await.text();
        assert!(queue.contains(&format!("\"{name}\"")), "{queue}");
        let deleted = post(other, "/queue", "ann", &json!({"delete": [name]}))
            .await
            .expect("an answer");
        assert_eq!(deleted.status, 200, "{}", deleted.text());
        let queue = Client::new().get_with(one, "/queue", &ann).await.text();
        assert!(!queue.contains(&name), "{queue}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_deleted_on_the_server_through_one_is_in_the_memory_of_no_other() {
    let Some(valkey) = Valkey::start("memory", &[]) else {
        return;
    };
    let mut jobs = board(Rules::Comfyui);
    for nth in 1..=20 {
        jobs.add(job(nth, "completed"));
    }
    let setup = Setup {
        legacy_writes: true,
        ..Setup::default()
    };
    let server = Server::start(jobs, setup).await;
    let mut replicas = Replicas::start(2, &server.url(), &valkey.url(), &[]);
    let (one, other) = (replicas.at(0), replicas.at(1));
    for nth in 1..=20 {
        let entry = format!("/history/{}", uuid(nth));
        assert!(Client::new().get(other, &entry).await.text().contains(&uuid(nth)));
        let deleted = post(one, "/history", "", &json!({"delete": [uuid(nth)]}))
            .await
            .expect("an answer");
        assert_eq!(deleted.status, 200, "{}", deleted.text());
        assert_eq!(Client::new().get(other, &entry).await.text(), "{}", "{nth}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_goes_back_on_all_within_a_second_and_a_new_one_knows_of_it() {
    let Some(valkey) = Valkey::start("canary", &[]) else {
        return;
    };
    let mut jobs = board(Rules::Comfyui);
    let sound = r#"{"id": "broken", "status": "completed", "create_time": 1}"#;
    jobs.jobs.push(Job::new(sound, r#"{"id": "broken""#).expect("a job"));
    let server = Server::start(jobs, Setup::default()).await;
    let canary = [
        "--route",
        "history_entry=canary:100,rollback.failures=10%",
        "--admin",
        "127.0.0.1:0",
    ];
    let mut replicas = Replicas::start(2, &server.url(), &valkey.url(), &canary);
    let (one, other) = (replicas.at(0), replicas.programs[1].admin());
    let back = |overview: &Value| {
        overview["modes"]
            .as_array()
            .is_some_and(|modes| modes.iter().any(|mode| mode["back"].is_object()))
    };
    let client = Client::new();
    let overview = async |at: SocketAddr| -> Value {
        serde_json::from_str(&client.get(at, "/overview").await.text()).expect("JSON")
    };
    assert!(!back(&overview(other).await));
    for nth in 0..20 {
        let key = nth.to_string();
        client.get_with(one, "/history/broken", &[("x-api-key", &key)]).await;
    }
    replicas.programs[0].line_with("the canary has gone back");
    let begun = Instant::now();
    until("it has gone back on the other", async || back(&overview(other).await)).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    replicas.programs[1].line_with("has gone back on another jobshim");
    let mut third = replicas.new_program();
    assert!(back(&overview(third.admin()).await));
}
