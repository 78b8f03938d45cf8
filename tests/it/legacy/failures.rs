//! docs/contract.md section 4, row by row, on every legacy route: could not ask never looks like nothing there.

use crate::support::{
    self, Client, Reply, Running, start,
    upstream::{Scripted, raw, raw_bytes, reply},
};
use jobshim::{
    config::DialectChoice,
    demo::{Board, Job, Options, Rules, Simulator},
};
use std::time::Duration;
use tokio::{io::AsyncWriteExt, net::TcpListener};

const ID: &str = "11111111-2222-4333-8444-555555555555";

/// Every legacy read, with and without the prefix.
pub fn routes() -> Vec<String> {
    let routes = [
        "/history",
        "/history/ID",
        "/queue",
        "/api/history",
        "/api/history/ID",
        "/api/queue",
        "/api/history_v2",
        "/api/history_v2/ID",
        "/api/job/ID/status",
    ];
    routes.iter().map(|route| route.replace("ID", ID)).collect()
}

/// jobshim in front of an address, its dialect given, so that the first call is the one that matters.
async fn facing(upstream: impl ToString) -> Running {
    support::facing(&format!("http://{}", upstream.to_string()), |config| {
        config.upstream.answer_timeout = Duration::from_millis(300);
        config.upstream.max_answer_bytes = 4096;
    })
    .await
}

/// The reply is jobshim's own error, of this status and type.
pub fn assert_own_error(reply: &Reply, status: u16, kind: &str, route: &str) {
    assert_eq!(reply.status, status, "{route}: {}", reply.text());
    assert_eq!(
        reply.header("content-type"),
        "application/json; charset=utf-8",
        "{route}"
    );
    let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(body["error"]["type"], kind, "{route}: {body}");
    for member in ["message", "details"] {
        assert!(
            body["error"][member].as_str().is_some_and(|text| !text.is_empty()),
            "{route}: {body}"
        );
    }
}

async fn every_route_answers(jobshim: &Running, status: u16, kind: &str) {
    let client = Client::new();
    for route in routes() {
        let reply = client.get(jobshim.address, &route).await;
        assert_own_error(&reply, status, kind, &route);
    }
}

#[tokio::test]
async fn an_unknown_job_is_an_empty_object_or_a_404() {
    for rules in [Rules::Comfyui, Rules::ComfyuiEarly, Rules::Cloud] {
        let simulator = Simulator::start(Board::new(rules), Options::default())
            .await
            .expect("a simulator");
        let jobshim = start(&simulator.url(), |_| {}).await;
        let client = Client::new();
        for id in [ID, "x", "..", "%2e%2e", "a%2Fb", "%22", "%F0%9F%8E%88"] {
            let old = client.get(jobshim.address, &format!("/history/{id}")).await;
            assert_eq!(
                (old.status.as_u16(), old.text().as_str()),
                (200, "{}"),
                "{rules:?} {id}"
            );
            for path in ["history_v2/ID", "job/ID/status"] {
                let reply = client
                    .get(jobshim.address, &format!("/api/{}", path.replace("ID", id)))
                    .await;
                assert_eq!(reply.status, 404, "{rules:?} {path} {id}");
                assert!(reply.text().contains("not found"), "{}", reply.text());
            }
        }
        let stray: Vec<String> = simulator.targets("");
        assert!(
            stray.iter().all(|target| target.starts_with("/api/jobs")),
            "an id is one path segment: {stray:?}"
        );
    }
}

#[tokio::test]
async fn a_refusal_reaches_the_client_as_it_is() {
    for status in [401, 402, 403, 429, 500, 502, 503, 504, 599] {
        let body = r#"{"code": "NO", "message": "not like this"}"#;
        let headers = [
            ("content-type", "application/problem+json"),
            ("retry-after", "17"),
            ("www-authenticate", "Bearer realm=\"a\""),
            ("access-control-allow-origin", "*"),
        ];
        let upstream = Scripted::always(status, &headers, body).await;
        let jobshim = start(&upstream.url(), |_| {}).await;
        let client = Client::new();
        for route in routes() {
            let reply = client.get(jobshim.address, &route).await;
            assert_eq!(reply.status, status, "{route}");
            assert_eq!(reply.text(), body, "{route}");
            for (name, value) in headers {
                assert_eq!(reply.header(name), value, "{status} {route} {name}");
            }
        }
    }
}

