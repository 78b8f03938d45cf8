//! Answers that two clients could read differently: raw bytes of an upstream, and what becomes of the next answer.

use super::smuggling::{NEXT, assert_none};
use crate::support::{
    self,
    raw::{exchange, statuses},
    tape::OK,
    upstream::{raw, read_head},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::io::AsyncWriteExt;

/// An upstream that answers the first request with `answer`, every other with `OK`, on whatever connection it comes.
async fn answering(answer: Vec<u8>) -> SocketAddr {
    let first = Arc::new(AtomicBool::new(true));
    raw(move |mut stream, _| {
        let (answer, first) = (answer.clone(), Arc::clone(&first));
        async move {
            loop {
                let bytes = match first.swap(false, Ordering::SeqCst) {
                    true => answer.as_slice(),
                    false => OK.as_bytes(),
                };
                if stream.write_all(bytes).await.is_err() || read_head(&mut stream).await.is_none() {
                    return;
                }
            }
        }
    })
    .await
}

/// What a second answer on the same connection would be taken for.
const EVIL_ANSWER: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";

#[rustfmt::skip]
#[tokio::test]
async fn answers_that_two_clients_could_read_differently() {
    let hello = |headers: &str| format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\nhello{EVIL_ANSWER}");
    let chunked = |headers: &str| format!("HTTP/1.1 200 OK\r\n{headers}\r\n\r\n5\r\nhello\r\n0\r\n\r\n{EVIL_ANSWER}");
    let empty = |status: &str, headers: &str| format!("HTTP/1.1 {status}\r\n{headers}\r\n{EVIL_ANSWER}");
    // Name, method, bytes of the upstream, status at the client.
    let vectors = [
        ("what follows the answer", "GET", hello("content-length: 5"), 200),
        ("what follows the last chunk", "GET", chunked("transfer-encoding: chunked"), 200),
        ("a length and chunked", "GET", chunked("content-length: 5\r\ntransfer-encoding: chunked"), 502),
        ("chunked and a length", "GET", chunked("transfer-encoding: chunked\r\ncontent-length: 500"), 502),
        ("chunked twice", "GET", chunked("transfer-encoding: chunked, chunked"), 502),
        ("chunked in two lines", "GET", chunked("transfer-encoding: chunked\r\ntransfer-encoding: chunked"), 502),
        ("gzip, then chunked", "GET", chunked("transfer-encoding: gzip, chunked"), 502),
        ("chunked, then gzip", "GET", chunked("transfer-encoding: chunked, gzip"), 502),
        ("identity", "GET", hello("transfer-encoding: identity"), 502),
        ("a misspelt coding", "GET", chunked("transfer-encoding: xchunked"), 502),
        ("two different lengths", "GET", hello("content-length: 5\r\ncontent-length: 9"), 502),
        ("two equal lengths", "GET", hello("content-length: 5\r\ncontent-length: 5"), 502),
        ("a list of lengths", "GET", hello("content-length: 5, 5"), 502),
        ("a signed length", "GET", hello("content-length: +5"), 502),
        ("a hexadecimal length", "GET", hello("content-length: 0x5"), 502),
        ("a length that overflows", "GET", hello("content-length: 18446744073709551621"), 502),
        ("a folded header", "GET", hello("content-length: 5\r\nx: y\r\n z"), 502),
        ("a folded length", "GET", hello("content-length:\r\n 5"), 502),
        ("a blank before a colon", "GET", hello("content-length : 5"), 502),
        ("a NUL in a value", "GET", hello("content-length: 5\r\nx: a\0b"), 502),
        ("a lone CR in a value", "GET", hello("content-length: 5\r\nx: a\rset-cookie: evil"), 502),
        ("a line without a colon", "GET", hello("content-length: 5\r\nx"), 502),
        ("chunked by HTTP/1.0", "GET", chunked("transfer-encoding: chunked").replacen("1.1", "1.0", 1), 502),
        ("a version of its own", "GET", hello("content-length: 5").replacen("1.1", "3.0", 1), 502),
        ("a status of four digits", "GET", hello("content-length: 5").replacen("200", "2000", 1), 502),
        ("no status line", "GET", "hello".to_owned(), 502),
        ("a tunnel that nobody asked for", "GET", empty("101 Switching Protocols", "upgrade: websocket\r\nconnection: upgrade\r\n"), 502),
        ("a body behind 204", "GET", empty("204 No Content", ""), 204),
        ("a body behind 304", "GET", empty("304 Not Modified", "content-length: 5\r\n"), 304),
        ("a body behind the answer to HEAD", "HEAD", hello("content-length: 5"), 200),
        ("an early hint before the answer", "GET", empty("103 Early Hints", "link: </x>\r\n").replace("evil", "fine"), 200),
    ];
    let mut wrong = Vec::new();
    for (name, method, bytes, status) in &vectors {
        let upstream = answering(bytes.clone().into_bytes()).await;
        let jobshim = support::facing(&format!("http://{upstream}"), |_| {}).await;
        let request = format!("{method} /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = exchange(jobshim.address, request.as_bytes())
            .await
            .unwrap_or_else(|error| error);
        if statuses(&answer) != [*status] || answer.contains("evil") {
            wrong.push(format!("{name}: {answer:?} instead of {status}"));
        }
        let head = answer.split("\r\n\r\n").next().unwrap_or_default().to_lowercase();
        if head.contains("content-length: ") && head.contains("transfer-encoding: ") {
            wrong.push(format!("{name}: two ends in {head:?}"));
        }
        for _ in 0..3 {
            let next = exchange(jobshim.address, NEXT.as_bytes()).await.unwrap_or_else(|error| error);
            if statuses(&next) != [200] || !next.ends_with("ok") {
                wrong.push(format!("{name}: the next client got {next:?}"));
            }
        }
    }
    assert_none(&wrong, vectors.len());
}
