//! A WebSocket that jobshim itself speaks, where the server has none: what a client hears there is made in
//! [`crate::legacy::live`].

use super::{
    Pipeline,
    answer::{Answer, Origin},
    failure::no_upgrade,
    forward::{ClientSocket, asks_for_upgrade, until_answered},
    request::{ArrivedRequest, caller_beside},
    shutdown::{DrainStage, Shutdown},
    translation::call,
};
use crate::{
    http::{body::full, hex::random_name, request_head::RequestHead},
    jobs_api::DialectKind,
    legacy::live::{LiveListener, LiveMessage, QueuedMessage},
    telemetry::{Observer, of_this_request},
};
use futures_util::{SinkExt, StreamExt};
use http::{
    HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, UPGRADE},
};
use hyper::upgrade::{OnUpgrade, Upgraded, on};
use hyper_util::rt::TokioIo;
use std::{pin::pin, sync::Arc, time::Duration};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Message, Utf8Bytes,
        handshake::derive_accept_key,
        protocol::{CloseFrame, Role, WebSocketConfig, frame::coding::CloseCode},
    },
};

/// The longest message of a client, in bytes: clients have nothing to say that matters here.
const MAX_HEARD: usize = 1 << 20;
/// What is read at once, in bytes.
const READ_BUFFER: usize = 4 << 10;
/// How often a client is asked whether it is there.
const PING_EVERY: Duration = Duration::from_secs(60);
/// How long a message may take to be sent.
const SENDING: Duration = Duration::from_secs(60);
/// How long a client may take to answer that it is the end.
const CLOSING: Duration = Duration::from_secs(5);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

impl Pipeline {
    /// The 101 to a client that opens a WebSocket, which hears of its jobs from then on.
    pub(super) fn open_live_socket(&self, request: ArrivedRequest<'_>) -> Answer {
        let ArrivedRequest {
            record, head, shutdown, ..
        } = request;
        let Some(accept) = accepted(&head) else {
            return no_upgrade(&call(&head));
        };
        let scope = self.scope(&head);
        let caller = caller_beside(record, &head, scope);
        let session = self.legacy.jobs().on_behalf_of(&caller, DialectKind::V2);
        let name = self.legacy.tables().prompt.request.client_of(head.query());
        // One that has none learns it by the first message. Without chance it is that of others who have none either, in its own
        // scope.
        let name = name.or_else(random_name).unwrap_or_else(|| "0".repeat(32));
        let socket = self.shared.sockets.open(scope, Some(&name));
        let newest_prompt = Box::new(socket.newest_prompt());
        let open = OpenSocket {
            listener: self.shared.live.listen(session, &name, newest_prompt),
            socket,
            shutdown,
            observer: Arc::clone(&self.shared.observer),
        };
        let client = on(Request::from_parts(head.into_parts(), ()));
        tokio::spawn(of_this_request(Box::pin(open.serve(client))));
        switched(&accept)
    }
}

/// What says that the handshake of `head` is accepted, if it is one.
fn accepted(head: &RequestHead) -> Option<HeaderValue> {
    let headers = head.headers();
    let is = |name: HeaderName, value: &str| {
        let mut values = headers.get_all(name).iter();
        values
            .next()
            .is_some_and(|one| one.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
            && values.next().is_none()
    };
    let key = headers.get(SEC_WEBSOCKET_KEY)?;
    let is_asked = *head.method() == Method::GET
        && asks_for_upgrade(headers, head.parts().version)
        && is(UPGRADE, "websocket")
        && is(SEC_WEBSOCKET_VERSION, "13");
    is_asked
        .then(|| HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok())
        .flatten()
}

fn switched(accept: &HeaderValue) -> Answer {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept.clone());
    Answer {
        response,
        origin: Origin::Jobshim { asked: false },
    }
}

/// A socket that was accepted, until it is closed.
struct OpenSocket {
    socket: ClientSocket,
    listener: LiveListener,
    /// Is waited for as long as it listens.
    shutdown: Option<Shutdown>,
    observer: Arc<Observer>,
}

/// Why a socket ends.
enum End {
    /// The client closed it, or is gone.
    Client,
    /// The program ends.
    Shutdown,
    /// The client does not keep up.
    Slow,
}

impl OpenSocket {
    async fn serve(self, client: OnUpgrade) {
        let client = match client.await {
            Ok(client) => TokioIo::new(client),
            Err(error) => return tracing::debug!(%error, "a WebSocket could not be opened"),
        };
        let _open = self.observer.tunnelled();
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER)
            .write_buffer_size(0)
            .max_message_size(Some(MAX_HEARD))
            .max_frame_size(Some(MAX_HEARD));
        let mut socket = WebSocketStream::from_raw_socket(client, Role::Server, Some(config)).await;
        let mut sent = 0;
        let (code, reason) = match self.talk(&mut socket, &mut sent).await {
            End::Client => (None, "the client has closed it"),
            End::Shutdown => (Some(CloseCode::Away), "the program ends"),
            End::Slow => (Some(CloseCode::Policy), "the client did not keep up"),
        };
        // From here on nobody listens.
        drop(self.listener);
        self.observer.carried(0, sent);
        tracing::debug!(to_client = sent, reason, "a WebSocket ended");
        let close = code.map(|code| CloseFrame {
            code,
            reason: Utf8Bytes::from_static(""),
        });
        let closing = async {
            // An answer to the client's own close, where that is the end.
            let _ = socket.close(close).await;
            while let Some(Ok(_)) = socket.next().await {}
        };
        let _ = timeout(CLOSING, closing).await;
    }

    async fn talk(&self, socket: &mut Socket, sent: &mut u64) -> End {
        let mut stop = self.shutdown.clone();
        let mut stopping = pin!(async move {
            match &mut stop {
                Some(stop) => stop.reached(DrainStage::LastAnswers).await,
                None => std::future::pending().await,
            }
        });
        let mut pings = interval(PING_EVERY);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        pings.reset();
        let (mut held, mut passed) = (None, 0);
        loop {
            // Counts until it is sent.
            let mut counted = None;
            let message = tokio::select! {
                () = &mut stopping => return End::Shutdown,
                heard = socket.next() => match heard {
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return End::Client,
                    // Pings are answered below, and the rest is for nobody.
                    Some(Ok(_)) => continue,
                },
                keeps_up = self.is_ready(&mut held, &mut passed) => match held.take() {
                    Some(queued) if keeps_up => framed(counted.insert(queued).message.clone()),
                    _ => return End::Slow,
                },
                _ = pings.tick() => Message::Ping(Default::default()),
            };
            *sent += message.len() as u64;
            tokio::select! {
                done = socket.send(message) => if done.is_err() {
                    return End::Client;
                },
                () = self.listener.overflow() => return End::Slow,
                () = sleep(SENDING) => return End::Slow,
            }
        }
    }

    /// Waits until the next message may be said, which is held then. Says whether there is one. It may be given up at any
    /// time.
    async fn is_ready(&self, held: &mut Option<QueuedMessage>, passed: &mut u64) -> bool {
        if held.is_none() {
            *held = self.listener.next().await;
        }
        if let Some(queued) = held {
            until_answered(&self.socket, passed, queued.said_at, queued.since).await;
        }
        held.is_some()
    }
}

fn framed(message: LiveMessage) -> Message {
    if message.is_binary {
        return Message::Binary(message.bytes);
    }
    // All of them are JSON.
    Message::Text(Utf8Bytes::try_from(message.bytes).unwrap_or_default())
}
