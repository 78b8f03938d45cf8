//! What the log says at the start of the server behind, and `doctor` too: what it is, and what becomes of legacy calls there.

#![cfg(unix)]

use super::hints::{assert_says, doctor, legacy_says, log_line, simulator};
use crate::support::{
    Client,
    program::{Program, run},
    upstream::{Scripted, reply},
    wait::until,
};
use jobshim::demo::{Options, Rules};

/// A ComfyUI from before the Jobs API, with its own legacy endpoints.
async fn old_server() -> Scripted {
    Scripted::start(|request| async move {
        let json = [("content-type", "application/json")];
        match request.uri().path() {
            "/system_stats" => reply(
                200,
                &json,
                r#"{"system": {"comfyui_version": "0.3.75"}, "devices": []}"#,
            ),
            "/queue" => reply(200, &json, r#"{"queue_running": [], "queue_pending": []}"#),
            _ => reply(404, &[("content-type", "text/plain")], "404: Not Found"),
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_server_is_for_mode_auto_as_error_log_and_doctor_say() {
    let server = old_server().await;
    legacy_says(&server.url(), &["--mode auto"]).await;
    assert_says(&log_line(&server.url(), "dialect is not known"), &["--mode auto"]);
    let (code, text) = doctor(&server.url());
    assert_eq!(code, 1, "{text}");
    assert_says(&text, &["With --mode auto each can"]);

    let mut program = Program::before(&server.url(), &["--mode", "auto"]);
    let address = program.address();
    program.line_with("connected to ComfyUI 0.3.75");
    program.line_with("legacy calls in mode auto go to its own legacy endpoints");
    assert_eq!(Client::new().get(address, "/queue").await.status, 200);
    assert!(
        !program.log.iter().any(|line| line.contains("WARN")),
        "{:#?}",
        program.log
    );
    let mut program = Program::before(&server.url(), &["--mode", "forward"]);
    program.line_with("connected to ComfyUI 0.3.75");
    program.line_with("legacy calls are passed to");
    let output = run(&["doctor", "--mode", "auto", "--upstream", &server.url()], &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert_says(&text, &["answered by the server's own legacy endpoints"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_says_at_the_start_what_becomes_of_legacy_calls() {
    let alone = simulator(Rules::Comfyui, Options::default()).await;
    let both = Scripted::start(|request| async move {
        let json = [("content-type", "application/json")];
        match request.uri().path() {
            "/system_stats" => reply(
                200,
                &json,
                r#"{"system": {"comfyui_version": "0.33.0"}, "devices": []}"#,
            ),
            "/queue" => reply(200, &json, "{}"),
            _ => reply(400, &json, r#"{"error": "Invalid sort_by"}"#),
        }
    })
    .await;
    let choice = "still has its own legacy endpoints, which --mode forward or shadow would use";
    for (url, arguments, connected, said, is_choice) in [
        (
            alone.url(),
            &[][..],
            "does not tell its version",
            "answered from the Jobs API",
            false,
        ),
        (
            both.url(),
            &[],
            "connected to ComfyUI 0.33.0",
            "answered from the Jobs API",
            true,
        ),
        (
            both.url(),
            &["--mode", "shadow"],
            "connected to ComfyUI 0.33.0",
            "then compared",
            false,
        ),
        (
            both.url(),
            &["--route", "queue=gone"],
            "connected to ComfyUI 0.33.0",
            "answered 410 (queue)",
            false,
        ),
        (
            both.url(),
            &["--dialect", "comfyui"],
            "connected to ComfyUI 0.33.0",
            "answered from the Jobs API",
            true,
        ),
        (
            both.url(),
            &["--dialect", "cloud"],
            "connected to Comfy Cloud",
            "answered from the Jobs API",
            false,
        ),
    ] {
        let mut program = Program::before(&url, arguments);
        program.line_with(connected);
        let line = program.line_with("legacy calls are ");
        assert!(line.contains(said), "{line}");
        assert_eq!(line.contains(choice), is_choice, "{line}");
        let output = run(&[&["doctor", "--upstream", &url], arguments].concat(), &[]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(text.contains(choice), is_choice, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_server_has_no_legacy_endpoints_the_modes_that_ask_them_are_warned_of() {
    let server = simulator(Rules::Comfyui, Options::default()).await;
    for (arguments, routes, answered) in [
        (&["--mode", "shadow"][..], Some("the mode of history, "), false),
        (
            &["--mode", "forward", "--dialect", "comfyui"],
            Some("the mode of history, "),
            false,
        ),
        (
            &["--route", "queue=canary:5%"],
            Some("the mode of queue sends there is a 404"),
            false,
        ),
        (&["--mode", "auto"], None, true),
        (&["--mode", "translate"], None, true),
    ] {
        let mut program = Program::before(&server.url(), arguments);
        program.line_with("legacy calls are ");
        match routes {
            Some(routes) => {
                let line = program.line_with("has no legacy endpoints of its own");
                assert_says(&line, &[routes, "mode translate"]);
            }
            None => {
                // A line of a request, after all of the start's.
                Client::new().get(program.address(), "/queue").await;
                program.line_with("answered");
                let warned = program.log.iter().any(|line| line.contains("has no legacy endpoints"));
                assert!(!warned, "{:#?}", program.log);
            }
        }
        let output = run(&[&["doctor", "--upstream", &server.url()], arguments].concat(), &[]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(
            output.status.code(),
            Some(i32::from(!answered)),
            "{arguments:?}: {text}"
        );
        assert_eq!(text.contains("Every legacy route has an answer"), answered, "{text}");
        assert_eq!(
            text.contains("asks the server's own endpoint, and it has none"),
            !answered,
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_legacy_upstream_that_knows_other_jobs_is_named_at_the_start_and_by_the_doctor() {
    let upstream = Scripted::answering(|arrived| {
        let json = [("content-type", "application/json")];
        let job = r#"{"id": "done", "status": "completed", "create_time": 1795000000000}"#;
        let is_probe = arrived.query().contains("create_time");
        match is_probe {
            true => reply(400, &json, r#"{"error": "Invalid sort_by"}"#),
            false => reply(
                200,
                &json,
                format!(r#"{{"jobs": [{job}], "pagination": {{"has_more": false}}}}"#),
            ),
        }
    })
    .await;
    for (knows, dialect) in [(true, "auto"), (false, "auto"), (true, "comfyui"), (false, "comfyui")] {
        let own = if knows { r#"{"done": {}}"# } else { "{}" };
        let legacy = Scripted::always(200, &[("content-type", "application/json")], own).await;
        let arguments = [
            "--legacy-upstream",
            &legacy.url(),
            "--mode",
            "forward",
            "--dialect",
            dialect,
        ];
        let mut program = Program::before(&upstream.url(), &arguments);
        let at = program.address();
        until("it asked", async || {
            legacy.count(|one| one.path() == "/history/done") > 0
        })
        .await;
        if !knows {
            program.line_with("knows none of the newest finished jobs");
        }
        Client::new().get(at, "/queue").await;
        program.signal("TERM");
        assert!(program.end().success());
        let doctor = run(
            &[&["doctor", "--upstream", &upstream.url()], &arguments[..]].concat(),
            &[],
        );
        let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
        let words = if knows {
            "knows the upstream's jobs"
        } else {
            "waits for ever"
        };
        assert!(said.contains(words), "{knows} {dialect}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_at_the_start_is_connected_to_in_no_dialect() {
    for dialect in ["comfyui", "cloud"] {
        let mut program = Program::before("http://127.0.0.1:9", &["--dialect", dialect]);
        program.line_with("legacy calls are answered from the Jobs API");
        let line = program.line_with("the upstream cannot be asked yet");
        assert_says(&line, &["WARN", "cannot connect to the upstream", "cause="]);
        let connected = program.log.iter().any(|line| line.contains("connected to"));
        assert!(!connected, "{:#?}", program.log);
    }
}
