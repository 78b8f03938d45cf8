//! Connections to one server: opened when none lies idle, kept afterwards, and used again, the latest first.
//!
//! hyper-util's client does the same for any number of hosts; to learn when a connection is free again it runs a task for
//! each answer. Here a connection is put back as soon as the head of its answer is there, and passed over while it is busy.

mod connection;
mod reach;

use crate::{
    connect::Dialer,
    lock,
    pace::{Alarm, Late, Patience},
    upstream::{Body, BoxError, full},
};
use connection::{Arrivals, Connector};
use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http1::{SendRequest, handshake},
};
use hyper_rustls::HttpsConnector;
use hyper_util::rt::TokioIo;
use std::{
    sync::{Arc, Mutex, Weak},
    time::{Duration, Instant},
};

/// How long a connection may lie unused before it is closed.
const IDLE: Duration = Duration::from_secs(90);

/// Why there is no answer.
pub enum PoolError {
    /// No connection could be opened.
    Connect(BoxError),
    /// The connection failed.
    Send(hyper::Error),
    /// The head of the answer did not come in time.
    Late(Late),
}

/// The connections.
pub struct Pool {
    connector: Connector,
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
    line: Line,
    used: Instant,
}

/// A connection while a request goes out on it.
struct Line {
    sender: SendRequest<Body>,
    arrivals: Arrivals,
    alarm: Alarm,
}

impl From<Late> for PoolError {
    fn from(late: Late) -> Self {
        Self::Late(late)
    }
}

impl Pool {
    /// Opens nothing yet.
    pub fn new(connector: HttpsConnector<Dialer>, server: Uri) -> Self {
        Self {
            connector: Connector::new(connector),
            server,
            kept: Arc::default(),
        }
    }

    /// Sends a request, whose target is what the server shall read, and waits for the head of the answer. A connection
    /// that lay idle may be closed by its other end at any time (RFC 9112 section 9.3.1). So a request is sent again if
    /// nothing of it was sent before; and a GET or HEAD without a body also, once and on a new connection, if it was sent
    /// and not a byte came back. Nothing else is: it may have been taken.
    pub async fn send(&self, mut request: Request<Body>, patience: &Patience) -> Result<Response<Incoming>, PoolError> {
        while let Some(mut line) = self.take() {
            let again = repetition(&request);
            line.arrivals.watch_out();
            let sending = line.sender.try_send_request(request);
            match patience.wait(&mut line.alarm, sending).await? {
                Ok(response) => {
                    self.keep(line);
                    return Ok(response);
                }
                Err(mut failure) => match (failure.take_message(), again) {
                    (Some(unsent), _) => request = unsent,
                    (None, Some((method, uri, headers))) if !line.arrivals.any() => {
                        tracing::debug!("an idle connection was closed as it was used; the request is sent again");
                        request = Request::new(full(""));
                        *request.method_mut() = method;
                        *request.uri_mut() = uri;
                        *request.headers_mut() = headers;
                        break;
                    }
                    (None, _) => return Err(PoolError::Send(failure.into_error())),
                },
            }
        }
        // A server may take a connection and then say nothing of its certificate.
        let mut alarm = Alarm::default();
        let mut line = patience.wait(&mut alarm, Box::pin(self.connect())).await??;
        let sending = line.sender.send_request(request);
        let response = patience
            .wait(&mut line.alarm, sending)
            .await?
            .map_err(PoolError::Send)?;
        self.keep(line);
        Ok(response)
    }

    /// Whether the last connection could be opened.
    pub fn is_open(&self) -> bool {
        self.connector.is_open()
    }

    /// Opens a connection for the next request.
    pub async fn reopen(&self) -> Result<(), PoolError> {
        let line = Box::pin(self.connect()).await?;
        self.keep(line);
        Ok(())
    }

    /// The idle connection that was used last.
    fn take(&self) -> Option<Line> {
        let connections = &mut lock(&self.kept).connections;
        while let Some(at) = connections.iter().rposition(|one| !one.is_busy()) {
            let one = connections.remove(at);
            if !one.line.sender.is_closed() {
                return Some(one.line);
            }
        }
        None
    }

    fn keep(&self, line: Line) {
        let used = Instant::now();
        let mut kept = lock(&self.kept);
        kept.connections.push(Connection { line, used });
        if !kept.watched {
            kept.watched = true;
            tokio::spawn(watch(Arc::downgrade(&self.kept)));
        }
    }

    async fn connect(&self) -> Result<Line, PoolError> {
        let opening = self.connector.connect(self.server.clone());
        let wire = opening.await.map_err(PoolError::Connect)?;
        let arrivals = wire.arrivals();
        let (sender, connection) = handshake(TokioIo::new(wire)).await.map_err(PoolError::Send)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "a connection to the upstream ended early");
            }
        });
        Ok(Line {
            sender,
            arrivals,
            alarm: Alarm::default(),
        })
    }
}

impl Connection {
    /// Its last answer is still being read.
    fn is_busy(&self) -> bool {
        !self.line.sender.is_ready() && !self.line.sender.is_closed()
    }
}

/// The head of the request to send when the first sending failed safely.
fn repetition(request: &Request<Body>) -> Option<(Method, Uri, HeaderMap)> {
    let is_repeatable = matches!(*request.method(), Method::GET | Method::HEAD) && request.body().is_end_stream();
    is_repeatable.then(|| {
        (
            request.method().clone(),
            request.uri().clone(),
            request.headers().clone(),
        )
    })
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
            .retain(|one| one.is_busy() || (!one.line.sender.is_closed() && one.used.elapsed() < IDLE));
        if kept.connections.is_empty() {
            kept.watched = false;
            return;
        }
    }
}
