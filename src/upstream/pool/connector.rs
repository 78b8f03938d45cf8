//! How a connection to the upstream is opened.

use super::{circuit_breaker::CircuitBreaker, io::Io};
use crate::{http::body::BoxError, os::UnixStream, upstream::error_chain::sources};
use http::{Uri, uri::Scheme};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::TlsConnector;
use tower_service::Service;

/// Opens connections to one server, as long as it takes any.
pub struct Connector {
    server: Server,
    /// For all that it takes: the name, the connection and TLS.
    limit: Duration,
    circuit_breaker: CircuitBreaker,
}

/// Where the server is. hyper-util resolves its name, and goes on to the next address where one is silent.
enum Server {
    Tcp(HttpConnector, Uri),
    Tls(HttpConnector, Uri, TlsConnector),
    Unix(PathBuf),
}

impl Connector {
    /// Connects to `url`, through TLS where it says so, or to `socket` on this machine instead, within `limit`.
    pub fn new(url: Uri, socket: Option<&Path>, tls: ClientConfig, limit: Duration) -> Self {
        let server = match socket {
            Some(path) => Server::Unix(path.to_owned()),
            None => {
                let mut tcp = HttpConnector::new();
                tcp.enforce_http(false);
                tcp.set_nodelay(true);
                // Shared by the addresses of a name: one that is silent leaves time for the next.
                tcp.set_connect_timeout(Some(limit));
                match url.scheme() == Some(&Scheme::HTTPS) {
                    true => Server::Tls(tcp, url, TlsConnector::from(Arc::new(tls))),
                    false => Server::Tcp(tcp, url),
                }
            }
        };
        Self {
            server,
            limit,
            circuit_breaker: CircuitBreaker::default(),
        }
    }

    /// Whether the last connection could be opened.
    pub fn is_open(&self) -> bool {
        self.circuit_breaker.is_open()
    }

    /// Opens a connection, or says at once why another could not be opened a moment ago.
    pub async fn connect(&self) -> Result<Io, BoxError> {
        let attempt = self.circuit_breaker.attempt().await?;
        let opened = timeout(self.limit, self.server.open()).await;
        match opened.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into())) {
            Ok(io) => {
                attempt.succeeded();
                Ok(io)
            }
            Err(error) => {
                let of_system = sources(&*error).filter_map(|source| source.downcast_ref::<io::Error>());
                attempt.failed(of_system.map(io::Error::kind).last());
                Err(error)
            }
        }
    }
}

impl Server {
    async fn open(&self) -> Result<Io, BoxError> {
        match self {
            Self::Tcp(tcp, url) => Ok(Io::Tcp(open_tcp(tcp, url).await?)),
            Self::Tls(tcp, url, tls) => {
                let name = server_name(url)?;
                let stream = open_tcp(tcp, url).await?;
                Ok(Io::Tls(Box::new(tls.connect(name, stream).await?)))
            }
            Self::Unix(path) => Ok(Io::Unix(UnixStream::connect(path).await?)),
        }
    }
}

async fn open_tcp(tcp: &HttpConnector, url: &Uri) -> Result<TcpStream, BoxError> {
    // A connector is a handle on its settings: the copy is for `call`, which takes it by `&mut`.
    Ok(tcp.clone().call(url.clone()).await?.into_inner())
}

/// The name that the server's certificate must have. An IPv6 address has brackets in a URL alone.
fn server_name(url: &Uri) -> Result<ServerName<'static>, BoxError> {
    let host = url.host().unwrap_or_default();
    let host = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    Ok(ServerName::try_from(host.to_owned())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_in_a_certificate_has_no_brackets() {
        for (url, name) in [
            ("https://[::1]:8188", "::1"),
            ("https://127.0.0.1", "127.0.0.1"),
            ("https://example.org/base", "example.org"),
        ] {
            let url = url.parse().expect("a URL");
            assert_eq!(server_name(&url).expect("a name").to_str(), name);
        }
        let no_name = "https://a_b-.:1".parse().map(|url| server_name(&url).is_err());
        assert_eq!(no_name.ok(), Some(true));
    }
}
