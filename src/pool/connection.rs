//! A connection that tells whether anything came back for what was last sent on it: a GET whose connection died
//! unanswered may be sent again. It is told above TLS, whose own messages answer nothing.

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
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

/// Opens connections, as long as the server takes any.
pub struct Connector {
    inner: HttpsConnector<Dialer>,
    reach: Reach,
}

/// A connection.
pub struct Wire {
    stream: TokioIo<MaybeHttpsStream<Link>>,
    arrivals: Arrivals,
}

/// Whether anything came on a connection since it was last asked to watch out for it.
#[derive(Clone, Default)]
pub struct Arrivals(Arc<AtomicBool>);

impl Arrivals {
    /// Begins anew: nothing has come.
    pub fn watch_out(&self) {
        self.0.store(false, Relaxed);
    }

    /// Whether a byte came.
    pub fn any(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl Connector {
    /// Connects through `inner`.
    pub fn new(inner: HttpsConnector<Dialer>) -> Self {
        Self {
            inner,
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
        match self.inner.clone().call(server).await {
            Ok(stream) => {
                attempt.succeeded();
                Ok(Wire {
                    stream: TokioIo::new(stream),
                    arrivals: Arrivals::default(),
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

impl Wire {
    /// What comes on it.
    pub fn arrivals(&self) -> Arrivals {
        self.arrivals.clone()
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, into);
        if into.filled().len() > before {
            self.arrivals.0.store(true, Relaxed);
        }
        read
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
