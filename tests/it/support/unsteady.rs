//! An upstream of raw bytes that counts what arrives, connection by connection.

use super::upstream::read_head;
use std::{
    future::Future,
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
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

/// How an upstream misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Not at all.
    Well,
    /// Takes the request and says nothing.
    Hangs,
    /// Resets the connection before a byte.
    ResetsAtOnce,
    /// Resets it in the head.
    ResetsInHead,
    /// Resets it in the body.
    ResetsInBody,
    /// Closes it in the body.
    EndsInBody,
    /// Sends more than it announced.
    AnnouncesLess,
    /// Speaks no HTTP.
    Garbage,
    /// Sends the body byte by byte, one a second.
    Drips,
    /// 500.
    Fails,
    /// 429 with `Retry-After`.
    IsBusy,
}

/// An upstream whose manner changes on order.
pub struct Unsteady {
    pub upstream: Counting,
    manner: Arc<Mutex<Manner>>,
}

impl Unsteady {
    /// `answer` gives the body for a call, such as `GET /x`, when it behaves well.
    pub async fn start(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        let manner = Arc::new(Mutex::new(Manner::Well));
        let now = Arc::clone(&manner);
        let upstream = Counting::start(move |stream, one| {
            let manner = *now.lock().expect("a manner");
            respond(stream, manner, answer(&one.call))
        })
        .await;
        Self { upstream, manner }
    }

    pub fn behave(&self, manner: Manner) {
        *self.manner.lock().expect("a manner") = manner;
    }
}

async fn respond(mut stream: TcpStream, manner: Manner, body: String) -> Option<TcpStream> {
    let announced = body.len();
    let (status, announced, more) = match manner {
        Manner::Fails => ("500 Internal Server Error", announced, ""),
        Manner::IsBusy => ("429 Too Many Requests", announced, "retry-after: 7\r\n"),
        Manner::AnnouncesLess => ("200 OK", announced - 1, ""),
        _ => ("200 OK", announced, ""),
    };
    let head =
        format!("HTTP/1.1 {status}\r\n{more}content-type: application/json\r\ncontent-length: {announced}\r\n\r\n");
    let (half_a_head, half_a_body) = (&head[..head.len() / 2], &body[..body.len() / 2]);
    let cut = match manner {
        Manner::Hangs => std::future::pending().await,
        Manner::ResetsAtOnce => String::new(),
        Manner::ResetsInHead => half_a_head.to_owned(),
        Manner::ResetsInBody | Manner::EndsInBody => format!("{head}{half_a_body}"),
        Manner::Garbage => "\u{1}\u{2} what is this?\n\n".repeat(20),
        Manner::Drips => {
            stream.write_all(head.as_bytes()).await.ok()?;
            for byte in body.bytes() {
                // Slower than any test has time for.
                tokio::time::sleep(std::time::Duration::from_secs(1)).await;
                stream.write_all(&[byte]).await.ok()?;
            }
            return Some(stream);
        }
        Manner::Well | Manner::AnnouncesLess | Manner::Fails | Manner::IsBusy => {
            stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
            return Some(stream);
        }
    };
    stream.write_all(cut.as_bytes()).await.ok()?;
    // What was sent shall arrive before the reset does.
    tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    if matches!(
        manner,
        Manner::ResetsAtOnce | Manner::ResetsInHead | Manner::ResetsInBody
    ) {
        stream.set_zero_linger().expect("SO_LINGER");
    }
    None
}
