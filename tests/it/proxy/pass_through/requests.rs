//! Methods, targets and bodies of requests.

use crate::support::{Client, facing, upstream::Scripted};
use bytes::Bytes;
use http::Method;

#[tokio::test]
async fn methods_targets_and_bodies_arrive_as_sent() {
    let targets = [
        "/",
        "/prompt",
        "/api/jobs/x/cancel",
        "/view?filename=a%20b.png&type=output&&x",
        "/historyx",
        "/History",
        "/history/",
        "/history//x",
        "/history/a/b",
        "//queue",
        "/history_v2",
        "/userdata/workflows%2Fmine.json?overwrite=true",
        "/a/../b/./c",
        "/%7Euser/%E2%82%AC?q=%zz",
    ];
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"] {
        let recorder = Scripted::always(201, &[("x-from", "upstream")], "made").await;
        let jobshim = facing(&recorder.url(), |_| {}).await;
        let client = Client::new();
        let method: Method = method.parse().expect("a method");
        for target in targets {
            let body: Bytes = vec![0, 159, 255, 13, 10].into();
            let reply = client
                .send(method.clone(), jobshim.address, target, &[], body.clone())
                .await
                .expect("an answer");
            assert_eq!(
                (reply.status.as_u16(), reply.text().as_str(), reply.header("x-from")),
                (201, "made", "upstream"),
                "{method} {target}"
            );
            let arrived = recorder.arrived().pop().expect("a request");
            assert_eq!(
                (arrived.method, arrived.target.as_str(), arrived.body),
                (method.clone(), target, body)
            );
        }
    }
}

#[tokio::test]
async fn writes_on_legacy_paths_without_a_translation_and_preflights_pass() {
    let recorder = Scripted::always(200, &[("access-control-allow-methods", "POST")], "").await;
    let jobshim = facing(&recorder.url(), |_| {}).await;
    for path in ["/history", "/api/queue", "/history/x", "/api/job/x/status"] {
        let reply = Client::new()
            .send(Method::OPTIONS, jobshim.address, path, &[], "")
            .await
            .expect("an answer");
        assert_eq!(reply.header("access-control-allow-methods"), "POST", "{path}");
    }
    assert_eq!(recorder.arrived().len(), 4);
}

#[tokio::test]
async fn a_base_path_of_the_upstream_goes_in_front() {
    let recorder = Scripted::always(200, &[], r#"{"jobs": [], "pagination": {"has_more": false}}"#).await;
    for url in [
        format!("{}/comfy/one", recorder.url()),
        format!("{}/comfy/one/", recorder.url()),
    ] {
        let jobshim = facing(&url, |_| {}).await;
        let client = Client::new();
        client.get(jobshim.address, "/view?a=1").await;
        let passed = recorder.arrived().pop().expect("a request");
        assert_eq!(passed.target, "/comfy/one/view?a=1");
        assert_eq!(client.get(jobshim.address, "/history").await.text(), "{}");
        let listed = recorder.arrived().pop().expect("a request");
        assert_eq!(listed.target, "/comfy/one/api/jobs");
    }
}
