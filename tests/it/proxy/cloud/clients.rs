//! Clients of a local server in front of the cloud: what they show to say who they are, what they read of a failure, and
//! where their jobs go when the server behind is another one all of a sudden.

use crate::support::{
    Client, Reply, Running,
    json::Json,
    server::board,
    start,
    upstream::{Arrived, Scripted, reply},
};
use flate2::{Compression, write::GzEncoder};
use http::{HeaderName, HeaderValue, Method};
use http_body_util::BodyExt;
use jobshim::{
    config::{Config, DialectChoice},
    demo::{Job, Options, Rules, Simulator},
};
use std::{
    io::Write,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};

const KEY: &str = "comfyui-configured";

fn with_key(config: &mut Config) {
    config.upstream.dialect = DialectChoice::Cloud;
    config.upstream.headers = vec![
        (HeaderName::from_static("x-api-key"), HeaderValue::from_static(KEY)),
        (HeaderName::from_static("x-extra"), HeaderValue::from_static("always")),
    ];
}

async fn send(at: SocketAddr, method: Method, target: &str, headers: &[(&str, &str)], body: &'static str) -> Reply {
    Client::new()
        .send(method, at, target, headers, body)
        .await
        .expect("an answer")
}

/// What says who asks, of a request as it arrived.
fn shown(arrived: &Arrived) -> (Option<&str>, Option<&str>) {
    let value = |name| {
        arrived
            .headers
            .get(name)
            .map(|value: &HeaderValue| value.to_str().expect("text"))
    };
    (value("x-api-key"), value("authorization"))
}

