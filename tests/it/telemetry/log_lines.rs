//! Log lines that belong to a request say to which, and all of them speak plainly.

#![cfg(unix)]

use crate::support::{
    Client, TableFolder,
    program::Program,
    upstream::{Scripted, reply},
};
use http::Method;
use serde_json::Value;
use std::{fs, path::Path};

const JOB: &str = "0d6c6b38-4a0c-4f0e-9f0a-6b8d7a3c1e55";

/// It lists one queued job, cannot cancel it, and fails at all else.
async fn failing() -> Scripted {
    Scripted::start(|request| async move {
        let json = [("content-type", "application/json")];
        match (request.method().as_str(), request.uri().path()) {
            ("GET", "/api/jobs") if request.uri().query().is_some_and(|query| query.contains("create_time")) => {
                reply(400, &json, r#"{"error": "Invalid sort_by"}"#)
            }
            ("GET", "/api/jobs") => {
                let job = format!(r#"{{"id": "{JOB}", "status": "pending", "create_time": 1, "priority": 1}}"#);
                let pages = r#"{"offset": 0, "limit": null, "total": 1, "has_more": false}"#;
                reply(200, &json, format!(r#"{{"jobs": [{job}], "pagination": {pages}}}"#))
            }
            _ => reply(500, &json, "{}"),
        }
    })
    .await
}

async fn ask(address: std::net::SocketAddr) {
    let client = Client::new();
    let read = format!("/history/{JOB}?token=word");
    let write = format!(r#"{{"delete": ["{JOB}"]}}"#);
    for (id, method, target, body) in [
        ("told-read", Method::GET, read.as_str(), String::new()),
        ("told-write", Method::POST, "/queue", write),
    ] {
        let headers = [("x-request-id", id)];
        client
            .send(method, address, target, &headers, body)
            .await
            .expect("an answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_request_has_its_id_and_method_and_with_v_its_path() {
    let upstream = failing().await;
    for verbose in [false, true] {
        let more: &[&str] = if verbose { &["-v"] } else { &[] };
        let mut program = Program::before(&upstream.url(), more);
        ask(program.address()).await;
        for (text, id, method, path) in [
            (
                "a legacy request could not be answered",
                "told-read",
                "GET",
                "/history/{}?..",
            ),
            ("jobs could not be cancelled", "told-write", "POST", "/queue"),
            (
                "answered request_id=\"told-read\"",
                "told-read",
                "GET",
                "/history/{}?..",
            ),
            ("answered request_id=\"told-write\"", "told-write", "POST", "/queue"),
        ] {
            let line = program.line_with(text);
            for part in [format!("request_id=\"{id}\""), format!("method=\"{method}\"")] {
                assert_eq!(line.matches(&part).count(), 1, "{part} in {line}");
            }
            assert_eq!(line.contains(&format!("path=\"{path}\"")), verbose, "{line}");
            assert!(!line.contains("word"), "{line}");
        }
        if verbose {
            let asked = program.log.iter().filter(|line| line.contains("asked the upstream"));
            let asked: Vec<&String> = asked.filter(|line| line.contains("told-")).collect();
            assert!(!asked.is_empty(), "{:#?}", program.log);
            assert!(asked.iter().all(|line| !line.contains(JOB)), "{asked:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lines_of_json_have_them_as_members() {
    let upstream = failing().await;
    let mut program = Program::before(&upstream.url(), &["--log-format", "json", "-v"]);
    let line: Value = serde_json::from_str(&program.line_with("listening")).expect("JSON");
    ask(line["address"]
        .as_str()
        .and_then(|address| address.parse().ok())
        .expect("an address"))
    .await;
    for text in [
        "could not be answered",
        "could not be cancelled",
        "\"request_id\":\"told-write\",\"method\"",
    ] {
        let line: Value = serde_json::from_str(&program.line_with(text)).expect("JSON");
        let (id, method, path) = match line["request_id"].as_str() {
            Some("told-read") => ("told-read", "GET", "/history/{}?.."),
            _ => ("told-write", "POST", "/queue"),
        };
        assert_eq!(line["request_id"], id, "{line}");
        assert_eq!(line["method"], method, "{line}");
        assert_eq!(line["path"], path, "{line}");
    }
    for line in lines(program, "TERM") {
        assert!(line["message"].is_string() && line["level"].is_string(), "{line}");
    }
}

/// All lines of a program that logs JSON and is ended now.
fn lines(mut program: Program, signal: &str) -> Vec<Value> {
    program.signal(signal);
    program.end();
    let line = |line: &String| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    program.log.iter().map(line).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_comparison_finds_belongs_to_the_request_that_it_was_made_beside() {
    // Its own endpoints show nothing; its Jobs API fails at one job and shows another.
    let upstream = odd("waiting-one", &["plain-one"]).await;
    let json = [("content-type", "application/json; charset=utf-8")];
    let legacy = Scripted::always(200, &json, "{}").await;
    let arguments = ["--mode", "shadow", "--legacy-upstream", &legacy.url(), "-v"];
    let mut program = Program::before(&upstream.url(), &arguments);
    let (address, client) = (program.address(), Client::new());
    for (target, id, text, path) in [
        (
            "/history/refused-one",
            "told-fails",
            "was to be compared is a failure",
            "/history/{}",
        ),
        ("/history", "told-differs", "differs from the legacy one", "/history"),
    ] {
        client.get_with(address, target, &[("x-request-id", id)]).await;
        let line = program.line_with(text);
        for part in [
            format!("request_id=\"{id}\""),
            "method=\"GET\"".to_owned(),
            format!("path=\"{path}\""),
        ] {
            assert_eq!(line.matches(&part).count(), 1, "{part} in {line}");
        }
    }
}

/// It has jobs that are told of in a wrong way, each in its own.
async fn odd(pending: &'static str, listed: &'static [&'static str]) -> Scripted {
    let job = |id: &str, status: &str| format!(r#"{{"id": "{id}", "status": "{status}", "create_time": 1}}"#);
    Scripted::answering(move |arrived| {
        let json = [("content-type", "application/json")];
        match (arrived.of_job(), arrived.query()) {
            (_, query) if query.contains("create_time") => reply(400, &json, r#"{"error": "Invalid sort_by"}"#),
            (Some("another-one"), _) => reply(200, &json, job("job-of-others", "completed")),
            (Some("no-text-one"), _) => reply(200, &json, b"{\"id\": \"\xff\"}".as_slice()),
            (Some("no-state-one"), _) => reply(200, &json, r#"{"id": "no-state-one"}"#),
            (Some("teapot-one"), _) => reply(418, &json, "{}"),
            (Some("refused-one"), _) => reply(503, &json, "{}"),
            (Some("words-one"), _) => reply(404, &[("content-type", "text/plain")], "404: Not Found"),
            (Some("going-one"), _) => reply(200, &json, job("going-one", "pending")),
            (Some(id), _) => reply(200, &json, job(id, "completed")),
            (None, query) => {
                let jobs = match query.contains("pending") {
                    true => vec![job(pending, "pending")],
                    false => listed.iter().map(|id| job(id, "completed")).collect(),
                };
                let pages = r#"{"offset": 0, "limit": null, "total": 1, "has_more": false}"#;
                reply(
                    200,
                    &json,
                    format!(r#"{{"jobs": [{}], "pagination": {pages}}}"#, jobs.join(", ")),
                )
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_line_of_a_failure_names_a_job_unless_it_is_asked_to() {
    // What the history of jobs without a status cannot show.
    let table = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings/answers/history.toml"))
        .expect("a table")
        .replace(
            "to = \"prompt[0]\"\nfrom = [\"priority\"]\ndefault = 0",
            "to = \"prompt[0]\"\nfrom = [\"priority\"]",
        );
    let folder = TableFolder::with("log-lines", &[("history.toml", &table)]);
    let folder = folder.path.display().to_string();
    for verbose in [false, true] {
        for id in [
            "another-one",
            "no-text-one",
            "no-state-one",
            "teapot-one",
            "refused-one",
            "words-one",
            "going-one",
            "unfit-one",
        ] {
            let upstream = odd("hollow-one", Vec::from([id]).leak()).await;
            let tables = ["--mappings-dir", folder.as_str()];
            let more = [
                &["--log-format", "json"][..],
                if id == "unfit-one" { &tables } else { &[] },
                if verbose { &["-v"] } else { &[] },
            ]
            .concat();
            let mut program = Program::before(&upstream.url(), &more);
            let line: Value = serde_json::from_str(&program.line_with("listening")).expect("JSON");
            let address = line["address"]
                .as_str()
                .and_then(|address| address.parse().ok())
                .expect("an address");
            let client = Client::new();
            let answer = client.get(address, "/history").await;
            assert!(answer.status.is_server_error(), "{id}: {}", answer.text());
            client.get(address, &format!("/history/{id}")).await;
            client.get(address, "/queue").await;
            let delete = r#"{"delete": ["hollow-one"]}"#;
            let answer = client
                .send(Method::POST, address, "/queue", &[], delete)
                .await
                .expect("an answer");
            assert_eq!(
                (answer.status.as_u16(), answer.text().contains("hollow-one")),
                (409, true),
                "{}",
                answer.text()
            );
            program.line_with("\"status\":409");
            let lines = lines(program, "KILL");
            let failed = lines.iter().filter(|line| line["level"] == "WARN").count();
            assert!(failed >= 2, "{id}: {lines:#?}");
            let names = |line: &&Value| ["-one", "of-others"].iter().any(|part| line.to_string().contains(part));
            let named: Vec<&Value> = lines.iter().filter(names).collect();
            assert!(named.iter().all(|line| line["level"] == "DEBUG"), "{id}: {named:#?}");
            assert_eq!(named.iter().any(|line| line["id"] == id), verbose, "{id}: {named:#?}");
        }
    }
}

#[test]
fn no_line_shows_what_only_the_code_calls_so() {
    fn look(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                look(&path, found);
                continue;
            }
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let text = fs::read_to_string(&path).expect("a source");
            for (at, _) in text.match_indices("tracing::") {
                let call = &text[at..];
                let is_line = ["error!(", "warn!(", "info!(", "debug!(", "trace!("]
                    .iter()
                    .any(|level| call["tracing::".len()..].starts_with(level));
                let call = call.split(");").next().unwrap_or_default();
                let is_debug = [" ?", "(?", "{:?}", ":?}"].iter().any(|mark| call.contains(mark));
                if is_line && is_debug {
                    found.push(format!("{}: {call}", path.display()));
                }
            }
        }
    }
    let mut found = Vec::new();
    look(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert!(found.is_empty(), "{found:#?}");
}
