//! Several accounts of the cloud: a key shows and changes its own jobs alone, and a refusal says which key was wrong.

use super::{KEY, OTHER_KEY, cloud, in_front_of, job, send};
use crate::support::{json::Json, program::Program, upstream::Arrived};
use http::Method;
use serde_json::Value;
use std::net::SocketAddr;

/// The ids in the history of whoever sends these headers.
async fn history(at: SocketAddr, headers: &[(&str, &str)]) -> Vec<String> {
    let shown = send(at, Method::GET, "/history", headers, "").await;
    let shown = Json::parse(&shown.body).expect("JSON");
    shown.keys().into_iter().map(str::to_owned).collect()
}

#[tokio::test]
async fn lists_are_walked_in_pages_of_a_hundred_and_show_this_keys_jobs_alone() {
    let server = cloud(None).await;
    server.with(|state| {
        for nth in 1..=250 {
            let id = format!("job-{nth:04}");
            state.board.add(job(&id, "completed", nth));
            let owner = if nth % 50 == 0 { OTHER_KEY } else { KEY };
            state.owners.insert(id, owner.to_owned());
        }
    });
    let jobshim = in_front_of(&server.url()).await;
    let wanted: Vec<String> = (1..=250)
        .filter(|nth| nth % 50 != 0)
        .map(|nth| format!("job-{nth:04}"))
        .collect();
    assert_eq!(history(jobshim.address, &[]).await, wanted);
    let lists = server.arrived(Method::GET, "/api/jobs?");
    let cursors = lists.iter().filter(|list| list.target.contains("after=")).count();
    assert_eq!((lists.len(), cursors), (3, 2), "{lists:#?}");
    assert_eq!(
        history(jobshim.address, &[("x-api-key", OTHER_KEY)]).await,
        ["job-0050", "job-0100", "job-0150", "job-0200", "job-0250"]
    );
}

#[tokio::test]
async fn clearing_a_long_queue_cancels_all_of_it_and_nothing_of_another_key() {
    let server = cloud(None).await;
    let uuid = |nth: usize| format!("{nth:08}-0000-4000-8000-000000000000");
    server.with(|state| {
        for nth in 1..=260 {
            state.board.add(job(&uuid(nth), "pending", nth));
            let owner = if nth % 26 == 0 { OTHER_KEY } else { KEY };
            state.owners.insert(uuid(nth), owner.to_owned());
        }
    });
    let jobshim = in_front_of(&server.url()).await;
    let reply = send(jobshim.address, Method::POST, "/queue", &[], r#"{"clear": true}"#).await;
    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, ""));
    let calls = server.arrived(Method::POST, "/api/jobs/cancel");
    let named = |call: &Arrived| {
        let body: Value = serde_json::from_slice(&call.body).expect("JSON");
        body["job_ids"].as_array().map_or(0, Vec::len)
    };
    assert_eq!(calls.iter().map(named).collect::<Vec<_>>(), [100, 100, 50]);
    let left = server.with(|state| state.board.in_state("pending"));
    let theirs: Vec<String> = (1..=10).rev().map(|nth| uuid(nth * 26)).collect();
    assert_eq!(left, theirs);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_and_anothers_job_reach_the_client_as_they_are_and_the_log_tells_them_apart() {
    let server = cloud(None).await;
    server.with(|state| {
        state.board.add(job("theirs", "completed", 1));
        state.owners.insert("theirs".to_owned(), OTHER_KEY.to_owned());
    });
    for dialect in ["cloud", "auto"] {
        let arguments = [
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            &server.url(),
            "--dialect",
            dialect,
            "--upstream-header",
            "X-API-Key=env:COMFY_CLOUD_API_KEY",
        ];
        let with_key = |key| Program::start(&arguments, &[("COMFY_CLOUD_API_KEY", key)]);
        let mut right = with_key(KEY);
        let at = right.address();
        for target in [
            "/history/theirs",
            "/api/history_v2/theirs",
            "/api/job/theirs/status",
            "/api/jobs/theirs",
        ] {
            let reply = send(at, Method::GET, target, &[], "").await;
            assert_eq!(
                (reply.status.as_u16(), reply.text().as_str()),
                (403, r#"{"code": "FORBIDDEN", "message": "the job is another user's"}"#),
                "{dialect} {target}"
            );
        }
        let reply = send(at, Method::POST, "/api/job/theirs/cancel", &[], "").await;
        assert_eq!(reply.status, 403, "{dialect}: {}", reply.text());
        let line = right.line_with("answered 403:");
        assert!(line.contains("not your job") && !line.contains("wrong key"), "{line}");
        let mut wrong = with_key("a-wrong-key");
        let at = wrong.address();
        for (method, target) in [
            (Method::GET, "/history"),
            (Method::GET, "/queue"),
            (Method::POST, "/prompt"),
            (Method::POST, "/upload/image"),
            (Method::GET, "/view?filename=a"),
            (Method::POST, "/queue"),
            (Method::POST, "/interrupt"),
            (Method::POST, "/history"),
            (Method::GET, "/api/jobs"),
            (Method::GET, "/ws?clientId=a"),
        ] {
            let reply = send(at, method.clone(), target, &[], "{}").await;
            assert_eq!(
                (reply.status.as_u16(), reply.text().as_str()),
                (401, r#"{"code": "UNAUTHORIZED", "message": "invalid API key"}"#),
                "{dialect} {method} {target}"
            );
        }
        let line = wrong.line_with("answered 401:");
        assert!(line.contains("wrong key") && !line.contains("not your job"), "{line}");
    }
}
