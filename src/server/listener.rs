//! Where clients connect: an address, a Unix socket, or a socket that the service manager opened and passed on.

use crate::{
    config::ListenAddress,
    http::system_error::without_number,
    os::{
        LISTENING_IS_FORBIDDEN, PassedSocket, UnixListener, UnixStream, bind_unix, keep_send_buffer_short,
        passed_socket, path_of,
    },
};
use socket2::{SockRef, TcpKeepalive};
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};
use tokio::net::{TcpListener, TcpStream};

/// When the system asks a quiet client whether it is still there, and how often after that.
const PROBE_AFTER: Duration = Duration::from_secs(60);
const PROBE_EVERY: Duration = Duration::from_secs(15);
/// The most bytes of an answer that the system takes before it sends them.
const MAX_UNSENT: u32 = 128 << 10;

/// A bound listener.
pub(super) enum Listener {
    /// On an address.
    Tcp(TcpListener),
    /// On a path.
    Unix {
        /// The socket.
        listener: UnixListener,
        /// Its file, unless somebody else made it.
        _file: Option<SocketFile>,
    },
}

/// A connection.
pub(super) enum Stream {
    /// From an address.
    Tcp(TcpStream),
    /// By a Unix socket.
    Unix(UnixStream),
}

/// The file of a Unix socket, removed when dropped.
pub(super) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(%error, path = %self.0.display(), "the socket's file could not be removed");
        }
    }
}

impl Listener {
    /// Takes the socket that the service manager passed (`LISTEN_FDS`), or binds `address`.
    pub(super) async fn bind(address: &ListenAddress) -> io::Result<Self> {
        Ok(match (passed_socket()?, address) {
            (Some(PassedSocket::Tcp(listener)), _) => Self::Tcp(listener),
            (Some(PassedSocket::Unix(listener)), _) => Self::Unix { listener, _file: None },
            (None, ListenAddress::Tcp(address)) => Self::Tcp(TcpListener::bind(address).await?),
            (None, ListenAddress::Unix(path)) => Self::Unix {
                listener: bind_unix(path)?,
                _file: Some(SocketFile(path.clone())),
            },
        })
    }

    /// Where it is, with the port that the system chose for port 0.
    pub(super) fn address(&self) -> io::Result<ListenAddress> {
        Ok(match self {
            Self::Tcp(listener) => ListenAddress::Tcp(listener.local_addr()?),
            Self::Unix { listener, .. } => ListenAddress::Unix(path_of(listener)?),
        })
    }

    /// The next connection, and where it comes from: who comes by a Unix socket is on this machine.
    pub(super) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                if let Err(error) = prepare(&stream) {
                    tracing::debug!(%error, "a connection's options could not be set");
                }
                (Stream::Tcp(stream), address)
            }
            Self::Unix { listener, .. } => {
                let (stream, _) = listener.accept().await?;
                (Stream::Unix(stream), (Ipv4Addr::LOCALHOST, 0).into())
            }
        })
    }
}

/// What the system must know of a client's connection. Answers go out at once. A client that vanished without a word is
/// noticed even behind a quiet tunnel. And the system keeps only so much of an answer back, so that a client who reads
/// slowly is seen to read: it would otherwise ask for more only once a third of several megabytes is gone.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(PROBE_AFTER).with_interval(PROBE_EVERY))?;
    keep_send_buffer_short(stream, MAX_UNSENT)
}

/// Why an address cannot be listened on, and what can be done; `flag` takes another one.
pub fn why_unbound(error: &io::Error, flag: &str) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!("the address is in use by another program; {flag} takes another address or port")
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine has no such address; {flag} takes one that it has, or 0.0.0.0 for all of them")
        }
        io::ErrorKind::PermissionDenied => {
            format!("permission denied: {LISTENING_IS_FORBIDDEN}; {flag} takes another address or port")
        }
        io::ErrorKind::NotFound => format!("there is no such folder; {flag} takes another path"),
        _ => format!(
            "{}; {flag} takes another address or port",
            without_number(&error.to_string())
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_why_an_address_is_not_to_be_had_says_what_to_do() {
        for (kind, words) in [
            (io::ErrorKind::AddrInUse, "in use"),
            (io::ErrorKind::AddrNotAvailable, "this machine has no such address"),
            (io::ErrorKind::PermissionDenied, LISTENING_IS_FORBIDDEN),
            (io::ErrorKind::NotFound, "there is no such folder"),
            (io::ErrorKind::OutOfMemory, "out of memory"),
        ] {
            let said = why_unbound(&kind.into(), "--listen");
            assert!(said.contains(words) && said.contains("; --listen takes "), "{said}");
        }
    }
}
