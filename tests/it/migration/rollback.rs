//! A canary that goes back by itself: what counts as a failure, how it is seen, and that a restart does not undo it.

#![cfg(unix)]

use super::compare::{differing_server, jobshim};
use crate::support::{
    Client, Running, StateFolder,
    metrics::Metrics,
    program::Program,
    server::board,
    start_with,
    surfaces::{Surfaces, legacy},
    upstream::{Scripted, reply},
};
use http::Method;
use jobshim::{
    config::{
        self, LegacyConfig, Options,
        settings::{LEGACY, SHADOW, UPSTREAM},
    },
    demo::{Job, Rules},
    migration::modes::{Modes, ROLLBACKS},
    routes::RouteName,
    store::Store,
};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{task::spawn_blocking, time::timeout};

const TARGET: &str = "/history/broken";
const CANARY: &str = "history_entry=canary:100,rollback.failures=10%";

/// A server with a job that cannot be translated; its legacy endpoint shows it all the same.
async fn server() -> Scripted<Surfaces> {
    let mut jobs = board(Rules::Comfyui);
    let sound = r#"{"id": "broken", "status": "completed", "create_time": 1}"#;
    jobs.jobs.push(Job::new(sound, r#"{"id": "broken""#).expect("a job"));
    Surfaces::start(jobs, vec![legacy(TARGET, "{}")]).await
}

/// Asked by somebody else each time: what one client sends again after a failure is a retry.
async fn status(at: SocketAddr) -> u16 {
    static CLIENTS: AtomicUsize = AtomicUsize::new(0);
    let key = CLIENTS.fetch_add(1, SeqCst).to_string();
    let reply = Client::new().get_with(at, TARGET, &[("x-api-key", &key)]).await;
    reply.status.as_u16()
}

#[tokio::test]
async fn what_one_client_sends_again_after_a_failure_counts_once() {
    let server = server().await;
    let options = Options::default().with(&LEGACY.routes.key, CANARY);
    let jobshim = start_with(options.with(&UPSTREAM.url.key, server.url())).await;
    let client = Client::new();
    for _ in 0..60 {
        assert_eq!(client.get(jobshim.address, TARGET).await.status, 502);
    }
}

#[tokio::test]
async fn a_canary_whose_answers_fail_too_often_goes_back() {
    let server = server().await;
    let options = Options::default().with(&LEGACY.routes.key, CANARY);
    let jobshim = start_with(options.with(&UPSTREAM.url.key, server.url())).await;
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(status(jobshim.address).await);
    }
    let failures = statuses.iter().take_while(|status| **status == 502).count();
    assert_eq!(failures, 20, "{statuses:?}");
    assert!(
        statuses.iter().skip(failures).all(|status| *status == 200),
        "{statuses:?}"
    );
}

#[tokio::test]
async fn a_canary_whose_writes_fail_too_often_goes_back() {
    let server = Scripted::start(|request| async move {
        let json = [("content-type", "application/json")];
        let pending = r#"{"jobs": [{"id": "waiting", "status": "pending", "create_time": 1}], "pagination": {"has_more": false}}"#;
        match (request.method(), request.uri().path()) {
            (&Method::POST, "/queue") => reply(200, &[], "done"),
            (&Method::POST, _) => reply(500, &json, "{}"),
            _ => reply(200, &json, pending),
        }
    })
    .await;
    let options = Options::default()
        .with(&LEGACY.routes.key, "queue=canary:100,rollback.failures=10%")
        .with(&UPSTREAM.dialect.key, "comfyui");
    let jobshim = start_with(options.with(&UPSTREAM.url.key, server.url())).await;
    let client = Client::new();
    let mut statuses = Vec::new();
    for nth in 0..22 {
        let key = nth.to_string();
        let headers = [("x-api-key", &*key)];
        let order = client.send(Method::POST, jobshim.address, "/queue", &headers, r#"{"clear": true}"#);
        statuses.push(order.await.expect("an answer").status.as_u16());
    }
    assert_eq!(statuses.split_off(20), [200, 200], "{statuses:?}");
    assert_eq!(statuses, [500; 20]);
}

#[tokio::test]
async fn a_server_that_is_down_says_nothing_of_the_canary() {
    let options = Options::default().with(&LEGACY.routes.key, CANARY);
    let mut jobshim = start_with(options.with(&UPSTREAM.url.key, "http://127.0.0.1:9")).await;
    let admin = jobshim.admin(&[]).await;
    for _ in 0..40 {
        assert_eq!(status(jobshim.address).await, 502);
    }
    let metrics = Metrics::of(&Client::new(), admin).await;
    let series = r#"jobshim_canary_rolled_back{route="history_entry"} 0"#;
    assert!(metrics.text.contains(series), "{}", metrics.text);
    // Only canaries have one.
    assert_eq!(metrics.text.matches("jobshim_canary_rolled_back{").count(), 1);
}

/// Starts the program with a state folder and a mode for the route.
fn begin(server: &Scripted<Surfaces>, state: &StateFolder, route: &str) -> Program {
    let (url, folder) = (server.url(), state.path.display().to_string());
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        &url,
        "--state-dir",
        &folder,
        "--route",
        route,
    ];
    Program::start(&arguments, &[("JOBSHIM_ADMIN", "127.0.0.1:0")])
}

async fn shown(program: &mut Program) -> (f64, Value) {
    let (client, admin) = (Client::new(), program.admin());
    let metrics = Metrics::of(&client, admin).await;
    let overview: Value = serde_json::from_slice(&client.get(admin, "/overview").await.body).expect("JSON");
    let modes = overview["modes"].as_array().expect("modes");
    let mode = modes.iter().find(|mode| mode["route"] == "history_entry");
    (
        metrics.value(r#"jobshim_canary_rolled_back{route="history_entry"}"#),
        mode.expect("a route").clone(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_that_went_back_stays_so_after_a_crash_until_its_terms_change() {
    let (server, state) = (server().await, StateFolder::new("rollback"));
    let mut program = begin(&server, &state, CANARY);
    let at = program.address();
    assert_eq!(shown(&mut program).await.0, 0.0);
    for _ in 0..20 {
        assert_eq!(status(at).await, 502);
    }
    let reason = "20 failures in 20 answers, more than 10%";
    let line = program.line_with("the canary has gone back");
    assert!(
        line.contains("route=\"history_entry\"") && line.contains(reason),
        "{line}"
    );
    let (metric, mode) = shown(&mut program).await;
    assert_eq!(metric, 1.0);
    assert_eq!(mode["mode"], "canary 100%, back over 10% failures");
    assert_eq!(mode["back"]["reason"], reason);
    program.signal("KILL");
    program.end();

    let mut again = begin(&server, &state, CANARY);
    let line = again.line_with("the canary went back before the restart");
    assert!(line.contains(reason), "{line}");
    assert_eq!(status(again.address()).await, 200, "it is forwarded");
    assert_eq!(shown(&mut again).await, (1.0, mode));
    again.signal("TERM");
    again.end();

    let other = CANARY.replace("10%", "20%");
    let mut anew = begin(&server, &state, &other);
    assert_eq!(status(anew.address()).await, 502, "it is translated");
    let (metric, mode) = shown(&mut anew).await;
    assert_eq!((metric, &mode["back"]), (0.0, &json!(null)));
    anew.signal("TERM");
    anew.end();

    // On other terms in between, the old word is forgotten.
    let mut once_more = begin(&server, &state, CANARY);
    assert_eq!(status(once_more.address()).await, 502, "it is tried again");
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

fn configured(route: &str) -> LegacyConfig {
    let options = Options::default().with(&LEGACY.routes.key, route);
    config::load(&options, |_| None).expect("a configuration").config.legacy
}

fn fail(modes: &Modes) {
    (0..20).for_each(|request| modes.failed(RouteName::HistoryEntry, request));
}

/// What is under way on the only thread for blocking work is done.
async fn stored() {
    spawn_blocking(|| ()).await.expect("a thread");
}

/// On a runtime that stores one thing after the other.
fn storing_in_order<T>(work: impl Future<Output = T>) -> T {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().max_blocking_threads(1).build();
    runtime.expect("a runtime").block_on(work)
}

#[test]
fn what_ends_late_on_old_terms_does_not_overwrite_what_was_stored_on_the_new_ones() {
    storing_in_order(async {
        let state = StateFolder::new("rollback-late");
        let store = Arc::new(Store::in_folder(&state.path).expect("a store"));
        let (old, new) = (configured(CANARY), configured(&CANARY.replace("10%", "20%")));
        let before = Modes::new(&old, 1, Arc::clone(&store)).expect("modes");
        let after = before.reloaded(&new, 1).expect("modes");
        fail(&after);
        stored().await;
        // Requests that began before the reload.
        fail(&before);
        stored().await;
        let again = Modes::new(&new, 1, store).expect("modes");
        let back = again.back(RouteName::HistoryEntry);
        assert!(back.is_some(), "a restart does not undo that it went back");
    });
}

#[test]
fn a_slow_disk_does_not_store_a_rollback_after_its_terms_have_changed() {
    storing_in_order(async {
        let state = StateFolder::new("rollback-slow");
        let store = Arc::new(Store::in_folder(&state.path).expect("a store"));
        let (old, new) = (configured(CANARY), configured(&CANARY.replace("10%", "20%")));
        let before = Modes::new(&old, 1, Arc::clone(&store)).expect("modes");
        let (go_on, waits) = std::sync::mpsc::channel::<()>();
        drop(spawn_blocking(move || waits.recv()));
        fail(&before);
        let after = before.reloaded(&new, 1).expect("modes");
        go_on.send(()).expect("it waits");
        stored().await;
        assert_eq!(store.rows(&ROLLBACKS).expect("rows"), []);
        // On the old terms again, it is tried anew.
        let once_more = after.reloaded(&old, 1).expect("modes");
        assert!(once_more.back(RouteName::HistoryEntry).is_none());
    });
}
