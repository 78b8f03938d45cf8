//! Changes of configuration and tables while the program runs.

#![cfg(unix)]

use crate::support::{
    Client, TableFolder as Folder,
    metrics::Metrics,
    program::Program,
    server::board,
    shelf::{Item, Shelf},
    surfaces::{Surfaces, legacy},
    upstream::{Scripted, raw},
    wait::{as_soon_as, until, within},
};
use http::Method;
use jobshim::{
    demo::{Job, Rules},
    telemetry::now_ms,
};
use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// What the legacy endpoint of the test server says: nobody would translate to that.
const OWN: &str = r#"{"by": "the legacy endpoint"}"#;

async fn server() -> Scripted<Surfaces> {
    let targets = ["/queue", "/history"];
    Surfaces::start(board(Rules::Comfyui), targets.map(|target| legacy(target, OWN)).into()).await
}

/// The program with a configuration file that a test rewrites.
struct Configured {
    program: Program,
    file: PathBuf,
    _folder: Folder,
}

impl Configured {
    fn start(name: &str, upstream: &str, text: &str) -> Self {
        let folder = Folder::with(name, &[("jobshim.toml", text)]);
        let file = folder.path.join("jobshim.toml");
        let path = file.display().to_string();
        let arguments = ["--config", &path, "--listen", "127.0.0.1:0", "--upstream", upstream];
        Self {
            program: Program::start(&arguments, &[("JOBSHIM_ADMIN", "127.0.0.1:0")]),
            file,
            _folder: folder,
        }
    }

