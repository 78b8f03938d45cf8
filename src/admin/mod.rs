//! The second listener, where jobshim shows what it does: `guard` says who may look, `answers` what there is to see,
//! `page` watches it, `documents` are read, and `ask` looks from another process.
//! It changes nothing and shows no credential.

mod answers;
mod ask;
mod documents;
mod guard;
mod page;

pub use ask::ask;

use crate::{config::AdminConfig, proxy::Proxy, server::accept::accept_failed};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Request, Response,
    header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, X_CONTENT_TYPE_OPTIONS},
};
use http_body_util::Full;
use hyper::{
    body::{Body as _, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

/// Connections served at a time; more wait.
const MAX_CONNECTIONS: usize = 64;
/// How long a client may take to send the head of a request, and may stay silent between two.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// The bound second listener.
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
    hosts: Arc<[String]>,
}

impl Admin {
    /// Binds `config.address`.
    pub async fn bind(config: &AdminConfig) -> io::Result<Self> {
        let listener = TcpListener::bind(config.address).await?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            hosts: config.hosts.as_slice().into(),
        })
    }

    /// The address bound, with the port the system chose for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Shows what jobshim does, for as long as it is polled: while it drains, too.
    pub async fn run(self, proxy: Arc<Proxy>) {
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let connection = serve(Arc::clone(&proxy), Arc::clone(&self.hosts), stream);
                    tokio::spawn(async move {
                        connection.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    accept_failed(&error).await;
                }
            }
        }
    }
}

async fn serve(proxy: Arc<Proxy>, hosts: Arc<[String]>, stream: TcpStream) {
    let handler = service_fn(move |request| {
        let (proxy, hosts) = (Arc::clone(&proxy), Arc::clone(&hosts));
        async move { Ok::<_, Infallible>(answer(&proxy, &hosts, &request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), handler);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection to the admin listener ended early");
    }
}

async fn answer(proxy: &Proxy, hosts: &[String], request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let admitted = guard::admit(request.method(), request.uri(), request.headers(), hosts);
    let mut response = match &admitted {
        Ok(()) => answers::answer(proxy, request.uri()).await,
        Err(refusal) => answers::text(refusal.status(), format!("{refusal}\n")),
    };
    let headers = response.headers_mut();
    if admitted == Err(guard::Refusal::Method) {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    for (name, value) in [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if request.method() == Method::HEAD {
        // The length of what GET would answer.
        let length = response.body().size_hint().lower();
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        return response.map(|_| Full::default());
    }
    response
}
