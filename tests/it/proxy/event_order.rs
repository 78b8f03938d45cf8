//! An event never overtakes the answer to the prompt that it belongs to, though the two come on connections of their own.

use crate::support::{
    facing,
    gate::Gate,
    raw::{raw_request, statuses},
    upstream::{RawServer, read_body, read_head},
    wait::{until, within},
};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    fmt::Display,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, tcp::OwnedWriteHalf},
    sync::Mutex,
    task::JoinSet,
    time::Instant,
};

/// How long after its answer a prompt holds what is said.
const MOMENT: Duration = Duration::from_millis(50);

/// A server whose jobs take no time: their end is said on the client's socket before their prompt is answered.
struct InstantServer {
    server: RawServer<()>,
    sockets: Arc<Mutex<HashMap<String, OwnedWriteHalf>>>,
    /// Prompts that name it wait there for their answer.
    gate: Arc<Gate>,
}

impl InstantServer {
    async fn start() -> Self {
        let (sockets, gate) = (Arc::default(), Arc::new(Gate::default()));
        let shared = (Arc::clone(&sockets), Arc::clone(&gate));
        let server = RawServer::start(([127, 0, 0, 1], 0).into(), move |stream, _, _| {
            let (sockets, gate) = shared.clone();
            async move {
                serve(stream, &sockets, &gate).await;
            }
        })
        .await;
        Self { server, sockets, gate }
    }

    async fn say(&self, socket: &str, bytes: &[u8]) {
        let mut sockets = self.sockets.lock().await;
        let socket = sockets.get_mut(socket).expect("an open socket");
        socket.write_all(bytes).await.expect("said");
    }
}

