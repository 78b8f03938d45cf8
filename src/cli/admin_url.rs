//! Where the jobshim that runs shows what it does, for the commands that ask it.

use crate::config::{ConfigErrors, Options, load_one, settings::ADMIN};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Why there is nobody to ask.
#[derive(Debug, thiserror::Error)]
pub enum AdminUrlError {
    /// The configuration cannot be read.
    #[error(transparent)]
    Config(#[from] ConfigErrors),
    /// It shows nothing.
    #[error("by this configuration the admin listener is off; --admin takes the address of one that is on")]
    Off,
}

/// The URL that `--admin` gives, in full or as the address alone, or else the one of the configuration.
pub fn admin_url(options: &Options, environment: impl Fn(&str) -> Option<String>) -> Result<String, AdminUrlError> {
    let given = options.get(&ADMIN.address.key).unwrap_or_default();
    if given.contains("://") {
        return Ok(given.to_owned());
    }
    match load_one(&ADMIN.address, options, environment) {
        Ok(Some(address)) => Ok(format!("http://{}", from_here(address))),
        Ok(None) => Err(AdminUrlError::Off),
        // It is on another machine, by its name.
        Err(_) if given.contains(':') => Ok(format!("http://{given}")),
        Err(errors) => Err(errors.into()),
    }
}

/// Where a listener is found from this machine.
pub(super) fn from_here(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}
