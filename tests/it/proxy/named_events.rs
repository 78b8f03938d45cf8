//! What the server says of a job on `/ws` names it as its client does.

use crate::support::{
    Client, facing,
    raw::raw_request,
    server::{Server, Setup, board},
    upstream::{Arrived, RawServer, read_body, read_head},
    wait::within,
};
use futures_util::{SinkExt, StreamExt};
use http::Method;
use jobshim::{config::Ids, demo::Rules};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, tcp::OwnedWriteHalf},
    sync::Mutex,
};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

/// An extension that a browser asks for.
const PACKED: &str = "permessage-deflate; client_max_window_bits";

async fn open(at: SocketAddr, client: &str, headers: &[(&'static str, &'static str)]) -> WebSocketStream<TcpStream> {
    let mut request = format!("ws://{at}/ws?clientId={client}")
        .into_client_request()
        .expect("a request");
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().expect("a value"));
    }
    let stream = TcpStream::connect(at).await.expect("a connection");
    client_async(request, stream).await.expect("a WebSocket").0
}

async fn event(socket: &mut WebSocketStream<TcpStream>, kind: &str) -> Value {
    loop {
        let message = within(kind, socket.next()).await.expect("an open WebSocket");
        if let Message::Text(text) = message.expect("a message") {
            let event: Value = serde_json::from_str(&text).expect("JSON");
            if event["type"] == kind {
                return event["data"].clone();
            }
        }
    }
}

async fn submit(at: SocketAddr, name: &str, client: &str) -> Value {
    let body = json!({"prompt": {"9": {"class_type": "SaveImage"}}, "prompt_id": name, "client_id": client});
    let reply = Client::new()
        .send(Method::POST, at, "/prompt", &[], body.to_string())
        .await;
    let reply = reply.expect("an answer");
    assert_eq!(reply.status, 200, "{}", reply.text());
    serde_json::from_slice::<Value>(&reply.body).expect("JSON")["prompt_id"].clone()
}

fn opened(server: &Server) -> Vec<Arrived> {
    server.arrived(Method::GET, "/ws")
}

#[tokio::test]
async fn a_client_hears_of_its_jobs_by_their_names() {
    for ids in [Ids::Any, Ids::Auto] {
        let server = Server::start(board(Rules::Comfyui), Setup::default()).await;
        let jobshim = facing(&server.url(), |config| config.legacy.ids = ids).await;
        // It is open before anything is known of the server.
        let mut socket = open(jobshim.address, "me", &[]).await;
        event(&mut socket, "status").await;
        let long = "x".repeat(300);
        for name in [
            "my job/1",
            "0B8D4D0A-6D0C-4B3E-9C39-0D6A0F8F1C11",
            &long,
            "\u{1f388} \"fête\"",
        ] {
            assert_eq!(submit(jobshim.address, name, "me").await, name);
            server.step();
            assert_eq!(event(&mut socket, "execution_start").await["prompt_id"], name);
            server.step();
            assert_eq!(event(&mut socket, "executing").await["prompt_id"], name);
            assert_eq!(event(&mut socket, "execution_success").await["prompt_id"], name);
        }
        // A job with an id of the server's own is called by it.
        let uuid = "0b8d4d0a-6d0c-5b3e-9c39-0d6a0f8f1c11";
        assert_eq!(submit(jobshim.address, uuid, "me").await, uuid);
        server.step();
        assert_eq!(event(&mut socket, "execution_start").await["prompt_id"], uuid);
        socket.close(None).await.expect("closed");
    }
}

#[tokio::test]
async fn another_scope_hears_the_uuid() {
    let server = Server::start(board(Rules::Comfyui), Setup::default()).await;
    let jobshim = facing(&server.url(), |config| config.legacy.ids = Ids::Any).await;
    // It calls itself by the same name, and the server knows no keys.
    let mut other = open(jobshim.address, "me", &[("cookie", "session=other")]).await;
    submit(jobshim.address, "my job/1", "me").await;
    server.step();
    let heard = event(&mut other, "execution_start").await;
    assert_eq!(heard["prompt_id"].as_str().map(str::len), Some(36), "{heard}");
}

