//! What an upstream says after its answer: late bytes on a kept connection are never the answer to another request, and
//! trailers reach whom they are meant for.

use crate::support::{
    Client, Running, facing,
    raw::{exchange, sender},
    upstream::{raw, raw_bytes, read_head},
    wait::within,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, header::TE};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::{Notify, Semaphore},
};

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
const EVIL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";

/// jobshim before a server whose first connection answers its first request with `answer` and every other with `EVIL`;
/// on other connections it says hello. And how many connections there have been.
async fn before(answer: &'static str) -> (Running, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let upstream = raw(move |mut stream, _| {
        let is_first = counted.fetch_add(1, SeqCst) == 0;
        async move {
            let mut next = if is_first { answer.as_bytes() } else { HELLO };
            while stream.write_all(next).await.is_ok() && read_head(&mut stream).await.is_some() {
                next = if is_first { EVIL } else { HELLO };
            }
        }
    })
    .await;
    (facing(&format!("http://{upstream}"), |_| {}).await, connections)
}

#[tokio::test]
async fn a_connection_whose_answer_announces_a_body_that_it_must_not_have_is_not_used_again() {
    for (method, answer, status) in [
        (Method::GET, "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", 204),
        (
            Method::GET,
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
            204,
        ),
        (
            Method::GET,
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            304,
        ),
        (
            Method::GET,
            "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n",
            304,
        ),
        (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 200),
        (
            Method::HEAD,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            200,
        ),
        (Method::HEAD, "HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\n", 404),
    ] {
        let (jobshim, connections) = before(answer).await;
        let client = Client::new();
        let first = client.send(method.clone(), jobshim.address, "/view", &[], "").await;
        let first = first.expect("an answer");
        assert_eq!(
            (first.status.as_u16(), first.text()),
            (status, String::new()),
            "{method} {answer}"
        );
        let second = client.get(jobshim.address, "/view").await;
        assert_eq!(second.text(), "hello", "{method} {answer}");
        assert_eq!(connections.load(SeqCst), 2, "{method} {answer}");
    }
}

