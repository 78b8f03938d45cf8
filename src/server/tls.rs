//! TLS on the listener: a certificate and its key from files, read again when they change.

use crate::config::{TlsFiles, settings::LISTEN};
use parking_lot::RwLock;
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    fs, io,
    path::Path,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as what it should be.
    #[error("{key} {path}: {reason}")]
    File {
        /// Such as `listen.tls_key`.
        key: &'static str,
        /// As configured.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// The key is not the certificate's, or not of a kind that is known.
    #[error("listen.tls_certificate and listen.tls_key do not go together: {0}")]
    Pair(rustls::Error),
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Setup(rustls::Error),
}

/// A certificate in force, and where it came from.
pub struct Tls {
    acceptor: TlsAcceptor,
    shown: Arc<Shown>,
    files: TlsFiles,
    provider: Arc<CryptoProvider>,
}

/// What is shown to clients.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read()))
    }
}

impl Tls {
    /// Reads the files.
    pub fn new(files: &TlsFiles) -> Result<Self, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let shown = Arc::new(Shown(RwLock::new(Arc::new(read(files, &provider)?))));
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Setup)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Shown>::clone(&shown));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(config)),
            shown,
            files: files.clone(),
            provider,
        })
    }

    /// Does the handshakes.
    pub fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }

    /// Reads the files again whenever they change, for as long as it is polled. Connections that are open stay as they
    /// are; files that cannot be used leave the certificate before in force.
    pub async fn keep_fresh(&self) {
        let mut seen = self.stamps();
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            let now = self.stamps();
            if now == seen {
                continue;
            }
            match read(&self.files, &self.provider) {
                Ok(certificate) => {
                    *self.shown.0.write() = Arc::new(certificate);
                    tracing::info!(path = %self.files.certificate.display(), "the certificate was read again");
                }
                // Of two files one is always written first; the next look may find both.
                Err(error) => tracing::warn!(%error, "the new certificate cannot be used; the one before stays"),
            }
            seen = now;
        }
    }

    /// What tells that a file is another one: when it was written, and how long it is.
    fn stamps(&self) -> [Option<(SystemTime, u64)>; 2] {
        [&self.files.certificate, &self.files.key].map(|path| {
            let about = fs::metadata(path).ok()?;
            Some((about.modified().ok()?, about.len()))
        })
    }
}

fn read(files: &TlsFiles, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = CertificateDer::pem_file_iter(&files.certificate).and_then(Iterator::collect);
    let chain: Vec<_> = chain.map_err(|error| refuse(LISTEN.tls_certificate.key.name, &files.certificate, error))?;
    if chain.is_empty() {
        let none = io::Error::other("it holds no certificate");
        return Err(refuse(LISTEN.tls_certificate.key.name, &files.certificate, none));
    }
    let key =
        PrivateKeyDer::from_pem_file(&files.key).map_err(|error| refuse(LISTEN.tls_key.key.name, &files.key, error))?;
    CertifiedKey::from_der(chain, key, provider).map_err(TlsError::Pair)
}

fn refuse(key: &'static str, path: &Path, reason: impl ToString) -> TlsError {
    TlsError::File {
        key,
        path: path.display().to_string(),
        reason: reason.to_string(),
    }
}
