//! The one loop that accepts connections. Every fake server stands on it: [`Scripted`](super::scripted::Scripted), whatever
//! it serves, [`RawServer`](super::raw_server::RawServer), and the one of https.

use super::wait::within;
use std::{
    future::Future,
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
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
        let listener = within("an address that is free", listener(address)).await;
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

/// One at `address`, once whoever listened there before has let go of it.
async fn listener(address: SocketAddr) -> TcpListener {
    loop {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse => sleep(Duration::from_millis(10)).await,
            outcome => return outcome.expect("a port"),
        }
    }
}
