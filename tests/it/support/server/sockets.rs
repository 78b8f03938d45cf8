//! The WebSockets of a simulated server: each client hears of its own jobs.

use crate::support::upstream::{TestBody, reply};
use futures_util::{SinkExt, StreamExt};
use http::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

/// The open ones.
#[derive(Default)]
pub struct Sockets(Vec<Socket>);

struct Socket {
    client: String,
    key: Option<String>,
    events: UnboundedSender<String>,
}

impl Sockets {
    /// Accepts one; `nonce` is the client's `Sec-WebSocket-Key`, `key` whose it is.
    pub fn open(
        &mut self,
        nonce: &str,
        client: String,
        key: Option<String>,
        queued: usize,
        upgrade: OnUpgrade,
    ) -> Response<TestBody> {
        let (sender, events) = unbounded_channel();
        let status = json!({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": queued}}}});
        sender.send(status.to_string()).expect("a channel");
        self.0.push(Socket {
            client,
            key,
            events: sender,
        });
        tokio::spawn(serve(upgrade, events));
        let headers = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", &derive_accept_key(nonce.as_bytes())),
        ];
        reply(101, &headers, "")
    }

    /// Tells a client of its job; one with another key hears nothing, whatever it calls itself.
    pub fn tell(&self, client: &str, key: Option<&String>, kind: &str, event: &Value) {
        let meant = |socket: &&Socket| socket.client == client && socket.key.as_ref() == key;
        for socket in self.0.iter().filter(meant) {
            let _ = socket.events.send(json!({"type": kind, "data": event}).to_string());
        }
    }
}

async fn serve(upgrade: OnUpgrade, mut events: UnboundedReceiver<String>) {
    let Ok(upgraded) = upgrade.await else { return };
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => if socket.send(Message::text(event)).await.is_err() { return },
                None => return,
            },
            sent = socket.next() => if !matches!(sent, Some(Ok(_))) { return },
        }
    }
}