#[tokio::test]
async fn the_configured_key_goes_where_nothing_of_the_clients_own_is_shown_and_nowhere_else() {
    let recorder = Scripted::always(200, &[], r#"{"jobs": [], "pagination": {"has_more": false}}"#).await;
    let jobshim = start(&recorder.url(), with_key).await;
    for (query, headers, expected) in [
        ("", &[][..], (Some(KEY), None)),
        ("", &[("x-api-key", "")], (Some(KEY), None)),
        ("", &[("authorization", "Bearer ")], (Some(KEY), None)),
        (
            "",
            &[("authorization", "bearer"), ("x-api-key", " ")],
            (Some(KEY), None),
        ),
        ("?token=", &[], (Some(KEY), None)),
        ("", &[("cookie", ""), ("comfy-user", "default")], (Some(KEY), None)),
        ("", &[("cookie", "session=own")], (None, None)),
        ("", &[("cookie", ""), ("cookie", "session=own")], (None, None)),
        (
            "",
            &[("cookie", "session=own"), ("authorization", "Bearer comfyui-own")],
            (Some("comfyui-own"), None),
        ),
        ("?%74oken=own", &[], (None, None)),
        ("", &[("x-api-key", "own")], (Some("own"), None)),
        (
            "",
            &[("authorization", "Bearer a.session.token")],
            (None, Some("Bearer a.session.token")),
        ),
        ("?token=own", &[], (None, None)),
        ("?x=1&token=own", &[], (None, None)),
        (
            "",
            &[("authorization", "Bearer comfyui-own")],
            (Some("comfyui-own"), None),
        ),
        (
            "",
            &[("authorization", "bearer  comfyui-own")],
            (Some("comfyui-own"), None),
        ),
        (
            "",
            &[("authorization", "Bearer comfyui-own"), ("x-api-key", "")],
            (Some("comfyui-own"), None),
        ),
        (
            "",
            &[("authorization", "Bearer comfyui-one"), ("x-api-key", "comfyui-other")],
            (Some("comfyui-other"), Some("Bearer comfyui-one")),
        ),
    ] {
        for (method, path) in [
            (Method::GET, "/view"),
            (Method::POST, "/prompt"),
            (Method::GET, "/history"),
            (Method::POST, "/queue"),
            (Method::GET, "/ws"),
        ] {
            send(
                jobshim.address,
                method.clone(),
                &format!("{path}{query}"),
                headers,
                r#"{"clear": true}"#,
            )
            .await;
            let arrived = recorder.all().pop().expect("a request");
            // As a WebSocket's token it goes once.
            let is_token = path == "/ws" && expected.0 == Some(KEY);
            assert_eq!(
                shown(&arrived),
                if is_token { (None, None) } else { expected },
                "{method} {path}{query} {headers:?}: {}",
                arrived.target
            );
            assert_eq!(arrived.headers["x-extra"], "always");
            let has_token = arrived.target.contains("configured");
            assert_eq!(has_token, is_token, "{query} {headers:?}: {}", arrived.target);
        }
    }
}

#[tokio::test]
async fn a_bearer_token_of_a_self_hosted_server_stays_what_it_is() {
    let recorder = Scripted::always(200, &[], "{}").await;
    let jobshim = start(&recorder.url(), |config| {
        config.upstream.dialect = DialectChoice::Comfyui
    })
    .await;
    send(
        jobshim.address,
        Method::GET,
        "/view",
        &[("authorization", "Bearer comfyui-x")],
        "",
    )
    .await;
    let arrived = recorder.all().pop().expect("a request");
    assert_eq!(shown(&arrived), (None, Some("Bearer comfyui-x")));
}

const FAILED: &str = "3d0a7a4e-0000-4000-8000-000000000001";
const STRUCTURED: &str = "3d0a7a4e-0000-4000-8000-000000000002";
/// Failed with a text and no record.
const TEXT: &str = "3d0a7a4e-0000-4000-8000-000000000003";
const RECORD: &str = r#"{"node_id": "4", "node_type": "Fail", "exception_message": "quote \" and \u00e9\n", "exception_type": "E", "traceback": []}"#;

async fn failures() -> (Simulator, Running) {
    let mut board = board(Rules::Cloud);
    let job = |id: &str, more: &str| {
        let text = format!(
            r#"{{"id": "{id}", "status": "failed", "create_time": 1795000000000, "update_time": 1795000000500{more}}}"#
        );
        Job::new(&text, &text).expect("a job")
    };
    board.add(job(FAILED, r#", "execution_error": null"#));
    board.add(job(STRUCTURED, &format!(r#", "execution_error": {RECORD}"#)));
    board.add(job(TEXT, r#", "execution_error": "out of memory""#));
    let simulator = Simulator::start(board, Options::default()).await.expect("a simulator");
    let jobshim = start(&simulator.url(), |_| {}).await;
    (simulator, jobshim)
}

async fn asked(at: SocketAddr, target: &str) -> Json {
    let reply = Client::new().get(at, target).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    Json::parse(&reply.body).expect("JSON")
}

#[tokio::test]
async fn a_failed_job_has_an_error_that_clients_can_read_whatever_the_server_says() {
    let (_simulator, jobshim) = failures().await;
    for (id, message) in [
        (FAILED, "The server did not say why the job failed."),
        (TEXT, "out of memory"),
        (STRUCTURED, "quote \" and \u{e9}\n"),
    ] {
        for target in [
            "/history",
            &format!("/history/{id}"),
            "/api/history_v2",
            &format!("/api/history_v2/{id}"),
        ] {
            let answer = asked(jobshim.address, target).await;
            let is_it = |entry: &&Json| entry.get("prompt_id").is_some_and(|one| one.text() == id);
            let entry = match answer.get("history") {
                Some(list) => list.items().iter().find(is_it),
                None => answer.get(id),
            };
            let messages = entry.and_then(|entry| entry.get("status")?.get("messages"));
            let last = messages.expect("messages").items().last().expect("a message");
            assert_eq!(last.at(0).expect("a kind").text(), "execution_error", "{target}");
            let error = last.at(1).expect("an error");
            for member in [
                "exception_message",
                "exception_type",
                "node_id",
                "node_type",
                "prompt_id",
            ] {
                assert!(
                    matches!(error.get(member), Some(Json::Text(_))),
                    "{target}: {member} of {error:?}"
                );
            }
            for member in ["traceback", "executed"] {
                assert!(
                    matches!(error.get(member), Some(Json::List(_))),
                    "{target}: {member} of {error:?}"
                );
            }
            let word = |name| error.get(name).map(Json::text);
            assert_eq!(
                (word("prompt_id"), word("exception_message")),
                (Some(id), Some(message)),
                "{target}"
            );
            assert_eq!(word("timestamp"), Some("1795000000500"), "{target}");
        }
    }
}

#[tokio::test]
async fn the_error_message_of_a_status_is_the_record_as_json_text() {
    let (_simulator, jobshim) = failures().await;
    let message = |status: &serde_json::Value| -> serde_json::Value {
        let text = status["error_message"]
            .as_str()
            .unwrap_or_else(|| panic!("text in {status}"));
        serde_json::from_str(text).expect("JSON text")
    };
    let status = |id: &'static str| {
        let at = jobshim.address;
        async move {
            let reply = Client::new().get(at, &format!("/api/job/{id}/status")).await;
            serde_json::from_slice::<serde_json::Value>(&reply.body).expect("JSON")
        }
    };
    let record: serde_json::Value = serde_json::from_str(RECORD).expect("JSON");
    assert_eq!(message(&status(STRUCTURED).await), record);
    let unstructured = message(&status(FAILED).await);
    assert_eq!(
        (&unstructured["prompt_id"], &unstructured["traceback"]),
        (&FAILED.into(), &serde_json::json!([]))
    );
    assert!(unstructured["exception_message"].is_string(), "{unstructured}");
    let text = message(&status(TEXT).await);
    assert_eq!(
        (&text["prompt_id"], &text["exception_message"]),
        (&TEXT.into(), &"out of memory".into())
    );
}

#[tokio::test]
async fn a_prompt_without_its_redacted_key_is_the_same_the_second_time() {
    let (is_cloud, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let (now, told) = (Arc::clone(&is_cloud), Arc::clone(&taken));
    let upstream = Scripted::start(move |mut request| {
        let (is_cloud, told) = (now.load(SeqCst), Arc::clone(&told));
        async move {
            let (status, answer) = match (request.uri().path(), is_cloud) {
                ("/api/jobs", false) => (400, r#"{"error": "sort_by"}"#),
                ("/api/jobs", true) => (200, r#"{"jobs": [], "pagination": {"has_more": false}}"#),
                ("/prompt", false) | ("/api/prompt", true) => (200, r#"{"prompt_id": "an-id", "number": 1}"#),
                _ => (404, "{}"),
            };
            if request.method() == Method::POST {
                let body = request.body_mut().collect().await.expect("a body").to_bytes();
                let headers = ["content-encoding", "content-length"].map(|name| request.headers().get(name).cloned());
                let body = String::from_utf8_lossy(&body).into_owned();
                told.lock()
                    .expect("notes")
                    .push((request.uri().path().to_owned(), headers, body));
            }
            reply(status, &[], answer)
        }
    })
    .await;
    let jobshim = start(&upstream.url(), |_| {}).await;
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let prompt = br#"{"prompt": {}, "extra_data": {"api_key_comfy_org": "[REDACTED]"}}"#;
    encoder.write_all(prompt).expect("written");
    let body = encoder.finish().expect("gzip");
    let (client, gzip) = (Client::new(), [("content-encoding", "gzip")]);
    for cloud in [false, true] {
        is_cloud.store(cloud, SeqCst);
        let sending = client.send(Method::POST, jobshim.address, "/prompt", &gzip, body.clone());
        assert_eq!(sending.await.expect("an answer").status, 200);
    }
    let cleaned = r#"{"prompt": {}, "extra_data": {}}"#;
    let headers = [None, Some(HeaderValue::from(cleaned.len()))];
    let sent = |path: &str| (path.to_owned(), headers.clone(), cleaned.to_owned());
    assert_eq!(
        *taken.lock().expect("notes"),
        [sent("/prompt"), sent("/prompt"), sent("/api/prompt")]
    );
}

#[tokio::test]
async fn a_prompt_goes_where_the_server_takes_it_though_the_server_was_swapped() {
    let (is_cloud, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let (now, told) = (Arc::clone(&is_cloud), Arc::clone(&taken));
    let upstream = Scripted::start(move |request| {
        let is_cloud = now.load(SeqCst);
        let path = request.uri().path().to_owned();
        let probe = request.uri().query().unwrap_or_default().contains("create_time");
        let (status, body) = match (&path[..], is_cloud) {
            ("/api/jobs", false) if probe => (400, r#"{"error": "sort_by"}"#),
            ("/api/jobs", _) => (200, r#"{"jobs": [], "pagination": {"has_more": false}}"#),
            ("/prompt", false) | ("/api/prompt", _) => (200, r#"{"prompt_id": "an-id", "number": 1}"#),
            _ => (405, "<html>"),
        };
        if request.method() == Method::POST {
            told.lock().expect("notes").push(format!("{path} {status}"));
        }
        async move { reply(status, &[], body) }
    })
    .await;
    // The configured key alone, or nothing at all.
    for has_key in [false, true] {
        is_cloud.store(false, SeqCst);
        let jobshim = start(&upstream.url(), |config| {
            if has_key {
                with_key(config);
            }
            config.upstream.dialect = DialectChoice::Auto;
        })
        .await;
        let prompt = || send(jobshim.address, Method::POST, "/prompt", &[], r#"{"prompt": {}}"#);
        for (cloud, arrivals) in [
            (false, &["/prompt 200"][..]),
            (true, &["/prompt 405", "/api/prompt 200"]),
            (true, &["/api/prompt 200"]),
            (false, &["/api/prompt 200"]),
        ] {
            is_cloud.store(cloud, SeqCst);
            taken.lock().expect("notes").clear();
            let reply = prompt().await;
            assert_eq!(reply.status, 200, "key {has_key}, cloud {cloud}: {}", reply.text());
            assert_eq!(*taken.lock().expect("notes"), arrivals, "key {has_key}, cloud {cloud}");
        }
        is_cloud.store(true, SeqCst);
        let jobshim = start(&upstream.url(), |_| {}).await;
        taken.lock().expect("notes").clear();
        let first = send(jobshim.address, Method::POST, "/prompt", &[], r#"{"prompt": {}}"#).await;
        assert_eq!(first.status, 200);
        assert_eq!(
            *taken.lock().expect("notes"),
            ["/api/prompt 200"],
            "asked before it was sent"
        );
    }
}
