//! What Comfy API v2 has nothing for.

use super::Setup;
use crate::support::program::run;
use http::Method;
use jobshim::demo::v2::{Call, Options, Simulator};
use serde_json::{Value, json};

#[tokio::test]
async fn what_the_server_has_nothing_for_is_a_501_that_says_what_to_use() {
    let setup = Setup::new(Options::default()).await;
    setup.submit(&[], json!({})).await;
    let others = setup.server.count(Call::Other);
    for (method, target) in [
        (Method::GET, "/object_info"),
        (Method::GET, "/api/object_info/KSampler"),
        (Method::GET, "/models/checkpoints"),
        (Method::GET, "/api/userdata?dir=workflows"),
        (Method::POST, "/free"),
        (Method::POST, "/upload/video"),
    ] {
        let answer = setup
            .client
            .send(method.clone(), setup.jobshim.address, target, &[], "")
            .await
            .expect("an answer");
        assert_eq!(answer.status, 501, "{target}: {}", answer.text());
        let said: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let path = target.split('?').next().expect("a path");
        let message = said["error"]["message"].as_str().expect("a message");
        assert!(message.contains(&format!("{method} {path}")), "{said}");
        assert!(
            said["error"]["details"]
                .as_str()
                .is_some_and(|details| !details.is_empty()),
            "{said}"
        );
    }
    assert_eq!(setup.server.count(Call::Other), others, "the server is not asked");
}

#[tokio::test]
async fn what_clients_only_knock_at_is_answered_and_marked() {
    let setup = Setup::new(Options::default()).await;
    let (id, _) = setup.submit(&[], json!({})).await;
    for (target, said) in [
        ("/api/features", json!({})),
        ("/prompt", json!({"exec_info": {"queue_remaining": 1}})),
        (
            "/system_stats",
            json!({"system": {"os": "", "comfyui_version": "", "argv": []}, "devices": []}),
        ),
    ] {
        let answer = setup.client.get(setup.jobshim.address, target).await;
        assert_eq!(answer.status, 200, "{target}: {}", answer.text());
        assert_eq!(
            serde_json::from_slice::<Value>(&answer.body).expect("JSON"),
            said,
            "{target}"
        );
        assert_eq!(answer.header("jobshim-own"), "1", "{target}");
    }
    let passing = setup
        .client
        .get(setup.jobshim.address, &format!("/api/v2/jobs/{id}"))
        .await;
    assert_eq!(
        (passing.status.as_u16(), passing.header("jobshim-own")),
        (200, ""),
        "{}",
        passing.text()
    );
}

#[tokio::test]
async fn the_first_request_of_all_may_be_for_what_there_is_not() {
    for (method, target, status) in [
        (Method::GET, "/object_info", 501),
        (Method::POST, "/free", 501),
        (Method::GET, "/system_stats", 200),
        (Method::GET, "/prompt", 200),
        // What nobody has is the server's own to refuse.
        (Method::GET, "/nothing", 404),
    ] {
        let setup = Setup::new(Options::default()).await;
        let answer = setup
            .client
            .send(method, setup.jobshim.address, target, &[], "")
            .await
            .expect("an answer");
        assert_eq!(answer.status.as_u16(), status, "{target}: {}", answer.text());
        assert_eq!(answer.header("jobshim-own") == "1", status == 200, "{target}");
    }
}

/// What a command says of a server.
fn said(arguments: &[&str]) -> String {
    let output = run(arguments, &[]);
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test(flavor = "multi_thread")]
async fn doctor_and_explain_name_the_dialect_and_submit_nothing() {
    for options in [Options::default(), Options::api_proxy()] {
        let server = Simulator::start(options).await.expect("a simulator");
        let url = server.url();
        let doctor = said(&["doctor", "--upstream", &url]);
        for part in [
            "v2: Comfy API v2",
            "from Comfy API v2",
            "by POST /api/v2/jobs/{id}/cancel",
            "jobshim hides those jobs",
            "Every legacy route has an answer.",
        ] {
            assert!(doctor.contains(part), "{part} is not in {doctor}");
        }
        let explained = said(&["explain", "/history", "--upstream", &url, "--dialect", "v2"]);
        assert!(
            explained.contains("200 OK") && explained.ends_with("{}\n"),
            "{explained}"
        );
        assert_eq!(server.count(Call::Submit), 0);
    }
    for (request, part) in [
        (&["/history/ID"][..], "GET /api/v2/jobs/ID/workflow"),
        (&["/queue"], "for each job that went through jobshim"),
        (&["POST", "/queue"], "POST /api/v2/jobs/{id}/cancel"),
        (&["POST", "/prompt"], "becomes POST /api/v2/jobs"),
        (&["/object_info"], "is a 501"),
        (&["/system_stats"], "answered by jobshim itself"),
        (&["/api/v2/health"], "passes through unchanged"),
    ] {
        let explained = said(&[&["explain"], request, &["--dialect", "v2"]].concat());
        assert!(explained.contains(part), "{part} is not in {explained}");
    }
}
