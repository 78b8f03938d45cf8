//! Several jobshims in front of one server, which share a store: to their clients they are one, also when some of them, or the
//! store, are killed.

use crate::support::{
    Client, Reply,
    program::Program,
    seeded::Seeded,
    server::{Server, Setup, board},
    valkey::{Traffic, Valkey, Way, until_ready},
    wait::{as_soon_as, until},
};
use http::Method;
use jobshim::demo::{Job, Rules};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
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
async fn killed_in_the_middle_of_a_thousand_deletes_every_one_that_was_answered_is_hidden_everywhere() {
    let Some(mut valkey) = Valkey::start("thousand", &[]) else {
        return;
    };
    let server = server(1000).await;
    let mut replicas = Replicas::start(3, &server.url(), &valkey.url(), &[]);
    let addresses = [replicas.at(0), replicas.at(1), replicas.at(2)];
    let mut deleting = tokio::task::JoinSet::new();
    for lane in 0..4 {
        deleting.spawn(async move {
            let mut answered = Vec::new();
            for nth in (1..=1000).filter(|nth| nth % 4 == lane) {
                let body = json!({"delete": [uuid(nth)]});
                match post(addresses[nth % 3], "/history", "", &body).await {
                    Ok(reply) if reply.status == 200 => answered.push(nth),
                    Ok(reply) => assert_eq!(reply.status, 503, "{}", reply.text()),
                    Err(_) => {}
                }
            }
            answered
        });
    }
    let asked = |count: usize| server.arrived(Method::POST, "/history").len() >= count;
    as_soon_as("a few hundred are deleted", || asked(300)).await;
    replicas.programs[0].signal("KILL");
    as_soon_as("more are deleted", || asked(450)).await;
    valkey.kill();
    valkey.restart();
    let answered: Vec<usize> = deleting.join_all().await.into_iter().flatten().collect();
    assert!(
        (150..900).contains(&answered.len()),
        "killed in the middle: {}",
        answered.len()
    );
    replicas.programs[0].end();
    replicas.programs[0] = replicas.new_program();
    for nth in 0..3 {
        let at = replicas.at(nth);
        until("it answers", async || {
            Client::new().get(at, "/history").await.status == 200
        })
        .await;
        let shown = history(at, "").await;
        let back: Vec<_> = answered.iter().filter(|nth| shown.contains(nth)).collect();
        assert!(back.is_empty(), "shown again: {back:?}");
    }
}

/// What is known of one user's history: a write that was not answered may have been done.
#[derive(Default)]
struct Model {
    hidden: BTreeMap<usize, bool>,
}

