//! What comes from outside, in the log and in messages: one line, no commands for a terminal, no secrets, and not too long.

#![cfg(unix)]

use crate::support::{
    Client, TableFolder,
    program::{Program, run},
    upstream::{Scripted, reply},
};
use http::{Method, Request};
use hyper::body::Incoming;

/// An id that would forge a log line, colour a terminal and turn the reading direction around.
const ID: &str = r"a\nFORGED \u001b[31m\u202e\u2028b";
const SECRET: &str = "key-7c1d";

/// A server that says everything in the worst way.
async fn server() -> Scripted {
    Scripted::start(|request: Request<Incoming>| async move {
        let list = format!(
            r#"{{"jobs": [{{"id": "{ID}", "status": "completed", "create_time": 1}},
                {{"id": "x", "status": "odd{ID}", "create_time": 1}},
                {{"id": "y{ID}", "status": "pending", "create_time": 1}}],
               "pagination": {{"offset": 0, "limit": null, "total": 3, "has_more": false}}}}"#
        );
        match (request.method(), request.uri().path()) {
            (&Method::GET, "/api/jobs") => reply(200, &[("content-type", "application/json")], list),
            (&Method::GET, "/system_stats") => {
                reply(200, &[], format!(r#"{{"system": {{"comfyui_version": "0.1{ID}"}}}}"#))
            }
            (&Method::GET, path) if path.ends_with("encoded") => reply(200, &[("content-encoding", "odd\tx")], ""),
            _ => reply(200, &[("content-type", "text/odd")], format!(r#"{{"id": "{ID}"}}"#)),
        }
    })
    .await
}

#[track_caller]
fn assert_is_plain(line: &str) {
    let is_odd = |character: char| character.is_control() || "\u{2028}\u{202e}".contains(character);
    assert!(!line.contains(is_odd), "{line:?}");
    assert!(!line.contains(SECRET), "{line:?}");
    assert!(line.len() < 6_000, "{} bytes: {}", line.len(), &line[..200]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_from_outside_forges_a_log_line_or_shows_a_secret() {
    let server = server().await;
    let mut program = Program::before(&server.url(), &["--dialect", "comfyui", "-vv"]);
    let at = program.address();
    let client = Client::new();
    let long = "%0A%1B".repeat(8_000);
    let mut said = String::new();
    for target in [
        "/history",
        "/queue",
        "/api/history_v2",
        "/history/a%0AFORGED%1B[31m%E2%80%AE",
        "/api/history_v2/a%0AFORGED%1B[31m%E2%80%AE",
        "/api/job/a%0AFORGED%1B[31m%E2%80%AE/status",
        "/history/encoded",
        &format!("/history/{long}"),
        "/history?max_items=5%26token=key-7c1d",
        "/history?offset=key-7c1d",
        "/api/history_v2?max_items=%0A%1Bkey-7c1d",
    ] {
        let reply = client.get(at, target).await;
        assert_ne!(reply.status, 200, "{target}: {}", reply.text());
        said += &reply.text();
    }
    let deleted = format!(r#"{{"delete": ["y{ID}"]}}"#);
    for (target, body) in [
        ("/queue", deleted.as_str()),
        ("/queue", r#"{"clear": true}"#),
        ("/api/job/a%0AFORGED%1B[31m%E2%80%AE/cancel", ""),
        ("/history", "{\"\\u001b\\nFORGED\": \n\u{1b}}"),
    ] {
        let sent = client.send(Method::POST, at, target, &[], body.to_owned()).await;
        said += &sent.expect("an answer").text();
    }
    assert!(!said.contains(SECRET), "{said}");
    assert_is_plain(&said.replace('\n', ""));
    program.signal("TERM");
    program.end();
    assert!(
        program.log.iter().any(|line| line.contains("\\nFORGED")),
        "{:#?}",
        program.log
    );
    for line in &program.log {
        assert_is_plain(line);
        // Each begins with its time.
        assert!(line.starts_with("20"), "{line:?}");
    }
}

#[test]
fn no_complaint_about_a_url_shows_a_password_or_a_key() {
    for arguments in [
        &["check", "--upstream", "http://USER:key-7c1d@host"][..],
        &["check", "--upstream", "http://key-7c1d@host/base"],
        &["check", "--upstream", "http://USER:pa/s@s?key-7c1d@host"],
        &["check", "--upstream", "USER:key-7c1d@host"],
        &["check", "--upstream", "ftp://USER:key-7c1d@host"],
        &["check", "--upstream", "http://host/?token=key-7c1d"],
        &["check", "--legacy-upstream", "https://USER:key-7c1d@host"],
        &["check", "--guide", "https://USER:key-7c1d@host"],
        &["check", "--listen", "http://USER:key-7c1d@host"],
        &["report", "--admin", "http://USER:key-7c1d@127.0.0.1:9"],
        &["report", "--admin", "https://USER:key-7c1d@127.0.0.1:9"],
    ] {
        let output = run(arguments, &[]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_ne!(output.status.code(), Some(0), "{arguments:?} {said}");
        assert!(
            !said.contains(SECRET) && said.contains("(not shown)"),
            "{arguments:?} {said}"
        );
    }
    let folder = TableFolder::with(
        "outside-file",
        &[("jobshim.toml", "[upstream]\nurl = \"http://USER:key-7c1d@host\"\n")],
    );
    let output = run(
        &[
            "check",
            "--config",
            &folder.path.join("jobshim.toml").display().to_string(),
        ],
        &[],
    );
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(!said.contains(SECRET) && said.contains("(not shown)@host"), "{said}");
}

#[test]
fn what_doctor_prints_of_a_server_is_plain() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let server = runtime.block_on(server());
    let output = run(&["doctor", "--upstream", &server.url()], &[]);
    let said = [output.stdout, output.stderr].concat();
    for line in String::from_utf8_lossy(&said).lines() {
        assert_is_plain(line);
    }
}
