//! Upgrades: `/ws` and any other protocol switch, tunnelled once the upstream has agreed.

use super::{
    client_sockets::ClientSocket,
    close_frame::CloseFrameInjector,
    held_events::HeldEvents,
    named_events::{NamedEvents, SocketNames},
};
use crate::{
    http::body::Body,
    proxy::shutdown::{DrainStage, Shutdown},
    telemetry::{Observer, of_this_request},
    upstream::pool::AnswerBody,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, Version,
    header::{CONNECTION, SEC_WEBSOCKET_EXTENSIONS, UPGRADE},
};
use http_body_util::{BodyExt, Empty};
use hyper::upgrade::{OnUpgrade, on};
use hyper_util::rt::TokioIo;
use std::sync::Arc;
use tokio::io::copy_bidirectional;

/// A client's wish to switch protocols.
pub(super) struct UpgradeRequest {
    protocol: HeaderValue,
    client: OnUpgrade,
    stop: Option<Shutdown>,
    socket: Option<ClientSocket>,
    names: Option<SocketNames>,
}

/// The upgrade that `request` asks for, if it does. Only HTTP/1.1 has them (RFC 9110 section 7.8). HTTP/2 is not asked
/// for in a client's name: what would be in the tunnel then is requests that nobody has looked at.
pub(super) fn wanted(
    request: &mut Request<Body>,
    stop: Option<Shutdown>,
    socket: Option<ClientSocket>,
    names: Option<SocketNames>,
) -> Option<UpgradeRequest> {
    let protocol = request.headers().get(UPGRADE)?.clone();
    asks_for_upgrade(request.headers(), request.version()).then(|| UpgradeRequest {
        protocol,
        stop,
        socket,
        names,
        client: on(request),
    })
}

/// Whether a request of this version with these headers asks for another protocol than HTTP.
pub fn asks_for_upgrade(headers: &HeaderMap, version: Version) -> bool {
    let lists = |header: HeaderName, token: &str| {
        let values = headers.get_all(header).iter();
        let mut tokens = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        tokens.any(|one| one.trim().eq_ignore_ascii_case(token))
    };
    version == Version::HTTP_11 && lists(CONNECTION, "upgrade") && !lists(UPGRADE, "h2c")
}

impl UpgradeRequest {
    /// Asks the upstream for the same.
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(UPGRADE, self.protocol.clone());
        if self.is_websocket() && self.names.as_ref().is_some_and(|names| names.names.is_expected()) {
            // What an extension packs cannot be read.
            headers.remove(SEC_WEBSOCKET_EXTENSIONS);
        }
    }

    fn is_websocket(&self) -> bool {
        self.protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
    }

    /// Answers the client with the upstream's 101, and copies bytes both ways until either side ends. At the program's end
    /// a WebSocket says goodbye; of other protocols nothing is known.
    pub(super) fn tunnel(self, response: Response<AnswerBody>, observer: Arc<Observer>) -> Response<Body> {
        let (head, body) = response.into_parts();
        let is_websocket = self.is_websocket();
        let Self {
            client,
            stop,
            socket,
            names,
            ..
        } = self;
        let names = names.filter(|_| !head.headers.contains_key(SEC_WEBSOCKET_EXTENSIONS));
        tokio::spawn(of_this_request(async move {
            match (client.await, body.into_switched()) {
                (Ok(client), Some(mut upstream)) => {
                    let _open = observer.tunnelled();
                    let mut client = TokioIo::new(client);
                    // Either side hanging up is how tunnels end.
                    let copied = match (is_websocket, &stop, socket) {
                        (true, Some(stop), Some(socket)) => {
                            // The tunnel's own stays: it is waited for as long as it listens.
                            let mut stop = stop.clone();
                            let stopping = async move { stop.reached(DrainStage::LastAnswers).await };
                            let events = HeldEvents::new(NamedEvents::new(upstream, names), socket);
                            copy_bidirectional(&mut client, &mut CloseFrameInjector::new(events, stopping)).await
                        }
                        _ => copy_bidirectional(&mut client, &mut upstream).await,
                    };
                    match copied {
                        Ok((from_client, to_client)) => {
                            observer.carried(from_client, to_client);
                            tracing::debug!(from_client, to_client, "a tunnel ended");
                        }
                        Err(error) => tracing::debug!(%error, "a tunnel broke off"),
                    }
                }
                (Err(error), _) => tracing::debug!(%error, "a tunnel could not be opened"),
                (Ok(_), None) => tracing::debug!("a tunnel could not be opened: the server did not switch"),
            }
        }));
        let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
        Response::from_parts(head, nothing)
    }
}