#[tokio::test]
async fn a_connection_whose_answer_has_no_body_and_says_so_is_used_again() {
    for (method, answer) in [
        (Method::GET, "HTTP/1.1 204 No Content\r\n\r\n"),
        (Method::GET, "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"),
        (Method::GET, "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n"),
        (Method::HEAD, "HTTP/1.1 200 OK\r\n\r\n"),
        (Method::HEAD, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let (jobshim, connections) = before(answer).await;
        let client = Client::new();
        let first = client.send(method.clone(), jobshim.address, "/view", &[], "").await;
        first.expect("an answer");
        assert_eq!(client.get(jobshim.address, "/view").await.text(), "evil");
        assert_eq!(connections.load(SeqCst), 1, "{method} {answer}");
    }
}

#[tokio::test]
async fn a_connection_on_which_something_came_after_the_answer_is_closed_and_not_used() {
    for late in [
        EVIL,
        b"\r\n",
        b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n",
    ] {
        let (connections, asked) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (say, said) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
        let (counted, counting) = (Arc::clone(&connections), Arc::clone(&asked));
        let (told, telling) = (Arc::clone(&say), Arc::clone(&said));
        let upstream = raw(move |mut stream, _| {
            let is_first = counted.fetch_add(1, SeqCst) == 0;
            let (asked, told, telling) = (Arc::clone(&counting), Arc::clone(&told), Arc::clone(&telling));
            async move {
                stream.write_all(HELLO).await.expect("written");
                if is_first {
                    told.notified().await;
                    stream.write_all(late).await.expect("written");
                    telling.add_permits(1);
                }
                if read_head(&mut stream).await.is_some() {
                    asked.fetch_add(1, SeqCst);
                }
            }
        })
        .await;
        let jobshim = facing(&format!("http://{upstream}"), |_| {}).await;
        let client = Client::new();
        assert_eq!(client.get(jobshim.address, "/view").await.text(), "hello");
        say.notify_one();
        within("late bytes", said.acquire()).await.expect("late bytes").forget();
        // Nothing else could be sent twice.
        let second = client.send(Method::POST, jobshim.address, "/upload", &[], "x").await;
        let second = second.expect("an answer");
        assert_eq!((second.status.as_u16(), &second.text()[..]), (200, "hello"));
        assert_eq!((connections.load(SeqCst), asked.load(SeqCst)), (2, 0));
    }
}

const WITH_TRAILERS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum, Set-Cookie\r\n\r\n\
    5\r\nhello\r\n0\r\nX-Sum: 7\r\nSet-Cookie: evil=1\r\nContent-Length: 4\r\nConnection: x-own\r\nX-Own: 1\r\n\r\n";

/// The `Trailer` and the trailers of an answer over HTTP/1 or HTTP/2.
async fn trailers(at: SocketAddr, te: &[&str], is_new: bool) -> (Option<String>, Option<HeaderMap>) {
    let mut request = Request::get(format!("http://{at}/view"))
        .body(Empty::<Bytes>::new())
        .expect("a request");
    if !is_new {
        *request.uri_mut() = "/view".parse().expect("a path");
        request.headers_mut().insert("host", "h".parse().expect("a host"));
    }
    for value in te {
        request.headers_mut().append(TE, value.parse().expect("a value"));
    }
    let response = match is_new {
        true => {
            let stream = TcpStream::connect(at).await.expect("a connection");
            let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
            let (mut sender, connection) = handshake.await.expect("HTTP/2");
            tokio::spawn(connection);
            sender.send_request(request).await
        }
        false => sender(at).await.send_request(request).await,
    };
    let (head, body) = response.expect("an answer").into_parts();
    let announced = head.headers.get("trailer");
    let announced = announced.map(|value| value.to_str().expect("text").to_owned());
    let body = body.collect().await.expect("a whole body");
    let trailers = body.trailers().cloned();
    assert_eq!(body.to_bytes(), "hello");
    (announced, trailers)
}

#[tokio::test]
async fn trailers_reach_the_client_that_takes_them_and_no_other() {
    let upstream = raw_bytes(WITH_TRAILERS).await;
    let jobshim = facing(&format!("http://{upstream}"), |_| {}).await;
    for is_new in [false, true] {
        for te in [&[][..], &["gzip"], &["xtrailers"]] {
            // What HTTP/2 does not let a client say.
            if is_new && !te.is_empty() {
                continue;
            }
            let got = trailers(jobshim.address, te, is_new).await;
            assert_eq!(got, (None, None), "{te:?}, HTTP/2: {is_new}");
        }
        for te in [
            &["trailers"][..],
            &["Trailers"],
            &["gzip;q=0.5, trailers"],
            &["gzip", "trailers"],
        ] {
            if is_new && te != ["trailers"] {
                continue;
            }
            let (announced, trailers) = trailers(jobshim.address, te, is_new).await;
            let trailers = trailers.unwrap_or_else(|| panic!("no trailers with {te:?}, HTTP/2: {is_new}"));
            let names: Vec<&str> = trailers.keys().map(|name| name.as_str()).collect();
            assert_eq!(
                (
                    announced.is_some(),
                    &trailers["x-sum"],
                    trailers.contains_key("set-cookie")
                ),
                (true, &"7".parse().expect("a value"), false),
                "{names:?}"
            );
            // Of HTTP/1 hyper leaves only what is announced.
            for connections in ["connection", "content-length", "x-own"] {
                assert!(!trailers.contains_key(connections), "{names:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_connection_is_used_again_after_trailers_that_nobody_takes() {
    let (jobshim, connections) = before(WITH_TRAILERS).await;
    let client = Client::new();
    assert_eq!(client.get(jobshim.address, "/view").await.text(), "hello");
    assert_eq!(client.get(jobshim.address, "/view").await.text(), "evil");
    assert_eq!(connections.load(SeqCst), 1);
}

#[tokio::test]
async fn a_length_is_written_as_a_plain_number() {
    for (method, length, written) in [
        ("GET", "0004", "4"),
        ("GET", "4", "4"),
        ("HEAD", "0004", "4"),
        ("HEAD", "00000000000000000000000000000004", "4"),
        ("GET", "0000", "0"),
        ("HEAD", "000", "0"),
    ] {
        let body = if method == "GET" && written == "4" { "four" } else { "" };
        let upstream = raw_bytes(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")).await;
        let jobshim = facing(&format!("http://{upstream}"), |_| {}).await;
        let request = format!("{method} /view HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
        let answer = exchange(jobshim.address, request.as_bytes()).await.expect("an end");
        let lengths: Vec<&str> = answer
            .lines()
            .filter_map(|line| line.strip_prefix("content-length: "))
            .collect();
        assert_eq!(lengths, [written], "{method} {length}: {answer}");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
    }
}
