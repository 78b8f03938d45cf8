//! The call itself: nothing of it is changed, delayed or lost.

#![cfg(target_os = "linux")]

use super::*;

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
        let recorder = Scripted::always(200, &headers, answer).await;
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
                    if body.len() > 8 << 20 && sent.iter().any(|(name, _)| *name == "content-encoding") {
                        assert_eq!(reply.status, 413, "nobody knows what it says: {shown}");
                        continue;
                    }
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
    let mut program = Program::before(&upstream.url(), &["--dialect", "comfyui"]);
    let address = program.address();
    // What of the program itself is in memory says nothing.
    let before = program.reset_peak_memory();
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let piece = Bytes::from(vec![b'x'; MIB as usize]);
    let frames = (0..512).map(move |_| {
        counted.fetch_add(MIB, Ordering::SeqCst);
        Ok::<_, Infallible>(Frame::data(piece.clone()))
    });
    let mut sender = sender(address).await;
    let request = Request::post("/prompt")
        .header("host", "x")
        .body(StreamBody::new(stream::iter(frames)))
        .expect("a request");
    let answer = tokio::spawn(async move { sender.send_request(request).await });
    let held = at_rest(&sent).await;
    assert!((8 * MIB..100 * MIB).contains(&held), "{} MiB were taken", held / MIB);
    go.send(true).expect("a server");
    let response: Response<_> = answer.await.expect("a task").expect("an answer");
    let total = response.into_body().collect().await.expect("a body").to_bytes();
    assert_eq!(total, (512 * MIB).to_string());
    let grown = program.peak_memory() - before;
    assert!(grown < 36 << 10, "{grown} KiB besides {before}");
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
    let recorder = Scripted::always(200, &[], &long).await;
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