    /// Writes another text and waits for the line with `wanted` that says what became of it.
    fn rewrite(&mut self, text: &str, wanted: &str) -> String {
        self.program.log.clear();
        fs::write(&self.file, text).expect("a file");
        self.program.signal("HUP");
        self.program.line_with(wanted)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_taken_over_by_itself_and_on_sighup() {
    let server = server().await;
    let mut jobshim = Configured::start("reload-mode", &server.url(), "[legacy]\nmode = \"forward\"\n");
    let address = jobshim.program.address();
    let client = Client::new();
    assert_eq!(client.get(address, "/queue").await.text(), OWN);
    fs::write(&jobshim.file, "[legacy]\nmode = \"translate\"\n").expect("a file");
    let line = jobshim.program.line_with("the configuration was read again");
    assert!(line.contains("legacy.mode"), "{line}");
    assert_ne!(client.get(address, "/queue").await.text(), OWN);
    let text = "[legacy]\nmode = \"translate\"\n[legacy.routes.queue]\nmode = \"gone\"\npercent = 100\n";
    let line = jobshim.rewrite(text, "the configuration was read again");
    assert!(line.contains("legacy.routes"), "{line}");
    assert_eq!(client.get(address, "/queue").await.status, 410);
    assert_eq!(client.get(address, "/history").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_answers_from_memory_say_of_themselves_changes_too() {
    let shelf = Shelf::start([Item::new(0, "completed", 2_000)]).await;
    let mut jobshim = Configured::start("reload-said", &shelf.url(), "");
    let address = jobshim.program.address();
    let client = Client::new();
    let ask = async || {
        let reply = client.get(address, "/history/job-00000").await;
        (
            reply.header("sunset").to_owned(),
            reply.header("cache-status").to_owned(),
        )
    };
    ask().await;
    for _ in 0..2 {
        assert_eq!(ask().await, (String::new(), "jobshim; hit".to_owned()));
    }
    jobshim.rewrite(
        "[notices]\nsunset = \"2027-03-31\"\n",
        "the configuration was read again",
    );
    for _ in 0..2 {
        let sunset = "Wed, 31 Mar 2027 00:00:00 GMT".to_owned();
        assert_eq!(ask().await, (sunset, "jobshim; hit".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_file_is_refused_whole_and_the_old_one_stays() {
    let server = server().await;
    let mut jobshim = Configured::start("reload-bad", &server.url(), "[legacy]\nmode = \"forward\"\n");
    let address = jobshim.program.address();
    let client = Client::new();
    for (text, reason) in [
        (
            "[legacy]\nmode = \"translate\"\n[log]\nverbosity = \"loud\"\n",
            "log.verbosity",
        ),
        (
            "[legacy]\nmode = \"translate\"\nmodes = 3\n",
            "unknown key legacy.modes",
        ),
        ("[legacy\n", "jobshim.toml:1"),
        (
            "mappings_dir = \"/does/not/exist\"\n[legacy]\nmode = \"translate\"\n",
            "no such folder",
        ),
        (
            "[legacy]\nmode = \"translate\"\n[legacy.routes]\nqueue = \"canary\"\n",
            "canary needs the percentage",
        ),
    ] {
        let line = jobshim.rewrite(text, "the old one stays in force");
        assert!(line.contains(reason), "{text}: {line}");
        assert_eq!(client.get(address, "/queue").await.text(), OWN, "{text}");
    }
    jobshim.rewrite("[legacy]\nmode = \"translate\"\n", "the configuration was read again");
    assert_ne!(client.get(address, "/queue").await.text(), OWN);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_say_whether_the_last_reload_was_taken_over_and_when_one_was() {
    const TAKEN: &str = "jobshim_config_last_reload_successful{}";
    const WHEN: &str = "jobshim_config_last_reload_success_timestamp_seconds{}";
    let server = server().await;
    let begun = now_ms() as f64 / 1_000.0;
    let mut jobshim = Configured::start("reload-metrics", &server.url(), "");
    let (admin, client) = (jobshim.program.admin(), Client::new());
    let read = async || {
        let metrics = Metrics::of(&client, admin).await;
        (metrics.value(TAKEN), metrics.value(WHEN))
    };
    // What it started with counts.
    let (taken, mut before) = read().await;
    assert_eq!(taken, 1.0);
    assert!(
        (begun..=now_ms() as f64 / 1_000.0).contains(&before),
        "{begun} {before}"
    );
    for mode in ["forward", "translate"] {
        jobshim.rewrite("[legacy]\nmode = \"backward\"\n", "the old one stays in force");
        let (taken, refused_at) = read().await;
        assert_eq!(taken, 0.0);
        let text = format!("[legacy]\nmode = \"{mode}\"\n");
        jobshim.rewrite(&text, "the configuration was read again");
        until("the new one is in force", async || read().await.0 == 1.0).await;
        let (_, now) = read().await;
        assert!(before <= refused_at && refused_at < now, "{before} {refused_at} {now}");
        before = now;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_a_restart_is_named_and_the_rest_is_taken_over() {
    let server = server().await;
    let mut jobshim = Configured::start("reload-restart", &server.url(), "[upstream]\nconcurrency = 4\n");
    let address = jobshim.program.address();
    let text = "[upstream]\nconcurrency = 5\n[server]\ndrain_timeout = \"1s\"\n[legacy]\nmode = \"forward\"\n";
    let line = jobshim.rewrite(text, "these changes wait for a restart");
    assert!(
        line.contains("upstream.concurrency") && line.contains("server.drain_timeout"),
        "{line}"
    );
    assert!(!line.contains("legacy.mode"), "{line}");
    assert_eq!(Client::new().get(address, "/queue").await.text(), OWN);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_and_the_log_level_change_too() {
    let server = server().await;
    let tables = Folder::with("reload-tables", &[]);
    let with = |verbosity: u8| {
        let folder = tables.path.display();
        format!("mappings_dir = \"{folder}\"\n[log]\nverbosity = {verbosity}\n")
    };
    let mut jobshim = Configured::start("reload-tables-config", &server.url(), &with(0));
    let address = jobshim.program.address();
    let client = Client::new();
    assert!(client.get(address, "/queue").await.text().contains("queue_running"));
    let table = include_str!("../../../mappings/answers/queue.toml");
    fs::write(
        tables.path.join("queue.toml"),
        table.replace("queue_running", "now_running"),
    )
    .expect("a table");
    let line = jobshim.program.line_with("the configuration was read again");
    assert!(line.contains("tables"), "{line}");
    assert!(client.get(address, "/queue").await.text().contains("now_running"));
    jobshim.program.log.clear();
    fs::write(tables.path.join("queue.toml"), "about = 5\n").expect("a table");
    let line = jobshim.program.line_with("the old one stays in force");
    assert!(line.contains("queue.toml:1"), "{line}");
    assert!(client.get(address, "/queue").await.text().contains("now_running"));
    fs::write(tables.path.join("queue.toml"), table).expect("a table");
    assert!(!jobshim.program.log.iter().any(|line| line.contains("DEBUG")));
    jobshim.rewrite(&with(1), "the configuration was read again");
    client.get(address, "/queue").await;
    jobshim.program.line_with("asked the upstream");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_is_told_once_with_its_request_and_anew_after_a_change_of_tables() {
    let server = server().await;
    let tables = Folder::with("reload-findings", &[]);
    let folder = tables.path.display();
    let config = format!("mappings_dir = \"{folder}\"\n[legacy]\nmode = \"shadow\"\n");
    let mut jobshim = Configured::start("reload-findings-config", &server.url(), &config);
    let (address, admin) = (jobshim.program.address(), jobshim.program.admin());
    let client = Client::new();
    let compared = async || {
        let metrics = Metrics::of(&client, admin).await;
        metrics.value(r#"jobshim_shadow_comparisons_total{outcome="different",route="history"}"#)
    };
    for (count, id) in [(1.0, "first"), (2.0, "second")] {
        client.get_with(address, "/history", &[("x-request-id", id)]).await;
        until("it is compared", async || compared().await == count).await;
    }
    let told = "the translated answer differs";
    let line = jobshim.program.line_with(told);
    assert!(
        line.contains("route=\"history\"") && line.contains("request_id=\"first\""),
        "{line}"
    );
    // What is asked beside a request does not count for it.
    let line = jobshim.program.line_with("request_id=\"second\"");
    assert!(
        line.contains("answered") && line.contains("upstream_calls=1 "),
        "{line}"
    );
    let table = include_str!("../../../mappings/answers/history.toml");
    fs::write(tables.path.join("history.toml"), format!("{table}\n# changed\n")).expect("a table");
    jobshim.program.line_with("the configuration was read again");
    let lines = jobshim.program.log.iter().filter(|line| line.contains(told));
    assert_eq!(lines.count(), 1, "{:#?}", jobshim.program.log);
    jobshim.program.log.clear();
    until("it is forgotten", async || compared().await == 0.0).await;
    client.get_with(address, "/history", &[("x-request-id", "third")]).await;
    let line = jobshim.program.line_with(told);
    assert!(line.contains("request_id=\"third\""), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_metrics_tell_of_the_memory_in_force() {
    let mut board = board(Rules::Comfyui);
    let text = r#"{"id": "done", "status": "completed", "create_time": 1700000000000, "priority": 7}"#;
    board.jobs.push(Job::new(text, text).expect("a job"));
    let server = Surfaces::start(board, Vec::new()).await;
    let tables = Folder::with("reload-memory", &[]);
    let config = format!("mappings_dir = \"{}\"\n", tables.path.display());
    let mut jobshim = Configured::start("reload-memory-config", &server.url(), &config);
    let (address, admin) = (jobshim.program.address(), jobshim.program.admin());
    let client = Client::new();
    let kept = async || Metrics::of(&client, admin).await.value("jobshim_cache_entries{}");
    assert_eq!(client.get(address, "/history/done").await.status, 200);
    until("the job is counted", async || kept().await == 1.0).await;
    let table = include_str!("../../../mappings/answers/queue.toml");
    fs::write(tables.path.join("queue.toml"), format!("{table}\n# changed\n")).expect("a table");
    jobshim.program.line_with("the configuration was read again");
    // What the old tables wrote is not remembered any more.
    until("nothing is counted", async || kept().await == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_keeps_the_mode_that_it_began_with() {
    let mut board = board(Rules::Comfyui);
    let text = r#"{"id": "done", "status": "completed", "create_time": 1700000000000, "priority": 7}"#;
    board.jobs.push(Job::new(text, text).expect("a job"));
    let upstream = Scripted::of_board(board).await;
    let gate = upstream.hold_details();
    let mut jobshim = Configured::start("reload-in-flight", &upstream.url(), "[legacy]\nmode = \"translate\"\n");
    let address = jobshim.program.address();
    let begun = tokio::spawn(async move { Client::new().get(address, "/history/done").await });
    gate.until_came(1).await;
    jobshim.rewrite("[legacy]\nmode = \"gone\"\n", "the configuration was read again");
    assert_eq!(Client::new().get(address, "/history/done").await.status, 410);
    gate.open();
    let reply = begun.await.expect("no panic");
    assert_eq!(reply.status, 200, "{reply:?}");
    assert!(reply.text().contains("\"done\""), "{reply:?}");
}

/// A server whose `/ws` echoes, and whose every other answer is a 200.
async fn echoing() -> std::net::SocketAddr {
    raw(|mut stream, head| async move {
        if !head.starts_with("GET /ws") {
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}";
            let _ = stream.write_all(answer.as_bytes()).await;
            return;
        }
        let switched = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        let _ = stream.write_all(switched.as_bytes()).await;
        let (mut read, mut write) = stream.split();
        let _ = tokio::io::copy(&mut read, &mut write).await;
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_under_load_lose_no_request_and_close_no_connection() {
    let server = echoing().await;
    let url = format!("http://{server}");
    let (forward, gone) = ("[legacy]\nmode = \"forward\"\n", "[legacy]\nmode = \"gone\"\n");
    let mut jobshim = Configured::start("reload-load", &url, forward);
    let address = jobshim.program.address();
    let mut socket = TcpStream::connect(address).await.expect("a connection");
    let asked = "GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    socket.write_all(asked.as_bytes()).await.expect("sent");
    let head = within("a 101", crate::support::upstream::read_head(&mut socket))
        .await
        .expect("a 101");
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    let mut kept = TcpStream::connect(address).await.expect("a connection");
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut load = JoinSet::new();
    for _ in 0..8 {
        let (stop, answered) = (Arc::clone(&stop), Arc::clone(&answered));
        load.spawn(async move {
            let client = Client::new();
            while !stop.load(Ordering::SeqCst) {
                for target in ["/queue", "/anything"] {
                    let reply = client
                        .send(Method::GET, address, target, &[], "")
                        .await
                        .expect("an answer");
                    let expected: &[u16] = if target == "/queue" { &[200, 410] } else { &[200] };
                    assert!(expected.contains(&reply.status.as_u16()), "{target}: {reply:?}");
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
    }
    for round in 0..10_u8 {
        let text = if round % 2 == 0 { gone } else { forward };
        let before = answered.load(Ordering::SeqCst);
        jobshim.rewrite(text, "the configuration was read again");
        as_soon_as("more is answered", || answered.load(Ordering::SeqCst) >= before + 20).await;
        socket.write_all(&[round]).await.expect("an open WebSocket");
        assert_eq!(socket.read_u8().await.expect("an echo"), round);
        let request = "GET /anything HTTP/1.1\r\nhost: x\r\n\r\n";
        kept.write_all(request.as_bytes()).await.expect("an open connection");
        let head = within("an answer", crate::support::upstream::read_head(&mut kept))
            .await
            .expect("an answer");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let mut body = [0; 2];
        within("a body", kept.read_exact(&mut body)).await.expect("a body");
    }
    stop.store(true, Ordering::SeqCst);
    load.join_all().await;
}
