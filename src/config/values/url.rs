//! URLs of servers, and of pages.

use super::{address::unix_socket, invalid_value::InvalidValue};
use http::{Uri, uri::Authority};
use std::path::PathBuf;

/// Where a server is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerAddress {
    /// Scheme, authority and base path, without a trailing slash, query or fragment.
    pub uri: Uri,
    /// The Unix socket where it is found instead; the URI then says only what its `Host` is.
    pub socket: Option<PathBuf>,
}

impl From<Uri> for ServerAddress {
    fn from(uri: Uri) -> Self {
        Self { uri, socket: None }
    }
}

/// A URL, or the Unix socket where a server is found that calls itself `localhost`.
pub(crate) fn server(text: &str) -> Result<ServerAddress, InvalidValue> {
    match unix_socket(text)? {
        Some(path) => Ok(ServerAddress {
            uri: Uri::from_static("http://localhost"),
            socket: Some(path),
        }),
        None => url(text).map(ServerAddress::from),
    }
}

fn url(text: &str) -> Result<Uri, InvalidValue> {
    const EXPECTED: &str = "a URL is expected, such as http://127.0.0.1:8188 or https://example.org/base";
    if text.contains(['#', '?']) {
        return Err("an upstream URL has no query and no fragment".into());
    }
    let url: Uri = text.trim_end_matches('/').parse().map_err(|_| EXPECTED)?;
    match (url.scheme_str(), url.authority()) {
        (Some("http" | "https"), Some(authority)) if authority.as_str().contains('@') => {
            Err("an upstream URL carries no user name and no password".into())
        }
        (Some("http" | "https"), Some(authority)) if !has_sound_port(authority) => {
            Err("a port from 1 to 65535 is expected after the colon".into())
        }
        (Some("http" | "https"), Some(authority)) if !authority.host().is_empty() => Ok(url),
        // What may hold a password is not said again.
        _ if is_host_and_port(text) => Err(format!("{EXPECTED}; did you mean http://{text}?").into()),
        _ => Err(EXPECTED.into()),
    }
}

/// Whether it is a URL without its scheme: `host:port`, nothing behind it.
pub fn is_host_and_port(text: &str) -> bool {
    let port = text
        .parse::<Authority>()
        .ok()
        .and_then(|authority| authority.port_u16());
    port.is_some() && !text.contains('@')
}

/// Whether there is no colon after the host, or a port after the colon: what is none would mean the scheme's own.
pub fn has_sound_port(authority: &Authority) -> bool {
    let text = authority.as_str();
    match text.rsplit_once(':') {
        // A colon within an IPv6 address.
        Some((_, rest)) if rest.ends_with(']') => true,
        Some((_, port)) => {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse().is_ok_and(|port: u16| port > 0)
        }
        None => true,
    }
}

pub(crate) fn optional_url(text: &str) -> Result<Option<Uri>, InvalidValue> {
    match text {
        "" => Ok(None),
        _ => url(text).map(Some),
    }
}

/// A link for people: any absolute http URL.
pub(crate) fn optional_link(text: &str) -> Result<Option<Uri>, InvalidValue> {
    match text {
        "" => Ok(None),
        _ => match text.parse::<Uri>() {
            // Every client would read the password.
            Ok(url) if url.authority().is_some_and(|host| host.as_str().contains('@')) => {
                Err("a link for everybody carries no user name and no password".into())
            }
            Ok(url) if url.authority().is_some_and(|host| !has_sound_port(host)) => {
                Err("a port from 1 to 65535 is expected after the colon".into())
            }
            Ok(url) if matches!(url.scheme_str(), Some("http" | "https")) && !text.contains(['<', '>']) => {
                Ok(Some(url))
            }
            _ => Err("a URL is expected, such as https://example.org/migrate".into()),
        },
    }
}