async fn serve(mut stream: TcpStream, sockets: &Mutex<HashMap<String, OwnedWriteHalf>>, gate: &Gate) {
    while let Some(head) = read_head(&mut stream).await {
        if let Some((query, _)) = head.strip_prefix("GET /ws").and_then(|rest| rest.split_once(' ')) {
            let (mut reading, mut writing) = stream.into_split();
            let switched = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n";
            if writing.write_all(switched.as_bytes()).await.is_ok() {
                sockets.lock().await.insert(query.to_owned(), writing);
            }
            let mut heard = [0; 1024];
            while reading.read(&mut heard).await.is_ok_and(|bytes| bytes > 0) {}
            return;
        }
        let Some(body) = read_body(&head, &mut stream).await else {
            return;
        };
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        if let (Some(socket), Some(event)) = (body["to"].as_str(), body["event"].as_str())
            && let Some(socket) = sockets.lock().await.get_mut(socket)
        {
            let _ = socket.write_all(event.as_bytes()).await;
        }
        if body["waits"] == true {
            gate.pass().await;
        }
        let (status, answer) = match (head.starts_with("POST /prompt "), body["refused"] == true) {
            (true, false) => (200, r#"{"prompt_id": "a", "number": 1}"#),
            (true, true) => (400, r#"{"error": "no"}"#),
            (false, _) => (404, ""),
        };
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// A client's socket through `at`, with `headers`.
async fn open(at: SocketAddr, query: &str, headers: &str) -> TcpStream {
    let request =
        format!("GET /ws{query} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{headers}\r\n");
    let (stream, head) = raw_request(at, &request).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    stream
}

async fn hear(socket: &mut TcpStream, expected: &str) {
    let mut said = vec![0; expected.len()];
    let hearing = socket.read_exact(&mut said);
    within(expected, hearing).await.expect("the socket goes on");
    assert_eq!(String::from_utf8_lossy(&said), expected);
}

/// A prompt of `client` for which the server says `event` on the socket that was opened with `query`.
fn prompt(client: Value, query: &str, event: &str) -> Value {
    json!({"client_id": client, "prompt": {"1": {}}, "to": query, "event": event})
}

/// A prompt on its way, on a connection of its own.
struct Submitted(TcpStream);

impl Submitted {
    async fn to(at: SocketAddr, body: impl Display) -> Self {
        let body = body.to_string();
        let head = format!(
            "POST /prompt HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut stream = TcpStream::connect(at).await.expect("a connection");
        stream.write_all((head + &body).as_bytes()).await.expect("sent");
        Self(stream)
    }

    /// Whether anything of the answer has arrived by now, read or not: the system is asked.
    fn arrived(self) -> (Self, bool) {
        let stream = self.0.into_std().expect("a socket");
        let has_come = stream.peek(&mut [0]).is_ok_and(|bytes| bytes > 0);
        (Self(TcpStream::from_std(stream).expect("a socket")), has_come)
    }

    async fn status(mut self) -> u16 {
        let head = within("the answer", read_head(&mut self.0)).await.expect("an answer");
        statuses(&head).pop().expect("a status")
    }
}

/// Submits a job `times` times, and hears of its end each time. Gives how often that came before the answer.
async fn overtaken(at: SocketAddr, client: &str, times: usize) -> usize {
    let query = format!("?clientId={client}");
    let mut socket = open(at, &query, "").await;
    let mut overtaken = 0;
    for _ in 0..times {
        let submitted = Submitted::to(at, prompt(client.into(), &query, "done")).await;
        hear(&mut socket, "done").await;
        let (submitted, is_answered) = submitted.arrived();
        overtaken += usize::from(!is_answered);
        assert_eq!(submitted.status().await, 200);
    }
    overtaken
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_job_of_no_time_never_overtakes_the_answer_of_a_thousand() {
    let server = InstantServer::start().await;
    let jobshim = facing(&server.server.url(), |_| {}).await;
    let mut clients = JoinSet::new();
    for number in 0..10 {
        let at = jobshim.address;
        clients.spawn(async move { overtaken(at, &format!("client{number}"), 100).await });
    }
    let overtaken: usize = clients.join_all().await.into_iter().sum();
    assert_eq!(overtaken, 0, "of 1000");
}

#[tokio::test]
async fn what_is_said_waits_until_a_moment_after_the_answer() {
    let server = InstantServer::start().await;
    let jobshim = facing(&server.server.url(), |_| {}).await;
    let mut socket = open(jobshim.address, "?clientId=a", "").await;
    for (refused, status) in [(false, 200), (true, 400)] {
        let mut body = prompt("a".into(), "?clientId=a", "one two three");
        body["refused"] = refused.into();
        let began = Instant::now();
        let submitted = Submitted::to(jobshim.address, body).await;
        hear(&mut socket, "one two three").await;
        let took = began.elapsed();
        assert!(took >= MOMENT, "{took:?}");
        let (submitted, is_answered) = submitted.arrived();
        assert!(is_answered, "the answer comes first");
        assert_eq!(submitted.status().await, status);
    }
}

#[tokio::test]
async fn what_is_said_waits_a_second_where_the_answer_takes_longer() {
    let server = InstantServer::start().await;
    let jobshim = facing(&server.server.url(), |_| {}).await;
    let mut socket = open(jobshim.address, "?clientId=a", "").await;
    let mut body = prompt("a".into(), "?clientId=a", "one two three");
    body["waits"] = true.into();
    let began = Instant::now();
    let submitted = Submitted::to(jobshim.address, body).await;
    hear(&mut socket, "one two three").await;
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(1), "{took:?}");
    // What is said later does not wait for this prompt again.
    server.say("?clientId=a", b"four").await;
    hear(&mut socket, "four").await;
    let (submitted, is_answered) = submitted.arrived();
    assert!(!is_answered, "the server has not answered yet");
    server.gate.admit(1);
    assert_eq!(submitted.status().await, 200);
}

#[tokio::test]
async fn others_wait_for_nothing() {
    let server = InstantServer::start().await;
    let jobshim = facing(&server.server.url(), |_| {}).await;
    let at = jobshim.address;
    let mut own = open(at, "?clientId=a", "").await;
    let mut others = Vec::new();
    for (query, headers) in [("?clientId=b", ""), ("?x=1&clientId=a", "X-API-Key: k\r\n"), ("", "")] {
        others.push((open(at, query, headers).await, query));
    }
    // Each prompt holds its own socket again.
    for time in 1..=5 {
        let mut body = prompt("a".into(), "?clientId=a", "own");
        body["waits"] = true.into();
        let submitted = Submitted::to(at, body).await;
        server.gate.until_came(time).await;
        let heard = Instant::now();
        for (socket, query) in &mut others {
            server.say(query, b"at once").await;
            hear(socket, "at once").await;
        }
        let took = heard.elapsed();
        server.gate.admit(1);
        hear(&mut own, "own").await;
        assert_eq!(submitted.status().await, 200);
        // Each of the three would wait a second. A busy machine may take as long once.
        if took < Duration::from_millis(500) {
            return;
        }
    }
    panic!("others were heard late, each time");
}

#[tokio::test]
async fn a_client_whom_the_server_named_and_one_that_writes_its_name_in_other_ways_are_known() {
    let server = InstantServer::start().await;
    let jobshim = facing(&server.server.url(), |_| {}).await;
    for (query, client) in [
        ("", "named by the server"),
        ("?x=1&clientId=a+b%2Fc", "a b/c"),
        ("?clientId=&clientId=z", "z"),
    ] {
        let mut socket = open(jobshim.address, query, "").await;
        let began = Instant::now();
        let submitted = Submitted::to(jobshim.address, prompt(client.into(), query, "event")).await;
        hear(&mut socket, "event").await;
        let took = began.elapsed();
        assert!(took >= MOMENT, "{query}: it was not held, and heard after {took:?}");
        assert_eq!(submitted.status().await, 200);
    }
}

#[tokio::test]
async fn a_prompt_that_is_too_long_to_be_held_holds_too() {
    let server = InstantServer::start().await;
    let jobshim = facing(&server.server.url(), |config| config.notes.max_body = 100).await;
    let mut socket = open(jobshim.address, "?clientId=a", "").await;
    for _ in 0..20 {
        // Its client is named last of all.
        let long = "x".repeat(10_000);
        let body = format!(
            r#"{{"event": "event", "to": "?clientId=a", "prompt": {{"1": {{"x": "{long}"}}}}, "client_id": "a"}}"#
        );
        let began = Instant::now();
        let submitted = Submitted::to(jobshim.address, body).await;
        hear(&mut socket, "event").await;
        let (submitted, is_answered) = submitted.arrived();
        assert!(is_answered, "the answer comes first");
        let took = began.elapsed();
        assert!(took >= MOMENT, "it was not held, and heard after {took:?}");
        assert_eq!(submitted.status().await, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_stay_in_their_order_and_none_is_lost_while_prompts_come_and_go() {
    const ALL: usize = 500_000;
    let server = Arc::new(InstantServer::start().await);
    let jobshim = facing(&server.server.url(), |_| {}).await;
    let at = jobshim.address;
    let mut socket = open(at, "?clientId=a", "").await;
    let all: Vec<u8> = (0..ALL).map(|number| (number % 251) as u8).collect();
    let ended = Arc::new(AtomicBool::new(false));
    let submitting = tokio::spawn({
        let ended = Arc::clone(&ended);
        async move {
            while !ended.load(Ordering::SeqCst) {
                let submitted = Submitted::to(at, json!({"client_id": "a", "prompt": {}})).await;
                assert_eq!(submitted.status().await, 200);
            }
        }
    });
    let saying = tokio::spawn({
        let (server, all) = (Arc::clone(&server), all.clone());
        async move {
            let mut rest = &all[..];
            for size in [1, 7, 20_000, 65_536, 3, 200_000].into_iter().cycle() {
                let (now, later) = rest.split_at(size.min(rest.len()));
                server.say("?clientId=a", now).await;
                rest = later;
                if rest.is_empty() {
                    return;
                }
            }
        }
    });
    let mut heard = vec![0; ALL];
    within("all of it", socket.read_exact(&mut heard))
        .await
        .expect("all of it");
    assert!(heard == all, "in order");
    ended.store(true, Ordering::SeqCst);
    saying.await.expect("no panic");
    within("the last prompt", submitting).await.expect("no panic");
}

#[tokio::test]
async fn a_client_that_hangs_up_before_its_answer_holds_nothing() {
    let server = InstantServer::start().await;
    let jobshim = facing(&server.server.url(), |_| {}).await;
    let mut socket = open(jobshim.address, "?clientId=a", "").await;
    let mut body = prompt("a".into(), "?clientId=a", "event");
    body["waits"] = true.into();
    let submitted = Submitted::to(jobshim.address, body).await;
    server.gate.until_came(1).await;
    drop(submitted);
    hear(&mut socket, "event").await;
    // The server's end is passed on, too.
    server.sockets.lock().await.clear();
    until("the end", async || matches!(socket.read(&mut [0; 8]).await, Ok(0))).await;
}
