//! What `POST /prompt` teaches, and that it never delays, changes or breaks the call.

mod extra_data;
mod learnt;
mod long;
mod passage;
mod redacted;

use crate::support::{
    Client, Reply, Running, TableFolder,
    corpus::{Case, case, items, parts, submission},
    facing,
    json::{Json, differences},
    program::Program,
    raw::sender,
    server::{Server, Setup, board},
    start,
    upstream::{Arrived, Scripted, TestBody, reply},
    wait::at_rest,
};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use jobshim::{config::DialectChoice, demo::Rules, legacy::notes::note, mapping::Tables};
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

fn last(recorder: &Scripted) -> Arrived {
    recorder.arrived().pop().expect("a request")
}

/// A body in pieces, so that it goes out chunked.
fn chunked(pieces: Vec<Bytes>) -> TestBody {
    let frames = pieces
        .into_iter()
        .map(|piece| Ok::<_, std::io::Error>(Frame::data(piece)));
    StreamBody::new(stream::iter(frames)).boxed()
}

async fn send_chunked(at: SocketAddr, pieces: Vec<Bytes>) -> Reply {
    let mut sender = sender(at).await;
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
