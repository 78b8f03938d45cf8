//! Bytes on a socket, and what comes back.

use super::{upstream::read_head, wait::within};
use hyper::{
    body::Body,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use std::{error::Error, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Everything that comes back until the connection ends.
pub async fn exchange(at: SocketAddr, bytes: &[u8]) -> Result<String, String> {
    let mut stream = TcpStream::connect(at).await.expect("a connection");
    // A refusal may close the connection before all is sent.
    let _ = stream.write_all(bytes).await;
    let mut got = Vec::new();
    match timeout(Duration::from_secs(20), stream.read_to_end(&mut got)).await {
        // After a refusal the rest of what was sent is not read, and the system resets the connection.
        Ok(_) => Ok(String::from_utf8_lossy(&got).into_owned()),
        Err(_) => Err(format!("no end after {:?}", String::from_utf8_lossy(&got))),
    }
}

/// Sends raw bytes and reads until the answer's head is over.
pub async fn raw_request(at: SocketAddr, request: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(at).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let head = within("an answer", read_head(&mut stream)).await.expect("an answer");
    (stream, head)
}

/// The statuses of answers, one after the other.
pub fn statuses(answers: &str) -> Vec<u16> {
    let lines = answers.match_indices("HTTP/1.1 ");
    lines
        .filter_map(|(at, _)| answers.get(at + 9..at + 12)?.parse().ok())
        .collect()
}

/// A connection of HTTP/1.1 that sends requests as they are.
pub async fn sender<B>(at: SocketAddr) -> SendRequest<B>
where
    B: Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    let stream = TcpStream::connect(at).await.expect("a connection");
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    sender
}
