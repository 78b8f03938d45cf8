//! Pass-through: a request forwarded unchanged but for what a proxy must add and remove.

mod farewell;
mod prompt;
mod target;
mod trailers;
mod upgrade;

pub use prompt::{Lesson, PromptError};
pub use target::{depends_on_dialect, in_dialect, target};

use crate::{
    headers::{Trailers, add_forwarded, complete_for_http1, remove_hop_by_hop, set_host},
    mistakes::Cause,
    observe::{Call, Exchange, Source},
    pace::Paced,
    upstream::{Body, Upstream, UpstreamError},
};
use http::{Request, Response, StatusCode, Uri, Version};
use http_body_util::BodyExt;
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};
use trailers::Ending;

/// Who is at the other end of the client's connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Where the connection comes from, for `X-Forwarded-For`.
    pub address: SocketAddr,
    /// It comes by a Unix socket, and has no address of its own.
    pub unix: bool,
    /// It comes through TLS.
    pub secure: bool,
    /// The client, by the word of the trusted proxies between.
    pub client: IpAddr,
}

impl Peer {
    /// A client that comes straight from `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            unix: false,
            secure: false,
            client: address.ip(),
        }
    }
}

/// The way of one request to the upstream.
pub struct Passage<'a> {
    /// Whom it goes to.
    pub upstream: &'a Upstream,
    /// For which request.
    pub exchange: &'a Exchange,
    /// What it is counted as.
    pub call: Call,
    /// Replaces the client's `Host`, which ComfyUI compares with `Origin` and so must otherwise arrive as sent
    /// (CONTRACT.md section 6).
    pub own_host: Option<&'a str>,
    /// Where it is there.
    pub uri: Uri,
}

impl Passage<'_> {
    /// Forwards `request` and streams the answer back; a 101 turns both connections into a tunnel.
    pub async fn forward(self, mut request: Request<Body>) -> Result<Response<Body>, UpstreamError> {
        let wanted = upgrade::wanted(&mut request);
        let (mut head, body) = request.into_parts();
        complete_for_http1(&mut head.headers, &head.uri);
        let trailers = Trailers::wanted_by(&head.headers);
        // Those of a request are not passed on (RFC 9110 section 6.5.1): there is none to announce.
        remove_hop_by_hop(&mut head.headers, Trailers::Dropped);
        add_forwarded(&mut head.headers, self.exchange.peer.address.ip());
        if let Some(own_host) = self.own_host {
            set_host(&mut head.headers, own_host);
        }
        head.uri = self.uri;
        head.version = Version::HTTP_11;
        if let Some(wanted) = &wanted {
            wanted.ask(&mut head.headers);
        }
        let Exchange { observer, tally, .. } = self.exchange;
        let calling = observer.calling(self.call, tally, self.upstream, &head.method, &mut head.headers);
        let sent = self.upstream.pass(Request::from_parts(head, body)).await;
        match &sent {
            Ok(response) => {
                self.exchange.source(Source::Upstream);
                calling.answered(response.status());
            }
            Err(error) => calling.failed(error),
        }
        let mut response = sent?;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return match wanted {
                Some(wanted) => Ok(wanted.tunnel(response, Arc::clone(&self.exchange.observer))),
                None => Err(UpstreamError::Interrupted {
                    upstream: self.upstream.name().to_owned(),
                    reason: "it switched protocols without being asked".to_owned(),
                    cause: Cause::Other,
                }),
            };
        }
        remove_hop_by_hop(response.headers_mut(), trailers);
        *response.version_mut() = Version::HTTP_11;
        Ok(response.map(|body| Paced::new(Ending::new(body, trailers), self.upstream.gap_timeout()).boxed_unsync()))
    }
}