#[tokio::test]
async fn packing_is_declined_where_names_are_to_be_expected_and_nowhere_else() {
    let server = Server::start(board(Rules::Comfyui), Setup::default()).await;
    let extension = ("sec-websocket-extensions", PACKED);
    let jobshim = facing(&server.url(), |_| {}).await;
    let asked = |nth: usize| opened(&server)[nth].headers.get(extension.0).cloned();
    open(jobshim.address, "me", &[extension]).await;
    assert_eq!(asked(0).expect("the extension"), PACKED, "no name is known");
    submit(jobshim.address, "my job/1", "me").await;
    open(jobshim.address, "me", &[extension]).await;
    assert_eq!(asked(1), None, "the server refuses names");
    for (nth, (ids, declined)) in [(Ids::Any, true), (Ids::Off, false)].into_iter().enumerate() {
        let jobshim = facing(&server.url(), |config| config.legacy.ids = ids).await;
        open(jobshim.address, "me", &[extension]).await;
        assert_eq!(asked(2 + nth).is_none(), declined, "{ids:?}");
    }
}

/// A server that says bytes on a socket as the test wants them, and gives every prompt the id that it has.
struct Bytewise {
    server: RawServer<()>,
    socket: Arc<Mutex<Option<OwnedWriteHalf>>>,
    ids: Arc<Mutex<Vec<String>>>,
}

impl Bytewise {
    async fn start(extensions: &'static str) -> Self {
        let socket = Arc::new(Mutex::new(None));
        let ids = Arc::new(Mutex::new(Vec::new()));
        let shared = (Arc::clone(&socket), Arc::clone(&ids));
        let server = RawServer::start(([127, 0, 0, 1], 0).into(), move |mut stream, _, _| {
            let (socket, ids) = shared.clone();
            async move {
                while let Some(head) = read_head(&mut stream).await {
                    if head.starts_with("GET /ws") {
                        let (mut reading, mut writing) = stream.into_split();
                        let switched = format!(
                            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n{extensions}\r\n"
                        );
                        writing.write_all(switched.as_bytes()).await.expect("switched");
                        *socket.lock().await = Some(writing);
                        let mut heard = [0; 64];
                        while reading.read(&mut heard).await.is_ok_and(|bytes| bytes > 0) {}
                        return;
                    }
                    let body = read_body(&head, &mut stream).await.expect("a body");
                    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
                    let id = body["prompt_id"].as_str().unwrap_or_default().to_owned();
                    let answer = json!({"prompt_id": id, "number": 1}).to_string();
                    ids.lock().await.push(id);
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{answer}", answer.len());
                    stream.write_all(answer.as_bytes()).await.expect("answered");
                }
            }
        })
        .await;
        Self { server, socket, ids }
    }

    async fn say(&self, bytes: &[u8]) {
        let mut socket = self.socket.lock().await;
        socket
            .as_mut()
            .expect("an open socket")
            .write_all(bytes)
            .await
            .expect("said");
    }
}

/// A frame of the server's, unmasked.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        short @ ..126 => frame.push(short as u8),
        long @ ..65_536 => frame.extend([&[126][..], &(long as u16).to_be_bytes()].concat()),
        long => frame.extend([&[127][..], &(long as u64).to_be_bytes()].concat()),
    }
    frame.extend(payload);
    frame
}

async fn hears(client: &mut TcpStream, what: &str, expected: &[u8]) {
    let mut heard = vec![0; expected.len()];
    within(what, client.read_exact(&mut heard))
        .await
        .expect("an open socket");
    assert!(
        heard == expected,
        "{what}: {}",
        String::from_utf8_lossy(&heard[..heard.len().min(200)])
    );
}

const OPEN: &str = "GET /ws?clientId=me HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";

