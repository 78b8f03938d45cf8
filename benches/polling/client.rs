//! A poller, and what its polls take.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

/// One poll.
#[derive(Clone, Debug, Default)]
pub struct Poll {
    pub status: u16,
    /// Of the whole answer, in bytes.
    pub length: usize,
    /// To the first and to the last byte.
    pub first: Duration,
    pub whole: Duration,
    /// `ETag`
    pub tag: String,
}

/// Asks for `/history` on a connection of its own, with these lines in the head.
pub fn poll(at: SocketAddr, lines: &str) -> io::Result<Poll> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        stream,
        "GET /history HTTP/1.1\r\nHost: {at}\r\nConnection: close\r\n{lines}\r\n"
    )?;
    let mut buffer = vec![0; 1 << 20];
    let mut head = Vec::new();
    let mut poll = Poll::default();
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            break;
        }
        if poll.length == 0 {
            poll.first = begun.elapsed();
        }
        if head.len() < 2048 {
            head.extend_from_slice(&buffer[..count.min(2048)]);
        }
        poll.length += count;
    }
    poll.whole = begun.elapsed();
    let head = String::from_utf8_lossy(&head);
    poll.status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let tag = head.lines().find_map(|line| line.strip_prefix("etag: "));
    poll.tag = tag.unwrap_or_default().to_owned();
    match poll.status {
        200 | 304 => Ok(poll),
        _ => Err(io::Error::other(format!("no answer: {head}"))),
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
