//! The server refuses: its answer goes on as it is, and says beside whose it is and what it means.

use super::{assert_says, doctor, own_error, simulator};
use crate::support::{Client, program::Program, start, upstream::Scripted};
use http::Method;
use jobshim::{
    config::{self, DialectChoice, settings::LISTEN},
    demo::{Options, Rules},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_403_from_a_host_that_a_proxy_rewrote_or_a_sign_on_page_before() {
    let upstream = Scripted::always(403, &[], "").await;
    let mut program = Program::before(&upstream.url(), &["--dialect", "comfyui"]);
    let address = program.address();
    let client = Client::new();
    for (headers, parts) in [
        (
            &[("origin", "https://comfy.example.org")][..],
            ["refused by Host", "proxy_set_header Host $http_host"],
        ),
        (
            &[("sec-fetch-site", "cross-site")],
            ["refused by Sec-Fetch-Site", "take Sec-Fetch-Site away"],
        ),
    ] {
        for path in ["/history", "/"] {
            let reply = client.get_with(address, path, headers).await;
            assert_eq!(reply.status, 403, "{path}");
            let status = reply.header("proxy-status").to_owned();
            assert!(
                status.starts_with("jobshim; received-status=403; details=\""),
                "{status}"
            );
            assert_says(&status, &parts);
        }
        assert_says(&program.line_with(parts[0]), &["the upstream answered 403", parts[1]]);
    }
    assert_eq!(client.get(address, "/").await.status, 403);
    program.line_with("refused by Origin, Host or Sec-Fetch-Site, or by a proxy before it");
    let count = program
        .log
        .iter()
        .filter(|line| line.contains("refused by Host"))
        .count();
    assert_eq!(count, 1, "the same advice is not repeated: {:#?}", program.log);
}

/// A refusal reaches the client as it is; the header and the log say what it means.
async fn refused_with(status: u16, parts: &[&str]) {
    let body = r#"{"code": "NO", "message": "its own words"}"#;
    let upstream = Scripted::always(status, &[("content-type", "application/json")], body).await;
    let mut program = Program::before(&upstream.url(), &["--dialect", "cloud"]);
    let address = program.address();
    let client = Client::new();
    for (method, path) in [
        (Method::GET, "/history"),
        (Method::POST, "/queue"),
        (Method::POST, "/upload/image"),
    ] {
        let reply = client
            .send(method, address, path, &[], r#"{"clear": true}"#)
            .await
            .expect("an answer");
        // For the translated ones, 413 is no answer that the contract knows.
        if status == 413 && path != "/upload/image" {
            continue;
        }
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (status, body), "{path}");
        let whose = reply.header("proxy-status").to_owned();
        assert!(
            whose.starts_with(&format!("jobshim; received-status={status}; details=")),
            "{path}: {whose}"
        );
        assert_says(&whose, parts);
    }
    let line = program.line_with(&format!("the upstream answered {status}: "));
    assert_says(&line, parts);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_401_for_want_of_a_key() {
    refused_with(401, &["wrong key, or none", "X-API-Key", "upstream.headers"]).await;
    let upstream = simulator(
        Rules::Cloud,
        Options {
            key: Some("right".to_owned()),
            ..Options::default()
        },
    )
    .await;
    let (code, text) = doctor(&upstream.url());
    assert_eq!(code, 1, "{text}");
    assert_says(&text, &["401", "wrong key, or none"]);
    // jobshim's own door says that it is jobshim's.
    let jobshim = start(&upstream.url(), |config| {
        let options = config::Options::default().with(&LISTEN.access_token.key, "s3cret");
        config.listen.access_token = config::load(&options, |_| None)
            .expect("a token")
            .config
            .listen
            .access_token;
    })
    .await;
    let reply = Client::new().get(jobshim.address, "/history").await;
    let [_, message, details] = own_error(&reply);
    assert_says(&message, &["this jobshim wants its access token"]);
    assert_says(&details, &["not the server's key"]);
    assert_eq!(reply.header("proxy-status"), "jobshim; error=http_request_denied");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_402_for_want_of_credits() {
    refused_with(402, &["no credits or no subscription left"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_413_for_a_large_upload() {
    refused_with(413, &["--max-upload-size", "client_max_body_size"]).await;
    // jobshim's own limit says that it is jobshim's.
    let upstream = simulator(Rules::Comfyui, Options::default()).await;
    let jobshim = start(&upstream.url(), |_| {}).await;
    let reply = Client::new()
        .send(Method::POST, jobshim.address, "/queue", &[], vec![b' '; 2 << 20])
        .await
        .expect("an answer");
    assert_eq!(reply.status, 413);
    assert_eq!(own_error(&reply)[0], "body_too_large");
    assert_eq!(reply.header("proxy-status"), "jobshim; error=http_request_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_for_polling_too_often() {
    refused_with(429, &["ask less often", "Retry-After"]).await;
}

#[tokio::test]
async fn an_error_of_the_upstream_is_told_from_one_of_jobshim() {
    let upstream = Scripted::always(404, &[("proxy-status", "edge; received-status=404")], "gone").await;
    let jobshim = start(&upstream.url(), |config| {
        config.upstream.dialect = DialectChoice::Comfyui
    })
    .await;
    let client = Client::new();
    let passed = client.get(jobshim.address, "/view").await;
    let whose: Vec<_> = passed.headers.get_all("proxy-status").iter().collect();
    assert_eq!(whose, ["edge; received-status=404", "jobshim; received-status=404"]);
    let wrong = client
        .send(Method::DELETE, jobshim.address, "/history", &[], "")
        .await
        .expect("an answer");
    assert_eq!(wrong.header("proxy-status"), "jobshim; error=http_request_error");
    own_error(&wrong);
    // What jobshim answers on behalf of the server is neither good nor the server's own words.
    let simulator = simulator(Rules::Comfyui, Options::default()).await;
    let jobshim = start(&simulator.url(), |_| {}).await;
    let unknown = client.get(jobshim.address, "/api/history_v2/none").await;
    assert_eq!(unknown.status, 404);
    assert_eq!(unknown.header("proxy-status"), "jobshim; error=http_request_error");
    let good = client.get(jobshim.address, "/history").await;
    assert_eq!(good.header("proxy-status"), "");
}
