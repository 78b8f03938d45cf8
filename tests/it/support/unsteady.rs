//! An upstream of raw bytes that counts what arrives, connection by connection.

use super::upstream::read_head;
use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::AsyncReadExt,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// A request as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Such as `GET /x`.
    pub call: String,
    /// The number of its connection, from 0.
    pub connection: usize,
    /// Its place on that connection, from 0.
    pub nth: usize,
}

/// It stops, and drops its connections, when dropped.
pub struct Counting {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Counting {
    /// `answer` gets every request, and the connection to answer on; a connection goes on as long as it comes back.
    pub async fn start<F, A>(answer: F) -> Self
    where
        F: Fn(TcpStream, Received) -> A + Send + Sync + 'static,
        A: Future<Output = Option<TcpStream>> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let received = Arc::new(Mutex::new(Vec::new()));
        let (notes, answer) = (Arc::clone(&received), Arc::new(answer));
        let task = tokio::spawn(async move {
            let mut open = JoinSet::new();
            let mut connection = 0;
            while let Ok((mut stream, _)) = listener.accept().await {
                let (notes, answer) = (Arc::clone(&notes), Arc::clone(&answer));
                open.spawn(async move {
                    for nth in 0.. {
                        let Some(call) = read_request(&mut stream).await else {
                            return;
                        };
                        let one = Received { call, connection, nth };
                        notes.lock().expect("notes").push(one.clone());
                        let Some(again) = answer(stream, one).await else { return };
                        stream = again;
                    }
                });
                connection += 1;
            }
        });
        Self {
            address,
            received,
            task,
        }
    }

    /// What arrived for `call`.
    pub fn received(&self, call: &str) -> Vec<Received> {
        let all = self.received.lock().expect("notes");
        all.iter().filter(|one| one.call == call).cloned().collect()
    }
}

/// Method and target of a request, whose body is read and dropped; `None` at the end of the connection.
pub async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let head = read_head(stream).await?;
    let header = |name: &str| {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        let mut values = lines.filter(|(known, _)| known.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.to_owned())
    };
    if let Some(length) = header("content-length") {
        let mut body = vec![0; length.parse().expect("a length")];
        stream.read_exact(&mut body).await.ok()?;
    } else if header("transfer-encoding").is_some() {
        let mut end = Vec::new();
        while !end.ends_with(b"0\r\n\r\n") {
            end.push(stream.read_u8().await.ok()?);
        }
    }
    let mut words = head.split(' ');
    Some(format!("{} {}", words.next()?, words.next()?))
}
