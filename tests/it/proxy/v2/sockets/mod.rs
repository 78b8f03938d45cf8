//! `/ws` before a server of Comfy API v2, which has none: what clients hear of their jobs.

mod bounds;
mod broken;
mod ends;
mod order;
mod shared;

use super::Setup;
use crate::support::wait::within;
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Message, client::IntoClientRequest},
};

/// A client's socket.
struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    async fn open(at: SocketAddr, query: &str, headers: &[(&'static str, &'static str)]) -> Self {
        let url = format!("ws://{at}/ws{query}");
        let mut request = url.into_client_request().expect("a request");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a value"));
        }
        let stream = TcpStream::connect(at).await.expect("a connection");
        let opening = within("a WebSocket", client_async(request, stream)).await;
        Self(opening.expect("a WebSocket").0)
    }

    /// As client `me`, after the message that greets it.
    async fn of(setup: &Setup) -> Self {
        let mut socket = Self::open(setup.jobshim.address, "?clientId=me", &[]).await;
        let greeting = socket.next().await;
        assert_eq!(greeting["data"]["sid"], "me", "{greeting}");
        socket
    }

    /// The next message; a preview as an object of type `preview`.
    async fn next(&mut self) -> Value {
        loop {
            match within("a message", self.0.next()).await.expect("an open socket") {
                Ok(Message::Text(text)) => return serde_json::from_str(&text).expect("JSON"),
                Ok(Message::Binary(bytes)) => {
                    assert_eq!(bytes[..8], [0, 0, 0, 1, 0, 0, 0, 1], "the head of a JPEG");
                    assert_eq!(bytes[8..10], [0xff, 0xd8], "a JPEG");
                    return json!({"type": "preview"});
                }
                Ok(Message::Ping(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The messages up to one that is told so.
    async fn until(&mut self, last: &str) -> Vec<String> {
        let mut heard = Vec::new();
        while heard.last().is_none_or(|heard| heard != last) {
            let message = self.next().await;
            heard.push(told(&message));
            assert!(heard.len() < 200, "never {last}: {heard:?}");
        }
        heard
    }

    /// Reads until so many jobs have ended well.
    async fn until_succeeded(&mut self, times: usize) {
        let mut ends = 0;
        while ends < times {
            ends += usize::from(told(&self.next().await) == "execution_success");
        }
    }

    /// The messages up to the end of a job.
    async fn until_over(&mut self) -> Vec<String> {
        self.until("executing null").await
    }

    /// Closes it, and waits until jobshim has.
    async fn close(mut self) {
        self.0.close(None).await.expect("an open socket");
        self.closed().await;
    }

    /// The code of the frame that closes it.
    async fn closed(&mut self) -> Option<u16> {
        let closing = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Close(frame))) => return frame.map(|frame| frame.code.into()),
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return None,
                }
            }
        };
        within("the end of the socket", closing).await
    }
}

/// A message in a few words.
fn told(message: &Value) -> String {
    let data = &message["data"];
    let kind = message["type"].as_str().expect("a type");
    let about = match kind {
        "status" => data["status"]["exec_info"]["queue_remaining"].to_string(),
        "executing" => data["node"].to_string(),
        "progress" => format!("{} {}/{}", data["node"], data["value"], data["max"]),
        "progress_state" => {
            let nodes = data["nodes"].as_object().expect("nodes").iter();
            let nodes = nodes.map(|(id, node)| {
                assert_eq!(*id, node["node_id"]);
                format!("{id} {} {}/{}", node["state"], node["value"], node["max"])
            });
            nodes.collect::<Vec<_>>().join(", ")
        }
        "executed" => format!("{} {}", data["node"], data["output"]),
        "execution_error" => format!("{} {}", data["node_id"], data["exception_message"]),
        "execution_interrupted" => format!("{} {}", data["node_id"], data["node_type"]),
        _ => String::new(),
    };
    format!("{kind} {about}").replace('"', "").trim_end().to_owned()
}

/// What every client hears of the slow workflow, whichever way jobshim learns of it.
fn is_whole(heard: &[String]) {
    let needed = [
        "execution_start",
        "executed 9",
        "execution_success",
        "status 0",
        "executing null",
    ];
    let places = needed.map(|needed| heard.iter().position(|heard| heard.starts_with(needed)));
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{heard:?}");
    for once in ["execution_start", "execution_success", "executed"] {
        let count = heard.iter().filter(|heard| heard.starts_with(once)).count();
        assert_eq!(count, 1, "{once}: {heard:?}");
    }
}

/// Two steps of a node, and then a picture.
fn slow() -> Value {
    json!({
        "1": {"class_type": "EmptyImage", "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": 0}},
        "3": {"class_type": "LabSleep", "inputs": {"images": ["1", 0], "seconds": 0.2}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "sub/example"}}
    })
}

impl Setup {
    /// Submits the slow workflow as client `me`.
    async fn submit_slow(&self, headers: &[(&str, &str)]) -> String {
        let (id, _) = self.submit(headers, json!({"prompt": slow(), "client_id": "me"})).await;
        id
    }
}
