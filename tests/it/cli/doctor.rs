//! `jobshim doctor`: what it finds out about servers that differ, and what that means for each legacy route.

use crate::support::{
    program::run,
    server::{Server, Setup, board},
};
use http::Method;
use jobshim::demo::{Job, Options, Rules, Simulator};

struct Said {
    code: Option<i32>,
    text: String,
}

impl Said {
    /// What stands beside `name`.
    fn row(&self, name: &str) -> &str {
        let line = self.text.lines().find(|line| line.trim_start().starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no row {name:?} in:\n{}", self.text));
        line.trim_start().trim_start_matches(name).trim()
    }

    fn assert_rows(&self, rows: &[(&str, &str)]) {
        for (name, value) in rows {
            let said = self.row(name);
            assert!(
                said.contains(value),
                "{name}: {said:?} and not {value:?} in:\n{}",
                self.text
            );
        }
    }
}

fn doctor(arguments: &[&str]) -> Said {
    let output = run(&[&["doctor"], arguments].concat(), &[]);
    Said {
        code: output.status.code(),
        text: String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
    }
}

fn queued(with_prompt: bool) -> Job {
    let entry = r#""id": "waits", "status": "pending", "create_time": 1700000000000, "priority": 1"#;
    let workflow = if with_prompt {
        r#", "workflow": {"prompt": {}, "extra_data": {}}"#
    } else {
        ""
    };
    Job::new(&format!("{{{entry}}}"), &format!("{{{entry}{workflow}}}")).expect("a job")
}

/// A server that holds one queued job, besides the others.
async fn with_queued(rules: Rules, with_prompt: bool, setup: Setup) -> Server {
    let mut jobs = board(rules);
    jobs.jobs.push(queued(with_prompt));
    Server::start(jobs, setup).await
}

fn legacy_writes() -> Setup {
    Setup {
        legacy_writes: true,
        ..Setup::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_can_do_all_has_an_answer_for_each_route() {
    let server = with_queued(Rules::Comfyui, true, legacy_writes()).await;
    let said = doctor(&["--upstream", &server.url()]);
    assert_eq!(said.code, Some(0), "{}", said.text);
    said.assert_rows(&[
        ("dialect", "comfyui: Self-hosted ComfyUI"),
        ("GET /api/jobs ", "yes"),
        ("GET /api/jobs/{id}", "yes"),
        ("POST /api/jobs/{id}/cancel", "yes"),
        ("POST /api/jobs/cancel", "yes"),
        ("GET /object_info/{class}", "yes"),
        ("queued jobs are told", "with their prompts"),
        ("origin rule", "let in"),
        ("GET /history/{id}", "from the Jobs API"),
        ("POST /queue", "by POST /api/jobs/{id}/cancel"),
        ("POST /history", "by the server's own POST /history"),
        ("everything else", "passes through"),
    ]);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_changes_nothing_on_the_server() {
    let server = with_queued(Rules::Comfyui, false, legacy_writes()).await;
    doctor(&["--upstream", &server.url()]);
    assert_eq!(server.with(|state| state.board.in_state("pending")), ["waits"]);
    assert_eq!(
        server.arrived(Method::POST, "/interrupt").len(),
        0,
        "an old server would stop what runs"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_cancel_does_it_by_its_own_endpoints_or_not_at_all() {
    for (legacy_writes, code, outcome) in [
        (true, 1, "by the server's own POST /queue"),
        (false, 1, "501: the server can neither cancel"),
    ] {
        let setup = Setup {
            legacy_writes,
            no_cancel: Some(405),
            ..Setup::default()
        };
        let server = with_queued(Rules::ComfyuiEarly, false, setup).await;
        let said = doctor(&["--upstream", &server.url()]);
        assert_eq!(said.code, Some(code), "{}", said.text);
        said.assert_rows(&[
            ("POST /api/jobs/{id}/cancel", "no (405)"),
            ("queued jobs are told", "without their prompts"),
            ("GET /queue", "known only if it was sent through jobshim"),
            ("POST /queue", outcome),
            ("POST /api/job/{id}/cancel", "501"),
        ]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_is_told_by_its_dialect_and_asked_with_the_key() {
    let server = Server::start(
        board(Rules::Cloud),
        Setup {
            keys: &["right"],
            ..Setup::default()
        },
    )
    .await;
    let said = doctor(&[
        "--upstream",
        &server.url(),
        "--upstream-header",
        "X-API-Key=right",
        "--listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(said.code, Some(0), "{}", said.text);
    said.assert_rows(&[
        ("dialect", "cloud: Comfy Cloud"),
        ("POST /api/jobs/cancel", "yes"),
        ("queued jobs are told", "none is queued now"),
        ("POST /history", "jobshim hides those jobs until it ends"),
    ]);
    assert!(!said.text.contains("right"), "a key is shown: {}", said.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_origin_rule_is_seen() {
    let options = Options {
        origin_rule: true,
        ..Options::default()
    };
    let simulator = Simulator::start(board(Rules::Comfyui), options)
        .await
        .expect("a simulator");
    let said = doctor(&["--upstream", &simulator.url()]);
    assert_eq!(said.code, Some(0), "{}", said.text);
    said.assert_rows(&[
        ("origin rule", "cross-site are refused (403)"),
        ("POST /history", "jobshim hides those jobs"),
    ]);
    assert_eq!(doctor(&["--upstream", "nowhere"]).code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_is_gone_is_not_said_to_have_an_answer() {
    let server = with_queued(Rules::Comfyui, true, legacy_writes()).await;
    let said = doctor(&["--upstream", &server.url(), "--route", "queue=gone"]);
    assert_eq!(said.code, Some(0), "{}", said.text);
    said.assert_rows(&[("GET /queue", "answered 410"), ("GET /history", "from the Jobs API")]);
    assert!(
        said.text.contains("Legacy routes in mode gone are answered with 410"),
        "{}",
        said.text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_clouds_own_endpoints_nothing_is_said_that_was_not_found_out() {
    let server = Server::start(board(Rules::Cloud), Setup::default()).await;
    let said = doctor(&["--upstream", &server.url(), "--mode", "shadow"]);
    said.assert_rows(&[("dialect", "cloud"), ("GET /history ", "passed to")]);
    assert!(!said.text.contains("it has none"), "{}", said.text);
}
