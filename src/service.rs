//! One request: which way it goes, and the one place where an error becomes a response.

use crate::{config::Config, forward::Peer, upstream::Body};
use http::{Request, Response};
use hyper::body::Incoming;

/// Everything a request needs; shared by all connections.
pub struct Service {}

/// The service could not be set up: bad tables or CA file.
#[derive(Debug, thiserror::Error)]
pub enum StartError {}

impl Service {
    /// Compiles the tables and builds the upstream client.
    pub fn new(_config: &Config) -> Result<Self, StartError> {
        todo!()
    }
    /// Answers one request. Never fails: every failure is a response.
    pub async fn handle(&self, _request: Request<Incoming>, _peer: Peer) -> Response<Body> {
        todo!()
    }
}