impl Model {
    fn wrong(&self, shown: &BTreeSet<usize>, all: usize) -> Vec<String> {
        let wrong = |nth: &usize| match (self.hidden.get(nth), shown.contains(nth)) {
            (Some(true), true) => Some(format!("{nth} was deleted, and is shown")),
            (None, false) => Some(format!("{nth} was not deleted, and is not shown")),
            _ => None,
        };
        (1..=all).filter_map(|nth| wrong(&nth)).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_twenty_users_do_through_whichever_of_three_is_as_if_there_were_one() {
    let Some(mut valkey) = Valkey::start("model", &[]) else {
        return;
    };
    // As many as the environment asks for; 10,000 take some minutes.
    let operations: usize =
        std::env::var("JOBSHIM_TEST_OPERATIONS").map_or(1_200, |count| count.parse().expect("a number"));
    let mut jobs = 40;
    let server = server(jobs).await;
    let mut replicas = Replicas::start(3, &server.url(), &valkey.url(), &[]);
    let mut models: Vec<Model> = (0..20).map(|_| Model::default()).collect();
    let mut random = Seeded(17);
    for operation in 0..operations {
        let (user, nth) = (random.below(20), random.below(3));
        let (name, at) = (format!("user-{user}"), replicas.at(nth));
        match random.below(100) {
            0..35 => {
                let id = 1 + random.below(jobs);
                let done = post(at, "/history", &name, &json!({"delete": [uuid(id)]})).await;
                let done = done.is_ok_and(|reply| reply.status == 200);
                let before = models[user].hidden.get(&id).copied().unwrap_or(false);
                models[user].hidden.insert(id, before || done);
            }
            35..40 => {
                let done = post(at, "/history", &name, &json!({"clear": true})).await;
                let done = done.is_ok_and(|reply| reply.status == 200);
                for id in 1..=jobs {
                    let before = models[user].hidden.get(&id).copied().unwrap_or(false);
                    models[user].hidden.insert(id, before || done);
                }
            }
            40..45 => {
                jobs += 1;
                server.with(|state| state.board.add(job(jobs, "completed")));
            }
            45..46 => replicas.replace(nth),
            46 if operation % 2 == 0 => {
                valkey.kill();
                valkey.restart();
            }
            _ => {
                let reply = Client::new().get_with(at, "/history", &[("comfy-user", &name)]).await;
                // A store that was killed a moment ago may not have been reached yet.
                if reply.status == 503 {
                    continue;
                }
                assert_eq!(reply.status, 200, "operation {operation}: {}", reply.text());
                let shown: Value = serde_json::from_slice(&reply.body).expect("JSON");
                let ids = shown.as_object().expect("a history").keys();
                let shown: BTreeSet<usize> = ids.map(|id| id[..8].parse().expect("a number")).collect();
                let wrong = models[user].wrong(&shown, jobs);
                assert!(
                    wrong.is_empty(),
                    "operation {operation}, {name} through {nth}: {wrong:?}"
                );
            }
        }
    }
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

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_is_told_by_each_of_all() {
    let Some(valkey) = Valkey::start("usage", &[]) else {
        return;
    };
    let server = server(1).await;
    let mut replicas = Replicas::start(2, &server.url(), &valkey.url(), &["--admin", "127.0.0.1:0"]);
    let client = Client::new();
    for nth in 0..2 {
        let at = replicas.at(nth);
        for _ in 0..=nth {
            client.get_with(at, "/history", &[("user-agent", "a-script")]).await;
        }
    }
    let calls = async |admin: SocketAddr| -> u64 {
        let usage: Value = serde_json::from_str(&client.get(admin, "/usage").await.text()).expect("JSON");
        let clients = usage["clients"].as_array().expect("clients");
        clients
            .iter()
            .filter_map(|client| client["routes"]["history"]["count"].as_u64())
            .sum()
    };
    for nth in 0..2 {
        let admin = replicas.programs[nth].admin();
        until("it tells of the calls of both", async || calls(admin).await == 3).await;
    }
    // What one has noted outlives it, and nobody waits for it.
    assert_eq!(valkey.says("ZCARD {jobshim}:replicas").as_deref(), Some(":2\r\n"));
    replicas.programs[0].signal("TERM");
    replicas.programs[0].end();
    assert_eq!(valkey.says("ZCARD {jobshim}:replicas").as_deref(), Some(":1\r\n"));
    let mut third = replicas.new_program();
    let admin = third.admin();
    until("a new one tells of all", async || calls(admin).await == 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_store_was_reached_nothing_is_translated_and_the_rest_passes() {
    let Some(mut valkey) = Valkey::start("unreached", &[]) else {
        return;
    };
    valkey.kill();
    let server = server(3).await;
    let mut replicas = Replicas::start(1, &server.url(), &valkey.url(), &["--admin", "127.0.0.1:0"]);
    let (at, admin) = (replicas.at(0), replicas.programs[0].admin());
    let client = Client::new();
    replicas.programs[0].line_with("the store is not there");
    assert_eq!(
        client.get(at, "/system_stats").await.status,
        404,
        "the server's own answer"
    );
    let refused = client.get(at, "/history").await;
    assert_eq!(refused.status, 503, "{}", refused.text());
    assert!(
        refused.text().contains("state_unreachable") && refused.header("retry-after") == "1",
        "{}",
        refused.text()
    );
    until_ready(&client, admin, false).await;
    valkey.restart();
    until_ready(&client, admin, true).await;
    assert_eq!(history(at, "").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_store_is_lost_reads_go_on_for_a_while_deletes_are_refused_and_the_rest_passes() {
    let Some(valkey) = Valkey::start("lost", &[]) else {
        return;
    };
    let way = Way::to(valkey.port());
    let server = server(3).await;
    let more = [
        "--admin",
        "127.0.0.1:0",
        "--state-max-stale",
        "4s",
        "--state-timeout",
        "500ms",
    ];
    let mut replicas = Replicas::start(1, &server.url(), &way.url(), &more);
    let (at, admin) = (replicas.at(0), replicas.programs[0].admin());
    let client = Client::new();
    let deleted = post(at, "/history", "", &json!({"delete": [uuid(1)]}))
        .await
        .expect("an answer");
    assert_eq!(deleted.status, 200, "{}", deleted.text());
    for traffic in [Traffic::Stands, Traffic::Cut] {
        way.is(traffic);
        let begun = Instant::now();
        until("a delete is refused", async || {
            let refused = post(at, "/history", "", &json!({"delete": [uuid(2)]}))
                .await
                .expect("an answer");
            assert_ne!(refused.status, 200, "it is not stored");
            refused.status == 503
        })
        .await;
        let shown = client.get(at, "/history").await;
        if begun.elapsed() < Duration::from_secs(4) {
            assert_eq!(shown.status, 200, "{}", shown.text());
            assert!(!shown.text().contains(&uuid(1)), "{}", shown.text());
        }
        until(
            "reads are refused rather than show what may have been deleted",
            async || client.get(at, "/history").await.status == 503,
        )
        .await;
        assert!(begun.elapsed() >= Duration::from_secs(3), "{:?}", begun.elapsed());
        // What passes does not wait for the store.
        let passing = Instant::now();
        for _ in 0..20 {
            assert_eq!(
                client.get(at, "/system_stats").await.status,
                404,
                "the server's own answer"
            );
        }
        assert!(passing.elapsed() < Duration::from_secs(2), "{:?}", passing.elapsed());
        let metrics = client.get(admin, "/metrics").await.text();
        let stale = metrics
            .lines()
            .find_map(|line| line.strip_prefix("jobshim_state_stale_seconds "));
        let stale: f64 = stale.and_then(|stale| stale.parse().ok()).expect("a metric");
        assert!(stale > 3.0, "{stale}");
        replicas.programs[0].line_with("the store is lost");
        way.is(Traffic::Flows);
        until("it is there again", async || {
            let deleted = post(at, "/history", "", &json!({"delete": [uuid(3)]}))
                .await
                .expect("an answer");
            deleted.status == 200
        })
        .await;
        assert!(!history(at, "").await.contains(&1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_store_does_not_slow_what_passes() {
    let Some(valkey) = Valkey::start("slow", &[]) else {
        return;
    };
    let way = Way::to(valkey.port());
    let server = server(3).await;
    let mut replicas = Replicas::start(1, &server.url(), &way.url(), &[]);
    let at = replicas.at(0);
    let client = Client::new();
    assert_eq!(history(at, "").await.len(), 3);
    way.takes(Duration::from_millis(300));
    let begun = Instant::now();
    for nth in 1..=10 {
        assert_eq!(
            client.get(at, "/system_stats").await.status,
            404,
            "the server's own answer"
        );
        let prompt = json!({"prompt_id": uuid(100 + nth), "prompt": {"1": {"class_type": "SaveImage", "inputs": {}}}});
        assert_eq!(post(at, "/prompt", "", &prompt).await.expect("an answer").status, 200);
    }
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}
