//! Connections to one server: opened when none lies idle, kept afterwards, and used again, the latest first.
//!
//! hyper-util's client does the same for any number of hosts; to learn when a connection is free again it runs a task for
//! each answer. Here a connection is put back as soon as the head of its answer is there, and passed over while it is busy.

use crate::upstream::{Body, BoxError};
use http::{Request, Response, Uri};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};
use tower_service::Service;

/// How long a connection may lie unused before it is closed.
const IDLE: Duration = Duration::from_secs(90);

/// Why there is no answer.
pub enum PoolError {
    /// No connection could be opened.
    Connect(BoxError),
    /// The connection failed.
    Send(hyper::Error),
}

/// The connections.
pub struct Pool {
    connector: HttpsConnector<HttpConnector>,
    /// Its scheme and authority are what is connected to.
    server: Uri,
    kept: Arc<Mutex<Kept>>,
}

/// Connections that lie idle, and busy ones, in the order of their last use.
#[derive(Default)]
struct Kept {
    connections: Vec<Connection>,
    /// Somebody looks after those that lie too long.
    watched: bool,
}

struct Connection {
    sender: SendRequest<Body>,
    used: Instant,
}

impl Pool {
    /// Opens nothing yet.
    pub fn new(connector: HttpsConnector<HttpConnector>, server: Uri) -> Self {
        Self {
            connector,
            server,
            kept: Arc::default(),
        }
    }

    /// Sends a request, whose target is what the server shall read, and waits for the head of the answer. A request is
    /// sent again only if nothing of it was sent before: a connection that lay idle may be closed by its other end at any
    /// time (RFC 9112 section 9.3.1).
    pub async fn send(&self, mut request: Request<Body>) -> Result<Response<Incoming>, PoolError> {
        while let Some(mut sender) = self.take() {
            match sender.try_send_request(request).await {
                Ok(response) => {
                    self.keep(sender);
                    return Ok(response);
                }
                Err(mut failure) => match failure.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(PoolError::Send(failure.into_error())),
                },
            }
        }
        let mut sender = Box::pin(self.connect()).await?;
        let response = sender.send_request(request).await.map_err(PoolError::Send)?;
        self.keep(sender);
        Ok(response)
    }

    /// The idle connection that was used last.
    fn take(&self) -> Option<SendRequest<Body>> {
        let connections = &mut lock(&self.kept).connections;
        while let Some(at) = connections.iter().rposition(|one| !one.is_busy()) {
            let one = connections.remove(at);
            if !one.sender.is_closed() {
                return Some(one.sender);
            }
        }
        None
    }

    fn keep(&self, sender: SendRequest<Body>) {
        let used = Instant::now();
        let mut kept = lock(&self.kept);
        kept.connections.push(Connection { sender, used });
        if !kept.watched {
            kept.watched = true;
            tokio::spawn(watch(Arc::downgrade(&self.kept)));
        }
    }

    async fn connect(&self) -> Result<SendRequest<Body>, PoolError> {
        let opening = self.connector.clone().call(self.server.clone());
        let stream = opening.await.map_err(PoolError::Connect)?;
        let (sender, connection) = handshake(stream).await.map_err(PoolError::Send)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to the upstream ended early");
            }
        });
        Ok(sender)
    }
}

impl Connection {
    /// Its last answer is still being read.
    fn is_busy(&self) -> bool {
        !self.sender.is_ready() && !self.sender.is_closed()
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Closes what lies idle too long, until nothing is left.
async fn watch(kept: Weak<Mutex<Kept>>) {
    loop {
        tokio::time::sleep(IDLE / 3).await;
        let Some(kept) = kept.upgrade() else {
            return;
        };
        let mut kept = lock(&kept);
        kept.connections
            .retain(|one| one.is_busy() || (!one.sender.is_closed() && one.used.elapsed() < IDLE));
        if kept.connections.is_empty() {
            kept.watched = false;
            return;
        }
    }
}
