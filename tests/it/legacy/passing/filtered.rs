//! Which jobs are left out, for whom, and that everything else stays to the byte.

use super::{ANNA, delete, get, job, server, uuid};
use crate::support::{Client, StateFolder, start, upstream::Scripted};
use http::Method;
use jobshim::{
    config::{DialectChoice, StatePlace},
    demo::Rules,
};
use serde_json::{Value, json};
use std::net::SocketAddr;

/// The numbers of the jobs that a list shows to Anna.
async fn listed(at: SocketAddr, target: &str) -> Vec<usize> {
    let reply = get(at, target, &ANNA).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let list: Value = serde_json::from_slice(&reply.body).expect("JSON");
    let jobs = list["jobs"].as_array().expect("a list").iter();
    jobs.map(|job| job["id"].as_str().expect("an id")[..8].parse().expect("a number"))
        .collect()
}

async fn detail(at: SocketAddr, nth: usize) -> u16 {
    let reply = get(at, &format!("/api/jobs/{}", uuid(nth)), &ANNA).await;
    reply.status.as_u16()
}

#[tokio::test]
async fn a_hidden_job_is_in_no_list_and_its_detail_is_the_servers_404() {
    for (rules, choice) in [
        (Rules::Comfyui, DialectChoice::Comfyui),
        (Rules::Cloud, DialectChoice::Cloud),
    ] {
        let server = server(rules, 4).await;
        let jobshim = start(&server.url(), |config| config.upstream.dialect = choice).await;
        let at = jobshim.address;
        delete(&jobshim, json!({"delete": [uuid(2), uuid(4)]})).await;
        assert_eq!(listed(at, "/api/jobs").await, [3, 1]);
        assert_eq!(
            listed(at, "/api/jobs?limit=2&offset=1&status=completed").await,
            [3],
            "a page of the server's own"
        );
        assert_eq!(detail(at, 1).await, 200);
        let hidden = get(at, &format!("/api/jobs/{}", uuid(2)), &ANNA).await;
        let unknown = get(at, &format!("/api/jobs/{}", uuid(77)), &ANNA).await;
        assert_eq!((hidden.status, hidden.text()), (unknown.status, unknown.text()));
        assert_eq!(hidden.header("content-type"), unknown.header("content-type"));
        if rules == Rules::Cloud {
            assert_eq!(listed(at, "/jobs").await, [3, 1], "as a local client asks");
        }
        delete(&jobshim, json!({"clear": true})).await;
        assert_eq!(listed(at, "/api/jobs").await, [0; 0]);
        assert_eq!(detail(at, 1).await, 404);
    }
}

#[tokio::test]
async fn who_hides_nothing_gets_every_byte_and_asks_as_before() {
    let body = r#"{"jobs" : [ {"id": "a", "status": "completed" , "create_time": 1795000000000} ,{"id":"b"}],"pagination":{} } "#;
    let recorder = Scripted::always(200, &[("content-type", "application/json"), ("etag", "\"x\"")], body).await;
    let jobshim = start(&recorder.url(), |config| {
        config.upstream.dialect = DialectChoice::Comfyui
    })
    .await;
    let at = jobshim.address;
    let asks = [("accept-encoding", "gzip"), ("if-none-match", "\"y\"")];
    let same = async |when: &str| {
        for target in ["/api/jobs", "/api/jobs?limit=1", "/api/jobs/a"] {
            let reply = get(at, target, &asks).await;
            assert_eq!(reply.text(), body, "{when}");
            assert_eq!(reply.header("etag"), "\"x\"", "{when}");
            assert_eq!(reply.header("content-length"), body.len().to_string(), "{when}");
            let sent = recorder.all().pop().expect("a request");
            for (name, value) in asks {
                assert_eq!(sent.headers[name], value, "{when}");
            }
        }
    };
    same("nothing is hidden").await;
}

