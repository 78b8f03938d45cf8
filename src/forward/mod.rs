//! Pass-through: a request forwarded unchanged but for what a proxy must add and remove.

mod upgrade;

use crate::{
    headers::{add_forwarded, complete_for_http1, remove_hop_by_hop, set_host},
    upstream::{Body, Upstream, UpstreamError},
};
use http::{Request, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use std::net::SocketAddr;

/// Who is at the other end of the client's connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The client's address, for `X-Forwarded-For`.
    pub address: SocketAddr,
}

/// Forwards `request` and streams the answer back; a 101 turns both connections into a tunnel. `own_host` replaces the
/// client's `Host`, which ComfyUI compares with `Origin` and so must otherwise arrive as sent (CONTRACT.md section 6).
pub async fn forward(
    upstream: &Upstream,
    mut request: Request<Incoming>,
    peer: Peer,
    own_host: Option<&str>,
) -> Result<Response<Body>, UpstreamError> {
    let wanted = upgrade::wanted(&mut request);
    let (mut head, body) = request.into_parts();
    complete_for_http1(&mut head.headers, &head.uri);
    remove_hop_by_hop(&mut head.headers);
    add_forwarded(&mut head.headers, peer.address.ip());
    if let Some(own_host) = own_host {
        set_host(&mut head.headers, own_host);
    }
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    head.uri = upstream.uri(target)?;
    head.version = Version::HTTP_11;
    if let Some(wanted) = &wanted {
        wanted.ask(&mut head.headers);
    }
    let request = Request::from_parts(head, body.map_err(Into::into).boxed_unsync());
    let mut response = upstream.send(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return match wanted {
            Some(wanted) => Ok(wanted.tunnel(response)),
            None => Err(UpstreamError::Interrupted {
                upstream: upstream.authority().to_owned(),
                reason: "it switched protocols without being asked".to_owned(),
            }),
        };
    }
    remove_hop_by_hop(response.headers_mut());
    *response.version_mut() = Version::HTTP_11;
    Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
}
