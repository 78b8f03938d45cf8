//! Listeners, connections, draining.

use crate::{config::Config, forward::Peer, service::Service};
use hyper::service::service_fn;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use std::{convert::Infallible, future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::net::{TcpListener, TcpStream};

/// How long a client may take to send the head of a request.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long to wait after the system refused a connection, for want of descriptors say, before asking for another.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound listener.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    drain_timeout: Duration,
}

impl Server {
    /// Binds `config.listen`.
    pub async fn bind(config: &Config) -> io::Result<Self> {
        let listener = TcpListener::bind(config.listen).await?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            drain_timeout: config.drain_timeout,
        })
    }

    /// The address bound, with the port the system chose for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` resolves, then stops accepting and lets in-flight answers finish for `drain_timeout`.
    pub async fn run(self, service: Arc<Service>, stop: impl Future<Output = ()>) {
        let mut http = auto::Builder::new(TokioExecutor::new());
        http.http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT);
        http.http2().timer(TokioTimer::new());
        let connections = GracefulShutdown::new();
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => break,
            };
            match accepted {
                Ok((stream, address)) => serve(&http, &connections, &service, stream, address),
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

fn serve(
    http: &auto::Builder<TokioExecutor>,
    connections: &GracefulShutdown,
    service: &Arc<Service>,
    stream: TcpStream,
    address: SocketAddr,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let service = Arc::clone(service);
    let handler = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { Ok::<_, Infallible>(service.handle(request, Peer { address }).await) }
    });
    let connection = http
        .serve_connection_with_upgrades(TokioIo::new(stream), handler)
        .into_owned();
    let connection = connections.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%address, error, "a connection ended early");
        }
    });
}
