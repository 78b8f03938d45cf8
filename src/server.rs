//! Listeners, connections, draining.

use crate::{config::Config, service::Service};
use std::{future::Future, io, net::SocketAddr, sync::Arc};

/// A bound listener.
pub struct Server {}

impl Server {
    /// Binds `config.listen`.
    pub async fn bind(_config: &Config) -> io::Result<Self> {
        todo!()
    }
    /// The address bound, with the port the system chose for port 0.
    pub fn local_addr(&self) -> SocketAddr {
        todo!()
    }
    /// Serves until `stop` resolves, then stops accepting and lets in-flight answers finish for `drain_timeout`.
    pub async fn run(self, _service: Arc<Service>, _stop: impl Future<Output = ()>) {}
}
