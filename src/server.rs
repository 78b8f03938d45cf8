//! Listeners, connections, draining.

mod entrance;
mod listener;
mod proxy_protocol;
mod tls;

pub use tls::{Tls, TlsError};

use crate::{
    config::{Config, ListenAddress},
    forward::Peer,
    reload::Live,
};
use entrance::{Entered, Entrance};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use listener::{Listener, Stream};
use std::{convert::Infallible, future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};

/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait after the system refused a connection, for want of descriptors say, before asking for another.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address is taken, say.
    #[error("cannot listen on {0}: {1}")]
    Listen(ListenAddress, io::Error),
}

/// A bound listener.
pub struct Server {
    listener: Listener,
    address: ListenAddress,
    entrance: Arc<Entrance>,
    drain_timeout: Duration,
}

impl Server {
    /// Reads the certificate, if there is one, and binds `config.listen`.
    pub async fn bind(config: &Config) -> Result<Self, BindError> {
        let entrance = Arc::new(Entrance::new(config)?);
        let refuse = |error| BindError::Listen(config.listen.clone(), error);
        let listener = Listener::bind(&config.listen).await.map_err(refuse)?;
        Ok(Self {
            address: listener.address().map_err(refuse)?,
            listener,
            entrance,
            drain_timeout: config.drain_timeout,
        })
    }

    /// Where it listens, with the port that the system chose for port 0.
    pub fn address(&self) -> &ListenAddress {
        &self.address
    }

    /// The same, unless it is a Unix socket.
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self.address {
            ListenAddress::Tcp(address) => Some(address),
            ListenAddress::Unix(_) => None,
        }
    }

    /// Serves by whatever service is in force when a request comes, until `stop` resolves; then stops accepting and lets
    /// in-flight answers finish for `drain_timeout`.
    pub async fn run(self, live: Arc<Live>, stop: impl Future<Output = ()>) {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT);
        http.http2().timer(TokioTimer::new());
        let connections = GracefulShutdown::new();
        let reception = Reception {
            http: Arc::new(http),
            entrance: Arc::clone(&self.entrance),
            live,
        };
        let tls = self.entrance.tls();
        let fresh = async {
            match tls {
                Some(tls) => tls.keep_fresh().await,
                None => std::future::pending().await,
            }
        };
        let mut fresh = pin!(fresh);
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => break,
                () = &mut fresh => continue,
            };
            match accepted {
                Ok((stream, address)) => {
                    tokio::spawn(reception.clone().receive(stream, address, connections.watcher()));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        let open = connections.count();
        if tokio::time::timeout(self.drain_timeout, connections.shutdown())
            .await
            .is_err()
        {
            tracing::warn!(
                open,
                "the drain timeout is over; connections that are still open are closed"
            );
        }
    }
}

/// What every new connection needs.
#[derive(Clone)]
struct Reception {
    http: Arc<auto::Builder<TokioExecutor>>,
    entrance: Arc<Entrance>,
    live: Arc<Live>,
}

impl Reception {
    async fn receive(self, stream: Stream, address: SocketAddr, watcher: Watcher) {
        let (entered, peer) = match self.entrance.enter(stream, address).await {
            Ok(entered) => entered,
            Err(error) => {
                tracing::debug!(%address, %error, "a connection was not let in");
                return;
            }
        };
        match entered {
            Entered::Tcp(stream) => self.serve(stream, peer, watcher).await,
            Entered::Unix(stream) => self.serve(stream, peer, watcher).await,
            Entered::Tls(stream) => self.serve(stream, peer, watcher).await,
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer, watcher: Watcher) {
        let live = self.live;
        let handler = service_fn(move |request| {
            let service = live.service();
            async move { Ok::<_, Infallible>(service.handle(request, peer).await) }
        });
        let connection = self
            .http
            .serve_connection_with_upgrades(TokioIo::new(stream), handler)
            .into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(address = %peer.address, error, "a connection ended early");
        }
    }
}
