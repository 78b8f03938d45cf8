//! Which messages come, in which order, to whom.

use super::{Setup, Socket, slow, told};
use crate::support::wait::until;
use futures_util::{SinkExt, StreamExt};
use http::Method;
use jobshim::demo::v2::{Call, Fault, Options, Status};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_told_of_from_its_start_to_its_end_as_comfyui_does() {
    for options in [Options::default(), Options::api_proxy()] {
        let setup = Setup::new(options).await;
        let mut socket = Socket::of(&setup).await;
        let id = setup.submit_slow(&[]).await;
        assert_eq!(told(&socket.next().await), "status 1");
        until("the stream is open", async || setup.server.open_streams() == 1).await;
        setup.server.finish_all();
        let heard = socket.until_over().await;
        let file = heard
            .iter()
            .find(|heard| heard.starts_with("executed"))
            .expect("an output");
        assert!(file.contains("subfolder:sub") && file.contains("type:output"), "{file}");
        let expected = [
            "execution_start",
            "progress_state 3 running 0/1",
            "executing 3",
            "progress_state 3 running 1/2",
            "progress 3 1/2",
            "preview",
            "progress_state 3 running 2/2",
            "progress 3 2/2",
            "preview",
            "progress_state 3 finished 2/2",
            "progress_state 3 finished 2/2, 9 running 0/1",
            "executing 9",
            file,
            "progress_state 3 finished 2/2, 9 finished 1/1",
            "execution_success",
            "status 0",
            "executing null",
        ];
        assert_eq!(heard, expected);
        // At once after the end, the history has the job, as ComfyUI's has.
        let history = setup.get(&format!("/history/{id}")).await;
        let output = history[&id]["outputs"]["9"].to_string().replace('"', "");
        assert_eq!(*file, format!("executed 9 {output}"));
        assert_eq!(setup.server.count(Call::Events), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_name_the_job_by_the_id_that_its_client_chose() {
    let setup = Setup::new(Options::default()).await;
    let mut socket = Socket::of(&setup).await;
    let (id, _) = setup
        .submit(&[], json!({"prompt_id": "my job", "client_id": "me", "prompt": slow()}))
        .await;
    assert_eq!(id, "my job");
    setup.server.finish_all();
    loop {
        let message = socket.next().await;
        if !["status", "preview"].iter().any(|kind| message["type"] == *kind) {
            assert_eq!(message["data"]["prompt_id"], "my job", "{message}");
        }
        if message["type"] == "executing" && message["data"]["node"].is_null() {
            break;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_and_an_interruption_end_as_comfyuis_do() {
    let setup = Setup::new(Options::default()).await;
    let mut socket = Socket::of(&setup).await;
    let failing = json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "5": {"class_type": "LabFail", "inputs": {"images": ["1", 0], "message": "no such luck"}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "a"}}
    });
    setup.submit(&[], json!({"prompt": failing, "client_id": "me"})).await;
    setup.server.finish_all();
    let mut error = Value::Null;
    let mut heard = Vec::new();
    while heard.last().is_none_or(|heard| heard != "executing null") {
        let message = socket.next().await;
        heard.push(told(&message));
        if message["type"] == "execution_error" {
            error = message["data"].clone();
        }
    }
    let expected = [
        "status 1",
        "execution_start",
        r"execution_error 5 no such luck\n",
        "status 0",
        "executing null",
    ];
    assert_eq!(heard, expected);
    assert_eq!(error["node_type"], "LabFail", "{error}");
    assert!(
        error["traceback"].as_array().is_some_and(|lines| lines.len() > 1),
        "{error}"
    );
    assert!(
        error["executed"].is_array() && error["exception_type"].is_string(),
        "{error}"
    );

    let id = setup.submit_slow(&[]).await;
    until("the stream is open", async || setup.server.open_streams() == 1).await;
    for _ in 0..3 {
        setup.server.step();
    }
    let before = socket.until("preview").await;
    assert_eq!(before[before.len() - 2], "progress 3 1/2", "{before:?}");
    setup.post("/interrupt", &[], &json!({"prompt_id": id})).await;
    setup.server.finish_all();
    let heard = socket.until_over().await;
    assert_eq!(
        heard,
        ["execution_interrupted 3 LabSleep", "status 0", "executing null"]
    );

    // One that never ran only leaves the queue.
    let id = setup.submit_slow(&[]).await;
    assert_eq!(told(&socket.next().await), "status 1");
    setup.post("/queue", &[], &json!({"delete": [id]})).await;
    assert_eq!(told(&socket.next().await), "status 0");
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_of_a_client_share_a_stream_and_others_hear_nothing() {
    let setup = Setup::new(Options {
        keys: vec!["one".to_owned(), "two".to_owned()],
        ..Options::default()
    })
    .await;
    let at = setup.jobshim.address;
    let (one, two) = ([("authorization", "Bearer one")], [("authorization", "Bearer two")]);
    setup.get_with("/queue", &one).await;
    let mut first = Socket::open(at, "?clientId=me", &one).await;
    let mut second = Socket::open(at, "?clientId=me", &one).await;
    let mut of_other_scope = Socket::open(at, "?clientId=me", &two).await;
    let mut of_other_name = Socket::open(at, "?clientId=you", &one).await;
    for socket in [&mut first, &mut second, &mut of_other_scope, &mut of_other_name] {
        assert_eq!(told(&socket.next().await), "status 0");
    }
    setup.submit_slow(&one).await;
    until("the stream is open", async || setup.server.open_streams() == 1).await;
    setup.server.finish_all();
    let heard = first.until_over().await;
    assert_eq!(second.until_over().await, heard);
    assert_eq!(setup.server.count(Call::Events), 1);
    assert_eq!(of_other_name.until("status 0").await, ["status 1", "status 0"]);
    // What they hear next is their own.
    setup.submit_slow(&two).await;
    setup.server.finish_all();
    assert_eq!(told(&of_other_scope.next().await), "status 1");
    assert_eq!(told(&of_other_scope.next().await), "execution_start");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_comes_back_hears_where_its_job_is_and_how_it_ends() {
    let setup = Setup::new(Options::default()).await;
    let socket = Socket::of(&setup).await;
    setup.submit_slow(&[]).await;
    until("the stream is open", async || setup.server.open_streams() == 1).await;
    socket.close().await;
    until("the stream is closed", async || setup.server.open_streams() == 0).await;
    for _ in 0..3 {
        setup.server.step();
    }
    let mut socket = Socket::of(&setup).await;
    assert_eq!(
        socket.until("progress 3 1/2").await,
        [
            "progress_state 3 running 0/1",
            "executing 3",
            "progress_state 3 running 1/2",
            "progress 3 1/2"
        ]
    );
    // One more socket is told which node runs.
    let mut late = Socket::of(&setup).await;
    assert_eq!(told(&late.next().await), "executing 3");
    setup.server.finish_all();
    let heard = socket.until_over().await;
    assert!(heard.contains(&"execution_success".to_owned()), "{heard:?}");
    assert_eq!(late.until_over().await, heard);
    socket.close().await;
    late.close().await;
    // Of what ended while nobody listened only the queue tells.
    setup.submit_slow(&[]).await;
    setup.server.finish_all();
    let mut socket = Socket::open(setup.jobshim.address, "?clientId=me", &[]).await;
    assert_eq!(socket.until("status 0").await, ["status 1", "status 0"]);
    assert_eq!(setup.server.in_state(Status::Succeeded).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_overtakes_the_answer_to_its_prompt() {
    let setup = Setup::new(Options {
        runs_for: Some(std::time::Duration::from_millis(1)),
        ..Options::default()
    })
    .await;
    for _ in 0..5 {
        let mut socket = Socket::of(&setup).await;
        let (answered, heard) = tokio::join!(
            async {
                setup.submit_slow(&[]).await;
                Instant::now()
            },
            async {
                socket.next().await;
                Instant::now()
            }
        );
        assert!(answered <= heard, "a message was there {:?} before", answered - heard);
        socket.until_over().await;
    }
}

#[tokio::test]
async fn what_opens_no_websocket_is_a_400_that_says_how() {
    let setup = Setup::new(Options::default()).await;
    setup.get("/queue").await;
    for (method, target, headers) in [
        (Method::GET, "/ws?clientId=x", &[][..]),
        (Method::POST, "/api/ws", &[("upgrade", "websocket")]),
        (
            Method::GET,
            "/ws",
            &[
                ("connection", "upgrade"),
                ("upgrade", "websocket"),
                ("sec-websocket-version", "8"),
            ],
        ),
    ] {
        let sent = setup
            .client
            .send(method, setup.jobshim.address, target, headers, "")
            .await;
        let answer = sent.expect("an answer");
        assert_eq!(answer.status, 400, "{target}: {}", answer.text());
        assert!(answer.text().contains("Sec-WebSocket-Version: 13"), "{}", answer.text());
    }
    // Without a name it is given one, and the prefix makes no difference.
    let url = format!("ws://{}/api/ws", setup.jobshim.address);
    let stream = tokio::net::TcpStream::connect(setup.jobshim.address)
        .await
        .expect("a connection");
    let mut socket = Socket(
        tokio_tungstenite::client_async(url, stream)
            .await
            .expect("a WebSocket")
            .0,
    );
    let greeting = socket.next().await;
    assert_eq!(greeting["data"]["sid"].as_str().map(str::len), Some(32), "{greeting}");
}

#[tokio::test]
async fn a_page_of_another_site_opens_none() {
    let setup = Setup::new(Options::default()).await;
    setup.get("/queue").await;
    let key = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    let headers = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        key,
        ("sec-fetch-site", "cross-site"),
    ];
    let sent = setup
        .client
        .send(Method::GET, setup.jobshim.address, "/ws", &headers, "")
        .await;
    assert_eq!(sent.expect("an answer").status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_without_an_answer_holds_messages_for_a_second_whatever_its_client_sends() {
    let setup = Setup::new(Options::default()).await;
    let mut socket = Socket::of(&setup).await;
    setup.submit_slow(&[]).await;
    assert_eq!(told(&socket.next().await), "status 1");
    until("the stream is open", async || setup.server.open_streams() == 1).await;
    setup.server.fail_next(Some(Call::Submit), 1, Fault::Silent);
    let body = json!({"prompt": slow(), "client_id": "me"});
    let unanswered = setup.post("/prompt", &[], &body);
    let heard = async {
        until("it has arrived", async || setup.server.count(Call::Submit) == 2).await;
        setup.server.step();
        let since = Instant::now();
        loop {
            socket.0.send(Message::Ping("here?".into())).await.expect("sent");
            let next = timeout(Duration::from_millis(50), socket.0.next()).await;
            if let Ok(Some(Ok(Message::Text(text)))) = next
                && text.contains("execution_start")
            {
                return since.elapsed();
            }
            assert!(since.elapsed() < Duration::from_secs(20), "it never comes");
        }
    };
    tokio::select! {
        _ = unanswered => panic!("there was an answer"),
        took = heard => assert!(took < Duration::from_secs(10), "{took:?}"),
    }
}
