//! `jobshim demo`: a small simulated upstream and the proxy in one process.

mod simulated;
mod welcome;

use super::output;
use crate::{
    admin::Admin,
    config::{self, settings::UPSTREAM},
    proxy::{Proxy, STORE_EVERY, StartError, housekeeping},
    server::{BindError, Server, why_unbound},
};
use simulated::Simulated;
use std::{future::Future, io, net::SocketAddr, sync::Arc};
use welcome::welcome;

/// Why the demo could not start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The simulated upstream found no port.
    #[error("the simulated server could not start: {0}")]
    Simulator(io::Error),
    /// The proxy's address is taken, say.
    #[error(transparent)]
    Listen(#[from] BindError),
    /// The address of the page is taken, say.
    #[error("cannot listen on {0}: {why}", why = why_unbound(.1, "--admin"))]
    Admin(SocketAddr, io::Error),
    /// Its curl lines could not reach it.
    #[error("the demo is for curl lines: --listen takes an address and a port here")]
    Socket,
    /// An option cannot be used.
    #[error(transparent)]
    Config(#[from] config::ConfigErrors),
    /// The tables are broken.
    #[error(transparent)]
    Start(#[from] StartError),
    /// What there is to try cannot be shown.
    #[error("the output cannot be written: {0}")]
    Unwritten(io::Error),
}

/// Runs by `options` until `stop` resolves.
pub async fn run(options: config::Options, stop: impl Future<Output = ()>) -> Result<(), DemoError> {
    let asked = config::load(&options, |_| None)?.config;
    let simulated = Simulated::start(asked.upstream.dialect)
        .await
        .map_err(DemoError::Simulator)?;
    let config = config::load(&options.with(&UPSTREAM.url.key, simulated.url()), |_| None)?.config;
    let live = Arc::new(Proxy::new(&config)?);
    let server = Server::bind(&config).await?;
    let admin = match &config.admin {
        Some(admin) => {
            let bound = Admin::bind(admin).await;
            Some(bound.map_err(|error| DemoError::Admin(admin.address, error))?)
        }
        None => None,
    };
    let address = server.local_addr().ok_or(DemoError::Socket)?;
    let page = admin.as_ref().map(Admin::local_addr);
    let going_on = async {
        simulated.fill(address).await;
        output::write(&welcome(address, page, &simulated)).map_err(DemoError::Unwritten)?;
        simulated.go_on().await
    };
    let shown = async {
        match admin {
            Some(admin) => admin.run(Arc::clone(&live)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = server.run(Arc::clone(&live), stop) => {}
        ended = going_on => return ended,
        () = shown => {}
        () = housekeeping(Arc::clone(&live), STORE_EVERY) => {}
    }
    Ok(())
}
