//! Answers of the Jobs API that do not say what they should: none of them makes a legacy answer shorter or wrong.

use crate::support::{
    Client, Reply, facing, start,
    upstream::{Scripted, TestBody, reply},
};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::SeqCst},
};

const ONE: &str = r#"{"id": "a", "status": "completed", "priority": 1, "create_time": 1795000000000, "execution_end_time": 1795000000001}"#;

fn list(jobs: &str, pagination: &str) -> Vec<u8> {
    format!(r#"{{"jobs": [{jobs}], "pagination": {pagination}}}"#).into_bytes()
}

fn whole(jobs: &str) -> Vec<u8> {
    list(jobs, r#"{"offset": 0, "limit": null, "total": 1, "has_more": false}"#)
}

fn json_reply(status: u16, body: impl Into<bytes::Bytes>) -> Response<TestBody> {
    reply(status, &[("content-type", "application/json")], body)
}

/// A server with this list, and details by a function of how often one has been asked for and its id.
async fn server(
    list: impl Into<Vec<u8>>,
    detail: impl Fn(usize, &str) -> Response<TestBody> + Send + Sync + 'static,
) -> Scripted {
    let (list, asked) = (list.into(), AtomicUsize::new(0));
    Scripted::start(move |request: Request<Incoming>| {
        let path = request.uri().path();
        let query = request.uri().query().unwrap_or_default();
        let answer = match path.strip_prefix("/api/jobs/") {
            Some(id) => detail(asked.fetch_add(1, SeqCst), id),
            None if query.contains("sort_by=create_time") => json_reply(400, r#"{"error": "sort_by"}"#),
            None if path == "/api/jobs" => json_reply(200, list.clone()),
            None if path.contains("object_info") => json_reply(200, "{}"),
            None => reply(404, &[], "404: Not Found"),
        };
        async move { answer }
    })
    .await
}

fn assert_502(reply: &Reply, reason: &str, what: &str) {
    assert_eq!(reply.status, 502, "{what}: {}", reply.text());
    let body: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(body["error"]["type"], "bad_upstream_answer", "{what}: {body}");
    let message = body["error"]["message"].as_str().expect("a message");
    assert!(message.contains(reason), "{what}: {message}");
}

#[tokio::test]
async fn a_single_404_in_words_means_that_there_is_no_such_job() {
    // An id with a brace is none to the server's own endpoint either.
    let is_taken = |id: &str| !id.contains('{') && !id.starts_with("%7B");
    for (words, content_type) in [("404: Not Found", "text/plain"), ("", ""), ("<html>", "text/html")] {
        let server = server(whole(ONE), move |_, _| {
            reply(404, &[("content-type", content_type)], words)
        })
        .await;
        for jobshim in [facing(&server.url(), |_| {}).await, start(&server.url(), |_| {}).await] {
            for id in ["{prompt_id}", "%7Bprompt_id%7D", "x", "a%20b"] {
                let reply = Client::new().get(jobshim.address, &format!("/history/{id}")).await;
                assert_eq!(
                    (reply.status.as_u16(), reply.text().as_str()),
                    if is_taken(id) { (200, "{}") } else { (404, words) },
                    "{id} {words}"
                );
                let reply = Client::new()
                    .get(jobshim.address, &format!("/api/history_v2/{id}"))
                    .await;
                assert_eq!(reply.status, 404, "{id} {words}");
                assert!(reply.text().contains("not found"), "{}", reply.text());
            }
        }
    }
}

#[tokio::test]
async fn where_the_list_is_missing_too_a_404_still_means_that_there_is_no_jobs_api() {
    let server = Scripted::start(|_| async { reply(404, &[], "404: Not Found") }).await;
    let jobshim = facing(&server.url(), |_| {}).await;
    let reply = Client::new().get(jobshim.address, "/history/x").await;
    assert_eq!(reply.status, 502);
    assert!(reply.text().contains("no_jobs_api"), "{}", reply.text());
}

#[tokio::test]
async fn a_list_that_does_not_say_whether_there_is_more_is_not_all_there_is() {
    for pagination in [
        "{}",
        "null",
        r#"{"has_more": null}"#,
        r#"{"has_more": "false"}"#,
        r#"{"has_more": 0}"#,
    ] {
        let server = server(list(ONE, pagination), |_, _| json_reply(200, ONE)).await;
        let jobshim = facing(&server.url(), |_| {}).await;
        for target in ["/history", "/history?max_items=5", "/queue", "/api/history_v2"] {
            let reply = Client::new().get(jobshim.address, target).await;
            assert_502(&reply, "whether there is more", &format!("{target} {pagination}"));
        }
    }
}

#[tokio::test]
async fn a_job_that_the_list_has_as_ended_and_its_detail_not_is_asked_for_again() {
    let running = ONE.replace("completed", "in_progress");
    for (wrong, ends_well) in [(1, true), (usize::MAX, false)] {
        let other = running.clone();
        let server = server(whole(ONE), move |nth, _| {
            json_reply(200, if nth < wrong { other.clone() } else { ONE.to_owned() })
        })
        .await;
        for target in ["/history", "/api/history_v2"] {
            let jobshim = facing(&server.url(), |_| {}).await;
            let reply = Client::new().get(jobshim.address, target).await;
            match ends_well {
                true => {
                    assert_eq!(reply.status, 200, "{}", reply.text());
                    assert!(reply.text().contains("\"a\""), "{}", reply.text());
                }
                false => assert_502(&reply, "has not", target),
            }
        }
    }
}

#[tokio::test]
async fn a_detail_of_another_job_is_not_shown() {
    for other in ["\"b\"", "\"\"", "5", "null", "[\"a\"]"] {
        let server = server(whole(ONE), move |_, _| json_reply(200, ONE.replace("\"a\"", other))).await;
        let jobshim = facing(&server.url(), |_| {}).await;
        for target in ["/history", "/history/a", "/api/history_v2/a", "/api/job/a/status"] {
            let reply = Client::new().get(jobshim.address, target).await;
            assert_502(&reply, "another job", &format!("{target} {other}"));
        }
        if other == "\"b\"" {
            let right = Client::new().get(jobshim.address, "/history/b").await;
            assert_eq!(right.status, 200, "{}", right.text());
        }
    }
}

#[tokio::test]
async fn strings_that_are_not_utf_8_are_not_passed_on() {
    let mut odd = ONE.to_owned().into_bytes();
    odd.truncate(odd.len() - 1);
    odd.extend_from_slice(b", \"outputs\": {\"9\": {\"text\": [\"\xff\"]}}}");
    let detail = odd.clone();
    let server_of_detail = server(whole(ONE), move |_, _| json_reply(200, detail.clone())).await;
    let jobshim = facing(&server_of_detail.url(), |_| {}).await;
    for target in ["/history", "/history/a"] {
        let reply = Client::new().get(jobshim.address, target).await;
        assert_502(&reply, "utf-8", target);
    }
    let listed = [&b"{\"jobs\": ["[..], &odd, b"], \"pagination\": {\"has_more\": false}}"].concat();
    let server_of_list = server(listed, |_, _| json_reply(200, ONE)).await;
    let jobshim = facing(&server_of_list.url(), |_| {}).await;
    for target in ["/history", "/queue"] {
        let reply = Client::new().get(jobshim.address, target).await;
        assert_502(&reply, "utf-8", target);
    }
}

#[tokio::test]
async fn an_id_that_no_path_can_carry_is_the_servers_fault() {
    let long = ONE.replace("\"a\"", &format!("\"{}\"", "x".repeat(100_000)));
    for state in ["completed", "pending"] {
        let server = server(whole(&long.replace("completed", state)), |_, _| json_reply(200, ONE)).await;
        let jobshim = facing(&server.url(), |_| {}).await;
        for target in ["/history", "/queue", "/api/history_v2"] {
            let reply = Client::new().get(jobshim.address, target).await;
            assert_502(&reply, "100000 bytes", target);
        }
        let reply = Client::new()
            .send(Method::POST, jobshim.address, "/queue", &[], r#"{"clear": true}"#)
            .await
            .expect("an answer");
        assert_502(&reply, "100000 bytes", "POST /queue");
    }
}

#[tokio::test]
async fn a_clear_hides_jobs_without_a_time_by_their_ids_and_no_later_ones() {
    let jobs = Arc::new(std::sync::Mutex::new(vec!["a", "b"]));
    let known = Arc::clone(&jobs);
    let entry = |id: &str| json!({"id": id, "status": "completed", "priority": 1});
    let server = Scripted::start(move |request: Request<Incoming>| {
        let ids = known.lock().expect("ids").clone();
        let queued = request.uri().query().is_some_and(|query| query.contains("pending"));
        let answer = match request.uri().path().strip_prefix("/api/jobs/") {
            Some(id) => json_reply(200, entry(id).to_string()),
            None if request.uri().path() != "/api/jobs" => reply(404, &[], "404: Not Found"),
            None => {
                let entries: Vec<Value> = ids.iter().filter(|_| !queued).map(|id| entry(id)).collect();
                json_reply(
                    200,
                    json!({"jobs": entries, "pagination": {"has_more": false}}).to_string(),
                )
            }
        };
        async move { answer }
    })
    .await;
    let jobshim = facing(&server.url(), |_| {}).await;
    let client = Client::new();
    let shown = async || {
        let reply = client.get(jobshim.address, "/history").await;
        let history: Value = serde_json::from_slice(&reply.body).expect("JSON");
        let ids: Vec<String> = history.as_object().expect("an object").keys().cloned().collect();
        ids
    };
    assert_eq!(shown().await, ["a", "b"]);
    let cleared = client
        .send(Method::POST, jobshim.address, "/history", &[], r#"{"clear": true}"#)
        .await
        .expect("an answer");
    assert_eq!(cleared.status, 200, "{}", cleared.text());
    assert_eq!(shown().await, [""; 0]);
    jobs.lock().expect("ids").push("c");
    assert_eq!(shown().await, ["c"], "it came later, and says no time either");
}

#[tokio::test]
async fn a_clear_that_could_not_learn_which_jobs_exist_is_an_error() {
    let undated = r#"{"id": "a", "status": "completed", "priority": 1}"#;
    for (jobs, pagination, reason) in [
        ("", "{}", "whether there is more"),
        ("", r#"{"has_more": "no"}"#, "whether there is more"),
        (
            undated,
            r#"{"has_more": true, "offset": 0, "limit": 1000, "total": 2000}"#,
            "when it was created",
        ),
        (undated, "null", "when it was created"),
        // What has not ended is not known.
        (ONE, "{}", "whether there is more"),
    ] {
        let server = server(list(jobs, pagination), |_, _| json_reply(200, ONE)).await;
        let jobshim = facing(&server.url(), |_| {}).await;
        let client = Client::new();
        let clear = client.send(Method::POST, jobshim.address, "/history", &[], r#"{"clear": true}"#);
        assert_502(
            &clear.await.expect("an answer"),
            reason,
            &format!("{jobs} {pagination}"),
        );
    }
}
