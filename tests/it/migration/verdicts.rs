//! A verdict on each route: lost is not same, what could not differ does not count, a fault of a table is found, and page,
//! report and metrics use the same words.

use super::compare::{findings, jobshim, shadow};
use crate::support::{
    Client, Running, TableFolder as Folder,
    corpus::case,
    metrics::Metrics,
    program::run,
    server::board,
    start_with,
    surfaces::{Surfaces, legacy},
    upstream::{Scripted, reply},
    wait::until,
};
use jobshim::{
    config::{
        Options,
        settings::{FOLDERS, LEGACY, SHADOW, UPSTREAM},
    },
    demo::{Job, Rules},
    routes::{Endpoint, RouteName},
    telemetry::{Compared, STEP},
};
use serde_json::Value;
use std::net::SocketAddr;

const HISTORY: &str = include_str!("../../../mappings/answers/history.toml");

/// Tables by which every finished job loses its outputs.
fn without_outputs(folder: &str) -> Folder {
    let broken = HISTORY.replace(
        "derive = \"unwrap_items\", of = \"outputs\"",
        "derive = \"unwrap_items\", of = \"nothing\"",
    );
    assert_ne!(broken, HISTORY);
    Folder::with(folder, &[("history.toml", &broken)])
}

fn id(nth: usize) -> String {
    format!("{nth:08}-0000-4000-8000-000000000000")
}

/// A server with so many finished jobs, whose legacy endpoint shows each of them as the tables do, and says of every other
/// id that there is none.
async fn finished(count: usize) -> Scripted<Surfaces> {
    let mut jobs = board(Rules::Comfyui);
    for nth in 0..count {
        let text = format!(
            r#"{{"id": "{}", "status": "completed", "create_time": 1700000000000, "priority": {nth}, "outputs": {{"9": {{"images": [{{"filename": "a.png", "type": "output"}}]}}}}}}"#,
            id(nth)
        );
        jobs.jobs.push(Job::new(&text, &text).expect("a job"));
    }
    let plain = Surfaces::start(jobs.clone(), Vec::new()).await;
    let translating = jobshim(&plain.url(), &[]).await;
    let client = Client::new();
    let mut answers = vec![legacy(&format!("/history/{}", id(count)), "{}")];
    for nth in 0..count {
        let target = format!("/history/{}", id(nth));
        let text = client.get(translating.address, &target).await.text();
        answers.push(legacy(&target, &text));
    }
    Surfaces::start(jobs, answers).await
}

async fn ask(at: SocketAddr, key: usize, target: &str) {
    let headers = [("x-api-key", &*key.to_string()), ("user-agent", "poller/1")];
    assert_eq!(Client::new().get_with(at, target, &headers).await.status, 200);
}

