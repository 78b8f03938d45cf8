//! The second listener: who may look, and what is counted.

use crate::support::{
    Client, Running,
    metrics::Metrics,
    program::{Program, run},
    start,
    upstream::{Scripted, raw},
    wait::{PATIENCE, within},
};
use http::Method;
use jobshim::demo::{Board, Job, Options, Rules, Simulator};
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

fn board() -> Board {
    let mut board = Board::new(Rules::Comfyui);
    for (id, status) in [("done", "completed"), ("waiting", "pending")] {
        let text = format!(
            r#"{{"id": "{id}", "status": "{status}", "create_time": 1700000000000, "priority": 7,
                "workflow": {{"prompt": {{}}, "extra_data": {{}}}}}}"#
        );
        board.jobs.push(Job::new(&text, &text).expect("a job"));
    }
    board
}

pub async fn simulated() -> (Simulator, Running) {
    let simulator = Simulator::start(board(), Options::default())
        .await
        .expect("a simulator");
    let jobshim = start(&simulator.url(), |_| {}).await;
    (simulator, jobshim)
}

/// Reads the metrics until `enough` of them: what has been counted follows the answer by a moment.
async fn metrics_when(client: &Client, admin: SocketAddr, enough: impl Fn(&Metrics) -> bool) -> Metrics {
    let waiting = async {
        loop {
            let metrics = Metrics::of(client, admin).await;
            if enough(&metrics) {
                return metrics;
            }
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    match waited {
        Ok(metrics) => metrics,
        Err(_) => panic!("in vain:\n{}", Metrics::of(client, admin).await.text),
    }
}

#[tokio::test]
async fn it_says_that_it_is_alive_and_refuses_whom_it_does_not_know() {
    let mut jobshim = start("http://127.0.0.1:9", |_| {}).await;
    let admin = jobshim.admin(&["jobshim.lan"]).await;
    let client = Client::new();
    let alive = client.get(admin, "/healthz").await;
    assert_eq!((alive.status.as_u16(), alive.text().as_str()), (200, "alive\n"));
    assert_eq!(alive.header("cache-control"), "no-store");
    assert_eq!(alive.header("x-content-type-options"), "nosniff");
    let head = client
        .send(Method::HEAD, admin, "/healthz", &[], "")
        .await
        .expect("an answer");
    assert_eq!(
        (
            head.status.as_u16(),
            head.header("content-length"),
            head.text().as_str()
        ),
        (200, "6", "")
    );
    assert_eq!(client.get(admin, "/history").await.status, 404);
    for path in ["/healthz", "/readyz", "/metrics"] {
        for (headers, status) in [
            (&[("host", "evil.example")][..], 421),
            (&[("host", "jobshim.lan:8186")], 200),
            (&[("sec-fetch-site", "cross-site")], 403),
            (&[("origin", "http://evil.example")], 403),
        ] {
            let reply = client.get_with(admin, path, headers).await;
            let expected = if status == 200 && path == "/readyz" {
                503
            } else {
                status
            };
            assert_eq!(reply.status, expected, "{path} {headers:?}: {}", reply.text());
        }
        let posted = client
            .send(Method::POST, admin, path, &[], "x")
            .await
            .expect("an answer");
        assert_eq!((posted.status.as_u16(), posted.header("allow")), (405, "GET, HEAD"));
    }
}

#[tokio::test]
async fn days_that_are_no_number_are_refused_and_not_taken_for_thirty() {
    let mut jobshim = start("http://127.0.0.1:9", |_| {}).await;
    let admin = jobshim.admin(&[]).await;
    let client = Client::new();
    for (target, status) in [
        ("/usage", 200),
        ("/usage?days=7", 200),
        ("/usage?x=1&days=0", 200),
        ("/usage?days=", 400),
        ("/usage?days=7d", 400),
        ("/usage?days=-1", 400),
        ("/usage?days=18446744073709551616", 400),
    ] {
        let reply = client.get(admin, target).await;
        assert_eq!(reply.status, status, "{target}: {}", reply.text());
        assert_eq!(
            reply.text().contains("days is a whole number"),
            status == 400,
            "{target}"
        );
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_mode_source_and_status() {
    let (_simulator, mut jobshim) = simulated().await;
    let admin = jobshim.admin(&[]).await;
    let client = Client::new();
    for target in [
        "/history",
        "/api/history",
        "/history/done",
        "/history/nobody",
        "/queue",
        "/api/history_v2",
    ] {
        assert_eq!(client.get(jobshim.address, target).await.status, 200, "{target}");
    }
    assert_eq!(client.get(jobshim.address, "/api/job/nobody/status").await.status, 404);
    assert_eq!(client.get(jobshim.address, "/history?max_items=x").await.status, 400);
    assert_eq!(client.get(jobshim.address, "/api/jobs").await.status, 200);
    let cleared = client.send(Method::POST, jobshim.address, "/queue", &[], r#"{"clear": true}"#);
    assert_eq!(cleared.await.expect("an answer").status, 200);
    let wrong = client.send(Method::DELETE, jobshim.address, "/queue", &[], "");
    assert_eq!(wrong.await.expect("an answer").status, 405);
    let metrics = metrics_when(&client, admin, |metrics| {
        metrics.sum("jobshim_requests_total", "") >= 11.0
    })
    .await;
    let counted = |mode: &str, route: &str, source: &str, status: &str| {
        metrics.value(&format!(
            r#"jobshim_requests_total{{mode="{mode}",route="{route}",source="{source}",status="{status}"}}"#
        ))
    };
    for (mode, route, source, status, count) in [
        ("translate", "history", "jobs_api", "2xx", 2.0),
        ("translate", "history", "jobs_api", "4xx", 1.0),
        ("translate", "history_entry", "jobs_api", "2xx", 2.0),
        ("translate", "queue", "jobs_api", "2xx", 1.0),
        ("translate", "history_v2", "jobs_api", "2xx", 1.0),
        ("translate", "job_status", "jobs_api", "4xx", 1.0),
        ("translate", "queue_write", "jobs_api", "2xx", 1.0),
        ("pass", "other", "upstream", "2xx", 1.0),
        ("pass", "wrong_method", "jobshim", "4xx", 1.0),
    ] {
        assert_eq!(
            counted(mode, route, source, status),
            count,
            "{route} {status}\n{}",
            metrics.text
        );
    }
    assert_eq!(metrics.sum("jobshim_requests_total", ""), 11.0, "{}", metrics.text);
    assert_eq!(metrics.sum("jobshim_request_duration_seconds_bucket", ""), 11.0);
    assert_eq!(metrics.value("jobshim_requests_in_flight{}"), 0.0);
    // 15 bytes of an order to clear.
    assert_eq!(
        metrics.value(r#"jobshim_request_bytes_total{route="queue_write"}"#),
        15.0
    );
    assert_eq!(
        metrics.value(r#"jobshim_upstream_calls_total{call="probe",status="4xx"}"#),
        1.0
    );
    assert_eq!(
        metrics.value(r#"jobshim_upstream_calls_total{call="pass",status="2xx"}"#),
        1.0
    );
    assert!(metrics.value(r#"jobshim_upstream_calls_total{call="cancel",status="2xx"}"#) >= 1.0);
    for id in ["done", "nobody", "waiting"] {
        assert!(!metrics.text.contains(id), "an id is no label: {}", metrics.text);
    }
}

#[tokio::test]
async fn nothing_that_clients_send_becomes_a_label() {
    let (_simulator, mut jobshim) = simulated().await;
    let admin = jobshim.admin(&[]).await;
    let client = Client::new();
    let ask = async |round: u32| {
        let (id, agent) = (format!("s3cret-{round}"), format!("agent-s3cret/{round}"));
        let headers = [
            ("user-agent", agent.as_str()),
            ("x-api-key", &id),
            ("x-request-id", &id),
        ];
        let own = Method::from_bytes(format!("S3CRET{round}").as_bytes()).expect("a method");
        for (method, target) in [
            (Method::GET, format!("/history/{id}")),
            (Method::GET, format!("/history?max_items={id}")),
            (Method::GET, format!("/api/job/{id}/status")),
            (Method::POST, format!("/api/job/{id}/cancel")),
            (Method::GET, format!("/{id}")),
            (own.clone(), format!("/{id}")),
            (own, "/queue".to_owned()),
        ] {
            let sent = client.send(method, jobshim.address, &target, &headers, "");
            sent.await.expect("an answer");
        }
    };
    let series = async |requests: f64| {
        let enough = |metrics: &Metrics| metrics.sum("jobshim_requests_total", "") >= requests;
        let metrics = metrics_when(&client, admin, enough).await;
        assert!(!metrics.text.to_lowercase().contains("s3cret"), "{}", metrics.text);
        let lines = metrics.text.lines().filter(|line| !line.starts_with('#'));
        lines
            .map(|line| line.rsplit_once(' ').expect("a sample").0.to_owned())
            .collect::<Vec<_>>()
    };
    ask(0).await;
    let before = series(7.0).await;
    for round in 1..10 {
        ask(round).await;
    }
    assert_eq!(series(70.0).await, before);
}

#[tokio::test]
async fn bytes_of_answers_are_counted_as_the_client_got_them() {
    let recorder = Scripted::always(200, &[], "0123456789").await;
    let mut jobshim = start(&recorder.url(), |_| {}).await;
    let admin = jobshim.admin(&[]).await;
    let client = Client::new();
    for _ in 0..3 {
        let sent = client.send(Method::PUT, jobshim.address, "/userdata/x", &[], "four");
        assert_eq!(sent.await.expect("an answer").text(), "0123456789");
    }
    let metrics = metrics_when(&client, admin, |metrics| {
        metrics.sum("jobshim_requests_total", "") >= 3.0
    })
    .await;
    assert_eq!(metrics.value(r#"jobshim_response_bytes_total{route="other"}"#), 30.0);
    assert_eq!(metrics.value(r#"jobshim_request_bytes_total{route="other"}"#), 12.0);
}

#[tokio::test]
async fn a_client_that_leaves_is_counted_as_such_and_so_is_the_call_made_for_it() {
    let upstream = Scripted::of_board(board()).await;
    let gate = upstream.hold_details();
    let mut jobshim = start(&upstream.url(), |_| {}).await;
    let admin = jobshim.admin(&[]).await;
    let client = Client::new();
    let mut leaving = TcpStream::connect(jobshim.address).await.expect("a connection");
    let request = b"GET /history/done HTTP/1.1\r\nhost: x\r\n\r\n";
    leaving.write_all(request).await.expect("sent");
    gate.until_came(1).await;
    let during = Metrics::of(&client, admin).await;
    assert_eq!(during.value("jobshim_requests_in_flight{}"), 1.0);
    assert_eq!(during.value("jobshim_connections_open{}"), 1.0);
    drop(leaving);
    let abandoned = r#"jobshim_upstream_failures_total{call="detail",reason="abandoned"}"#;
    let after = metrics_when(&client, admin, |metrics| {
        metrics.value("jobshim_connections_open{}") == 0.0 && metrics.value(abandoned) == 1.0
    })
    .await;
    assert_eq!(after.value("jobshim_connections_total{}"), 1.0);
    assert_eq!(after.value("jobshim_requests_in_flight{}"), 0.0);
    assert_eq!(
        after.sum("jobshim_requests_total", r#"status="none""#),
        1.0,
        "{}",
        after.text
    );
}

#[tokio::test]
async fn failures_of_the_upstream_are_counted_by_kind() {
    let client = Client::new();
    let mut jobshim = start("http://127.0.0.1:9", |_| {}).await;
    let admin = jobshim.admin(&[]).await;
    assert_eq!(client.get(jobshim.address, "/userdata").await.status, 502);
    assert_eq!(client.get(jobshim.address, "/history").await.status, 502);
    let metrics = metrics_when(&client, admin, |metrics| {
        metrics.sum("jobshim_requests_total", "") >= 2.0
    })
    .await;
    for call in ["pass", "probe"] {
        let failures = format!(r#"jobshim_upstream_failures_total{{call="{call}",reason="connect"}}"#);
        assert_eq!(metrics.value(&failures), 1.0, "{}", metrics.text);
        let calls = format!(r#"jobshim_upstream_calls_total{{call="{call}",status="none"}}"#);
        assert_eq!(metrics.value(&calls), 1.0, "{}", metrics.text);
    }
}

#[tokio::test]
async fn tunnels_are_counted_while_they_are_open_and_their_bytes_afterwards() {
    let upstream = raw(|mut stream, _| async move {
        let _ = stream
            .write_all(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\r\nhello")
            .await;
        let mut got = [0; 3];
        let _ = stream.read_exact(&mut got).await;
    })
    .await;
    let mut jobshim = start(&format!("http://{upstream}"), |_| {}).await;
    let admin = jobshim.admin(&[]).await;
    let client = Client::new();
    let mut socket = TcpStream::connect(jobshim.address).await.expect("a connection");
    let request = b"GET /ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    socket.write_all(request).await.expect("sent");
    let open = metrics_when(&client, admin, |metrics| metrics.value("jobshim_tunnels_open{}") == 1.0).await;
    assert_eq!(open.sum("jobshim_requests_total", r#"status="1xx""#), 1.0);
    socket.write_all(b"abc").await.expect("sent");
    let mut rest = Vec::new();
    within("its end", socket.read_to_end(&mut rest)).await.expect("its end");
    drop(socket);
    let closed = metrics_when(&client, admin, |metrics| metrics.value("jobshim_tunnels_open{}") == 0.0).await;
    assert_eq!(
        closed.value(r#"jobshim_tunnel_bytes_total{direction="received"}"#),
        3.0,
        "{}",
        closed.text
    );
    assert_eq!(
        closed.value(r#"jobshim_tunnel_bytes_total{direction="sent"}"#),
        5.0,
        "{}",
        closed.text
    );
}

#[tokio::test]
async fn a_request_id_is_passed_on_or_made_and_the_trace_is_passed_on() {
    let recorder = Scripted::always(404, &[], "{}").await;
    let jobshim = start(&recorder.url(), |config| {
        config.upstream.dialect = jobshim::config::DialectChoice::Comfyui;
    })
    .await;
    let client = Client::new();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for target in ["/view", "/history/one"] {
        let headers = [
            ("x-request-id", "mine-1"),
            ("traceparent", trace),
            ("tracestate", "a=b"),
        ];
        let reply = client.get_with(jobshim.address, target, &headers).await;
        assert_eq!(reply.header("x-request-id"), "mine-1", "{target}");
        let arrived = recorder.arrived().pop().expect("a request");
        for (name, value) in headers {
            assert_eq!(arrived.headers.get(name).expect(name), value, "{target}");
        }
    }
    let too_long = "x".repeat(129);
    for sent in [None, Some("not one word"), Some(""), Some(too_long.as_str())] {
        let headers: Vec<_> = sent.iter().map(|&id| ("x-request-id", id)).collect();
        let made: Vec<String> = [
            client.get_with(jobshim.address, "/view", &headers).await,
            client
                .get_with(
                    jobshim.address,
                    "/history/0b8d4d0a-6d0c-4b3e-9c39-0d6a0f8f1c11",
                    &headers,
                )
                .await,
        ]
        .iter()
        .map(|reply| reply.header("x-request-id").to_owned())
        .collect();
        assert!(
            made[0].len() > 8 && made[0] != made[1] && Some(made[0].as_str()) != sent,
            "{sent:?}: {made:?}"
        );
        let arrived = recorder.arrived();
        let passed: Vec<_> = arrived[arrived.len() - 2..]
            .iter()
            .map(|one| one.headers["x-request-id"].clone())
            .collect();
        assert_eq!(passed, made, "{sent:?}");
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn the_program_opens_the_admin_listener_where_it_is_told() {
    let arguments = ["--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:9"];
    let mut program = Program::start(&arguments, &[("JOBSHIM_ADMIN", "127.0.0.1:0")]);
    let client = Client::new();
    assert_eq!(client.get(program.admin(), "/healthz").await.status, 200);
    let build = Metrics::of(&client, program.admin()).await;
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        build.value(&format!(r#"jobshim_build_info{{version="{version}"}}"#)),
        1.0
    );
    program.signal("TERM");
    assert_eq!(program.end().code(), Some(0));

    let mut silent = Program::start(&arguments, &[("JOBSHIM_ADMIN", "off")]);
    // An answer says that it is past its start, and hears signals.
    assert_eq!(client.get(silent.address(), "/view").await.status, 502);
    silent.signal("TERM");
    assert_eq!(silent.end().code(), Some(0));
    assert!(
        !silent.log.iter().any(|line| line.contains("can be seen")),
        "{:#?}",
        silent.log
    );

    let taken = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = run(&arguments, &[("JOBSHIM_ADMIN", &address)]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&address) && said.contains("--admin"), "{said}");
}
