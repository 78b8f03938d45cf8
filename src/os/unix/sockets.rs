//! Sockets.

use listenfd::ListenFd;
use std::{
    fs, io,
    os::unix::{fs::FileTypeExt, net::UnixStream as StdUnixStream},
    path::{Path, PathBuf},
};
use tokio::net::{TcpListener, TcpStream};
pub use tokio::net::{UnixListener, UnixStream};

/// Whether there are Unix sockets.
pub const UNIX_SOCKETS: bool = true;

/// A socket that the service manager opened and passed on (`LISTEN_FDS`).
pub enum PassedSocket {
    /// It has an address.
    Tcp(TcpListener),
    /// It has a path.
    Unix(UnixListener),
}

/// The one that was passed on, if any was.
pub fn passed_socket() -> io::Result<Option<PassedSocket>> {
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
        return TcpListener::from_std(listener).map(|listener| Some(PassedSocket::Tcp(listener)));
    }
    let Some(listener) = passed.take_unix_listener(0)? else {
        return Ok(None);
    };
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener).map(|listener| Some(PassedSocket::Unix(listener)))
}

/// Listens on `path`. A file that an earlier jobshim left when it was killed is in the way; one that somebody listens on is
/// not ours.
pub fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|about| about.file_type().is_socket());
    if is_socket
        && let Err(error) = StdUnixStream::connect(path)
        && error.kind() == io::ErrorKind::ConnectionRefused
    {
        fs::remove_file(path)?;
    }
    UnixListener::bind(path)
}

/// Where a listener is.
pub fn path_of(listener: &UnixListener) -> io::Result<PathBuf> {
    let path = listener.local_addr()?.as_pathname().map(Path::to_owned);
    Ok(path.unwrap_or_default())
}

/// The system takes at most `bytes` of what is to be sent before it sends them, where it can be told so.
pub fn keep_send_buffer_short(stream: &TcpStream, bytes: u32) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket2::SockRef::from(stream).set_tcp_notsent_lowat(bytes)?;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (stream, bytes);
    Ok(())
}
