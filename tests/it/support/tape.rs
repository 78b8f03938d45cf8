//! An upstream that writes down every byte it gets, and reads it as strictly as HTTP/1.1 can be read.

use super::{
    accepting::ANY,
    raw_server::{Notes, RawServer},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What it answers, unless told otherwise.
pub const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// One message as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// `METHOD TARGET`, the names and values that frame it or say who is meant, and the body.
    Whole(String),
    /// The same of one that the connection ended in the middle of.
    Cut(String),
    /// Not one unambiguous message.
    InvalidRequest(String),
}

impl RawServer<Told> {
    /// Answers everything, and notes each message.
    pub async fn tape() -> Self {
        Self::start(ANY, |stream, _, notes| listen(stream, notes)).await
    }
}

async fn listen(mut stream: TcpStream, notes: Notes<Told>) {
    let mut read = Vec::new();
    loop {
        match message(&read) {
            Read::Whole(told, length) => {
                read.drain(..length);
                let upgraded = told.contains("upgrade: websocket");
                notes.lock().expect("the tape").push(Told::Whole(told));
                let answer = match upgraded {
                    true => "HTTP/1.1 426 Upgrade Required\r\ncontent-length: 2\r\n\r\nno",
                    false => OK,
                };
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
                continue;
            }
            Read::InvalidRequest(why) => {
                notes.lock().expect("the tape").push(Told::InvalidRequest(why));
                return;
            }
            Read::More => {}
        }
        if !matches!(stream.read_buf(&mut read).await, Ok(1..)) {
            if !read.is_empty() {
                let text = String::from_utf8_lossy(&read).into_owned();
                notes.lock().expect("the tape").push(Told::Cut(text));
            }
            return;
        }
    }
}

enum Read {
    Whole(String, usize),
    More,
    InvalidRequest(String),
}

/// Headers that frame a message or say whom it is for.
const TELLING: [&str; 8] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "authorization",
    "x-forwarded-for",
    "trailer",
];

fn message(bytes: &[u8]) -> Read {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Read::More;
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let unclear = |why: &str| Read::InvalidRequest(format!("{why}: {head:?}"));
    let mut lines = head.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let parts: Vec<&str> = first.split(' ').collect();
    let [method, target, "HTTP/1.1"] = parts[..] else {
        return unclear("the request line");
    };
    let mut told = format!("{method} {target}");
    let (mut length, mut chunked, mut hosts) = (None, false, 0);
    for line in lines {
        if line.contains(['\r', '\n', '\0']) {
            return unclear("a control character");
        }
        let Some((name, value)) = line.split_once(": ") else {
            return unclear("a line without a colon");
        };
        let name = name.to_lowercase();
        if name.is_empty() || name.contains([' ', '\t']) || value.trim() != value {
            return unclear("white space");
        }
        match name.as_str() {
            "host" => hosts += 1,
            "content-length" if length.is_some() || chunked => return unclear("two lengths"),
            "content-length" => match value.parse::<usize>() {
                Ok(bytes) if bytes.to_string() == value => length = Some(bytes),
                _ => return unclear("a length"),
            },
            "transfer-encoding" if chunked || length.is_some() || value != "chunked" => return unclear("a coding"),
            "transfer-encoding" => chunked = true,
            _ => {}
        }
        if TELLING.contains(&name.as_str()) {
            told += &format!(" [{name}: {value}]");
        }
    }
    if hosts != 1 {
        return unclear("not one host");
    }
    let body = &bytes[end + 4..];
    let (content, used) = match (chunked, length) {
        (true, _) => match chunks(body) {
            Some(chunks) => chunks,
            None => return Read::More,
        },
        (false, Some(length)) if body.len() < length => return Read::More,
        (false, length) => (body[..length.unwrap_or(0)].to_vec(), length.unwrap_or(0)),
    };
    if !content.is_empty() {
        told += &format!(" {}", String::from_utf8_lossy(&content));
    }
    Read::Whole(told, end + 4 + used)
}

/// The content of a whole chunked body, trailers shown in braces, and how long it is on the wire.
fn chunks(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut content, mut at) = (Vec::new(), 0);
    loop {
        let line = at + bytes[at..].windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[at..line]).ok()?, 16).ok()?;
        at = line + 2;
        if size > 0 {
            content.extend_from_slice(bytes.get(at..at + size)?);
            at += size + 2;
            continue;
        }
        loop {
            let line = at + bytes.get(at..)?.windows(2).position(|two| two == b"\r\n")?;
            let trailer = &bytes[at..line];
            at = line + 2;
            if trailer.is_empty() {
                return Some((content, at));
            }
            content.extend_from_slice(&[b"{", trailer, b"}"].concat());
        }
    }
}
