//! What a connection goes through before its first request: who its client is by the PROXY protocol, and TLS.

use super::{
    accepted::Accepted,
    listener::Stream,
    proxy_protocol::{self, HeaderError},
    tls::{Tls, TlsError},
};
use crate::{
    config::{Config, TrustedProxies},
    http::peer::Peer,
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long a client may take to get in.
const PATIENCE: Duration = Duration::from_secs(10);

/// The way in.
pub(super) struct Handshake {
    /// Set when connections begin with a PROXY header.
    proxies: Option<TrustedProxies>,
    tls: Option<Arc<Tls>>,
}

/// Why a connection is not let in.
#[derive(Debug, thiserror::Error)]
pub(super) enum HandshakeError {
    /// It must say who its client is, and is not trusted to.
    #[error("it is no trusted proxy, and the PROXY protocol is expected")]
    Stranger,
    /// It does not say so.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// No TLS, or none that both know.
    #[error("the TLS handshake failed: {0}")]
    Tls(io::Error),
    /// It took too long.
    #[error("it took longer than {} s", PATIENCE.as_secs())]
    TooSlow,
}

impl Handshake {
    /// By the configuration.
    pub(super) fn new(config: &Config) -> Result<Self, TlsError> {
        let listen = &config.listen;
        Ok(Self {
            proxies: listen.proxy_protocol.then(|| listen.trusted_proxies.clone()),
            tls: listen.tls().as_ref().map(Tls::new).transpose()?.map(Arc::new),
        })
    }

    /// The certificate, when there is one.
    pub(super) fn tls(&self) -> Option<Arc<Tls>> {
        self.tls.clone()
    }

    /// Lets a connection from `address` in.
    pub(super) async fn enter(&self, stream: Stream, address: SocketAddr) -> Result<(Accepted, Peer), HandshakeError> {
        let mut peer = Peer::new(address);
        peer.unix = matches!(stream, Stream::Unix(_));
        // Most connections have nothing to wait for, and need no timer.
        if self.proxies.is_none() && self.tls.is_none() {
            return Ok((stream.into(), peer));
        }
        timeout(PATIENCE, self.pass(stream, peer))
            .await
            .unwrap_or(Err(HandshakeError::TooSlow))
    }

    async fn pass(&self, mut stream: Stream, mut peer: Peer) -> Result<(Accepted, Peer), HandshakeError> {
        if let Some(proxies) = &self.proxies {
            let source = match &mut stream {
                Stream::Tcp(stream) if proxies.trusts(peer.address.ip()) => proxy_protocol::read(stream).await?,
                Stream::Unix(stream) if proxies.trusts_unix() => proxy_protocol::read(stream).await?,
                Stream::Tcp(_) | Stream::Unix(_) => return Err(HandshakeError::Stranger),
            };
            if let Some(source) = source {
                peer = Peer::new(source);
            }
        }
        match (stream, &self.tls) {
            (Stream::Tcp(stream), Some(tls)) => {
                let stream = tls.acceptor().accept(stream).await.map_err(HandshakeError::Tls)?;
                peer.secure = true;
                Ok((Accepted::Tls(Box::new(stream)), peer))
            }
            (stream, _) => Ok((stream.into(), peer)),
        }
    }
}
