//! `jobshim health`: whether the jobshim that runs by the same configuration is well; for containers without a shell.

use crate::config::{Config, ListenAddress};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};

/// Containers ask every few seconds; an answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(3);

/// Why it is not well.
#[derive(Debug, thiserror::Error)]
pub enum HealthError {
    /// Nothing takes connections there.
    #[error("no connection to {0}: {1}")]
    Connect(ListenAddress, io::Error),
    /// It takes no connection, or does not answer.
    #[error("{0} does not answer within {after} s", after = PATIENCE.as_secs())]
    TimedOut(ListenAddress),
}

/// Asks it.
pub async fn run(config: &Config) -> Result<(), HealthError> {
    let connecting = async {
        match &config.listen {
            ListenAddress::Tcp(address) => TcpStream::connect(from_here(*address)).await.map(drop),
            ListenAddress::Unix(path) => UnixStream::connect(path).await.map(drop),
        }
    };
    match timeout(PATIENCE, connecting).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(HealthError::Connect(config.listen.clone(), error)),
        Err(_) => Err(HealthError::TimedOut(config.listen.clone())),
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
