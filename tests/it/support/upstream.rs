//! Upstreams: [`Scripted`] where HTTP is enough, [`RawServer`] where bytes are the point, and one of https.

pub use super::{
    gate::Gate,
    raw_server::{RawServer, Received, raw, raw_bytes, read_body, read_head, read_request},
    scripted::{Arrived, Scripted, TestBody, reply},
};

use super::accepting::{ANY, Accepting};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use std::{convert::Infallible, sync::Arc};
use tokio_rustls::TlsAcceptor;

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
