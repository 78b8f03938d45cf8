//! Who calls the legacy surface: `/usage`, across a restart, `jobshim report`, the access log, and that none of them tells
//! a secret.

#![cfg(unix)]

use crate::support::{
    Client, StateFolder,
    metrics::Metrics,
    program::{Program, run},
    start_with,
    upstream::{Scripted, reply},
    wait::{until, within},
};
use http::Method;
use jobshim::{
    config::{
        Options,
        settings::{FOLDERS, UPSTREAM},
    },
    proxy::STORE_EVERY,
};
use serde_json::{Value, json};
use std::{net::SocketAddr, time::Duration};

const SECRETS: [&str; 6] = [
    "s3cret-bearer",
    "s3cret-key",
    "s3cret-cookie",
    "s3cret-user",
    "s3cret-token",
    "s3cret-body",
];

async fn json_at(client: &Client, admin: SocketAddr, path: &str) -> Value {
    let reply = client.get(admin, path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    serde_json::from_slice(&reply.body).expect("JSON")
}

/// Waits until as many calls are noted: that follows the answer by a moment.
async fn usage_of(client: &Client, admin: SocketAddr, calls: u64) -> Value {
    let counting = async {
        loop {
            let usage = json_at(client, admin, "/usage").await;
            let clients = usage["clients"].as_array().expect("clients");
            let counts = clients
                .iter()
                .flat_map(|client| client["routes"].as_object().expect("routes").values());
            let sum: u64 = counts.map(|used| used["count"].as_u64().expect("a count")).sum();
            assert!(sum <= calls, "{usage:#}");
            if sum == calls {
                return usage;
            }
            tokio::task::yield_now().await;
        }
    };
    within("all calls are counted", counting).await
}

#[tokio::test]
async fn clients_are_told_apart_by_agent_address_and_credential_and_only_legacy_calls_count() {
    let recorder = Scripted::always(404, &[], "{}").await;
    let mut jobshim = start_with(
        Options::default()
            .with(&UPSTREAM.url.key, recorder.url())
            .with(&UPSTREAM.dialect.key, "comfyui"),
    )
    .await;
    let admin = jobshim.admin(&[]).await;
    let client = Client::new();
    for (target, headers) in [
        ("/history/x", &[("user-agent", "old/1")][..]),
        ("/history/y", &[("user-agent", "old/1")]),
        ("/history/x", &[("user-agent", "old/1"), ("x-api-key", "one")]),
        ("/history/x?token=one", &[("user-agent", "old/1")]),
        ("/view", &[("user-agent", "new/1")]),
        ("/api/jobs", &[("user-agent", "new/1")]),
    ] {
        client.get_with(jobshim.address, target, headers).await;
    }
    let usage = usage_of(&client, admin, 4).await;
    let clients = usage["clients"].as_array().expect("clients");
    assert_eq!(clients.len(), 3, "{usage:#}");
    for one in clients {
        assert_eq!(
            (&one["agent"], &one["addresses"]),
            (&json!("old/1"), &json!("127.0.0.0/24")),
            "{usage:#}"
        );
    }
    let open = clients
        .iter()
        .find(|one| one["credential"].is_null())
        .expect("one without a key");
    let used = &open["routes"]["history_entry"];
    assert_eq!(
        (&used["count"], &used["translated"]),
        (&json!(2), &json!(2)),
        "{usage:#}"
    );
    assert!(
        used["first_seen_ms"].as_u64() <= used["last_seen_ms"].as_u64()
            && usage["since_ms"].as_u64() <= used["first_seen_ms"].as_u64()
    );
    let keyed = clients.iter().filter_map(|one| one["credential"].as_str());
    assert!(
        keyed.clone().all(|hash| hash.len() == 8) && keyed.count() == 2,
        "{usage:#}"
    );
}

/// The program with its second listener.
fn seen(upstream: &str, more: &[&str]) -> Program {
    let shown = ["--dialect", "comfyui", "--admin", "127.0.0.1:0"];
    Program::before(upstream, &[&shown, more].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_survives_a_restart_of_the_program_and_the_report_tells_of_it() {
    let recorder = Scripted::always(404, &[], "{}").await;
    let folder = StateFolder::new("usage-survives");
    let path = folder.path.display().to_string();
    let begin = || seen(&recorder.url(), &["--state-dir", &path]);
    let client = Client::new();
    let headers = [("user-agent", "old-script/1"), ("x-api-key", "one")];
    let mut program = begin();
    for _ in 0..3 {
        client.get_with(program.address(), "/history/x", &headers).await;
    }
    let before = usage_of(&client, program.admin(), 3).await;
    program.signal("TERM");
    assert_eq!(program.end().code(), Some(0));
    let mut again = begin();
    let after = json_at(&client, again.admin(), "/usage").await;
    assert_eq!(after["clients"], before["clients"]);
    assert_eq!(after["since_ms"], before["since_ms"]);
    client.get_with(again.address(), "/history/x", &headers).await;
    let more = usage_of(&client, again.admin(), 4).await;
    assert_eq!(
        more["clients"].as_array().map(Vec::len),
        Some(1),
        "the same key is the same client: {more:#}"
    );
    let output = run(&["report", "--admin", &format!("http://{}", again.admin())], &[]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        output.status.code(),
        Some(0),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        printed
            .lines()
            .any(|line| line.starts_with("old-script/1 ") && line.contains("GET /history/{id}")),
        "{printed}"
    );
    assert!(
        printed.contains("held up by old-script/1 (127.0.0.0/24); last call just now"),
        "{printed}"
    );
    assert!(
        printed.contains("none for 0 days: too early to tell before 30"),
        "{printed}"
    );
}

#[tokio::test]
async fn usage_is_stored_while_jobshim_runs_so_that_a_crash_loses_no_more_than_a_minute() {
    let recorder = Scripted::always(404, &[], "{}").await;
    let folder = StateFolder::new("usage-crash");
    let begin = || {
        let options = Options::default().with(&UPSTREAM.url.key, recorder.url());
        start_with(options.with(&FOLDERS.state_dir.key, folder.path.display().to_string()))
    };
    let client = Client::new();
    let mut jobshim = begin().await;
    // As often as it looks whether it is time.
    let admin = jobshim.admin_storing(&[], Duration::ZERO).await;
    let modified = || {
        folder
            .path
            .join("jobshim.redb")
            .metadata()
            .and_then(|file| file.modified())
    };
    let opened = modified().expect("a store");
    client.get(jobshim.address, "/history/x").await;
    let before = usage_of(&client, admin, 1).await;
    until("it is stored", async || modified().expect("a store") > opened).await;
    drop(client);
    // Only the program itself stores at its end.
    jobshim.stop().await;
    let mut again = begin().await;
    let admin = again.admin(&[]).await;
    let after = json_at(&Client::new(), admin, "/usage").await;
    assert_eq!(after["clients"], before["clients"]);
    assert_eq!(STORE_EVERY, Duration::from_secs(60), "docs/operating.md says how often");
}

#[test]
fn a_report_of_nobody_says_why_there_is_none() {
    for (admin, reason) in [
        ("http://127.0.0.1:9", "refused"),
        ("ftp://127.0.0.1:1", "is no URL"),
        ("https://127.0.0.1:1", "is no URL"),
    ] {
        let output = run(&["report", "--admin", admin], &[]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(admin) && said.contains(reason), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_line_tells_of_each_request_and_no_secret_is_told_anywhere() {
    let upstream = Scripted::start(|request| async move {
        let status = if request.uri().path().starts_with("/api/jobs/") {
            404
        } else {
            200
        };
        reply(status, &[], "{}")
    })
    .await;
    let mut program = seen(&upstream.url(), &["--log-format", "json", "-vv"]);
    let find = |line: String, name: &str| -> SocketAddr {
        let line: Value = serde_json::from_str(&line).expect("JSON");
        line[name].as_str().expect("an address").parse().expect("an address")
    };
    let (address, admin) = (
        find(program.line_with("\"listening\""), "address"),
        find(program.line_with("can be seen"), "admin"),
    );
    let client = Client::new();
    let headers = [
        ("authorization", "Bearer s3cret-bearer"),
        ("x-api-key", "s3cret-key"),
        ("cookie", "session=s3cret-cookie"),
        ("comfy-user", "s3cret-user"),
        ("x-request-id", "told-1"),
    ];
    for (method, target, body) in [
        (
            Method::GET,
            "/history/0b8d4d0a-6d0c-4b3e-9c39-0d6a0f8f1c11?token=s3cret-token",
            "",
        ),
        (Method::GET, "/view?filename=x&token=s3cret-token", ""),
        (
            Method::POST,
            "/prompt?token=s3cret-token",
            r#"{"prompt": {"1": {"inputs": {"text": "s3cret-body"}}}}"#,
        ),
        (
            Method::POST,
            "/queue?token=s3cret-token",
            r#"{"delete": ["s3cret-body"]}"#,
        ),
        (Method::GET, "/ws?clientId=1&token=s3cret-token", ""),
    ] {
        client
            .send(method, address, target, &headers, body)
            .await
            .expect("an answer");
    }
    let line: Value = serde_json::from_str(&program.line_with("\"route\":\"history_entry\"")).expect("JSON");
    for (name, value) in [
        ("request_id", json!("told-1")),
        ("mode", json!("translate")),
        ("source", json!("jobs_api")),
        ("status", json!(200)),
        ("bytes", json!(2)),
        ("upstream_calls", json!(1)),
        ("complete", json!(true)),
    ] {
        assert_eq!(line[name], value, "{name}: {line}");
    }
    assert!(line["duration_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{line}");
    let mut shown = vec![Metrics::of(&client, admin).await.text];
    for path in ["/usage", "/overview", "/readyz", "/"] {
        shown.push(client.get(admin, path).await.text());
    }
    program.signal("TERM");
    program.end();
    shown.push(program.log.join("\n"));
    for text in shown {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} is in {text}");
        }
        assert!(!text.contains("filename=x"), "a query is in {text}");
    }
    let answered = program.log.iter().filter(|line| line.contains("\"answered\"")).count();
    assert_eq!(answered, 5, "{:#?}", program.log);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_requests_can_be_switched_off() {
    let recorder = Scripted::always(200, &[], "{}").await;
    let url = recorder.url();
    let mut program = Program::before(&url, &["--log-access", "off"]);
    assert_eq!(Client::new().get(program.address(), "/view").await.status, 200);
    program.signal("TERM");
    assert_eq!(program.end().code(), Some(0));
    assert!(
        !program.log.iter().any(|line| line.contains("INFO answered")),
        "{:#?}",
        program.log
    );
}
