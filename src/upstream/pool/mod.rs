//! Connections to one server: opened when none lies idle, kept afterwards, and used again, the latest first.
//!
//! hyper's client does the same for any number of hosts, with a task for each connection, and the request and its answer
//! handed to and fro between tasks. That was two fifths of what passing a small answer on costs (docs/performance.md); here a connection is moved on by whoever waits for its answer ([`connection`]).

mod answer;
mod circuit_breaker;
mod connection;
mod connector;
mod idle;
mod io;

pub use answer::AnswerBody;
pub use connection::ConnectionError;
pub use connector::Connector;

use crate::http::{
    body::{Body, BoxError, full},
    idle_timeout::{Alarm, HeaderTimeout, ResponseTimeout},
};
use connection::Connection;
use http::{Method, Request, Response};
use hyper::body::Body as _;
use idle::IdleConnections;
use std::sync::Arc;

/// Why there is no answer.
pub enum PoolError {
    /// No connection could be opened.
    Connect(BoxError),
    /// The connection failed.
    Send(ConnectionError),
}

/// The connections.
pub struct Pool {
    connector: Connector,
    idle: Arc<IdleConnections>,
}

impl From<HeaderTimeout> for PoolError {
    fn from(late: HeaderTimeout) -> Self {
        Self::Send(late.into())
    }
}

impl Pool {
    /// Opens nothing yet.
    pub fn new(connector: Connector) -> Self {
        Self {
            connector,
            idle: Arc::default(),
        }
    }

    /// Sends a request, whose target is what the server shall read, and waits for the head of the answer. A connection
    /// that lay idle may be closed by its other end at any time (RFC 9112 section 9.3.1). One that is seen to be closed is
    /// passed over before anything is sent; where it is noticed afterwards, a GET or HEAD without a body is sent again,
    /// once and on a new connection, if not a byte came back. Nothing else is: it may have been taken.
    pub async fn send(
        &self,
        request: Request<Body>,
        timeout: ResponseTimeout,
    ) -> Result<Response<AnswerBody>, PoolError> {
        let (head, mut body) = request.into_parts();
        let is_repeatable = matches!(head.method, Method::GET | Method::HEAD) && body.is_end_stream();
        if let Some(mut connection) = self.idle.take() {
            match connection.send(&head, body, &timeout).await {
                Ok(answer) => return Ok(AnswerBody::of(answer, connection, timeout, &self.idle)),
                Err(error) if is_repeatable && !error.is_timeout() && !connection.has_heard() => {
                    tracing::debug!(%error, "an idle connection was closed as it was used; the request is sent again");
                    body = full("");
                }
                Err(error) => return Err(PoolError::Send(error)),
            }
        }
        // A server may take a connection and then say nothing of its certificate.
        let mut alarm = Alarm::default();
        let mut connection = timeout.wait(&mut alarm, Box::pin(self.connect())).await?;
        match connection.send(&head, body, &timeout).await {
            Ok(answer) => Ok(AnswerBody::of(answer, connection, timeout, &self.idle)),
            Err(error) => Err(PoolError::Send(error)),
        }
    }

    /// Whether the last connection could be opened.
    pub fn is_open(&self) -> bool {
        self.connector.is_open()
    }

    /// Opens a connection for the next request.
    pub async fn reopen(&self) -> Result<(), PoolError> {
        self.idle.put(Box::pin(self.connect()).await?);
        Ok(())
    }

    async fn connect(&self) -> Result<Box<Connection>, PoolError> {
        let io = self.connector.connect().await.map_err(PoolError::Connect)?;
        Ok(Box::new(Connection::new(io)))
    }
}