#[tokio::test]
async fn only_messages_of_text_are_changed_and_each_as_a_whole() {
    let server = Bytewise::start("").await;
    let jobshim = facing(&server.server.url(), |config| config.legacy.ids = Ids::Any).await;
    let (mut client, head) = raw_request(jobshim.address, OPEN).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // Where no job has a name, whatever is said goes on at once, be it frames or not.
    for bytes in [&b"\x81\x7e"[..], b"\x00", b"\x05hello", b"\x81\x03\"a"] {
        server.say(bytes).await;
        hears(&mut client, "bytes as they come", bytes).await;
    }
    submit(jobshim.address, "my job/1", "another client").await;
    let id = server.ids.lock().await[0].clone();
    server.say(b"\"").await;
    hears(&mut client, "the rest of a message that began before", b"\"").await;

    let said = format!(r#"{{"type": "executing", "data": {{"node": null, "prompt_id": "{id}"}}}}"#);
    let heard = said.replace(&id, "my job/1");
    let (one, other) = said.as_bytes().split_at(70);
    let ping = frame(0x89, b"ping");
    let filler = "x".repeat(1 << 20);
    let long = format!(r#"["{id}", "{filler}"]"#);
    let nearly = format!(r#"["{id}", "{}"]"#, &filler[100..]);
    for (what, said, heard) in [
        ("a message", frame(0x81, said.as_bytes()), frame(0x81, heard.as_bytes())),
        (
            "a message in two frames, and a ping between",
            [frame(0x01, one), ping.clone(), frame(0x80, other)].concat(),
            [ping.clone(), frame(0x81, heard.as_bytes())].concat(),
        ),
        (
            "a binary one",
            frame(0x82, said.as_bytes()),
            frame(0x82, said.as_bytes()),
        ),
        (
            "a packed one",
            frame(0xc1, said.as_bytes()),
            frame(0xc1, said.as_bytes()),
        ),
        (
            "one that is too long",
            frame(0x81, long.as_bytes()),
            frame(0x81, long.as_bytes()),
        ),
        (
            "one that is too long together",
            [frame(0x01, one), frame(0x00, filler.as_bytes()), frame(0x80, other)].concat(),
            [frame(0x01, one), frame(0x00, filler.as_bytes()), frame(0x80, other)].concat(),
        ),
        (
            "one that is as long as may be",
            frame(0x81, nearly.as_bytes()),
            frame(0x81, nearly.replace(&id, "my job/1").as_bytes()),
        ),
        ("one without a job", frame(0x81, b"{}"), frame(0x81, b"{}")),
        (
            "one without a job, in two frames",
            [frame(0x01, b"{"), frame(0x80, b"}")].concat(),
            [frame(0x01, b"{"), frame(0x80, b"}")].concat(),
        ),
        ("a ping", ping.clone(), ping.clone()),
        (
            "a close in the middle of a message",
            [frame(0x01, one), frame(0x88, b"\x03\xe8")].concat(),
            [frame(0x01, one), frame(0x88, b"\x03\xe8")].concat(),
        ),
    ] {
        let saying = async {
            for piece in said.chunks(said.len().div_ceil(3)) {
                server.say(piece).await;
            }
        };
        tokio::join!(saying, hears(&mut client, what, &heard));
    }
    // What is left of a message that is cut short is passed on with the end.
    let cut = &frame(0x81, said.as_bytes())[..20];
    server.say(cut).await;
    *server.socket.lock().await = None;
    hears(&mut client, "a message that is cut short", cut).await;
    assert_eq!(within("the end", client.read(&mut [0; 8])).await.expect("the end"), 0);
}

#[tokio::test]
async fn what_is_packed_all_the_same_passes_as_it_is() {
    let server = Bytewise::start("sec-websocket-extensions: permessage-deflate\r\n").await;
    let jobshim = facing(&server.server.url(), |config| config.legacy.ids = Ids::Any).await;
    let (mut client, _) = raw_request(jobshim.address, OPEN).await;
    submit(jobshim.address, "my job/1", "me").await;
    let id = server.ids.lock().await[0].clone();
    let said = frame(0x81, format!("[\"{id}\"]").as_bytes());
    server.say(&said).await;
    hears(&mut client, "bytes as they come", &said).await;
}

#[tokio::test]
async fn a_client_is_heard_as_it_speaks() {
    let server = Server::start(board(Rules::Comfyui), Setup::default()).await;
    let jobshim = facing(&server.url(), |config| config.legacy.ids = Ids::Any).await;
    let mut socket = open(jobshim.address, "me", &[]).await;
    submit(jobshim.address, "my job/1", "me").await;
    socket
        .send(Message::text(r#"{"type": "feature_flags", "data": {}}"#))
        .await
        .expect("sent");
    socket.send(Message::Ping("x".into())).await.expect("sent");
    loop {
        match within("a pong", socket.next()).await.expect("open").expect("a message") {
            Message::Pong(said) => break assert_eq!(&said[..], b"x"),
            _ => continue,
        }
    }
}
