//! Upstreams: [`Scripted`] where HTTP is enough, those of raw bytes, and one of https.

pub use super::{
    gate::Gate,
    scripted::{Arrived, Scripted, TestBody, reply},
};

use super::accepting::{ANY, Accepting};
use bytes::Bytes;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use std::{convert::Infallible, future::Future, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

/// An upstream of raw bytes: `answer` gets the connection once the head of a request has been read.
pub async fn raw<F, A>(answer: F) -> SocketAddr
where
    F: Fn(TcpStream, String) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let answer = Arc::new(answer);
    let server = Accepting::start(ANY, move |mut stream, _| {
        let answer = Arc::clone(&answer);
        async move {
            if let Some(head) = read_head(&mut stream).await {
                answer(stream, head).await;
            }
        }
    });
    server.await.detach()
}

/// A raw upstream that writes `bytes` and closes.
pub async fn raw_bytes(bytes: impl Into<Bytes>) -> SocketAddr {
    let bytes = bytes.into();
    raw(move |mut stream, _| {
        let bytes = bytes.clone();
        async move {
            let _ = stream.write_all(&bytes).await;
        }
    })
    .await
}

/// The head of a message, to the empty line and no further; `None` when the connection ended before.
pub async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// A https server for `localhost`.
pub struct Secure {
    pub port: u16,
    /// Its own certificate, as PEM.
    pub certificate: String,
}

/// A https server that answers everything with `body`.
pub async fn secure(body: &'static str) -> Secure {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = Accepting::start(ANY, move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            // A client that does not trust the certificate ends the handshake.
            if let Ok(stream) = acceptor.accept(stream).await {
                let service = service_fn(move |_| async move { Ok::<_, Infallible>(reply(200, &[], body)) });
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        }
    });
    Secure {
        port: server.await.detach().port(),
        certificate: own.cert.pem(),
    }
}
