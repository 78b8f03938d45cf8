//! `jobshim health`: whether the jobshim that runs by the same configuration is well; for containers without a shell.

use crate::config::Config;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{net::TcpStream, time::timeout};

/// Containers ask every few seconds; an answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why it is not well.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// Nothing takes connections there.
    #[error("no connection to {0}: {1}")]
    Connect(SocketAddr, io::Error),
    /// It takes no connection, or does not answer.
    #[error("{0} does not answer within {after} s", after = PATIENCE.as_secs())]
    TimedOut(SocketAddr),
}

/// Asks it.
pub async fn run(config: &Config) -> Result<(), HealthError> {
    let address = from_here(config.listen);
    match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(HealthError::Connect(address, error)),
        Err(_) => Err(HealthError::TimedOut(address)),
    }
}

/// Where a listener is found from this machine.
fn from_here(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
