//! Who is at the other end of a connection.

use std::net::{IpAddr, SocketAddr};

/// Who is at the other end of the client's connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
    /// Where the connection comes from, for `X-Forwarded-For`.
    pub address: SocketAddr,
    /// It comes by a Unix socket, and has no address of its own.
    pub unix: bool,
    /// It comes through TLS.
    pub secure: bool,
    /// The client, by the word of the trusted proxies between.
    pub client: IpAddr,
}

impl Peer {
    /// A client that comes straight from `address`.
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            unix: false,
            secure: false,
            client: address.ip(),
        }
    }
}
