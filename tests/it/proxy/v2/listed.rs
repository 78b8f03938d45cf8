//! Which jobs are listed: those that went through jobshim, and others where the server lists them.

use super::{Setup, ids, workflow};
use crate::support::{
    Client, StateFolder, start,
    upstream::{Scripted, reply},
    wait::{as_soon_as, until},
};
use http::Method;
use jobshim::demo::v2::{Call, Fault, Options};
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn a_job_that_the_server_forgot_is_left_out_and_any_other_failure_fails_the_list() {
    let setup = Setup::new(Options::default()).await;
    let (lost, _) = setup.submit(&[], json!({})).await;
    let (kept, _) = setup.submit(&[], json!({})).await;
    for status in [401, 429, 500, 503] {
        setup.server.fail_next(Some(Call::Job), 1, Fault::Status(status));
        let answer = setup.client.get(setup.jobshim.address, "/queue").await;
        assert_eq!(answer.status.as_u16(), status, "{}", answer.text());
    }
    setup.server.fail_next(Some(Call::Job), 2, Fault::Lost);
    let answer = setup.client.get(setup.jobshim.address, "/history").await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    setup.server.heal();
    assert!(setup.server.forget(&lost));
    assert_eq!(ids(&setup.get("/queue").await), [kept]);
}

#[tokio::test]
async fn an_expired_job_is_not_in_the_history() {
    let setup = Setup::new(Options::default()).await;
    let (expired, _) = setup.submit(&[], json!({})).await;
    let (kept, _) = setup.submit(&[], json!({})).await;
    setup.server.finish(&expired);
    setup.server.finish(&kept);
    // It is known to have ended before anybody has seen its entry.
    setup.get("/queue").await;
    assert!(setup.server.expire(&expired));
    assert_eq!(ids(&setup.get("/history").await), [kept]);
    assert_eq!(setup.get(&format!("/history/{expired}")).await, json!({}));
}

#[tokio::test]
async fn a_job_that_is_called_expired_while_it_ends_is_asked_for_once_more_and_shown() {
    let setup = Setup::new(Options::default()).await;
    let (id, _) = setup.submit(&[], json!({})).await;
    setup.server.fail_next(Some(Call::Job), 1, Fault::Expired);
    assert_eq!(ids(&setup.get("/queue").await), [id.as_str()]);
    setup.server.finish(&id);
    setup.server.fail_next(Some(Call::Job), 1, Fault::Expired);
    assert_eq!(ids(&setup.get(&format!("/history/{id}")).await), [id.as_str()]);
    // Even where it is said twice, it is not held to be gone for good.
    let (slow, _) = setup.submit(&[], json!({})).await;
    setup.server.fail_next(Some(Call::Job), 2, Fault::Expired);
    assert_eq!(setup.get(&format!("/history/{slow}")).await, json!({}));
    assert_eq!(ids(&setup.get("/queue").await), [slow.as_str()]);
}

#[tokio::test]
async fn a_job_that_the_server_has_no_more_stays_where_the_history_is_kept() {
    let folder = StateFolder::new("v2-kept");
    let setup = Setup::keeping(&folder).await;
    let (expired, _) = setup.submit(&[], json!({})).await;
    let (lost, _) = setup.submit(&[], json!({})).await;
    setup.server.finish(&expired);
    setup.server.finish(&lost);
    let history = setup.get("/history").await;
    let pipeline = setup.jobshim.pipeline();
    until("they are kept", async || pipeline.kept().0 == 2).await;
    assert!(setup.server.expire(&expired) && setup.server.forget(&lost));
    assert_eq!(setup.get("/history").await, history);
    for id in [expired, lost] {
        assert_eq!(setup.get(&format!("/history/{id}")).await[&id], history[&id]);
    }
}

