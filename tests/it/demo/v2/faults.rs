//! What can be made to go wrong.

use super::{Api, code, picture, told};
use crate::support::{Client, wait::until};
use http::Method;
use jobshim::demo::v2::{Call, Fault, Options, Simulator, Status};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_next_requests_of_a_kind_fail_as_told() {
    let api = Api::start(Options::default()).await;
    let id = api.submit(&picture()).await;
    let target = format!("/api/v2/jobs/{id}");
    for (status, wanted) in [
        (401, "unauthorized"),
        (402, "insufficient_credits"),
        (403, "forbidden"),
        (404, "not_found"),
        (429, "rate_limited"),
        (500, "upstream_error"),
        (503, "upstream_unreachable"),
    ] {
        api.simulator.fail_next(Some(Call::Job), 2, Fault::Status(status));
        assert_eq!(api.get(&format!("{target}/workflow")).await.0, 200, "another kind");
        for _ in 0..2 {
            let reply = api.send(Method::GET, &target, &[], "").await;
            let later = matches!(status, 429 | 503);
            assert_eq!(reply.headers.contains_key("retry-after"), later, "{status}");
            let (given, error) = told(&reply);
            assert_eq!((given, code(&error)), (status, wanted));
        }
        assert_eq!(api.get(&target).await.0, 200);
    }
    api.simulator
        .fail_next(None, 1, Fault::Code(429, "deployment_not_ready"));
    api.simulator.fail_next(None, 9, Fault::Status(500));
    let (status, error) = api.post("/api/v2/jobs", &json!({"workflow": picture()})).await;
    assert_eq!((status, code(&error)), (429, "deployment_not_ready"));
    api.simulator.heal();
    assert_eq!(api.get(&target).await.0, 200);
    assert_eq!(api.simulator.in_state(Status::Queued), [id]);
    assert_eq!(api.simulator.count(Call::Job), 22);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_may_be_there_although_its_answer_never_came() {
    let api = Api::start(Options::default()).await;
    let body = json!({"workflow": picture()}).to_string();
    let at = api.simulator.address();
    api.simulator.fail_next(Some(Call::Submit), 1, Fault::Lost);
    let lost = Client::new()
        .send(Method::POST, at, "/api/v2/jobs", &[], body.clone())
        .await;
    assert!(lost.is_err(), "{lost:?}");
    assert_eq!(api.simulator.in_state(Status::Queued).len(), 1);
    api.simulator.fail_next(Some(Call::Submit), 1, Fault::Silent);
    let waiting = tokio::spawn(async move { Client::new().send(Method::POST, at, "/api/v2/jobs", &[], body).await });
    until("the job is there", async || {
        api.simulator.in_state(Status::Queued).len() == 2
    })
    .await;
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_takes_no_more() {
    let api = Api::start(Options {
        max_queued: 1,
        ..Options::default()
    })
    .await;
    let id = api.submit(&picture()).await;
    let body = json!({"workflow": picture()}).to_string();
    let reply = api.send(Method::POST, "/api/v2/jobs", &[], &body).await;
    assert_eq!(reply.header("retry-after"), "1");
    let (status, error) = told(&reply);
    assert_eq!((status, code(&error)), (429, "queue_full"));
    api.simulator.finish(&id);
    api.submit(&picture()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn started_anew_it_knows_nothing_and_gives_no_id_again() {
    let api = Api::start(Options::default()).await;
    let id = api.submit(&picture()).await;
    api.simulator.restart();
    assert_eq!(api.get(&format!("/api/v2/jobs/{id}")).await.0, 404);
    assert_ne!(api.submit(&picture()).await, id);
    // Another one at the same address.
    let Api { simulator, client } = api;
    let at = simulator.address();
    drop((simulator, client));
    let mut again = None;
    until("the address is free", async || {
        again = Simulator::start_at(at, Options::default()).await.ok();
        again.is_some()
    })
    .await;
    let api = Api {
        simulator: again.expect("a simulator"),
        client: Client::new(),
    };
    assert_ne!(api.submit(&picture()).await, id);
    assert_eq!(api.simulator.seen().len(), 1);
}
