//! Where clients connect: an address, a Unix socket, or a socket that the service manager opened and passed on.

use crate::config::ListenAddress;
use listenfd::ListenFd;
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr},
    os::unix::{fs::FileTypeExt, net::UnixStream as StdUnixStream},
    path::{Path, PathBuf},
};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// A bound listener.
pub enum Listener {
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
pub enum Stream {
    /// From an address.
    Tcp(TcpStream),
    /// By a Unix socket.
    Unix(UnixStream),
}

/// The file of a Unix socket, removed when dropped.
pub struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(%error, path = %self.0.display(), "the socket's file could not be removed");
        }
    }
}

impl Listener {
    /// Takes the socket that the service manager passed (`LISTEN_FDS`), or binds `address`.
    pub async fn bind(address: &ListenAddress) -> io::Result<Self> {
        if let Some(passed) = passed()? {
            return Ok(passed);
        }
        match address {
            ListenAddress::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            ListenAddress::Unix(path) => {
                remove_stale(path)?;
                Ok(Self::Unix {
                    listener: UnixListener::bind(path)?,
                    _file: Some(SocketFile(path.clone())),
                })
            }
        }
    }

    /// Where it is, with the port that the system chose for port 0.
    pub fn address(&self) -> io::Result<ListenAddress> {
        Ok(match self {
            Self::Tcp(listener) => ListenAddress::Tcp(listener.local_addr()?),
            Self::Unix { listener, .. } => {
                let path = listener.local_addr()?.as_pathname().map(Path::to_owned);
                ListenAddress::Unix(path.unwrap_or_default())
            }
        })
    }

    /// The next connection, and where it comes from: who comes by a Unix socket is on this machine.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "TCP_NODELAY could not be set");
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

fn passed() -> io::Result<Option<Listener>> {
    let mut passed = ListenFd::from_env();
    match passed.len() {
        0 => return Ok(None),
        1 => {}
        count => {
            let reason = format!("the service manager passed {count} sockets, and one is expected");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
    }
    if let Ok(Some(listener)) = passed.take_tcp_listener(0) {
        listener.set_nonblocking(true)?;
        return Ok(Some(Listener::Tcp(TcpListener::from_std(listener)?)));
    }
    let Some(listener) = passed.take_unix_listener(0)? else {
        return Ok(None);
    };
    listener.set_nonblocking(true)?;
    Ok(Some(Listener::Unix {
        listener: UnixListener::from_std(listener)?,
        _file: None,
    }))
}

/// A file that an earlier jobshim left when it was killed is in the way; one that somebody listens on is not ours.
fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|about| about.file_type().is_socket());
    if is_socket
        && let Err(error) = StdUnixStream::connect(path)
        && error.kind() == io::ErrorKind::ConnectionRefused
    {
        fs::remove_file(path)?;
    }
    Ok(())
}