#[tokio::test]
async fn a_refused_connection_is_a_502() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = closed.local_addr().expect("an address");
    drop(closed);
    every_route_answers(&facing(address).await, 502, "upstream_unreachable").await;
    // The dialect cannot be asked for either.
    let jobshim = start(&format!("http://{address}"), |_| {}).await;
    every_route_answers(&jobshim, 502, "upstream_unreachable").await;
    let passed = Client::new().get(jobshim.address, "/system_stats").await;
    assert_own_error(&passed, 502, "upstream_unreachable", "pass-through");
}

#[tokio::test]
async fn a_connection_that_is_closed_or_reset_is_a_502() {
    every_route_answers(&facing(raw_bytes("").await).await, 502, "upstream_interrupted").await;
    let in_head = raw_bytes("HTTP/1.1 200 OK\r\ncontent-le").await;
    every_route_answers(&facing(in_head).await, 502, "upstream_interrupted").await;
    let reset = raw(|stream, _| async move {
        stream.set_zero_linger().expect("SO_LINGER");
    })
    .await;
    every_route_answers(&facing(reset).await, 502, "upstream_interrupted").await;
}

#[tokio::test]
async fn an_answer_that_does_not_come_or_does_not_end_is_a_504() {
    let silent = raw(|stream, _| async move {
        std::future::pending::<()>().await;
        drop(stream);
    })
    .await;
    every_route_answers(&facing(silent).await, 504, "upstream_timeout").await;
    let endless = raw(|mut stream, _| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{")
            .await;
        std::future::pending::<()>().await;
    })
    .await;
    every_route_answers(&facing(endless).await, 504, "upstream_timeout").await;
}

