//! Sockets. There are no Unix sockets here, as far as Rust knows: their types are such that there can be none.

use std::{
    convert::Infallible,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};

/// Whether there are Unix sockets.
pub const UNIX_SOCKETS: bool = false;

fn no_unix_socket() -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, "this system has no Unix sockets")
}

/// None.
pub struct UnixListener(Infallible);

impl UnixListener {
    /// Never called.
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        match self.0 {}
    }
}

/// None.
pub struct UnixStream(Infallible);

impl UnixStream {
    /// Always an error.
    pub async fn connect(_path: impl AsRef<Path>) -> io::Result<Self> {
        Err(no_unix_socket())
    }
}

impl AsyncRead for UnixStream {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, _: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}

impl AsyncWrite for UnixStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        match self.0 {}
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.0 {}
    }
}

/// A socket that the service manager opened and passed on.
pub enum PassedSocket {
    /// It has an address.
    Tcp(TcpListener),
    /// It has a path.
    Unix(UnixListener),
}

/// None: services are not given any.
pub fn passed_socket() -> io::Result<Option<PassedSocket>> {
    Ok(None)
}

/// Always an error.
pub fn bind_unix(_path: &Path) -> io::Result<UnixListener> {
    Err(no_unix_socket())
}

/// Never called.
pub fn path_of(listener: &UnixListener) -> io::Result<PathBuf> {
    match listener.0 {}
}

/// The system cannot be told so.
pub fn keep_send_buffer_short(_stream: &TcpStream, _bytes: u32) -> io::Result<()> {
    Ok(())
}
