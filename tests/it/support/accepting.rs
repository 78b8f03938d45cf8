//! The one loop that accepts connections. Every fake server stands on it: [`Scripted`](super::scripted::Scripted), whatever
//! it serves, [`RawServer`](super::raw_server::RawServer), and the one of https.

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Any free port of this machine.
pub const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A listener and its connections; all of them end when this is dropped.
pub struct Accepting {
    pub address: SocketAddr,
    task: JoinSet<()>,
}

impl Accepting {
    /// Every connection goes to `serve`, with its number, from 0.
    pub async fn start<F, A>(address: SocketAddr, serve: F) -> Self
    where
        F: Fn(TcpStream, usize) -> A + Send + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut open = JoinSet::new();
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                open.spawn(serve(stream, number));
            }
        });
        Self { address, task }
    }

    /// Stops it, and waits until its address is free.
    pub async fn end(mut self) {
        self.task.shutdown().await;
    }

    /// Lets it go on to the end of the test, and gives its address.
    pub fn detach(mut self) -> SocketAddr {
        self.task.detach_all();
        self.address
    }
}
