//! Shadow: the client gets the legacy answer, and what translation would have said is compared with it beside.

use crate::support::{
    Client, Running, TableFolder as Folder,
    corpus::{Case, case, cases},
    metrics::Metrics,
    server::board,
    start_with,
    surfaces::{Surfaces, legacy},
    upstream::Scripted,
};
use http::Method;
use jobshim::routes::Endpoint;
use jobshim::{
    config::{
        Key, Options,
        settings::{FOLDERS, LEGACY, SHADOW, UPSTREAM},
    },
    demo::{Job, Rules},
    telemetry::{Compared, Found},
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

const ID: &str = "0b8d4d0a-6d0c-4b3e-9c39-0d6a0f8f1c11";

pub(super) async fn jobshim(url: &str, options: &[(&Key, &str)]) -> Running {
    let given = options
        .iter()
        .fold(Options::default(), |given, (key, value)| given.with(key, *value));
    start_with(given.with(&UPSTREAM.url.key, url)).await
}

/// The findings, once `count` comparisons have come to an end one way or another.
pub(super) async fn findings(jobshim: &Running, count: u64) -> BTreeMap<Endpoint, Found> {
    let waiting = async {
        loop {
            let found = jobshim.observer().findings().by_route();
            if found.values().flat_map(|found| found.compared.values()).sum::<u64>() >= count {
                return found;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let found = timeout(Duration::from_secs(30), waiting).await;
    found.unwrap_or_else(|_| panic!("{count} comparisons: {:#?}", jobshim.observer().findings().by_route()))
}

/// Asks everything that was recorded, and gives what was found. Every client must have got the recorded answer.
pub(super) async fn shadow(case: Case, options: &[(&Key, &str)]) -> BTreeMap<Endpoint, Found> {
    let requests: Vec<(String, u16, String)> = case
        .legacy
        .iter()
        .map(|legacy| (legacy.target.clone(), legacy.status, legacy.body.clone()))
        .collect();
    let label = format!("{}/{}", case.server, case.name);
    let server = Surfaces::start(case.board(), case.legacy).await;
    let shadowing = [(&LEGACY.mode.key, "shadow"), (&SHADOW.max_in_flight.key, "64")];
    let jobshim = jobshim(&server.url(), &[&shadowing, options].concat()).await;
    let client = Client::new();
    let mut compared = 0;
    for (target, status, body) in requests {
        let reply = client.get(jobshim.address, &target).await;
        assert_eq!(
            (reply.status.as_u16(), reply.text()),
            (status, body),
            "{label} {target}"
        );
        compared += u64::from(matches!(status, 200 | 404));
        // Failures are not compared: nothing is waited for.
        findings(&jobshim, compared).await;
    }
    let found = findings(&jobshim, compared).await;
    let ended: u64 = found.values().flat_map(|found| found.compared.values()).sum();
    assert_eq!(
        ended, compared,
        "{label}: every answer about jobs is compared: {found:#?}"
    );
    found
}

/// The fields with differences, by route, and how often.
pub(super) fn differing(found: &BTreeMap<Endpoint, Found>) -> Vec<(&'static str, &str, u64)> {
    let fields = found.iter().flat_map(|(route, found)| {
        let differences = found
            .fields
            .iter()
            .map(|(field, found)| (field.as_str(), found.differences));
        differences.map(|(field, count)| (route.name(), field, count))
    });
    fields.filter(|(.., count)| *count > 0).collect()
}

#[tokio::test]
async fn every_recorded_case_and_route_shows_no_difference() {
    let mut routes = BTreeMap::new();
    for server in ["comfyui-0.8", "comfyui-0.27", "comfyui-next", "cloud-contract"] {
        for case in cases(server) {
            let label = format!("{server}/{}", case.name);
            let found = shadow(case, &[]).await;
            assert_eq!(differing(&found), [], "{label}: {found:#?}");
            for (route, found) in found {
                let fine = [Compared::Same, Compared::Lost].map(|outcome| found.count(outcome));
                assert_eq!(fine.iter().sum::<u64>(), found.answers(), "{label}: {found:#?}");
                *routes.entry(route).or_insert(0) += found.answers();
            }
        }
    }
    for route in [
        Endpoint::History,
        Endpoint::HistoryEntry,
        Endpoint::HistoryV2,
        Endpoint::HistoryV2Entry,
        Endpoint::Queue,
    ] {
        assert!(
            routes.get(&route).is_some_and(|compared| *compared > 0),
            "{route:?}: {routes:?}"
        );
    }
}

/// The recordings have no job status: one by the contract.
#[tokio::test]
async fn a_job_status_is_compared_field_by_field() {
    let mut jobs = board(Rules::Cloud);
    let text = format!(
        r#"{{"id": "{ID}", "status": "completed", "create_time": 1700000000000, "update_time": 1700000005000}}"#
    );
    jobs.jobs.push(Job::new(&text, &text).expect("a job"));
    let target = format!("/api/job/{ID}/status");
    let status = |word: &str| {
        let mut answer = legacy(
            &target,
            &format!(
                r#"{{"id":"{ID}","status":"{word}","created_at":"2023-11-14T22:13:20.000Z","updated_at":"2023-11-14T22:13:25.000Z","last_state_update":"2023-11-14T22:13:25.000Z","assigned_inference":"machine-1","error_message":null}}"#
            ),
        );
        answer.content_type = "application/json".to_owned();
        answer
    };
    let server = Surfaces::start(jobs, vec![status("success")]).await;
    let jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
    Client::new().get(jobshim.address, &target).await;
    let found = findings(&jobshim, 1).await;
    assert_eq!(differing(&found), [], "{found:#?}");
    assert_eq!(found[&Endpoint::JobStatus].fields["assigned_inference"].losses, 1);
    server.with(|surfaces| surfaces.legacy = vec![status("lost")]);
    Client::new().get(jobshim.address, &target).await;
    let found = findings(&jobshim, 2).await;
    assert_eq!(differing(&found), [("job_status", "status", 1)], "{found:#?}");
}

#[tokio::test]
async fn what_the_jobs_api_cannot_carry_is_a_loss_and_no_difference() {
    let found = shadow(case("comfyui-0.27", "gallery"), &[]).await;
    let history = &found[&Endpoint::History];
    for field in ["outputs", "prompt[4]"] {
        let field = &history.fields[field];
        assert!(
            field.losses > 0 && field.differences == 0 && field.noise == 0,
            "{history:#?}"
        );
    }
    let found = shadow(case("comfyui-0.27", "busy"), &[]).await;
    let queue = &found[&Endpoint::Queue];
    for field in ["[2]", "[3]", "[4]"] {
        assert!(queue.fields[field].losses > 0, "{queue:#?}");
    }
}

#[tokio::test]
async fn a_table_with_one_row_broken_on_purpose_shows_exactly_that_field() {
    for (file, text, from, to, route, field) in [
        (
            "history.toml",
            include_str!("../../../mappings/answers/history.toml"),
            "to = \"prompt[0]\"\nfrom = [\"priority\"]",
            "to = \"prompt[0]\"\nfrom = [\"create_time\"]",
            "history",
            "prompt[0]",
        ),
        (
            "history.toml",
            include_str!("../../../mappings/answers/history.toml"),
            "from = [\"execution_status\", { part = \"status\" }]",
            "from = [\"execution_error\", { part = \"extra_data\" }]",
            "history",
            "status",
        ),
        (
            "queue.toml",
            include_str!("../../../mappings/answers/queue.toml"),
            "to = \"[0]\"\nfrom = [\"priority\"]",
            "to = \"[0]\"\nfrom = [\"create_time\"]",
            "queue",
            "[0]",
        ),
    ] {
        let broken = text.replace(from, to);
        assert_ne!(broken, text, "{file} has no {from}");
        let folder = Folder::with(&format!("shadow-broken-{route}-{}", field.len()), &[(file, &broken)]);
        let path = folder.path.display().to_string();
        let name = if route == "queue" { "busy" } else { "gallery" };
        let found = shadow(case("comfyui-next", name), &[(&FOLDERS.mappings_dir.key, &path)]).await;
        let found_fields: Vec<&str> = differing(&found).iter().map(|(_, field, _)| *field).collect();
        assert!(
            !found_fields.is_empty() && found_fields.iter().all(|found| *found == field),
            "{found_fields:?}"
        );
        assert!(differing(&found).iter().any(|(on, ..)| *on == route), "{found:#?}");
        // Ignored, it is not seen.
        let ignoring = [(&FOLDERS.mappings_dir.key, path.as_str()), (&SHADOW.ignore.key, field)];
        let found = shadow(case("comfyui-next", name), &ignoring).await;
        assert_eq!(differing(&found), [], "{field} is ignored");
    }
}

/// A server with one finished job, whose legacy history says something else about its number.
async fn differing_server() -> Scripted<Surfaces> {
    let mut board = board(Rules::Comfyui);
    let text = format!(
        r#"{{"id": "{ID}", "status": "completed", "create_time": 1700000000000, "priority": 7, "workflow": {{"prompt": {{}}, "extra_data": {{"secret": "s3cret"}}}}}}"#
    );
    board.jobs.push(Job::new(&text, &text).expect("a job"));
    let plain = Surfaces::start(board.clone(), Vec::new()).await;
    let translated = Client::new()
        .get(jobshim(&plain.url(), &[]).await.address, "/history")
        .await
        .text();
    let other = translated.replace("[7, ", "[8, ").replace("s3cret", "another secret");
    Surfaces::start(board, vec![legacy("/history", &other)]).await
}

#[tokio::test]
async fn a_sample_shows_where_and_what_kind_and_no_text() {
    let server = differing_server().await;
    let jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
    Client::new().get(jobshim.address, "/history").await;
    let found = findings(&jobshim, 1).await;
    assert_eq!(
        differing(&found),
        [("history", "prompt[0]", 1), ("history", "prompt[3]", 1)]
    );
    let fields = &found[&Endpoint::History].fields;
    assert_eq!(fields["prompt[0]"].sample.to_string(), "prompt[0]: 8 became 7");
    assert_eq!(
        fields["prompt[3]"].sample.to_string(),
        "prompt[3].secret: a text of 14 bytes became a text of 6 bytes"
    );
}

#[tokio::test]
async fn of_a_head_the_heads_are_compared() {
    let server = differing_server().await;
    let jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
    let head = async || {
        let reply = Client::new()
            .send(Method::HEAD, jobshim.address, "/history", &[], "")
            .await;
        reply.expect("an answer")
    };
    assert_eq!(head().await.status, 200);
    let found = findings(&jobshim, 1).await;
    // The bodies would differ.
    assert_eq!(differing(&found), [], "{found:#?}");
    server.with(|surfaces| surfaces.legacy[0].content_type = "text/plain".to_owned());
    assert_eq!(head().await.header("content-type"), "text/plain");
    let found = findings(&jobshim, 2).await;
    assert_eq!(differing(&found), [("history", "(content type)", 1)]);
    let asked = server.all().into_iter().filter(|one| one.target == "/history");
    let heads: Vec<_> = asked.map(|one| one.method).collect();
    assert_eq!(
        heads,
        [Method::HEAD, Method::HEAD, Method::HEAD],
        "the second was looked at again"
    );
}

#[tokio::test]
async fn what_two_reads_of_the_legacy_endpoint_show_between_themselves_is_noise() {
    let server = differing_server().await;
    // The number is another one with each read, the secret is always the same.
    server.with(|surfaces| surfaces.counting = Some("[8, "));
    let jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
    Client::new().get(jobshim.address, "/history").await;
    let found = findings(&jobshim, 1).await;
    assert_eq!(differing(&found), [("history", "prompt[3]", 1)]);
    assert_eq!(found[&Endpoint::History].fields["prompt[0]"].noise, 1);
}

#[tokio::test]
async fn a_queue_that_moved_between_the_two_answers_is_looked_at_once_more() {
    let case = case("comfyui-next", "busy");
    let server = Surfaces::start(case.board(), case.legacy).await;
    let target = "/queue";
    let now = server.with(|surfaces| {
        let queue = surfaces.legacy.iter_mut().find(|legacy| legacy.target == target);
        let queue = queue.expect("a recorded queue");
        std::mem::replace(
            &mut queue.body,
            r#"{"queue_running": [], "queue_pending": []}"#.to_owned(),
        )
    });
    // The first read saw the queue before the jobs came; all later ones see them.
    server.with(|surfaces| surfaces.next = Some((target, now)));
    let jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
    let reply = Client::new().get(jobshim.address, target).await;
    assert_eq!(reply.text(), r#"{"queue_running": [], "queue_pending": []}"#);
    let found = findings(&jobshim, 1).await;
    let queue = &found[&Endpoint::Queue];
    assert_eq!((queue.answers(), queue.count(Compared::Same)), (1, 1), "{queue:#?}");
}

#[tokio::test]
async fn the_client_waits_for_nothing_and_feels_no_failure() {
    // The Jobs API hangs for ever; the legacy endpoint is a server of its own.
    let mut jobs = board(Rules::Comfyui);
    let text = format!(r#"{{"id": "{ID}", "status": "completed", "create_time": 1700000000000, "priority": 7}}"#);
    jobs.jobs.push(Job::new(&text, &text).expect("a job"));
    let hanging = Scripted::of_board(jobs).await;
    let gate = hanging.hold_details();
    let target = format!("/history/{ID}");
    let old = Surfaces::start(board(Rules::Comfyui), vec![legacy(&target, "{}")]).await;
    let old_url = old.url();
    let options = [
        (&LEGACY.mode.key, "shadow"),
        (&LEGACY.upstream.key, old_url.as_str()),
        (&SHADOW.max_in_flight.key, "2"),
        (&UPSTREAM.answer_timeout.key, "2s"),
    ];
    let shadowing = jobshim(&hanging.url(), &options).await;
    let client = Client::new();
    let began = Instant::now();
    for _ in 0..50 {
        let reply = client.get(shadowing.address, &target).await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, "{}"));
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    // Two at the most go on at the same time, and the others were left out.
    let found = shadowing.observer().findings().by_route();
    assert!(
        found[&Endpoint::HistoryEntry].count(Compared::Dropped) >= 40,
        "{found:#?}"
    );
    assert!(gate.came() <= 12, "{} translations were begun", gate.came());
    let refusing = [(&LEGACY.mode.key, "shadow"), (&LEGACY.upstream.key, old_url.as_str())];
    let without = jobshim("http://127.0.0.1:9", &refusing).await;
    assert_eq!(client.get(without.address, &target).await.text(), "{}");
    assert_eq!(
        findings(&without, 1).await[&Endpoint::HistoryEntry].count(Compared::Failed),
        1
    );
}

#[tokio::test]
async fn shadow_repeats_no_write_and_opens_no_second_socket() {
    let server = differing_server().await;
    let jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
    let client = Client::new();
    for (method, target, body) in [
        (Method::POST, "/queue", r#"{"clear": true}"#),
        (Method::POST, "/history", r#"{"clear": true}"#),
        (Method::POST, "/interrupt", ""),
        (Method::POST, "/api/job/x/cancel", ""),
        (Method::POST, "/prompt", r#"{"prompt": {}}"#),
        (Method::GET, "/ws?clientId=a", ""),
    ] {
        client
            .send(method, jobshim.address, target, &[], body)
            .await
            .expect("an answer");
    }
    // A read is compared after all of them: whatever they would have led to has been there before.
    client.get(jobshim.address, "/history").await;
    findings(&jobshim, 1).await;
    let arrived = server.all();
    let effects: Vec<(String, String)> = arrived
        .iter()
        .filter(|one| one.method == Method::POST || one.target.starts_with("/ws"))
        .map(|one| (one.method.to_string(), one.target.clone()))
        .collect();
    let wanted = [
        ("POST", "/queue"),
        ("POST", "/history"),
        ("POST", "/interrupt"),
        ("POST", "/api/job/x/cancel"),
        ("POST", "/prompt"),
        ("GET", "/ws?clientId=a"),
    ];
    assert_eq!(
        effects,
        wanted.map(|(method, target)| (method.to_owned(), target.to_owned()))
    );
}

#[tokio::test]
async fn metrics_page_and_log_tell_of_the_same_findings() {
    let server = differing_server().await;
    let mut jobshim = jobshim(&server.url(), &[(&LEGACY.mode.key, "shadow")]).await;
    let admin = jobshim.admin(&[]).await;
    let client = Client::new();
    for count in 1..=2 {
        client.get(jobshim.address, "/history").await;
        findings(&jobshim, count).await;
    }
    client.get(jobshim.address, "/queue").await;
    findings(&jobshim, 3).await;
    let metrics = Metrics::of(&client, admin).await;
    for (series, count) in [
        (
            r#"jobshim_shadow_comparisons_total{outcome="different",route="history"}"#,
            2.0,
        ),
        (
            r#"jobshim_shadow_differences_total{field="prompt[0]",route="history"}"#,
            2.0,
        ),
        (
            r#"jobshim_shadow_differences_total{field="prompt[3]",route="history"}"#,
            2.0,
        ),
    ] {
        assert_eq!(metrics.value(series), count, "{series}\n{}", metrics.text);
    }
    let durations = "jobshim_shadow_translation_duration_seconds_bucket";
    assert_eq!(metrics.sum(durations, r#"route="history""#), 2.0, "{}", metrics.text);
    let overview: Value = serde_json::from_slice(&client.get(admin, "/overview").await.body).expect("JSON");
    let history = &overview["findings"]["history"];
    assert_eq!(history["compared"], json!({"different": 2}));
    let field = &history["fields"]["prompt[0]"];
    assert_eq!(
        (&field["differences"], &field["noise"]),
        (&json!(2), &json!(0)),
        "{history:#}"
    );
    let sample = json!({"path": "prompt[0]", "forwarded": "8", "translated": "7"});
    assert_eq!(field["sample"], sample);
    assert!(field["last_ms"].as_u64() <= overview["now_ms"].as_u64());
}

#[tokio::test]
async fn a_sample_of_none_compares_none() {
    let server = differing_server().await;
    let options = [(&LEGACY.mode.key, "shadow"), (&SHADOW.sample.key, "0%")];
    let jobshim = jobshim(&server.url(), &options).await;
    for _ in 0..20 {
        Client::new().get(jobshim.address, "/history").await;
    }
    assert_eq!(server.counts(), (0, 20));
    assert!(jobshim.observer().findings().by_route().is_empty());
}

/// Asks as so many different clients.
async fn ask_as(jobshim: &Running, clients: usize, target: &str) -> Vec<String> {
    let client = Client::new();
    let mut texts = Vec::new();
    for nth in 0..clients {
        let key = format!("client-{nth}");
        texts.push(
            client
                .get_with(jobshim.address, target, &[("x-api-key", &key)])
                .await
                .text(),
        );
    }
    texts
}

#[tokio::test]
async fn a_canary_that_differs_too_often_goes_back_and_stays_there() {
    let server = differing_server().await;
    let canary = "history=canary:50,compare,rollback.differences=1%";
    let options = [(&LEGACY.routes.key, canary), (&SHADOW.max_in_flight.key, "64")];
    let jobshim = jobshim(&server.url(), &options).await;
    let own = server.with(|surfaces| surfaces.legacy[0].body.clone());
    let translated = async |count| {
        let texts = ask_as(&jobshim, count, "/history").await;
        texts.into_iter().filter(|text| *text != own).count()
    };
    assert!(translated(20).await > 0, "half of the clients are translated at first");
    let went_back = async { while translated(20).await > 0 {} };
    timeout(Duration::from_secs(30), went_back).await.expect("it goes back");
    // What was compared afterwards is the same, and it stays.
    let translated_text = server.with(|surfaces| {
        surfaces.legacy[0].body = own.replace("[8, ", "[7, ").replace("another secret", "s3cret");
        surfaces.legacy[0].body.clone()
    });
    server.counts();
    let texts = ask_as(&jobshim, 60, "/history").await;
    assert!(texts.iter().all(|text| *text == translated_text));
    let history = server.count(|one| one.target == "/history");
    assert!(history >= 60, "every one of 60 is forwarded: {history}");
    assert_eq!(ask_as(&jobshim, 1, "/queue").await.len(), 1, "other routes go on");
}