#[tokio::test]
async fn another_scope_and_the_bytes_of_other_jobs_are_untouched() {
    let server = server(Rules::Comfyui, 3).await;
    let jobshim = start(&server.url(), |_| {}).await;
    let at = jobshim.address;
    let before = get(at, "/api/jobs", &[]).await;
    delete(&jobshim, json!({"delete": [uuid(2)]})).await;
    let after = get(at, "/api/jobs", &[("accept-encoding", "gzip")]).await;
    assert_eq!(after.body, before.body);
    assert_eq!(after.header("content-length"), before.header("content-length"));
    let sent = server.arrived(Method::GET, "/api/jobs").pop().expect("a request");
    assert_eq!(sent.headers["accept-encoding"], "gzip");
    // To who hides it, all but that one.
    let filtered = get(at, "/api/jobs", &[ANNA[0], ("accept-encoding", "gzip")]).await;
    let sent = server.arrived(Method::GET, "/api/jobs").pop().expect("a request");
    assert!(
        !sent.headers.contains_key("accept-encoding"),
        "what is packed cannot be looked into"
    );
    let expected = before
        .text()
        .replace(&format!("{}, ", job(2, "completed", 2).entry), "");
    assert_eq!(filtered.text(), expected);
    let one = get(at, &format!("/api/jobs/{}", uuid(1)), &ANNA).await;
    assert_eq!(one.text(), job(1, "completed", 1).detail);
    assert_eq!(one.header("content-length"), one.body.len().to_string());
}

#[tokio::test]
async fn a_job_that_waits_or_runs_under_a_hidden_id_and_a_later_run_of_it_are_shown() {
    let server = server(Rules::Comfyui, 2).await;
    let folder = StateFolder::new("hidden-passing");
    let keeping = async || {
        start(&server.url(), |config| {
            config.state.place = StatePlace::Folder(folder.path.clone())
        })
        .await
    };
    let jobshim = keeping().await;
    delete(&jobshim, json!({"delete": [uuid(1)]})).await;
    server.with(|state| state.board.add(job(1, "pending", 5)));
    assert_eq!(listed(jobshim.address, "/api/jobs").await, [1, 2]);
    assert_eq!(
        detail(jobshim.address, 1).await,
        404,
        "the detail is that of the run which has ended"
    );
    jobshim.stop().await;
    let jobshim = keeping().await;
    assert_eq!(detail(jobshim.address, 1).await, 404, "after a restart, too");
    server.with(|state| state.board.replace(job(1, "completed", 5)));
    assert_eq!(listed(jobshim.address, "/api/jobs").await, [1, 2]);
    assert_eq!(detail(jobshim.address, 1).await, 200);
}

#[tokio::test]
async fn heads_are_asked_for_too_and_other_methods_are_not_looked_into() {
    let server = server(Rules::Comfyui, 2).await;
    let jobshim = start(&server.url(), |_| {}).await;
    let at = jobshim.address;
    delete(&jobshim, json!({"delete": [uuid(2)]})).await;
    for (target, status) in [
        ("/api/jobs".to_owned(), 200),
        (format!("/api/jobs/{}", uuid(1)), 200),
        (format!("/api/jobs/{}", uuid(2)), 404),
    ] {
        let reply = Client::new()
            .send(Method::HEAD, at, &target, &ANNA, "")
            .await
            .expect("an answer");
        assert_eq!(reply.status, status, "{target}");
        assert!(reply.body.is_empty());
    }
    let cancel = format!("/api/jobs/{}/cancel", uuid(2));
    let reply = Client::new()
        .send(Method::POST, at, &cancel, &ANNA, "")
        .await
        .expect("an answer");
    assert_eq!(reply.status, 200);
}

#[tokio::test]
async fn the_option_leaves_the_jobs_api_as_it_is() {
    let server = server(Rules::Comfyui, 2).await;
    let jobshim = start(&server.url(), |config| config.history.hide_in_jobs_api = false).await;
    delete(&jobshim, json!({"delete": [uuid(2)]})).await;
    assert_eq!(listed(jobshim.address, "/api/jobs").await, [2, 1]);
    assert_eq!(detail(jobshim.address, 2).await, 200);
}