#[tokio::test]
async fn jobs_of_others_are_listed_where_the_server_lists_them() {
    let setup = Setup::new(Options::api_proxy()).await;
    let (own, _) = setup.submit(&[], json!({})).await;
    let client = Client::new();
    let body = json!({"workflow": workflow()}).to_string();
    let headers = [("content-type", "application/json")];
    let made = client
        .send(Method::POST, setup.server.address(), "/api/v2/jobs", &headers, body)
        .await;
    let made: Value = serde_json::from_slice(&made.expect("an answer").body).expect("JSON");
    let other = made["id"].as_str().expect("an id").to_owned();
    let mut queue = ids(&setup.get("/queue").await);
    queue.sort();
    let mut both = vec![own.clone(), other.clone()];
    both.sort();
    assert_eq!(queue, both);
    setup.server.finish(&other);
    let history = setup.get("/history").await;
    assert_eq!(ids(&history), [other.as_str()]);
    assert_eq!(history[&other]["prompt"][2], workflow(), "{history}");
    // A server that cannot say which jobs there are is no server without any.
    setup.server.fail_next(Some(Call::List), 1, Fault::Status(503));
    let answer = setup.client.get(setup.jobshim.address, "/history").await;
    assert_eq!(answer.status, 503, "{}", answer.text());
}

#[tokio::test]
async fn nothing_of_one_key_reaches_another() {
    let keys = vec!["one".to_owned(), "other".to_owned()];
    let setup = Setup::new(Options {
        keys,
        ..Options::default()
    })
    .await;
    let [one, other] = ["Bearer one", "Bearer other"].map(|key| [("authorization", key)]);
    let (id, _) = setup.submit(&one, json!({"client_id": "of one"})).await;
    assert_eq!(ids(&setup.get_with("/queue", &one).await), [id.as_str()]);
    assert_eq!(ids(&setup.get_with("/queue", &other).await), [""; 0]);
    setup.server.finish(&id);
    assert_eq!(ids(&setup.get_with("/history", &one).await), [id.as_str()]);
    for target in ["/history".to_owned(), format!("/history/{id}")] {
        assert_eq!(setup.get_with(&target, &other).await, json!({}), "{target}");
    }
    let cancels = setup.server.count(Call::Cancel);
    setup
        .post("/queue", &other, &json!({"clear": true, "delete": [id]}))
        .await;
    assert_eq!(setup.server.count(Call::Cancel), cancels);
    for wrong in [&[][..], &[("authorization", "Bearer wrong")]] {
        let answer = setup
            .client
            .get_with(setup.jobshim.address, &format!("/history/{id}"), wrong)
            .await;
        assert_eq!(answer.status, 401, "{}", answer.text());
    }
}

#[tokio::test]
async fn jobs_are_asked_for_side_by_side_and_not_all_at_once() {
    let server = Scripted::with_state(0, |made: &mut usize, arrived| {
        let json = [("content-type", "application/json")];
        let job = |id: &str| format!(r#"{{"id": "{id}", "status": "queued", "created_at": "2026-11-28T05:17:00Z"}}"#);
        match (&arrived.method, arrived.path().strip_prefix("/api/v2/jobs")) {
            (&Method::POST, Some("")) => {
                *made += 1;
                reply(201, &json, job(&format!("job-{made}")))
            }
            (_, Some(path)) if path.starts_with("/job-") => reply(200, &json, job(&path[1..])),
            (_, Some("")) | (_, None) => reply(404, &[], "404: Not Found"),
            _ => reply(
                404,
                &json,
                r#"{"error": {"code": "not_found", "message": "no", "details": null}}"#,
            ),
        }
    })
    .await;
    let jobshim = start(&server.url(), |config| config.upstream.concurrency = 3).await;
    let client = Client::new();
    for _ in 0..10 {
        let prompt = json!({"prompt": workflow()}).to_string();
        let answer = client.send(Method::POST, jobshim.address, "/prompt", &[], prompt).await;
        assert_eq!(answer.expect("an answer").status, 200);
    }
    let gate = server.hold(|arrived| arrived.path().starts_with("/api/v2/jobs/job-"));
    let asking = tokio::spawn(async move { client.get(jobshim.address, "/prompt").await.text() });
    as_soon_as("three are asked for", || server.under_way() == 3).await;
    tokio::time::timeout(Duration::from_millis(100), std::future::pending::<()>())
        .await
        .expect_err("nothing");
    assert_eq!(server.under_way(), 3);
    gate.open();
    assert_eq!(
        asking.await.expect("an answer"),
        r#"{"exec_info": {"queue_remaining": 10}}"#
    );
}
