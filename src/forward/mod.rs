//! Pass-through: a request forwarded unchanged but for what a proxy must add and remove.

pub mod headers;

use crate::upstream::{Body, Upstream, UpstreamError};
use http::{Request, Response};
use hyper::body::Incoming;
use std::net::SocketAddr;

/// Who is at the other end of the client's connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// The client's address, for `X-Forwarded-For`.
    pub address: SocketAddr,
}

/// Whose name `Host` carries to the upstream (CONTRACT.md section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostHeader {
    /// The client's, as sent: ComfyUI compares it with `Origin`.
    AsSent,
    /// The upstream's own.
    Upstream,
}

/// Forwards `request` and streams the answer back; a 101 turns both connections into a tunnel.
pub async fn forward(
    _upstream: &Upstream,
    _request: Request<Incoming>,
    _peer: Peer,
    _host: HostHeader,
) -> Result<Response<Body>, UpstreamError> {
    todo!()
}
