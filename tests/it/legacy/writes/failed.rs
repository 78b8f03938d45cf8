//! Writes that cannot be done: the client hears it, and nothing is done by half a word.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_that_failed_is_heard_by_the_client_and_the_log_says_what_was_done() {
    let server = Server::start(busy(Rules::Comfyui, 150), Setup::default()).await;
    let mut calls = 0;
    server.intercept(move |_, request| {
        calls += usize::from(request.target == "/api/jobs/cancel");
        (calls == 2).then(|| (503, r#"{"error": "later"}"#.to_owned()))
    });
    let mut program = Program::before(&server.url(), &[]);
    let address = program.address();
    let reply = Client::new()
        .send(Method::POST, address, "/queue", &[], r#"{"clear": true}"#)
        .await
        .expect("an answer");
    assert_eq!(reply.status, 503);
    assert_eq!(reply.text(), r#"{"error": "later"}"#);
    let line = program.line_with("jobs could not be cancelled");
    let (done, not_done) = line.split_once("not_done=").unwrap_or_else(|| panic!("{line}"));
    let still = server.with(|state| state.board.in_state("pending"));
    assert_eq!(still.len(), 50);
    for nth in 2..152 {
        let id = uuid(nth);
        let (inside, outside) = match still.contains(&id) {
            true => (not_done, done),
            false => (done, not_done),
        };
        assert!(inside.contains(&id) && !outside.contains(&id), "{id}: {line}");
    }
}

#[tokio::test]
async fn what_the_server_says_to_a_cancel_is_what_the_client_gets() {
    for (status, given) in [
        (401, 401),
        (402, 402),
        (403, 403),
        (429, 429),
        (500, 500),
        (502, 502),
        (503, 503),
        // None of them is an answer of the Jobs API.
        (302, 502),
        (204, 502),
        (418, 502),
    ] {
        for (target, body) in [
            ("/queue", r#"{"clear": true}"#),
            ("/interrupt", ""),
            ("/api/queue", r#"{"clear": true}"#),
        ] {
            for waiting in [1, 2] {
                let (server, jobshim) = behind(busy(Rules::Comfyui, waiting), Setup::default()).await;
                server.intercept(move |_, request| {
                    (request.method == Method::POST).then(|| (status, r#"{"error": "no"}"#.to_owned()))
                });
                let reply = post(&jobshim, target, body).await;
                assert_eq!(
                    reply.status.as_u16(),
                    given,
                    "{target} {waiting} {status}: {}",
                    reply.text()
                );
                if given == status {
                    assert_eq!(reply.text(), r#"{"error": "no"}"#);
                }
            }
        }
    }
    for body in ["", "no JSON", "{}", "[]", r#"{"cancelled": "#] {
        let (server, jobshim) = behind(busy(Rules::Comfyui, 1), Setup::default()).await;
        server.intercept(move |_, request| (request.method == Method::POST).then(|| (200, body.to_owned())));
        for (target, order) in [("/queue", r#"{"clear": true}"#), ("/interrupt", "")] {
            let reply = post(&jobshim, target, order).await;
            assert_eq!(reply.status, 502, "{target} {body}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn a_proper_id_that_the_server_calls_malformed_was_not_cancelled_and_the_client_hears_it() {
    let (server, jobshim) = behind(busy(Rules::Comfyui, 1), Setup::default()).await;
    server
        .intercept(|_, request| (request.method == Method::POST).then(|| (400, r#"{"error": "not now"}"#.to_owned())));
    for (target, order) in [("/queue", r#"{"clear": true}"#), ("/interrupt", "")] {
        assert_eq!(post(&jobshim, target, order).await.status, 502, "{target}");
    }
}

#[tokio::test]
async fn a_refusal_of_the_list_reaches_the_client_as_it_is_and_a_dead_server_is_a_502() {
    let headers = [
        ("content-type", "application/problem+json"),
        ("retry-after", "17"),
        ("www-authenticate", "Bearer realm=\"a\""),
        ("access-control-allow-origin", "*"),
    ];
    for status in [401, 402, 403, 429, 500, 503] {
        let upstream = Scripted::always(status, &headers, r#"{"code": "NO"}"#).await;
        let jobshim = start(&upstream.url(), |_| {}).await;
        for target in [
            "/queue",
            "/interrupt",
            "/history",
            "/api/queue",
            "/api/interrupt",
            "/api/history",
            "/api/job/x/cancel",
        ] {
            let reply = post(&jobshim, target, "{}").await;
            assert_eq!(
                (reply.status.as_u16(), reply.text().as_str()),
                (status, r#"{"code": "NO"}"#),
                "{target}"
            );
            for (name, value) in headers {
                assert_eq!(reply.header(name), value, "{status} {target} {name}");
            }
        }
    }
    let jobshim = start("http://127.0.0.1:9", |_| {}).await;
    for target in ["/queue", "/interrupt", "/history", "/api/job/x/cancel"] {
        let reply = post(&jobshim, target, "{}").await;
        assert_eq!(reply.status, 502, "{target}");
        assert!(
            reply.text().contains("upstream_unreachable"),
            "{target}: {}",
            reply.text()
        );
    }
}

/// A server that lists one running and two waiting jobs, and then does `then` with every cancel.
async fn listing<A: Future<Output = ()> + Send + 'static>(
    then: impl Fn(TcpStream) -> A + Clone + Send + Sync + 'static,
) -> String {
    let (_, list) = busy(Rules::Comfyui, 2).list("");
    let upstream = raw(move |mut stream, head| {
        let (list, then) = (list.clone(), then.clone());
        async move {
            if head.starts_with("POST") {
                return then(stream).await;
            }
            let length = list.len();
            let answer = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{list}");
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    })
    .await;
    format!("http://{upstream}")
}

async fn hang(stream: TcpStream) {
    std::future::pending::<()>().await;
    drop(stream);
}

async fn until_the_cancel<A: Future<Output = ()> + Send + 'static>(
    then: impl Fn(TcpStream) -> A + Clone + Send + Sync + 'static,
) -> Running {
    start(&listing(then).await, |config| {
        config.upstream.dialect = DialectChoice::Comfyui;
        config.upstream.answer_timeout = Duration::from_millis(300);
    })
    .await
}

#[tokio::test]
async fn a_server_that_dies_or_hangs_in_the_middle_of_a_write_is_no_success() {
    let job = format!("/api/job/{}/cancel", uuid(1));
    let writes = [
        ("/queue", r#"{"clear": true}"#),
        ("/api/queue", r#"{"clear": true}"#),
        ("/interrupt", ""),
        (&job, ""),
    ];
    let dead = until_the_cancel(|stream| async move { drop(stream) }).await;
    let cut = until_the_cancel(|mut stream| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{\"cancelled\": true")
            .await;
    })
    .await;
    let hanging = until_the_cancel(hang).await;
    for (target, body) in writes {
        for (jobshim, status, kind) in [
            (&dead, 502, "upstream_interrupted"),
            (&cut, 502, "upstream_interrupted"),
            (&hanging, 504, "upstream_timeout"),
        ] {
            let reply = post(jobshim, target, body).await;
            assert_eq!(reply.status.as_u16(), status, "{target}: {}", reply.text());
            let error: Value = serde_json::from_slice(&reply.body).expect("JSON");
            assert_eq!(error["error"]["type"], kind, "{target}");
        }
    }
}

#[tokio::test]
async fn half_an_order_is_no_order() {
    let mut board = busy(Rules::Comfyui, 2);
    board.add(job(&uuid(99), "completed", 99));
    let (server, jobshim) = behind(board, Setup::default()).await;
    let before = states(&server);
    for target in ["/queue", "/api/queue", "/interrupt", "/history"] {
        // The part that came would do by itself.
        for head in ["content-length: 30", "transfer-encoding: chunked"] {
            let mut stream = TcpStream::connect(jobshim.address).await.expect("a connection");
            let body = if head.contains("chunked") {
                "f\r\n{\"clear\": true}\r\n"
            } else {
                "{\"clear\": true}"
            };
            let sent = format!("POST {target} HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n{body}");
            stream.write_all(sent.as_bytes()).await.expect("sent");
            stream.shutdown().await.expect("closed");
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            let rest = String::from_utf8_lossy(&rest).into_owned();
            assert!(!rest.starts_with("HTTP/1.1 200"), "{target} {head}: {rest}");
        }
    }
    assert_eq!(states(&server), before);
    assert!(server.arrived(Method::POST, "/").is_empty());
    let history = Client::new().get(jobshim.address, "/history").await;
    assert!(history.text().contains(&uuid(99)), "{}", history.text());
}

#[tokio::test]
async fn where_the_server_cannot_cancel_the_legacy_call_is_forwarded_as_it_came() {
    for missing in [404, 405, 501] {
        let setup = Setup {
            legacy_writes: true,
            no_cancel: Some(missing),
            ..Setup::default()
        };
        for prefix in ["", "/api"] {
            let (server, jobshim) = behind(busy(Rules::Comfyui, 2), setup.clone()).await;
            let body = format!("{{ \"delete\":  [{:?}] }}\n", uuid(2));
            assert_done(&post(&jobshim, &format!("{prefix}/queue"), &body).await, "forwarded");
            let forwarded = server.arrived(Method::POST, &format!("{prefix}/queue"));
            assert_eq!(forwarded.len(), 1, "{missing}");
            assert_eq!(forwarded[0].body, body, "to the byte");
            server.with(|state| assert_eq!(state.board.in_state("pending"), [uuid(3)]));
            assert_done(&post(&jobshim, &format!("{prefix}/interrupt"), "").await, "forwarded");
            server.with(|state| assert_eq!(state.board.in_state("failed"), [uuid(1)]));
        }
    }
}

#[tokio::test]
async fn what_neither_the_jobs_api_nor_the_legacy_endpoint_can_do_is_a_501() {
    for missing in [404, 405, 501] {
        let setup = Setup {
            no_cancel: Some(missing),
            ..Setup::default()
        };
        let (server, jobshim) = behind(busy(Rules::Comfyui, 2), setup).await;
        let job = format!("/api/job/{}/cancel", uuid(1));
        for (target, body) in [
            ("/queue", r#"{"clear": true}"#),
            ("/interrupt", ""),
            ("/api/queue", r#"{"clear": true}"#),
            (&job, ""),
        ] {
            let reply = post(&jobshim, target, body).await;
            assert_eq!(reply.status, 501, "{missing} {target}: {}", reply.text());
            let error: Value = serde_json::from_slice(&reply.body).expect("JSON");
            assert_eq!(error["error"]["type"], "not_implemented", "{target}");
        }
        assert_eq!(states(&server).len(), 2, "nothing was touched");
    }
    // Before 0.6.0 there is no Jobs API at all, and the legacy writes are there.
    let server = Scripted::always(404, &[], "404: Not Found").await;
    let jobshim = start(&server.url(), |_| {}).await;
    assert_eq!(post(&jobshim, "/queue", r#"{"clear": true}"#).await.status, 501);
    let forwarded = server.arrived();
    assert_eq!(forwarded.last().map(|one| one.target.as_str()), Some("/queue"));
}

#[tokio::test]
async fn a_body_that_orders_nothing_possible_is_refused_and_nothing_is_done() {
    let (server, jobshim) = behind(busy(Rules::Comfyui, 2), Setup::default()).await;
    for target in ["/queue", "/api/queue", "/history", "/api/history"] {
        for body in [
            "",
            "not JSON",
            "[]",
            "5",
            "null",
            r#"{"delete": true}"#,
            r#"{"delete": 5}"#,
            r#"{"clear": true"#,
            r#"{"clear": true} x"#,
        ] {
            let reply = post(&jobshim, target, body).await;
            assert_eq!(reply.status, 400, "{target} {body}: {}", reply.text());
            let error: Value = serde_json::from_slice(&reply.body).expect("JSON");
            assert_eq!(error["error"]["type"], "invalid_body", "{target} {body}");
        }
        let long = format!(r#"{{"clear": true, "x": "{}"}}"#, "x".repeat(2 << 20));
        assert_eq!(post(&jobshim, target, long).await.status, 413, "{target}");
    }
    let long = "x".repeat(2 << 20);
    assert_eq!(post(&jobshim, "/interrupt", long).await.status, 413);
    assert_eq!(cancels(&server), []);
}

#[tokio::test]
async fn other_methods_are_405_and_a_preflight_is_the_servers() {
    let (_server, jobshim) = behind(board(Rules::Comfyui), Setup::default()).await;
    for (method, target) in [
        (Method::PUT, "/queue"),
        (Method::PATCH, "/interrupt"),
        (Method::DELETE, "/history"),
        (Method::GET, "/api/job/x/cancel"),
    ] {
        let reply = Client::new()
            .send(method, jobshim.address, target, &[], "")
            .await
            .expect("an answer");
        assert_eq!(reply.status, 405, "{target}");
        assert!(reply.header("allow").contains("POST"), "{target}");
    }
}