#[tokio::test]
async fn an_answer_that_is_not_json_or_of_another_shape_is_a_502() {
    let bodies = [
        "",
        "<html>welcome</html>",
        "{\"jobs\": [",
        "[]",
        "null",
        "17",
        "{}",
        r#"{"jobs": {}, "id": 5}"#,
        r#"{"jobs": [{"status": "completed"}], "id": "x"}"#,
        r#"{"jobs": [], "status": "completed"} trailing"#,
    ];
    for body in bodies {
        let upstream = Scripted::always(200, &[("content-type", "application/json")], body).await;
        every_route_answers(&facing(upstream.address).await, 502, "bad_upstream_answer").await;
    }
    for status in [204, 301, 302, 400, 418] {
        let upstream = Scripted::always(status, &[], "").await;
        every_route_answers(&facing(upstream.address).await, 502, "bad_upstream_answer").await;
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_short_is_a_502() {
    for head in ["content-length: 100", "transfer-encoding: chunked"] {
        let bytes = format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\n{{\"job");
        every_route_answers(&facing(raw_bytes(bytes).await).await, 502, "upstream_interrupted").await;
    }
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_a_502() {
    let large = format!(r#"{{"jobs": [], "x": "{}"}}"#, "y".repeat(5000));
    let announced = Scripted::always(200, &[], &large).await;
    every_route_answers(&facing(announced.address).await, 502, "upstream_answer_too_large").await;
    let growing = raw_bytes(format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{large}")).await;
    every_route_answers(&facing(growing).await, 502, "upstream_answer_too_large").await;
}

#[tokio::test]
async fn an_encoding_that_was_not_asked_for_is_a_502() {
    let upstream = Scripted::always(200, &[("content-encoding", "gzip")], "not really").await;
    every_route_answers(&facing(upstream.address).await, 502, "upstream_interrupted").await;
}

#[tokio::test]
async fn a_server_without_the_jobs_api_is_a_502_and_not_an_empty_history() {
    for status in [404, 405, 410] {
        let upstream = Scripted::always(status, &[("content-type", "text/plain")], "404: Not Found").await;
        every_route_answers(&facing(upstream.address).await, 502, "no_jobs_api").await;
        every_route_answers(&start(&upstream.url(), |_| {}).await, 502, "no_jobs_api").await;
    }
}

/// Three finished jobs and a pending one; the detail of `odd` is answered by `answer`.
async fn with_an_odd_detail(status: u16, body: &'static str) -> Scripted {
    let mut board = Board::new(Rules::Comfyui);
    for (id, state, created) in [
        ("d", "pending", 4),
        ("c", "completed", 3),
        ("odd", "completed", 2),
        ("a", "completed", 1),
    ] {
        let text = format!(r#"{{"id": "{id}", "status": "{state}", "create_time": {created}, "outputs": {{}}}}"#);
        board.jobs.push(Job::new(&text, &text).expect("a job"));
    }
    Scripted::start(move |request| {
        let (status, body) = match request.uri().path().strip_prefix("/api/jobs/") {
            Some("odd") => (status, body.to_owned()),
            Some(id) => board.detail(id),
            None => board.list(request.uri().query().unwrap_or_default()),
        };
        async move { reply(status, &[("retry-after", "3")], body) }
    })
    .await
}

#[tokio::test]
async fn a_listed_job_that_is_gone_is_left_out() {
    let upstream = with_an_odd_detail(404, r#"{"error": "Job not found"}"#).await;
    let jobshim = facing(upstream.address).await;
    let client = Client::new();
    let history = client.get(jobshim.address, "/history").await;
    let parsed: serde_json::Value = serde_json::from_slice(&history.body).expect("JSON");
    let ids: Vec<&String> = parsed.as_object().expect("an object").keys().collect();
    assert_eq!(ids, ["a", "c"]);
    let list = client.get(jobshim.address, "/api/history_v2").await;
    assert_eq!(list.status, 200);
    assert!(
        !list.text().contains("odd") && list.text().contains("\"c\""),
        "{}",
        list.text()
    );
}

#[tokio::test]
async fn any_other_failure_of_one_detail_fails_the_whole_list() {
    for (status, body, answered) in [
        (500, "{\"oops\": 1}", 500),
        (429, "slow down", 429),
        (403, "{}", 403),
        (404, "404: Not Found", 502),
        (200, "{\"id\": \"odd\", \"status\": \"completed\"", 502),
        (200, "<html>", 502),
    ] {
        let upstream = with_an_odd_detail(status, body).await;
        let jobshim = facing(upstream.address).await;
        for route in ["/history", "/api/history_v2", "/history?max_items=2"] {
            let reply = Client::new().get(jobshim.address, route).await;
            assert_eq!(reply.status, answered, "{route}: {}", reply.text());
            if status == answered {
                assert_eq!((reply.text().as_str(), reply.header("retry-after")), (body, "3"));
            }
        }
        let without = Client::new().get(jobshim.address, "/history?max_items=1").await;
        assert_eq!(without.status, 200, "the odd job is not asked for: {}", without.text());
    }
}

#[tokio::test]
async fn a_page_that_promises_more_and_brings_nothing_is_a_502() {
    let page =
        r#"{"jobs": [{"id": "a", "status": "completed"}], "pagination": {"has_more": true, "next_cursor": "x"}}"#;
    let upstream = Scripted::always(200, &[], page).await;
    for dialect in [DialectChoice::Comfyui, DialectChoice::Cloud] {
        let jobshim = start(&upstream.url(), |config| config.upstream.dialect = dialect).await;
        let reply = Client::new().get(jobshim.address, "/history").await;
        assert_own_error(&reply, 502, "bad_upstream_answer", "/history");
    }
}

#[tokio::test]
async fn the_first_request_after_a_recovery_succeeds() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    drop(listener);
    let jobshim = start(&format!("http://{address}"), |_| {}).await;
    let client = Client::new();
    assert_eq!(client.get(jobshim.address, "/history").await.status, 502);
    let simulator = Simulator::start_at(address, Board::new(Rules::Comfyui), Options::default())
        .await
        .expect("the same port");
    assert_eq!(client.get(jobshim.address, "/history").await.text(), "{}");
    drop(simulator);
    assert_eq!(client.get(jobshim.address, "/history").await.status, 502);
    let _simulator = Simulator::start_at(address, Board::new(Rules::Cloud), Options::default())
        .await
        .expect("the same port");
    assert_eq!(client.get(jobshim.address, "/history").await.text(), "{}");
}