async fn compared(jobshim: &Running, count: u64) {
    findings(jobshim, count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_loses_outputs_goes_back_within_twenty_answers_about_finished_jobs_however_many_polls_said_nothing()
 {
    let server = finished(30).await;
    let folder = without_outputs("verdicts-canary");
    let path = folder.path.display().to_string();
    let canary = "history_entry=canary:0,compare,rollback.differences=1%";
    let options = [
        (&LEGACY.routes.key, canary),
        (&FOLDERS.mappings_dir.key, path.as_str()),
        (&SHADOW.max_in_flight.key, "64"),
    ];
    let jobshim = jobshim(&server.url(), &options).await;
    let at = jobshim.address;
    let unfinished = format!("/history/{}", id(30));
    for poll in 0..500 {
        ask(at, poll, &unfinished).await;
        compared(&jobshim, poll as u64 + 1).await;
    }
    let pipeline = jobshim.pipeline();
    let modes = pipeline.modes();
    assert!(
        modes.back(RouteName::HistoryEntry).is_none(),
        "nothing could differ yet"
    );
    let found = jobshim.observer().findings().by_route();
    assert_eq!(found[&Endpoint::HistoryEntry].answers(), 0);
    for nth in 0..20 {
        assert!(modes.back(RouteName::HistoryEntry).is_none(), "{nth} are too few");
        ask(at, nth, &format!("/history/{}", id(nth))).await;
        compared(&jobshim, 501 + nth as u64).await;
    }
    let is_back = async || modes.back(RouteName::HistoryEntry).is_some();
    until("it goes back", is_back).await;
    let back = modes.back(RouteName::HistoryEntry).expect("a record");
    assert_eq!(back.reason, "20 of 20 jobs differ in 20 answers, more than 1%");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_without_their_prompts_are_lost_and_no_answer_that_is_the_same() {
    let found = shadow(case("comfyui-0.27", "busy"), &[]).await;
    let queue = &found[&Endpoint::Queue];
    assert_eq!(queue.count(Compared::Same), 0, "{queue:#?}");
    assert!(
        queue.count(Compared::Lost) > 0 && queue.jobs.count(Compared::Lost) > 0,
        "{queue:#?}"
    );
    assert_eq!(
        queue.clients.values().sum::<u64>(),
        queue.count(Compared::Lost),
        "{queue:#?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_an_endpoint_of_its_own_is_nothing_to_compare_with_and_nothing_to_go_back_for() {
    let server = Surfaces::start(board(Rules::Comfyui), Vec::new()).await;
    let canary = "history=canary:0,compare,rollback.differences=1%";
    let options = [(&LEGACY.routes.key, canary), (&LEGACY.mode.key, "shadow")];
    let mut jobshim = jobshim(&server.url(), &options).await;
    let (client, admin) = (Client::new(), jobshim.admin(&[]).await);
    for _ in 0..30 {
        for target in ["/history", "/queue"] {
            assert_eq!(client.get(jobshim.address, target).await.status, 404);
        }
    }
    let found = jobshim.observer().findings().by_route();
    for route in [Endpoint::History, Endpoint::Queue] {
        let found = &found[&route];
        assert_eq!(
            (found.count(Compared::Absent), found.answers(), found.jobs.total()),
            (30, 0, 0),
            "{found:#?}"
        );
    }
    let back = jobshim.pipeline().modes().back(RouteName::History).is_some();
    assert!(!back, "a missing endpoint is no difference");
    let usage: Value = serde_json::from_slice(&client.get(admin, "/usage").await.body).expect("JSON");
    let verdicts = usage["verdicts"].as_array().expect("a list");
    for route in ["history", "queue"] {
        let shown = verdicts.iter().find(|one| one["route"] == route).expect("a route");
        assert_eq!(
            (&shown["verdict"], &shown["next_step"], &shown["bad"]),
            (&"no_endpoint".into(), &"set mode translate".into(), &true.into())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn page_report_and_metrics_say_the_same_and_a_route_that_fails_is_bad() {
    // Lists fail, and one job is answered.
    let server = Scripted::answering(|arrived| match arrived.of_job() {
        Some(id) => reply(
            200,
            &[],
            format!(r#"{{"id": "{id}", "status": "completed", "create_time": 1}}"#),
        ),
        None => reply(500, &[], "no"),
    })
    .await;
    let options = Options::default()
        .with(&UPSTREAM.url.key, server.url())
        .with(&UPSTREAM.dialect.key, "comfyui");
    let mut jobshim = start_with(options).await;
    let admin = jobshim.admin(&[]).await;
    let client = Client::new();
    client.get(jobshim.address, "/history/a").await;
    for _ in 0..3 {
        let status = client.get(jobshim.address, "/history").await.status;
        assert!(status.is_server_error(), "{status}");
    }
    let observer = jobshim.observer();
    observer.series().look(observer.metrics());
    assert!(STEP.as_secs() * 60 == 300, "recent are five minutes");
    let overview: Value = serde_json::from_slice(&client.get(admin, "/overview").await.body).expect("JSON");
    let usage: Value = serde_json::from_slice(&client.get(admin, "/usage").await.body).expect("JSON");
    assert_eq!(overview["verdicts"], usage["verdicts"]);
    let report = run(&["report", "--admin", &format!("http://{admin}")], &[]);
    let report = String::from_utf8_lossy(&report.stdout).into_owned();
    let json = run(
        &["report", "--format", "json", "--admin", &format!("http://{admin}")],
        &[],
    );
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["verdicts"], usage["verdicts"]);
    // A report that asks for other days is told the same as who asks for JSON.
    for days in [0, 9_999] {
        let usage = client.get(admin, &format!("/usage?days={days}")).await;
        let usage: Value = serde_json::from_slice(&usage.body).expect("JSON");
        let queue = usage["verdicts"]
            .as_array()
            .expect("a list")
            .iter()
            .find(|one| one["route"] == "queue");
        let is_unused = queue.expect("a route")["words"]
            == "unused for 0 days: safe to remove, the server's own endpoint and jobshim for it";
        assert_eq!(is_unused, days == 0, "{queue:?}");
    }
    let metrics = Metrics::of(&client, admin).await;
    for (route, verdict, words, bad) in [
        ("history", "failing", "failing: 3 of the last 3 calls", true),
        (
            "history_entry",
            "translated",
            "translated: the server's own endpoint is not asked any more",
            false,
        ),
    ] {
        let verdicts = overview["verdicts"].as_array().expect("a list");
        let shown = verdicts.iter().find(|one| one["route"] == route).expect("a route");
        assert_eq!(
            (&shown["verdict"], &shown["words"], &shown["bad"]),
            (&verdict.into(), &words.into(), &bad.into())
        );
        let marked = format!("{}{words}", if bad { "! " } else { "  " });
        assert!(report.contains(&marked), "{report}");
        assert_eq!(
            metrics.value(&format!(r#"jobshim_verdict{{route="{route}",verdict="{verdict}"}}"#)),
            1.0
        );
    }
}

/// Four clients, each with a key of its own; none of them submitted what it asks for.
const KEYS: [&str; 4] = ["one", "two", "three", "four"];

async fn ask_as(at: SocketAddr, key: &str, target: &str) {
    let headers = [("x-api-key", key), ("user-agent", key)];
    assert_eq!(Client::new().get_with(at, target, &headers).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_jobs_that_others_submitted_the_prompts_are_lost_for_each_of_four_credentials_and_every_screen_says_so() {
    let case = case("comfyui-0.27", "busy");
    let server = Surfaces::start(case.board(), case.legacy).await;
    let mut jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
    let admin = jobshim.admin(&[]).await;
    for (nth, key) in KEYS.iter().cycle().take(40).enumerate() {
        ask_as(jobshim.address, key, "/queue").await;
        compared(&jobshim, nth as u64 + 1).await;
    }
    let found = jobshim.observer().findings().by_route();
    let queue = &found[&Endpoint::Queue];
    let counts = [Compared::Lost, Compared::Same, Compared::Different, Compared::Noise];
    assert_eq!(counts.map(|outcome| queue.count(outcome)), [40, 0, 0, 0], "{queue:#?}");
    assert_eq!(queue.clients, KEYS.map(|key| (key.to_owned(), 10)).into());
    let client = Client::new();
    let metrics = Metrics::of(&client, admin).await;
    let lost = r#"jobshim_shadow_comparisons_total{outcome="lost",route="queue"}"#;
    assert_eq!(metrics.value(lost), 40.0, "{}", metrics.text);
    let report = run(&["report", "--admin", &format!("http://{admin}")], &[]);
    let report = String::from_utf8_lossy(&report.stdout).into_owned();
    let line = report
        .lines()
        .find(|line| line.contains("! loses "))
        .unwrap_or_else(|| panic!("{report}"));
    for words in [
        "GET /queue",
        "[2], [3], [4] in ",
        "which the Jobs API does not carry; ready, if nobody reads that: seen by four, one, three and 1 more",
    ] {
        assert!(line.contains(words), "{words}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_of_four_credentials_that_loses_outputs_goes_back_within_twenty_answers_about_finished_jobs() {
    let server = finished(30).await;
    let folder = without_outputs("verdicts-four");
    let path = folder.path.display().to_string();
    let options = [
        (
            &LEGACY.routes.key,
            "history_entry=canary:0,compare,rollback.differences=1%",
        ),
        (&FOLDERS.mappings_dir.key, path.as_str()),
        (&SHADOW.max_in_flight.key, "64"),
    ];
    let mut jobshim = jobshim(&server.url(), &options).await;
    let admin = jobshim.admin(&[]).await;
    let pipeline = jobshim.pipeline();
    let is_back = || pipeline.modes().back(RouteName::HistoryEntry);
    for (nth, key) in KEYS.iter().cycle().take(20).enumerate() {
        assert!(is_back().is_none(), "{nth} are too few");
        // A poll of one that has not ended, and then of one that has.
        ask_as(jobshim.address, key, &format!("/history/{}", id(30))).await;
        ask_as(jobshim.address, key, &format!("/history/{}", id(nth))).await;
        compared(&jobshim, 2 * (nth as u64 + 1)).await;
    }
    until("it goes back", async || is_back().is_some()).await;
    let back = is_back().expect("a record");
    assert_eq!(back.reason, "20 of 20 jobs differ in 20 answers, more than 1%");
    // The page is told what its charts mark.
    let marked = async || {
        let told: Value = serde_json::from_slice(&Client::new().get(admin, "/overview").await.body).expect("JSON");
        let events = told["events"].as_array().expect("a list").clone();
        let is_it = |event: &Value| event["kind"] == "rolled_back" && event["route"] == "history_entry";
        events
            .iter()
            .any(|event| is_it(event) && event["words"] == back.reason.as_str() && event["at_ms"].is_u64())
    };
    until("the rollback is an event", marked).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_anything_new_is_not_compared() {
    let server = finished(1).await;
    server.with(|surfaces| {
        let target = format!("/history/{}", id(0));
        let entry = surfaces
            .legacy
            .iter_mut()
            .find(|legacy| legacy.target == target)
            .expect("an entry");
        entry.status = 304;
        entry.body.clear();
    });
    let jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
    let client = Client::new();
    for _ in 0..5 {
        let headers = [("if-none-match", "\"a\"")];
        let reply = client
            .get_with(jobshim.address, &format!("/history/{}", id(0)), &headers)
            .await;
        assert_eq!(reply.status, 304);
    }
    // What comes after them is.
    ask(jobshim.address, 0, &format!("/history/{}", id(1))).await;
    let found = findings(&jobshim, 1).await;
    let entry = &found[&Endpoint::HistoryEntry];
    assert_eq!(
        (entry.compared.values().sum::<u64>(), entry.count(Compared::Empty)),
        (1, 1),
        "{entry:#?}"
    );
    let asked = server
        .all()
        .into_iter()
        .filter(|one| one.target.starts_with("/api/jobs/"))
        .count();
    assert_eq!(asked, 1, "nothing was asked for the others");
}
