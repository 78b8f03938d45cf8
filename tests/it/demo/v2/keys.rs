//! Keys, prefixes, and all that is not there.

use super::{Api, code, picture, told};
use http::Method;
use jobshim::demo::v2::{Call, Options, Status};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn nobody_sees_what_is_of_another_key() {
    let api = Api::start(Options {
        keys: vec!["one".to_owned(), "two".to_owned()],
        list: true,
        ..Options::default()
    })
    .await;
    let one = [("authorization", "Bearer one")];
    let two = [("authorization", "Bearer two")];
    let body = json!({"workflow": picture()}).to_string();
    for wrong in [
        vec![],
        vec![("authorization", "Bearer three")],
        vec![("authorization", "one")],
        vec![("authorization", "Basic one")],
        vec![("x-api-key", "one")],
    ] {
        let reply = api.send(Method::POST, "/api/v2/jobs", &wrong, &body).await;
        assert_eq!(reply.header("www-authenticate"), "Bearer");
        let (status, error) = told(&reply);
        assert_eq!((status, code(&error)), (401, "unauthorized"), "{wrong:?}");
    }
    assert_eq!(api.simulator.in_state(Status::Queued), Vec::<String>::new());
    let (_, job) = told(&api.send(Method::POST, "/api/v2/jobs", &one, &body).await);
    let id = job["id"].as_str().expect("an id");
    api.simulator.finish(id);
    let (_, job) = told(&api.send(Method::GET, &format!("/api/v2/jobs/{id}"), &one, "").await);
    let asset = job["outputs"][0]["id"].as_str().expect("an id");
    for (method, target) in [
        (Method::GET, format!("/api/v2/jobs/{id}")),
        (Method::GET, format!("/api/v2/jobs/{id}/workflow")),
        (Method::GET, format!("/api/v2/jobs/{id}/events")),
        (Method::POST, format!("/api/v2/jobs/{id}/cancel")),
        (Method::GET, format!("/api/v2/assets/{asset}")),
        (Method::GET, format!("/api/v2/assets/{asset}/content")),
    ] {
        let (status, error) = told(&api.send(method.clone(), &target, &two, "").await);
        assert_eq!((status, code(&error)), (404, "not_found"), "{target}");
        assert_eq!(api.send(method, &target, &one, "").await.status, 200, "{target}");
    }
    for (key, jobs) in [(one, 1), (two, 0)] {
        let (_, list) = told(&api.send(Method::GET, "/api/v2/jobs", &key, "").await);
        assert_eq!(list["jobs"].as_array().map(Vec::len), Some(jobs));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_else_is_404_in_the_shape_of_v2() {
    let api = Api::start(Options::default()).await;
    let targets = [
        "/",
        "/api/jobs",
        "/api/jobs/x",
        "/history",
        "/api/history",
        "/queue",
        "/object_info",
        "/system_stats",
        "/view?filename=x",
        "/api/v2",
        "/api/v2/jobs",
        "/api/v2/jobs/x/y",
        "/api/v2/health",
        "/v2/jobs/x",
        "/comfy/api/v2/jobs/x",
    ];
    for target in targets {
        let (status, error) = api.get(target).await;
        assert_eq!((status, code(&error)), (404, "not_found"), "{target}");
    }
    for target in [
        "/prompt",
        "/api/prompt",
        "/upload/image",
        "/interrupt",
        "/api/v2/jobs/x",
    ] {
        let (status, error) = api.post(target, &json!({})).await;
        assert_eq!((status, code(&error)), (404, "not_found"), "{target}");
    }
    assert_eq!(api.simulator.count_all(), targets.len() + 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_prefix_it_is_there_alone_and_its_urls_say_so() {
    let api = Api::start(Options {
        prefix: "/comfy/one".to_owned(),
        ..Options::default()
    })
    .await;
    let body = json!({"workflow": picture()});
    assert_eq!(api.post("/api/v2/jobs", &body).await.0, 404);
    let (status, job) = api.post("/comfy/one/api/v2/jobs", &body).await;
    assert_eq!(status, 201);
    let own = job["urls"]["self"].as_str().expect("a URL");
    assert!(
        own.starts_with(&format!("{}/api/v2/jobs/", api.simulator.url())),
        "{own}"
    );
    let path = own
        .split_once(&api.simulator.address().to_string())
        .expect("its address")
        .1;
    assert_eq!(api.get(path).await.0, 200);
    assert_eq!(api.simulator.count(Call::Submit), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_used_once_unless_nothing_came_of_it() {
    let api = Api::start(Options {
        keys: vec!["one".to_owned(), "two".to_owned()],
        ..Options::default()
    })
    .await;
    let submit = async |owner: &str, key: &str, workflow: serde_json::Value| {
        let owner = format!("Bearer {owner}");
        let headers = [("authorization", owner.as_str()), ("idempotency-key", key)];
        let body = json!({ "workflow": workflow }).to_string();
        told(&api.send(Method::POST, "/api/v2/jobs", &headers, &body).await)
    };
    assert_eq!(submit("one", "k", json!({"1": {"class_type": "None"}})).await.0, 422);
    assert_eq!(submit("one", "k", picture()).await.0, 201);
    let (status, error) = submit("one", "k", picture()).await;
    assert_eq!((status, code(&error)), (422, "idempotency_key_reuse"));
    assert_eq!(submit("two", "k", picture()).await.0, 201);
    assert_eq!(submit("one", "", picture()).await.0, 400);
    assert_eq!(submit("one", &"k".repeat(256), picture()).await.0, 400);
    assert_eq!(api.simulator.in_state(Status::Queued).len(), 2);
}
