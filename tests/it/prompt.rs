//! What `POST /prompt` teaches, and that it never delays, changes or breaks the call.

use crate::support::{
    Client, Reply, Running, TableFolder,
    corpus::{Case, case, items, parts, submission},
    json::{Json, differences},
    program::Program,
    server::{Server, Setup, board},
    start,
    upstream::{Arrived, Recorder, Scripted, TestBody, reply},
};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use jobshim::{
    config::{Config, DialectChoice},
    demo::Rules,
    mapping::Tables,
    notes::note,
};
use serde_json::{Value, json};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// Two output nodes and one that is none.
fn nodes() -> Value {
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64}},
        "8": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
    })
}

async fn submit_as(at: SocketAddr, headers: &[(&str, &str)], body: impl ToString) -> String {
    let reply = Client::new()
        .send(Method::POST, at, "/prompt", headers, body.to_string())
        .await
        .expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
    answer["prompt_id"].as_str().expect("an id").to_owned()
}

async fn get(at: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Value {
    let reply = Client::new().get_with(at, target, headers).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    serde_json::from_slice(&reply.body).expect("JSON")
}

async fn new_server(rules: Rules, setup: Setup) -> (Server, Running) {
    let server = Server::start(board(rules), setup).await;
    let jobshim = start(&server.url(), |config| {
        config.upstream.dialect = match rules {
            Rules::Cloud => DialectChoice::Cloud,
            Rules::Comfyui | Rules::ComfyuiEarly => DialectChoice::Comfyui,
        };
    })
    .await;
    (server, jobshim)
}

/// The only pending job as `/queue` shows it.
async fn pending(at: SocketAddr, headers: &[(&str, &str)]) -> Value {
    get(at, "/queue", headers).await["queue_pending"][0].clone()
}

// ------------------------------------------------------------------------------------------------ what is learnt

/// Every recorded answer of a case, after its queued jobs were submitted through jobshim.
async fn assert_nothing_lost(case: Case) {
    let server = Server::start(case.board(), Setup::default()).await;
    let jobshim = start(&server.url(), |_| {}).await;
    let queue = case
        .legacy
        .iter()
        .find(|legacy| legacy.target == "/queue")
        .expect("a queue");
    for list in parts(&queue.body).values() {
        for item in items(list) {
            let id: String = serde_json::from_str(&items(&item)[1]).expect("an id");
            server.with(|state| state.ids.push(id.clone()));
            assert_eq!(submit_as(jobshim.address, &[], submission(&item)).await, id);
        }
    }
    for legacy in &case.legacy {
        let reply = Client::new().get(jobshim.address, &legacy.target).await;
        let mut wanted = Json::parse(legacy.body.as_bytes()).expect("a recorded body");
        let mut given = Json::parse(&reply.body).expect("JSON");
        wanted.settle();
        given.settle();
        let found = differences(&wanted, &given);
        assert!(found.is_empty(), "{} {}: {found:#?}", case.server, legacy.target);
    }
}

#[tokio::test]
async fn the_queue_is_whole_for_jobs_that_were_submitted_through_jobshim() {
    for server in ["comfyui-0.27", "comfyui-0.8", "comfyui-next"] {
        assert_nothing_lost(case(server, "busy")).await;
    }
}

#[tokio::test]
async fn a_partial_execution_shows_exactly_the_nodes_it_asked_for() {
    for rules in [Rules::Comfyui, Rules::Cloud] {
        for path in ["/prompt", "/api/prompt"] {
            let (server, jobshim) = new_server(rules, Setup::default()).await;
            let at = jobshim.address;
            let body = json!({"prompt": nodes(), "client_id": "me", "partial_execution_targets": ["8"]});
            let reply = Client::new()
                .send(Method::POST, at, path, &[], body.to_string())
                .await
                .expect("an answer");
            let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
            let id = answer["prompt_id"].as_str().expect("an id");
            // Whatever is looked at first does not make it forgotten.
            for target in [
                format!("/api/job/{id}/status"),
                "/api/history_v2".to_owned(),
                "/api/jobs".to_owned(),
            ] {
                get(at, &target, &[]).await;
            }
            assert_eq!(pending(at, &[]).await[4], json!(["8"]), "{rules:?}");
            server.step();
            server.step();
            for target in [
                format!("/api/job/{id}/status"),
                "/api/history_v2".to_owned(),
                "/api/queue".to_owned(),
            ] {
                get(at, &target, &[]).await;
            }
            let list = get(at, "/history", &[]).await;
            assert_eq!(list[id]["prompt"][4], json!(["8"]), "{rules:?}");
            for _ in 0..2 {
                let one = get(at, &format!("/history/{id}"), &[]).await;
                assert_eq!(one[id]["prompt"][4], json!(["8"]), "{rules:?}");
                let detail = get(at, &format!("/api/history_v2/{id}"), &[]).await;
                assert_eq!(detail[id]["prompt"]["outputs_to_execute"], json!(["8"]), "{rules:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_queued_job_is_whole_however_often_its_status_is_asked() {
    let (_server, jobshim) = new_server(Rules::Comfyui, Setup::default()).await;
    let at = jobshim.address;
    let id = submit_as(
        at,
        &[],
        json!({"prompt": nodes(), "client_id": "me", "extra_data": {"a": 1.50}}),
    )
    .await;
    for _ in 0..3 {
        get(at, &format!("/api/job/{id}/status"), &[]).await;
        let item = pending(at, &[]).await;
        assert_eq!(item[2], nodes());
        assert_eq!((&item[3]["a"], &item[3]["client_id"]), (&json!(1.5), &json!("me")));
        assert!(item[3]["create_time"].is_i64(), "{item}");
        assert_eq!(item[4], json!(["8", "9"]));
    }
}

#[tokio::test]
async fn what_one_user_submitted_is_shown_to_no_other() {
    let (_server, jobshim) = new_server(Rules::Comfyui, Setup::default()).await;
    let at = jobshim.address;
    let anna = [("comfy-user", "anna")];
    submit_as(at, &anna, json!({"prompt": nodes()})).await;
    assert_eq!(pending(at, &anna).await[2], nodes());
    for other in [
        vec![],
        vec![("comfy-user", "bert")],
        vec![("authorization", "anna")],
        vec![("cookie", "anna")],
        vec![("x-api-key", "anna")],
    ] {
        assert_eq!(pending(at, &other).await[2], json!({}), "{other:?}");
    }
    assert_eq!(pending(at, &anna).await[2], nodes());
}

#[tokio::test]
async fn a_note_is_dropped_once_the_job_itself_tells_it() {
    let (server, jobshim) = new_server(Rules::Comfyui, Setup::default()).await;
    let at = jobshim.address;
    let id = submit_as(at, &[], json!({"prompt": nodes()})).await;
    server.step();
    server.step();
    assert_eq!(get(at, "/history", &[]).await[&id]["prompt"][2], nodes());
    // A server that forgot the workflow again would show what is still known here: nothing.
    server.with(|state| {
        let job = state.board.jobs[0].clone();
        let detail = job.detail.replace("\"workflow\"", "\"other\"");
        let job = jobshim::demo::Job::new(&job.entry, &detail).expect("a job");
        state.board.replace(job);
    });
    assert_eq!(get(at, "/history", &[]).await[&id]["prompt"][2], json!({}));
}

#[tokio::test]
async fn a_prompt_that_the_server_refused_or_answered_without_an_id_teaches_nothing() {
    for (status, answer) in [
        (400, r#"{"prompt_id": "ID", "error": "no"}"#),
        (200, r#"{"number": 1}"#),
        (200, "not JSON"),
        (200, ""),
        (500, ""),
    ] {
        let (server, jobshim) = new_server(Rules::Comfyui, Setup::default()).await;
        let at = jobshim.address;
        server.intercept(move |state, request| {
            (request.method == Method::POST).then(|| {
                state.board.add(
                    jobshim::demo::Job::new(
                        r#"{"id": "ID", "status": "pending", "create_time": 1795000000000}"#,
                        r#"{"id": "ID", "status": "pending", "create_time": 1795000000000}"#,
                    )
                    .expect("a job"),
                );
                (status, answer.to_owned())
            })
        });
        let reply = Client::new()
            .send(Method::POST, at, "/prompt", &[], json!({"prompt": nodes()}).to_string())
            .await
            .expect("an answer");
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (status, answer));
        assert_eq!(pending(at, &[]).await[2], json!({}), "{status} {answer}");
    }
}

#[test]
fn keys_are_in_no_note() {
    let tables = Tables::load(None).expect("the built-in tables");
    for extra_data in [
        r#"{"api_key_comfy_org": "SECRET", "auth_token_comfy_org": "SECRET"}"#,
        r#"{"a": 1, "api_key_comfy_org": "SECRET", "b": 2, "auth_token_comfy_org": "SECRET"}"#,
        r#"{"api_key_comfy_org": "SECRET", "api_key_comfy_org": "SECRET", "b": 2}"#,
        r#"{"api\u005fkey_comfy_org": "SECRET", "\u0061uth_token_comfy_org": "SECRET"}"#,
        "{ \"api_key_comfy_org\"\n:\t\"SECRET\" ,\r\n\"auth_token_comfy_org\":{\"x\":[\"SECRET\"]}}",
        r#"{"extra_pnginfo": {"workflow": {}}, "api_key_comfy_org": ["SECRET", {"api_key_comfy_org": "SECRET"}]}"#,
    ] {
        let body = format!(r#"{{"prompt": {{"1": {{}}}}, "extra_data": {extra_data}, "front": true}}"#);
        let twice = format!(
            r#"{{"extra_data": {{"api_key_comfy_org": "SECRET"}}, "prompt": {{"1": {{}}}}, "extra_data": {extra_data}}}"#
        );
        for body in [body, twice] {
            let noted = note(&tables.prompt, body.as_bytes()).expect("a note");
            let noted = String::from_utf8(noted.to_vec()).expect("text");
            assert!(!noted.contains("SECRET"), "{body}: {noted}");
            assert!(serde_json::from_str::<Value>(&noted).is_ok(), "{noted}");
        }
    }
}

#[tokio::test]
async fn notes_take_no_more_memory_than_they_may() {
    const MIB: usize = 1 << 20;
    let server = Server::start(board(Rules::Comfyui), Setup::default()).await;
    let jobshim = start(&server.url(), |config| config.notes.max_bytes = 4 * MIB).await;
    let at = jobshim.address;
    let filler = "x".repeat(MIB);
    for nth in 0..20 {
        submit_as(
            at,
            &[],
            json!({"prompt": {"1": {"class_type": "SaveImage", "nth": nth, "text": filler}}}),
        )
        .await;
    }
    let queue = get(at, "/queue", &[]).await;
    let items = queue["queue_pending"].as_array().expect("a list");
    assert_eq!(items.len(), 20);
    let whole: Vec<i64> = items.iter().filter_map(|item| item[2]["1"]["nth"].as_i64()).collect();
    assert!(whole.len() <= 3, "noted: {whole:?}");
    assert_eq!(whole.last(), Some(&19), "the newest is among them: {whole:?}");
    // With no memory for notes nothing is noted, and nothing else changes.
    let jobshim = start(&server.url(), |config| config.notes.max_bytes = 0).await;
    server.with(|state| state.board.jobs.clear());
    submit_as(jobshim.address, &[], json!({"prompt": nodes()})).await;
    assert_eq!(pending(jobshim.address, &[]).await[2], json!({}));
}

// ------------------------------------------------------------------------------------------------ the call itself

async fn facing(url: &str, change: impl FnOnce(&mut Config)) -> Running {
    start(url, |config| {
        config.upstream.dialect = DialectChoice::Comfyui;
        change(config);
    })
    .await
}

fn last(recorder: &Recorder) -> Arrived {
    recorder.arrived().pop().expect("a request")
}

/// Bodies that a server may get; none of them may arrive changed.
fn bodies() -> Vec<Bytes> {
    let mut bodies: Vec<Bytes> = [
        "",
        "not JSON",
        "[]",
        "null",
        "{}",
        "{\"prompt\": {}}",
        " \r\n\t{\"prompt\" : {\"1\":{ }} , \"extra_data\":{\"api_key_comfy_org\":\"a real key\"}}\r\n ",
        "{\"prompt\": {\"a\": NaN, \"b\": -Infinity, \"c\": 1e-07, \"d\": 123456789012345678901234567890, \"e\": \"\\ud83d\"}}",
        "{\"prompt\": {\"1\": {}}, \"prompt\": {\"2\": {}}, \"extra_data\": []}",
        "{\"prompt\": {}, \"extra_data\": {\"other\": \"[REDACTED]\"}, \"api_key_comfy_org\": \"[REDACTED]\"}",
        "{\"prompt\": {}, \"extra_data\": {\"api_key_comfy_org\": [\"[REDACTED]\"]}}",
        "{\"extra_data\": {\"api_key_comfy_org\": \"[REDACTED]\"}",
        "{\"prompt\": {\"1\": {\"inputs\": {\"text\": \"[REDACTED]\"}}}}",
    ]
    .map(Bytes::from)
    .to_vec();
    bodies.push(vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0].into());
    bodies.push(vec![b'{', b'"', 0xff, b'"', b':', b'1', b'}'].into());
    bodies.push(vec![b'x'; (8 << 20) - 1].into());
    bodies.push(vec![b' '; (8 << 20) + 1].into());
    bodies
}

#[tokio::test]
async fn request_and_answer_pass_to_the_byte_whatever_they_are() {
    let compressed = "\u{1f}\u{8b}not really";
    for answer in ["{\"prompt_id\":  \"a\", \"number\": 1.0}\n", "not JSON", "", compressed] {
        let headers = [
            ("content-type", "application/json"),
            ("content-encoding", "gzip"),
            ("x-own", "1"),
        ];
        let recorder = Recorder::start(200, &headers, answer).await;
        let jobshim = facing(&recorder.url(), |_| {}).await;
        for target in ["/prompt", "/api/prompt", "/prompt?x=1%20"] {
            for body in bodies() {
                for sent in [
                    &[][..],
                    &[("content-type", "application/json")],
                    &[
                        ("content-type", "text/plain"),
                        ("accept-encoding", "gzip, br"),
                        ("content-encoding", "gzip"),
                    ],
                ] {
                    let shown = String::from_utf8_lossy(&body[..body.len().min(200)]).into_owned();
                    let reply = Client::new()
                        .send(Method::POST, jobshim.address, target, sent, body.clone())
                        .await
                        .expect("an answer");
                    assert_eq!((reply.status.as_u16(), reply.text().as_str()), (200, answer), "{shown}");
                    for (name, value) in headers {
                        assert_eq!(reply.header(name), value);
                    }
                    let arrived = last(&recorder);
                    assert_eq!(arrived.target, target);
                    assert!(
                        arrived.body == body,
                        "{shown} arrived as {:?}",
                        String::from_utf8_lossy(&arrived.body[..arrived.body.len().min(200)])
                    );
                    for (name, value) in sent {
                        assert_eq!(arrived.headers[*name], *value);
                    }
                    assert_eq!(
                        arrived.headers.contains_key("content-type"),
                        !sent.is_empty(),
                        "{shown}"
                    );
                }
            }
        }
    }
}

/// A body in pieces, so that it goes out chunked.
fn chunked(pieces: Vec<Bytes>) -> TestBody {
    let frames = pieces
        .into_iter()
        .map(|piece| Ok::<_, std::io::Error>(Frame::data(piece)));
    StreamBody::new(stream::iter(frames)).boxed()
}

async fn send_chunked(at: SocketAddr, pieces: Vec<Bytes>) -> Reply {
    let stream = TcpStream::connect(at).await.expect("a connection");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("HTTP");
    tokio::spawn(connection);
    let request = Request::post("/prompt")
        .header("host", "x")
        .body(chunked(pieces))
        .expect("a request");
    let response = sender.send_request(request).await.expect("an answer");
    let (head, body) = response.into_parts();
    Reply {
        status: head.status,
        headers: head.headers,
        body: body.collect().await.expect("a body").to_bytes(),
    }
}

#[tokio::test]
async fn a_chunked_body_arrives_whole_and_is_noted_like_any_other() {
    let (server, jobshim) = new_server(Rules::Comfyui, Setup::default()).await;
    let text = json!({"prompt": nodes()}).to_string();
    let pieces = text.as_bytes().chunks(7).map(Bytes::copy_from_slice).collect();
    let reply = send_chunked(jobshim.address, pieces).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let arrived = server.arrived(Method::POST, "/prompt");
    assert_eq!(arrived[0].body, text);
    assert_eq!(pending(jobshim.address, &[]).await[2], nodes());
    // Over the limit, and in pieces.
    let jobshim = start(&server.url(), |config| config.notes.max_body = 100).await;
    server.with(|state| state.board.jobs.clear());
    let pieces = text.as_bytes().chunks(7).map(Bytes::copy_from_slice).collect();
    assert_eq!(send_chunked(jobshim.address, pieces).await.status, 200);
    assert_eq!(server.arrived(Method::POST, "/prompt")[1].body, text);
    assert_eq!(pending(jobshim.address, &[]).await[2], json!({}), "it is not noted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_over_the_limit_is_streamed_and_a_slow_server_holds_the_client_back() {
    const MIB: u64 = 1 << 20;
    // Reads nothing until told, then all.
    let (go, wait) = tokio::sync::watch::channel(false);
    let upstream = Scripted::start(move |request| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|go| *go).await.expect("told");
            let mut body = request.into_body();
            let mut total = 0;
            while let Some(frame) = body.frame().await {
                total += frame.expect("a frame").into_data().map_or(0, |data| data.len() as u64);
            }
            reply(200, &[], total.to_string())
        }
    })
    .await;
    let mut program = Program::start(
        &[
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            &upstream.url(),
            "--dialect",
            "comfyui",
        ],
        &[],
    );
    let address = program.address();
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let piece = Bytes::from(vec![b'x'; MIB as usize]);
    let frames = (0..512).map(move |_| {
        counted.fetch_add(MIB, Ordering::SeqCst);
        Ok::<_, Infallible>(Frame::data(piece.clone()))
    });
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .expect("HTTP");
    tokio::spawn(connection);
    let request = Request::post("/prompt")
        .header("host", "x")
        .body(StreamBody::new(stream::iter(frames)))
        .expect("a request");
    let answer = tokio::spawn(async move { sender.send_request(request).await });
    // It has come to rest when four looks in a row see the same.
    let mut looks = vec![0];
    while looks.len() < 4 || looks.iter().rev().take(4).any(|look| Some(look) != looks.last()) {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        looks.push(sent.load(Ordering::SeqCst));
    }
    let held = looks.last().copied().unwrap_or_default();
    assert!((8 * MIB..100 * MIB).contains(&held), "{} MiB were taken", held / MIB);
    go.send(true).expect("a server");
    let response: Response<_> = answer.await.expect("a task").expect("an answer");
    let total = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(total, (512 * MIB).to_string());
    let peak = program.peak_memory();
    assert!(peak < 64 << 10, "peak memory {peak} KiB");
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_leaves_nothing_behind() {
    let (server, jobshim) = new_server(Rules::Comfyui, Setup::default()).await;
    for head in ["content-length: 1000", "transfer-encoding: chunked"] {
        let mut stream = TcpStream::connect(jobshim.address).await.expect("a connection");
        let body = "8\r\n{\"prompt\r\n";
        let sent = format!("POST /prompt HTTP/1.1\r\nhost: x\r\n{head}\r\n\r\n{body}");
        stream.write_all(sent.as_bytes()).await.expect("sent");
        stream.shutdown().await.expect("closed");
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        let rest = String::from_utf8_lossy(&rest).into_owned();
        assert!(rest.is_empty() || rest.starts_with("HTTP/1.1 400"), "{rest}");
    }
    submit_as(jobshim.address, &[], json!({"prompt": nodes()})).await;
    let complete: Vec<_> = server.arrived(Method::POST, "/prompt");
    assert_eq!(complete.len(), 1, "half a prompt is no prompt: {complete:#?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_is_long_is_what_the_client_gets() {
    let long = format!(
        r#"{{"prompt_id": "a", "node_errors": {{"x": "{}"}}}}"#,
        "y".repeat(1 << 20)
    );
    let recorder = Recorder::start(200, &[], &long).await;
    let jobshim = facing(&recorder.url(), |_| {}).await;
    let reply = Client::new()
        .send(Method::POST, jobshim.address, "/prompt", &[], "{\"prompt\": {}}")
        .await
        .expect("an answer");
    assert!(reply.text() == long, "{} bytes", reply.body.len());
    for head in ["content-length: 100", "transfer-encoding: chunked"] {
        let broken = crate::support::upstream::raw_bytes(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n5\r\nhello")).await;
        let jobshim = facing(&format!("http://{broken}"), |_| {}).await;
        let outcome = Client::new()
            .send(Method::POST, jobshim.address, "/prompt", &[], "{\"prompt\": {}}")
            .await;
        assert!(
            outcome.is_err() || outcome.as_ref().is_ok_and(|reply| reply.status == 502),
            "{outcome:?}"
        );
    }
    let jobshim = facing("http://127.0.0.1:9", |_| {}).await;
    let reply = Client::new()
        .send(Method::POST, jobshim.address, "/prompt", &[], "{\"prompt\": {}}")
        .await
        .expect("an answer");
    assert_eq!(reply.status, 502);
}

// ------------------------------------------------------------------------------------------------ redacted keys

#[tokio::test]
async fn a_redacted_key_is_taken_out_on_the_way_in_and_nothing_else() {
    for (sent, arrives) in [
        (
            r#"{"prompt": {"1":{}}, "extra_data": {"api_key_comfy_org": "[REDACTED]"}, "client_id": "a"}"#,
            r#"{"prompt": {"1":{}}, "extra_data": {}, "client_id": "a"}"#,
        ),
        (
            "{\"extra_data\":{\"x\" : 1.0,\n\"api_key_comfy_org\":\"[REDACTED]\" , \"y\":2}}\n",
            "{\"extra_data\":{\"x\" : 1.0 , \"y\":2}}\n",
        ),
        (
            r#"{"extra_data": {"api\u005fkey_comfy_org": "\u005bREDACTED]", "x": NaN}}"#,
            r#"{"extra_data": {"x": NaN}}"#,
        ),
    ] {
        for max_bytes in [1 << 20, 0] {
            let recorder = Recorder::start(200, &[], r#"{"prompt_id": "a"}"#).await;
            let jobshim = facing(&recorder.url(), |config| config.notes.max_bytes = max_bytes).await;
            for target in ["/prompt", "/api/prompt"] {
                let reply = Client::new()
                    .send(Method::POST, jobshim.address, target, &[], sent)
                    .await
                    .expect("an answer");
                assert_eq!(reply.status, 200);
                let arrived = last(&recorder);
                assert_eq!(
                    String::from_utf8_lossy(&arrived.body),
                    arrives,
                    "notes: {max_bytes} bytes"
                );
                assert_eq!(arrived.headers["content-length"], arrives.len().to_string());
            }
            let pieces = sent.as_bytes().chunks(5).map(Bytes::copy_from_slice).collect();
            assert_eq!(send_chunked(jobshim.address, pieces).await.status, 200);
            assert_eq!(String::from_utf8_lossy(&last(&recorder).body), arrives);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_warns_of_a_redacted_key_and_holds_no_real_one() {
    let recorder = Recorder::start(200, &[], r#"{"prompt_id": "a"}"#).await;
    let mut program = Program::start(
        &[
            "-vv",
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            &recorder.url(),
            "--dialect",
            "comfyui",
        ],
        &[],
    );
    let at = program.address();
    for key in ["a-real-key-7c1d", "[REDACTED]"] {
        submit_as(
            at,
            &[],
            json!({"prompt": {}, "extra_data": {"api_key_comfy_org": key, "auth_token_comfy_org": "token-7c1d"}}),
        )
        .await;
    }
    program.line_with("redacted key");
    program.signal("TERM");
    program.end();
    let warned = program.log.iter().filter(|line| line.contains("redacted key")).count();
    assert_eq!(warned, 1, "{:#?}", program.log);
    assert!(
        !program.log.iter().any(|line| line.contains("7c1d")),
        "{:#?}",
        program.log
    );
}

#[tokio::test]
async fn a_redacted_key_never_comes_out() {
    let (server, jobshim) = new_server(Rules::Cloud, Setup::default()).await;
    let at = jobshim.address;
    let ids = [
        submit_as(
            at,
            &[],
            json!({"prompt": nodes(), "extra_data": {"a": 1, "api_key_comfy_org": "a-real-key"}}),
        )
        .await,
        submit_as(at, &[], json!({"prompt": nodes(), "client_id": "b"})).await,
        submit_as(at, &[], json!({"prompt": nodes()})).await,
    ];
    server.step();
    server.step();
    let upstream = get(at, &format!("/api/jobs/{}", ids[0]), &[]).await;
    assert_eq!(
        upstream["workflow"]["extra_data"]["api_key_comfy_org"], "[REDACTED]",
        "the server says so"
    );
    for target in [
        "/history".to_owned(),
        "/queue".to_owned(),
        "/api/queue".to_owned(),
        "/api/history_v2".to_owned(),
        format!("/history/{}", ids[0]),
        format!("/api/history_v2/{}", ids[0]),
        format!("/api/job/{}/status", ids[0]),
    ] {
        let reply = Client::new().get(at, &target).await;
        assert_eq!(reply.status, 200, "{target}");
        for word in ["REDACTED", "api_key_comfy_org", "a-real-key"] {
            assert!(!reply.text().contains(word), "{target}: {}", reply.text());
        }
    }
    assert_eq!(get(at, "/history", &[]).await[&ids[0]]["prompt"][3]["a"], 1);
}

#[tokio::test]
async fn a_table_in_the_folder_decides_what_is_noted() {
    let table = std::fs::read_to_string("mappings/prompt.toml").expect("the table");
    let other = table.replace("id = \"prompt_id\"", "id = \"job.id\"");
    assert_ne!(table, other);
    let folder = TableFolder::with("prompt-table", &[("prompt.toml", &other)]);
    let server = Server::start(board(Rules::Comfyui), Setup::default()).await;
    let jobshim = start(&server.url(), |config| config.mappings_dir = Some(folder.path.clone())).await;
    submit_as(jobshim.address, &[], json!({"prompt": nodes()})).await;
    assert_eq!(
        pending(jobshim.address, &[]).await[2],
        json!({}),
        "the answer has no job.id"
    );
}
