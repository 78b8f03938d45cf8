//! `explain`: the calls of a request, and its fields.

use super::{one_job, stderr, stdout};
use crate::support::program::run;
use jobshim::demo::{Options, Rules, Simulator};

#[test]
fn explain_shows_calls_and_fields() {
    let one = stdout(&run(&["explain", "/history/ID"], &[]));
    for part in [
        "GET /api/jobs/ID",
        "GET /object_info/{class}",
        "prompt[2]",
        "workflow.prompt",
        "prompt[4]",
        "derived",
        "exact",
    ] {
        assert!(one.contains(part), "{part} is not in {one}");
    }
    let queue = stdout(&run(&["explain", "GET", "/api/queue", "--dialect", "cloud"], &[]));
    assert!(
        queue.contains("GET /api/jobs?status=pending,in_progress&limit=1000"),
        "{queue}"
    );
    let passed = stdout(&run(&["explain", "/view?filename=a"], &[]));
    assert!(passed.contains("passes through"), "{passed}");
    assert!(passed.contains("unchanged"), "{passed}");
    for (request, part) in [
        (&["explain", "/view?filename=a"][..], "as /api/view?filename=a"),
        (&["explain", "POST", "/prompt"], "as /api/prompt;"),
        (&["explain", "POST", "/queue"], "POST /api/queue   as it came"),
        (&["explain", "POST", "/api/history"], "POST /api/history   as it came"),
        (
            &["explain", "/api/jobs?sort_by=created_at"],
            "as /api/jobs?sort_by=create_time",
        ),
        (&["explain", "/ws?clientId=a"], "unchanged"),
    ] {
        let cloud = stdout(&run(&[request, &["--dialect", "cloud"]].concat(), &[]));
        assert!(cloud.contains(part), "{part} is not in {cloud}");
    }
    let wrong = stdout(&run(&["explain", "DELETE", "/history"], &[]));
    assert!(wrong.contains("405"), "{wrong}");
    let bad = run(&["explain", "history"], &[]);
    assert_eq!(bad.status.code(), Some(1));
    assert!(stderr(&bad).contains("no target"), "{}", stderr(&bad));
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_with_an_upstream_does_it() {
    let simulator = Simulator::start(one_job(Rules::Comfyui), Options::default())
        .await
        .expect("a simulator");
    let output = run(&["explain", "/history", "--upstream", &simulator.url()], &[]);
    let text = stdout(&output);
    assert!(
        text.contains("200 OK") && text.contains(r#"{"only-one": {"prompt": [7,"#),
        "{text}"
    );
    let down = run(&["explain", "/history", "--upstream", "http://127.0.0.1:9"], &[]);
    assert_eq!(down.status.code(), Some(1));
    assert!(stderr(&down).contains("refused"), "{}", stderr(&down));
}

#[test]
fn explain_takes_method_and_target_in_one_word() {
    for request in [&["POST /interrupt"][..], &["POST", "/interrupt"], &["post /interrupt"]] {
        let output = run(&[&["explain"], request].concat(), &[]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(stdout(&output).contains("POST /interrupt is done through the Jobs API"));
    }
}

#[test]
fn explain_says_what_the_mode_in_force_makes_of_a_request() {
    for (mode, request, said) in [
        ("translate", "/history", "GET /history is answered from the Jobs API ("),
        ("auto", "/queue", "GET /queue is answered from the Jobs API ("),
        ("canary:20", "/queue", "GET /queue is answered from the Jobs API ("),
        (
            "forward",
            "/history",
            "is not answered from the Jobs API; in mode translate it would be (",
        ),
        (
            "gone",
            "/history/ID",
            "is not answered from the Jobs API; in mode translate it would be (",
        ),
        ("shadow", "/queue", "is compared with what comes from the Jobs API ("),
        (
            "shadow",
            "POST /queue",
            "is not done through the Jobs API; in mode translate it would be (",
        ),
        (
            "forward",
            "POST /interrupt",
            "is not done through the Jobs API; in mode translate it would be (",
        ),
    ] {
        let text = stdout(&run(&["explain", request, "--mode", mode], &[]));
        assert!(text.contains(said), "{mode} {request}: {text}");
        assert!(text.contains("is in mode "), "{mode} {request}: {text}");
    }
}
