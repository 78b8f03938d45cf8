//! Modes: who answers a legacy call, by whom it is decided, and that a write is made once whoever answers.

use crate::support::{
    Client, Reply, Running, StateFolder,
    program::run,
    server::board,
    start_with,
    surfaces::{Surfaces, legacy},
    upstream::Scripted,
    wait::until,
};
use http::Method;
use jobshim::{
    config::{
        Key, Options,
        settings::{CACHE, FOLDERS, LEGACY, UPSTREAM},
    },
    demo::{Job, Rules},
};
use redb::{Database, TableDefinition};
use std::{collections::HashMap, sync::Arc};
use tokio::task::JoinSet;

const ID: &str = "0b8d4d0a-6d0c-4b3e-9c39-0d6a0f8f1c11";

/// What the legacy endpoints of the test server say: nobody would translate to that.
const OWN: &str = r#"{"by": "the legacy endpoint"}"#;

/// A server whose legacy answers cannot be mistaken for translated ones.
async fn server() -> Scripted<Surfaces> {
    let mut board = board(Rules::Comfyui);
    let text = format!(r#"{{"id": "{ID}", "status": "completed", "create_time": 1700000000000, "priority": 7}}"#);
    board.jobs.push(Job::new(&text, &text).expect("a job"));
    let one = format!("/history/{ID}");
    let targets = [
        "/history",
        "/api/history",
        &one,
        "/queue",
        "/api/queue",
        "/api/history_v2",
    ];
    Surfaces::start(board, targets.map(|target| legacy(target, OWN)).into()).await
}

async fn jobshim(server: &Scripted<Surfaces>, options: &[(&Key, &str)]) -> Running {
    let given = options
        .iter()
        .fold(Options::default(), |given, (key, value)| given.with(key, *value));
    start_with(given.with(&UPSTREAM.url.key, server.url())).await
}

async fn get(jobshim: &Running, target: &str) -> Reply {
    Client::new().get(jobshim.address, target).await
}

#[tokio::test]
async fn translate_asks_the_jobs_api_alone_and_forward_the_legacy_endpoint_alone() {
    let server = server().await;
    for target in ["/history", &format!("/history/{ID}"), "/queue", "/api/history_v2"] {
        let translating = jobshim(&server, &[]).await;
        let translated = get(&translating, target).await;
        let (jobs, own) = server.counts();
        assert!(
            translated.status == 200 && translated.text() != OWN,
            "{target}: {translated:?}"
        );
        assert!(jobs > 0 && own == 0, "{target}: {jobs} and {own} calls");
        let forwarding = jobshim(&server, &[(&LEGACY.mode.key, "forward")]).await;
        let forwarded = get(&forwarding, target).await;
        assert_eq!(
            (forwarded.status.as_u16(), forwarded.text().as_str()),
            (200, OWN),
            "{target}"
        );
        assert_eq!(server.counts(), (0, 1), "{target}");
        let head = Client::new()
            .send(Method::HEAD, forwarding.address, target, &[], "")
            .await;
        assert_eq!(head.expect("an answer").header("content-length"), OWN.len().to_string());
        assert_eq!(server.counts(), (0, 1), "HEAD {target}");
    }
}

#[tokio::test]
async fn a_route_may_have_a_mode_of_its_own() {
    let server = server().await;
    let jobshim = jobshim(
        &server,
        &[
            (&LEGACY.mode.key, "forward"),
            (&LEGACY.routes.key, "history=translate\nqueue=gone"),
        ],
    )
    .await;
    assert_ne!(get(&jobshim, "/history").await.text(), OWN);
    assert_ne!(get(&jobshim, "/api/history").await.text(), OWN);
    assert_eq!(get(&jobshim, &format!("/history/{ID}")).await.text(), OWN);
    assert_eq!(get(&jobshim, "/api/history_v2").await.text(), OWN);
    assert_eq!(get(&jobshim, "/api/queue").await.status, 410);
}

#[tokio::test]
async fn gone_is_a_410_for_reads_and_writes_and_asks_nobody() {
    let server = server().await;
    let jobshim = jobshim(&server, &[(&LEGACY.mode.key, "gone")]).await;
    for (method, target) in [
        (Method::GET, "/history"),
        (Method::HEAD, "/queue"),
        (Method::POST, "/queue"),
        (Method::POST, "/interrupt"),
        (Method::POST, "/api/job/x/cancel"),
    ] {
        let reply = Client::new()
            .send(method.clone(), jobshim.address, target, &[], "{}")
            .await;
        let reply = reply.expect("an answer");
        assert_eq!(reply.status, 410, "{method} {target}");
        if method != Method::HEAD {
            let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
            assert_eq!(body["error"]["type"], "gone", "{body}");
            let message = body["error"]["message"].as_str().expect("a message");
            assert!(message.contains(target) && message.contains("/api/jobs"), "{message}");
        }
    }
    assert_eq!(server.counts(), (0, 0));
    // What is no legacy call passes as ever.
    assert_eq!(get(&jobshim, "/api/jobs").await.status, 200);
}

#[tokio::test]
async fn a_brown_out_fails_its_share_of_requests_and_answers_the_others() {
    let server = server().await;
    let jobshim = jobshim(&server, &[(&LEGACY.mode.key, "gone:25")]).await;
    let client = Client::new();
    let mut gone = 0;
    for _ in 0..400 {
        let reply = client.get(jobshim.address, "/queue").await;
        match reply.status.as_u16() {
            410 => gone += 1,
            status => assert_eq!(status, 200),
        }
    }
    // Six standard deviations.
    assert!((48..=152).contains(&gone), "{gone} of 400 were 410");
}

/// A state folder whose key is `byte` over and over: which side a client is on follows from the key.
fn state_with_key(name: &str, byte: u8) -> StateFolder {
    let folder = StateFolder::new(name);
    std::fs::create_dir_all(&folder.path).expect("a folder");
    let store = Database::create(folder.path.join("jobshim.redb")).expect("a store");
    let transaction = store.begin_write().expect("a transaction");
    {
        let key: TableDefinition<(), &[u8]> = TableDefinition::new("key");
        let mut table = transaction.open_table(key).expect("a table");
        table.insert((), &[byte; 32][..]).expect("a key");
    }
    transaction.commit().expect("a commit");
    folder
}

/// Which of `count` clients are answered by translation, each told by its key.
async fn translated_clients(jobshim: &Running, count: usize) -> HashMap<usize, bool> {
    let client = Arc::new(Client::new());
    let mut tasks = JoinSet::new();
    for lane in 0..16 {
        let (client, address) = (Arc::clone(&client), jobshim.address);
        tasks.spawn(async move {
            let mut sides = Vec::new();
            for nth in (lane..count).step_by(16) {
                let key = format!("client-{nth}");
                let reply = client.get_with(address, "/queue", &[("x-api-key", &key)]).await;
                assert_eq!(reply.status, 200);
                sides.push((nth, reply.text() != OWN));
            }
            sides
        });
    }
    tasks.join_all().await.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_of_thirty_percent_takes_that_share_of_two_thousand_clients_and_each_stays_on_its_side() {
    let server = server().await;
    let state = state_with_key("canary", 7);
    let folder = state.path.display().to_string();
    let with = |mode: &'static str| jobshim_in(&server, &folder, mode);
    let first = with("canary:30").await;
    let sides = translated_clients(&first, 2_000).await;
    let translated = sides.values().filter(|translated| **translated).count();
    assert!((560..=640).contains(&translated), "{translated} of 2,000");
    let steady = |again: HashMap<usize, bool>| again.iter().all(|(nth, side)| sides[nth] == *side);
    assert!(steady(translated_clients(&first, 500).await), "the second time");
    first.stop().await;
    let again = with("canary:30").await;
    assert!(steady(translated_clients(&again, 500).await), "after a restart");
    again.stop().await;
    let more = with("canary:60").await;
    let wider = translated_clients(&more, 500).await;
    let back = wider
        .iter()
        .filter(|(nth, translated)| !**translated && sides[nth])
        .count();
    assert_eq!(back, 0, "clients went back when the share grew");
}

async fn jobshim_in(server: &Scripted<Surfaces>, folder: &str, mode: &str) -> Running {
    jobshim(server, &[(&LEGACY.mode.key, mode), (&FOLDERS.state_dir.key, folder)]).await
}

#[tokio::test]
async fn auto_forwards_while_the_jobs_api_is_missing_and_asks_again_from_time_to_time() {
    let server = server().await;
    server.with(|surfaces| surfaces.has_jobs_api = false);
    let options = [
        (&LEGACY.mode.key, "auto"),
        (&LEGACY.ask_again.key, "200ms"),
        (&CACHE.max_bytes.key, "0"),
    ];
    let jobshim = jobshim(&server, &options).await;
    let target = format!("/history/{ID}");
    for _ in 0..20 {
        assert_eq!(get(&jobshim, &target).await.text(), OWN, "there is no Jobs API yet");
    }
    let (jobs, own) = server.counts();
    assert!(own == 20 && (1..20).contains(&jobs), "{jobs} and {own} calls");
    server.with(|surfaces| surfaces.has_jobs_api = true);
    until("it is translated", async || get(&jobshim, &target).await.text() != OWN).await;
    server.counts();
    assert!(get(&jobshim, &target).await.text().contains(r#""prompt": [7, "#));
    assert_eq!(server.counts().1, 0, "the legacy endpoint is not asked any more");
    server.with(|surfaces| surfaces.has_jobs_api = false);
    assert_eq!(get(&jobshim, &target).await.text(), OWN, "the Jobs API has gone again");
}

#[tokio::test]
async fn auto_does_not_take_a_failure_for_a_missing_jobs_api() {
    let server = server().await;
    let jobshim = jobshim(&server, &[(&LEGACY.mode.key, "auto")]).await;
    server.with(|surfaces| {
        let broken = r#"{"id": "broken""#;
        let sound = r#"{"id": "broken", "status": "completed", "create_time": 1}"#;
        surfaces.board.jobs.push(Job::new(sound, broken).expect("a job"));
    });
    assert_eq!(get(&jobshim, "/history/broken").await.status, 502);
    assert_eq!(server.counts().1, 0);
}

#[tokio::test]
async fn forwarded_calls_go_to_the_legacy_upstream_without_the_headers_for_the_other() {
    let (new, old) = (server().await, server().await);
    let old_url = old.url();
    let options = [
        (&LEGACY.mode.key, "translate"),
        (&LEGACY.routes.key, "queue=forward"),
        (&LEGACY.upstream.key, old_url.as_str()),
        (&UPSTREAM.headers.key, "X-Secret=for-the-new-one"),
    ];
    let jobshim = jobshim(&new, &options).await;
    let sent = [("authorization", "Bearer mine")];
    let reply = Client::new().get_with(jobshim.address, "/queue?x=%20y", &sent).await;
    assert_eq!(reply.status, 404, "no legacy answer is kept for that target");
    let arrived = old.all();
    assert_eq!(arrived.len(), 1);
    assert_eq!(arrived[0].target, "/queue?x=%20y");
    assert_eq!(arrived[0].headers["authorization"], "Bearer mine");
    assert!(!arrived[0].headers.contains_key("x-secret"), "{:?}", arrived[0].headers);
    assert_eq!(new.counts(), (0, 0));
    old.counts();
    // Translated and passed through: the new one.
    assert_eq!(get(&jobshim, "/history").await.status, 200);
    assert_eq!(get(&jobshim, "/system_stats").await.status, 404);
    assert_eq!(old.counts(), (0, 0));
    assert_eq!(new.count(|one| one.headers["x-secret"] != "for-the-new-one"), 0);
}

#[tokio::test]
async fn a_write_is_made_once_whoever_makes_it() {
    let server = server().await;
    let orders = [
        ("/queue", r#"{"clear": true}"#),
        ("/queue", r#"{"delete": ["0b8d4d0a-6d0c-4b3e-9c39-0d6a0f8f1c11"]}"#),
        ("/history", r#"{"clear": true}"#),
        ("/interrupt", "{}"),
        ("/api/job/x/cancel", ""),
        ("/prompt", r#"{"prompt": {}}"#),
    ];
    for mode in [
        "translate",
        "forward",
        "shadow",
        "canary:50,compare",
        "canary:0",
        "canary:50",
        "canary:100",
        "auto",
        "gone",
        "gone:50",
    ] {
        let jobshim = jobshim(&server, &[(&LEGACY.mode.key, mode)]).await;
        for (target, body) in orders {
            for client in 0..4 {
                let key = format!("client-{client}");
                let sent = [("x-api-key", key.as_str())];
                let reply = Client::new()
                    .send(Method::POST, jobshim.address, target, &sent, body)
                    .await
                    .expect("an answer");
                let arrived = server.take();
                let writes: Vec<_> = arrived.iter().filter(|one| one.method == Method::POST).collect();
                // Nothing is pending or running: a translated one may find nothing to cancel.
                assert!(
                    writes.len() <= 1,
                    "{mode}: {target} was made {} times: {writes:#?}",
                    writes.len()
                );
                if reply.status == 410 {
                    assert!(writes.is_empty(), "{mode}: {target} is gone and was made");
                }
                if matches!(mode, "forward" | "shadow" | "canary:0") {
                    assert!(
                        writes.len() == 1 && writes[0].target == target && writes[0].body == body,
                        "{mode} {target}"
                    );
                }
            }
        }
    }
}

#[test]
fn check_and_explain_show_the_mode_in_force() {
    let arguments = [
        "--mode",
        "auto",
        "--route",
        "history=canary:30",
        "--route",
        "queue=gone:5",
    ];
    let check = run(&[&["check"], &arguments[..]].concat(), &[]);
    let shown = String::from_utf8(check.stdout).expect("text");
    let words: Vec<String> = shown
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for line in [
        "history canary 30% answered from the Jobs API for 30% of clients, passed to http://127.0.0.1:8188/ for the others",
        "queue gone 5% answered 410 to 5% of the requests; the others are answered from the Jobs API",
        "job_status auto answered from the Jobs API; passed to http://127.0.0.1:8188/ while the server has none",
        "legacy.routes history=canary:30; queue=gone:5 flag --route",
    ] {
        assert!(words.iter().any(|shown| shown == line), "{line:?} is not in {shown}");
    }
    for (target, mode) in [
        ("/history", "Route history is in mode canary 30%"),
        ("/queue", "Route queue is in mode gone 5%"),
    ] {
        let explained = run(&[&["explain", target], &arguments[..]].concat(), &[]);
        let shown = String::from_utf8(explained.stdout).expect("text");
        assert!(shown.starts_with(mode), "{shown}");
    }
}
