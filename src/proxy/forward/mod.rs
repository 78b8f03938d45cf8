//! Pass-through: a request forwarded unchanged but for what a proxy must add and remove.

#[macro_use]
mod write_to_server;

mod beginning;
mod client_sockets;
mod close_frame;
mod frame_head;
mod held_events;
mod long_prompt;
mod named_events;
mod named_prompt;
mod on_its_own;
mod prompt;
mod prompt_recorder;
mod target;
mod trailers;
mod upgrade;
mod v2_prompt;

pub use client_sockets::{ClientSocket, ClientSockets};
pub use held_events::until_answered;
pub use named_events::SocketNames;
pub use on_its_own::OwnRequest;
pub use prompt::PromptError;
pub use prompt_recorder::PromptRecorder;
pub(super) use prompt_recorder::set_text;
pub use target::{depends_on_dialect, in_dialect, target};
pub use upgrade::asks_for_upgrade;

use crate::{
    auth::scope::as_bearer,
    http::{
        body::Body,
        headers::{Trailers, add_forwarded, complete_for_http1, remove_hop_by_hop, set_host},
        idle_timeout::{BodyProgress, IdleTimeoutBody},
    },
    proxy::shutdown::Shutdown,
    telemetry::{Call, RequestRecord, Source},
    upstream::{Upstream, UpstreamError, cause::Cause, pool::AnswerBody},
};
use http::{HeaderName, Request, Response, StatusCode, Uri, Version, request::Parts};
use http_body_util::BodyExt;
use std::sync::Arc;
use trailers::Ending;

/// The way of one request to the upstream.
pub struct ForwardedRequest<'a> {
    /// Whom it goes to.
    pub upstream: &'a Upstream,
    /// For which request.
    pub record: &'a RequestRecord,
    /// What it is counted as.
    pub call: Call,
    /// Replaces the client's `Host`, which ComfyUI compares with `Origin` and so must otherwise arrive as sent
    /// (docs/contract.md section 6).
    pub own_host: Option<&'a str>,
    /// The header with a key that goes on as a bearer token.
    pub bearer: Option<&'a HeaderName>,
    /// Of the body that the client still sends.
    pub progress: Option<BodyProgress>,
    /// For a tunnel, which may outlive the request.
    pub shutdown: Option<Shutdown>,
    /// For a tunnel: the WebSocket that it is.
    pub socket: Option<ClientSocket>,
    /// For a tunnel: the names that may be spoken in it.
    pub names: Option<SocketNames>,
    /// Where it is there.
    pub uri: Uri,
}

impl ForwardedRequest<'_> {
    /// Forwards `request` and streams the answer back; a 101 turns both connections into a tunnel, which hears of
    /// the shutdown.
    pub async fn forward(mut self, mut request: Request<Body>) -> Result<Response<Body>, UpstreamError> {
        let wanted = upgrade::wanted(
            &mut request,
            self.shutdown.take(),
            self.socket.take(),
            self.names.take(),
        );
        let (mut head, body) = request.into_parts();
        let trailers = self.complete(&mut head);
        if let Some(wanted) = &wanted {
            wanted.ask(&mut head.headers);
        }
        let RequestRecord { observer, stats, .. } = self.record;
        let calling = observer.calling(
            self.call,
            stats,
            self.upstream.authority(),
            &head.method,
            &mut head.headers,
        );
        let sent = self.upstream.pass(Request::from_parts(head, body), self.progress).await;
        match &sent {
            Ok(response) => {
                self.record.source(Source::Upstream);
                calling.answered(response.status());
            }
            Err(error) => calling.failed(error.into(), error),
        }
        let response = sent?;
        match wanted {
            Some(wanted) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                Ok(wanted.tunnel(response, Arc::clone(&self.record.observer)))
            }
            _ => passed_on(response, trailers, self.upstream),
        }
    }

    /// Makes `head` what the server gets, and says which trailers the client wants of its answer.
    fn complete(&mut self, head: &mut Parts) -> Trailers {
        complete_for_http1(&mut head.headers, &head.uri);
        let trailers = Trailers::wanted_by(&head.headers);
        // Those of a request are not passed on (RFC 9110 section 6.5.1): there is none to announce.
        remove_hop_by_hop(&mut head.headers, Trailers::Dropped);
        add_forwarded(&mut head.headers, self.record.peer.address.ip());
        if let Some(own_host) = self.own_host {
            set_host(&mut head.headers, own_host);
        }
        if let Some(header) = self.bearer {
            as_bearer(&mut head.headers, header);
        }
        head.uri = std::mem::take(&mut self.uri);
        head.version = Version::HTTP_11;
        trailers
    }
}

/// The server's answer as it goes on to a client that wants these trailers.
fn passed_on(
    mut response: Response<AnswerBody>,
    trailers: Trailers,
    upstream: &Upstream,
) -> Result<Response<Body>, UpstreamError> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(UpstreamError::Interrupted {
            upstream: upstream.name().to_owned(),
            reason: "it switched protocols without being asked".to_owned(),
            cause: Cause::Other,
        });
    }
    remove_hop_by_hop(response.headers_mut(), trailers);
    *response.version_mut() = Version::HTTP_11;
    Ok(response.map(|body| IdleTimeoutBody::new(Ending::new(body, trailers), upstream.gap_timeout()).boxed_unsync()))
}
