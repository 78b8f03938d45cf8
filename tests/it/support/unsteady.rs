//! An upstream that misbehaves, each time as a test orders.

use super::{
    accepting::ANY,
    raw_server::{RawServer, Received},
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// How an upstream misbehaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Not at all.
    Well,
    /// Takes no connection, and those that there were are gone.
    Refuses,
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
    /// Closes connections that lie idle for a moment.
    ClosesIdle,
    /// Answers the first request on a connection, and closes it when a second one has come.
    ClosesAsReused,
}

/// An upstream whose manner changes on order.
pub struct Unsteady {
    pub address: SocketAddr,
    answer: fn(&str) -> String,
    manner: Arc<Mutex<Manner>>,
    upstream: Option<RawServer<Received>>,
}

impl Unsteady {
    /// `answer` gives the body for a call, such as `GET /x`, when it behaves well.
    pub async fn start(answer: fn(&str) -> String) -> Self {
        let mut unsteady = Self {
            address: ANY,
            answer,
            manner: Arc::new(Mutex::new(Manner::Well)),
            upstream: None,
        };
        unsteady.listen().await;
        unsteady
    }

    async fn listen(&mut self) {
        let (answer, manner) = (self.answer, Arc::clone(&self.manner));
        let upstream = RawServer::answering(self.address, move |stream, one| {
            let manner = *manner.lock().expect("a manner");
            let body = answer(&one.call);
            respond(stream, manner, one, body)
        });
        let upstream = upstream.await;
        self.address = upstream.address;
        self.upstream = Some(upstream);
    }

    /// Drops all connections that it has.
    pub async fn hang_up(&mut self) {
        self.end().await;
        self.listen().await;
    }

    async fn end(&mut self) {
        if let Some(upstream) = self.upstream.take() {
            upstream.end().await;
        }
    }

    pub async fn behave(&mut self, manner: Manner) {
        *self.manner.lock().expect("a manner") = manner;
        if manner == Manner::Refuses {
            self.end().await;
        } else if self.upstream.is_none() {
            self.listen().await;
        }
    }
}

/// How long a connection may lie idle, where that has a limit: longer than between two calls for one request.
const MOMENT: Duration = Duration::from_millis(150);

fn is_upgrade(one: &Received) -> bool {
    one.call == "GET /ws"
}

/// What it answers to `one`, with `body` if it behaves; the connection, if that goes on.
async fn respond(mut stream: TcpStream, manner: Manner, one: Received, body: String) -> Option<TcpStream> {
    let announced = body.len() - usize::from(manner == Manner::AnnouncesLess);
    let head = match manner {
        Manner::Fails => format!("500 Internal Server Error\r\ncontent-length: {announced}"),
        Manner::IsBusy => format!("429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: {announced}"),
        // The body is what goes through the tunnel.
        _ if is_upgrade(&one) => "101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: echo/1".to_owned(),
        _ => format!("200 OK\r\ncontent-type: application/json\r\ncontent-length: {announced}"),
    };
    let head = format!("HTTP/1.1 {head}\r\n\r\n");
    let whole = format!("{head}{body}");
    let sent = match manner {
        Manner::Hangs | Manner::Refuses => return std::future::pending().await,
        Manner::ResetsAtOnce => "",
        Manner::ClosesAsReused if one.nth > 0 => return None,
        Manner::ResetsInHead => &head[..head.len() / 2],
        Manner::ResetsInBody | Manner::EndsInBody => &whole[..head.len() + body.len() / 2],
        Manner::Garbage => &"\u{1}\u{2} what is this?\n\n".repeat(20),
        Manner::Drips => {
            stream.write_all(head.as_bytes()).await.ok()?;
            for byte in body.bytes() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                stream.write_all(&[byte]).await.ok()?;
            }
            ""
        }
        _ => &whole,
    };
    stream.write_all(sent.as_bytes()).await.ok()?;
    match manner {
        Manner::ResetsAtOnce | Manner::ResetsInHead | Manner::ResetsInBody => {
            // What was sent shall arrive before the reset does.
            tokio::time::sleep(Duration::from_millis(20)).await;
            stream.set_zero_linger().expect("SO_LINGER");
            None
        }
        Manner::EndsInBody | Manner::Garbage => None,
        Manner::ClosesIdle if !is_upgrade(&one) => {
            let used = tokio::time::timeout(MOMENT, stream.peek(&mut [0])).await;
            used.is_ok().then_some(stream)
        }
        _ => (!is_upgrade(&one)).then_some(stream),
    }
}
