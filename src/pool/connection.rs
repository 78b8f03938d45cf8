//! How a connection to the upstream is opened, and what bytes go over then.

use super::reach::Reach;
use crate::{
    connect::{Dialer, Link},
    mistakes::sources,
    upstream::BoxError,
};
use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::client::TlsStream;
use tower_service::Service;

/// Opens connections, as long as the server takes any.
pub struct Connector {
    inner: HttpsConnector<Dialer>,
    /// For all that it takes: the name, the connection and TLS.
    limit: Duration,
    reach: Reach,
}

/// A connection.
pub enum Wire {
    /// To an address.
    Tcp(TcpStream),
    /// To a Unix socket.
    Unix(UnixStream),
    /// To either, through TLS.
    Tls(Box<TlsStream<TokioIo<Link>>>),
}

impl Connector {
    /// Connects through `inner`, within `limit`.
    pub fn new(inner: HttpsConnector<Dialer>, limit: Duration) -> Self {
        Self {
            inner,
            limit,
            reach: Reach::default(),
        }
    }

    /// Whether the last connection could be opened.
    pub fn is_open(&self) -> bool {
        self.reach.is_open()
    }

    /// Opens a connection to `server`, or says at once why another could not be opened a moment ago.
    pub async fn connect(&self, server: Uri) -> Result<Wire, BoxError> {
        let attempt = self.reach.attempt().await?;
        let opened = timeout(self.limit, self.inner.clone().call(server)).await;
        match opened.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
            Ok(stream) => {
                attempt.succeeded();
                Ok(match stream {
                    MaybeHttpsStream::Http(Link::Tcp(stream)) => Wire::Tcp(stream.into_inner()),
                    MaybeHttpsStream::Http(Link::Unix(stream)) => Wire::Unix(stream.into_inner()),
                    MaybeHttpsStream::Https(stream) => Wire::Tls(Box::new(stream.into_inner())),
                })
            }
            Err(error) => {
                let of_system = sources(&*error).filter_map(|source| source.downcast_ref::<io::Error>());
                attempt.failed(of_system.map(io::Error::kind).last());
                Err(error)
            }
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
