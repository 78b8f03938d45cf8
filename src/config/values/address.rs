//! Addresses and names of listeners.

use super::{invalid_value::InvalidValue, word::is_off};
use crate::os::UNIX_SOCKETS;
use http::Uri;
use std::{
    fmt,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    str::FromStr,
};

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and a port.
    Tcp(SocketAddr),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

impl FromStr for ListenAddress {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        address(text)
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(out, "{address}"),
            Self::Unix(path) => write!(out, "unix:{}", path.display()),
        }
    }
}

impl ListenAddress {
    /// Whether `url` is this address.
    pub fn is_at(&self, url: &Uri) -> bool {
        let ListenAddress::Tcp(listen) = self else {
            return false;
        };
        let port = url
            .port_u16()
            .unwrap_or(if url.scheme_str() == Some("https") { 443 } else { 80 });
        let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
        let same_host = match host.parse::<std::net::IpAddr>() {
            Ok(address) => address == listen.ip() || (listen.ip().is_unspecified() && address.is_loopback()),
            Err(_) => host == "localhost" && (listen.ip().is_loopback() || listen.ip().is_unspecified()),
        };
        same_host && port == listen.port()
    }

    /// Whether nobody on another machine reaches it.
    pub fn is_of_this_machine(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

pub(crate) fn address(text: &str) -> Result<ListenAddress, InvalidValue> {
    if let Some(path) = unix_socket(text)? {
        return Ok(ListenAddress::Unix(path));
    }
    tcp(text)
        .map(ListenAddress::Tcp)
        .ok_or_else(|| match has_large_port(text) {
            true => PORT.into(),
            false => format!("{TCP_EXPECTED}{UNIX_EXPECTED}").into(),
        })
}

/// The path of a Unix socket, if `text` is one. A system that has none is no reason to look for a file of that name.
pub(super) fn unix_socket(text: &str) -> Result<Option<PathBuf>, InvalidValue> {
    match text.strip_prefix("unix:").filter(|path| !path.is_empty()) {
        Some(_) if !UNIX_SOCKETS => Err("this system has no Unix sockets: an address and a port are expected".into()),
        path => Ok(path.map(PathBuf::from)),
    }
}

const TCP_EXPECTED: &str =
    "an address and a port are expected, such as 127.0.0.1:8187, [::1]:8187, or 8187 for 127.0.0.1:8187";
const UNIX_EXPECTED: &str = match UNIX_SOCKETS {
    true => ", or a Unix socket, such as unix:/run/jobshim/socket",
    false => "",
};
const PORT: &str = "a port is a number up to 65535";

/// Whether the number behind the address is no port because it is too large.
fn has_large_port(text: &str) -> bool {
    let port = text.rsplit_once(':').map_or(text, |(_, port)| port);
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    is_number && port.parse::<u16>().is_err()
}

/// An address and a port. A port alone, as `8187` or `:8187`, and `localhost` are of this machine: nobody opens a port to
/// others by leaving the address out.
fn tcp(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse() {
        return Some(address);
    }
    let port = match text.rsplit_once(':') {
        Some((host, port)) if host.is_empty() || host.eq_ignore_ascii_case("localhost") => port,
        Some(_) => return None,
        None => text,
    };
    let is_number = port.bytes().all(|byte| byte.is_ascii_digit());
    let port = port.parse().ok().filter(|_| is_number)?;
    Some((Ipv4Addr::LOCALHOST, port).into())
}

pub(crate) fn address_or_off(text: &str) -> Result<Option<SocketAddr>, InvalidValue> {
    match tcp(text) {
        _ if is_off(text) => Ok(None),
        Some(address) => Ok(Some(address)),
        None if has_large_port(text) => Err(PORT.into()),
        None => Err("an address and a port are expected, such as 127.0.0.1:8186, or off".into()),
    }
}

pub(crate) fn host_names(text: &str) -> Result<Vec<String>, InvalidValue> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    names
        .map(|name| {
            let plain = name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
            match plain {
                true => Ok(name.to_ascii_lowercase()),
                false => Err(format!("{name:?} is no host name; ports do not belong to it").into()),
            }
        })
        .collect()
}
