//! The one fake server of raw bytes. It stays beside [`Scripted`](super::scripted::Scripted), as an HTTP library sends no
//! half of an answer and no answer that is none, resets no connection, and shows neither the bytes of a request nor which
//! connection it came on.

use super::accepting::{ANY, Accepting};
use bytes::Bytes;
use std::{
    future::Future,
    mem,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What a server has noted, in the order in which it came.
pub type Notes<N> = Arc<Mutex<Vec<N>>>;

/// The running server; it stops, and drops its connections, when dropped.
pub struct RawServer<N> {
    pub address: SocketAddr,
    notes: Notes<N>,
    server: Accepting,
}

impl<N: Clone + Send + 'static> RawServer<N> {
    /// Every connection goes to `serve`, with its number, from 0, and the notes.
    pub async fn start<F, A>(address: SocketAddr, serve: F) -> Self
    where
        F: Fn(TcpStream, usize, Notes<N>) -> A + Send + 'static,
        A: Future<Output = ()> + Send + 'static,
    {
        let notes = Notes::default();
        let shared = Arc::clone(&notes);
        let server = Accepting::start(address, move |stream, number| {
            serve(stream, number, Arc::clone(&shared))
        });
        let server = server.await;
        Self {
            address: server.address,
            notes,
            server,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All that was noted.
    pub fn all(&self) -> Vec<N> {
        self.notes.lock().expect("notes").clone()
    }

    /// What was noted since this was last called.
    pub fn take(&self) -> Vec<N> {
        mem::take(&mut self.notes.lock().expect("notes"))
    }

    /// Stops it, and waits until its address is free.
    pub async fn end(self) {
        self.server.end().await;
    }
}

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

impl RawServer<Received> {
    /// `answer` gets every request, which is noted, and the connection to answer on; a connection goes on as long as it
    /// comes back.
    pub async fn answering<F, A>(address: SocketAddr, answer: F) -> Self
    where
        F: Fn(TcpStream, Received) -> A + Send + Sync + 'static,
        A: Future<Output = Option<TcpStream>> + Send + 'static,
    {
        let answer = Arc::new(answer);
        Self::start(address, move |mut stream, connection, notes| {
            let answer = Arc::clone(&answer);
            async move {
                for nth in 0.. {
                    let Some(call) = read_request(&mut stream).await else {
                        return;
                    };
                    let one = Received { call, connection, nth };
                    notes.lock().expect("notes").push(one.clone());
                    let Some(again) = answer(stream, one).await else { return };
                    stream = again;
                }
            }
        })
        .await
    }

    /// What arrived for `call`.
    pub fn received(&self, call: &str) -> Vec<Received> {
        let all = self.all().into_iter();
        all.filter(|one| one.call == call).collect()
    }
}

/// A server that goes on to the end of the test and notes nothing: `answer` gets each connection once the head of a request
/// has been read.
pub async fn raw<F, A>(answer: F) -> SocketAddr
where
    F: Fn(TcpStream, String) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let answer = Arc::new(answer);
    let server = RawServer::<()>::start(ANY, move |mut stream, _, _| {
        let answer = Arc::clone(&answer);
        async move {
            match read_head(&mut stream).await {
                // jobshim's first question is none of the test's.
                Some(head) if head.starts_with("GET /system_stats ") || head.starts_with("HEAD /queue ") => {
                    let _ = stream
                        .write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
                        .await;
                }
                Some(head) => answer(stream, head).await,
                None => {}
            }
        }
    });
    server.await.server.detach()
}

/// The same, for one that writes `bytes` and closes.
pub async fn raw_bytes(bytes: impl Into<Bytes>) -> SocketAddr {
    let bytes = bytes.into();
    raw(move |mut stream, _| {
        let bytes = bytes.clone();
        async move {
            let _ = stream.write_all(&bytes).await;
        }
    })
    .await
}

/// The head of a message, to the empty line and no further; `None` when the connection ended before.
pub async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// The body of a request with this head; `None` when the connection ended before.
pub async fn read_body(head: &str, stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    Some(body)
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
