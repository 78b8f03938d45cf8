//! Requests over HTTP/2 that HTTP/1.1 would read differently: raw frames, what of them reaches the upstream, and what
//! the client gets.

use crate::{
    proxy::smuggling::{assert_none, facing, judge_next},
    support::{
        Running,
        http2::{DATA, END_HEADERS, END_STREAM, GO_AWAY, HEADERS, PREFACE, RESET, SETTINGS, block, frame},
        tape::Told,
        upstream::RawServer,
    },
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// What comes of one request over HTTP/2: its status, or `None` when the stream or the connection is ended instead. Of
/// statuses only those of the static table are told apart, any other is 0 (RFC 7541 appendix A).
async fn exchange_http2(jobshim: &Running, fields: &[(&str, &str)], body: Option<&str>) -> Option<u16> {
    let mut stream = TcpStream::connect(jobshim.address).await.expect("a connection");
    let end = if body.is_none() { END_STREAM } else { 0 };
    let mut bytes = PREFACE.to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes.extend(frame(HEADERS, END_HEADERS | end, 1, &block(fields)));
    bytes.extend(body.iter().flat_map(|body| frame(DATA, END_STREAM, 1, body.as_bytes())));
    stream.write_all(&bytes).await.expect("sent");
    let reading = async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.ok()?;
            let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
            stream.read_exact(&mut payload).await.ok()?;
            match head[3] {
                RESET | GO_AWAY => return None,
                HEADERS => {
                    // A change of the table's size may come first.
                    let first = payload.iter().find(|&&byte| byte & 0xe0 != 0x20);
                    return Some(match first {
                        Some(0x88) => 200,
                        Some(0x8c) => 400,
                        Some(0x8d) => 404,
                        Some(0x8e) => 500,
                        _ => 0,
                    });
                }
                _ => {}
            }
        }
    };
    timeout(Duration::from_secs(20), reading).await.expect("an end")
}

type Vector = (&'static str, Vec<(&'static str, &'static str)>, Option<&'static str>);

#[rustfmt::skip]
#[tokio::test]
async fn http2_requests_that_would_be_read_differently_as_http1() {
    let tape = RawServer::tape().await;
    let jobshim = facing(&tape).await;
    let mut wrong = Vec::new();
    let base = [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/x"),
    ];
    let with = |name: &'static str, value: &'static str| {
        let mut fields = base.to_vec();
        match fields.iter_mut().find(|(known, _)| *known == name) {
            Some(field) => field.1 = value,
            None => fields.push((name, value)),
        }
        fields
    };
    let twice = |name: &'static str, value: &'static str| [&base[..], &[(name, value)]].concat();
    let without =
        |name: &'static str| -> Vec<_> { base.iter().copied().filter(|(known, _)| *known != name).collect() };
    let fine = "POST /x [host: a] [x-forwarded-for: 127.0.0.1] [transfer-encoding: chunked] hello";
    let vectors: Vec<Vector> = vec![
        ("a decent request", base.to_vec(), Some(fine)),
        ("Host as in :authority", with("host", "a"), Some("POST /x [host: a] [x-forwarded-for: 127.0.0.1] [transfer-encoding: chunked] hello")),
        ("a length that is right", with("content-length", "5"), Some("POST /x [content-length: 5] [host: a] [x-forwarded-for: 127.0.0.1] hello")),
        ("a length with zeros before it", with("content-length", "005"), Some("POST /x [content-length: 5] [host: a] [x-forwarded-for: 127.0.0.1] hello")),
        ("connection", with("connection", "close"), None),
        ("connection that names a header", with("connection", "x"), None),
        ("transfer-encoding", with("transfer-encoding", "chunked"), None),
        ("keep-alive", with("keep-alive", "5"), None),
        ("proxy-connection", with("proxy-connection", "close"), None),
        ("upgrade", with("upgrade", "websocket"), None),
        ("a length that is too short", with("content-length", "2"), None),
        ("a length that is too long", with("content-length", "50"), None),
        ("a signed length", with("content-length", "+5"), None),
        ("a length of words", with("content-length", "five"), None),
        ("two lengths", [&with("content-length", "5")[..], &[("content-length", "6")]].concat(), None),
        ("a name in capitals", with("X-Evil", "y"), None),
        ("a name with a line in it", with("x\r\nevil", "y"), None),
        ("a name with a colon", with("x: evil\r\ny", "y"), None),
        ("an empty name", with("", "y"), None),
        ("a line in a value", with("x", "y\r\ntransfer-encoding: chunked"), None),
        ("a lone LF in a value", with("x", "y\nhost: evil"), None),
        ("a NUL in a value", with("x", "y\0"), None),
        ("another Host", with("host", "evil"), None),
        ("two Hosts", [&with("host", "a")[..], &[("host", "a")]].concat(), None),
        ("a list of hosts", with(":authority", "a, b"), None),
        ("a user in :authority", with(":authority", "evil@a"), None),
        ("a path in :authority", with(":authority", "a/evil"), None),
        ("a line in :authority", with(":authority", "a\r\nx: y"), None),
        ("no host at all", without(":authority"), None),
        ("an empty :authority", with(":authority", ""), None),
        ("an empty Host alone", [&without(":authority")[..], &[("host", "")]].concat(), None),
        ("Host alone", [&without(":authority")[..], &[("host", "a")]].concat(), Some(fine)),
        ("no method", without(":method"), None),
        ("no path", without(":path"), None),
        ("two paths", twice(":path", "/evil"), None),
        ("two methods", twice(":method", "GET"), None),
        ("two authorities", twice(":authority", "b"), None),
        ("a pseudo-header behind", [&with("x", "y")[..], &[(":path", "/evil")]].concat(), None),
        ("a pseudo-header of its own", with(":evil", "y"), None),
        ("the answer's pseudo-header", with(":status", "200"), None),
        ("an empty path", with(":path", ""), None),
        ("a path without a slash", with(":path", "evil"), None),
        ("a path with a blank", with(":path", "/x HTTP/1.1\r\nhost: evil"), None),
        ("a path with a line", with(":path", "/x\r\nevil"), None),
        ("a path with a NUL", with(":path", "/x\0"), None),
        ("a path that is a URL", with(":path", "http://evil/x"), None),
        ("a star for a path", with(":path", "*"), None),
        ("a method with a blank", with(":method", "GET /evil HTTP/1.1\r\nx:"), None),
        ("CONNECT", with(":method", "CONNECT"), None),
        ("CONNECT to a host", vec![(":method", "CONNECT"), (":authority", "evil:443")], None),
        ("an extended CONNECT", [&with(":method", "CONNECT")[..], &[(":protocol", "websocket")]].concat(), None),
    ];
    for (name, mut fields, reaches) in vectors.clone() {
        if fields.iter().any(|(name, _)| *name == ":protocol") {
            fields.sort_by_key(|(name, _)| !name.starts_with(':'));
        }
        let status = exchange_http2(&jobshim, &fields, Some("hello")).await;
        let told = tape.take();
        let whole: Vec<&Told> = told.iter().filter(|one| !matches!(one, Told::Cut(_))).collect();
        let expected: Vec<Told> = reaches.iter().map(|text| Told::Whole((*text).to_owned())).collect();
        if !whole.iter().copied().eq(expected.iter()) || (status == Some(200)) != reaches.is_some() {
            wrong.push(format!("{name}: {status:?}, and the upstream got {told:?}"));
        }
        let has_no_host = matches!(name, "no host at all" | "an empty Host alone");
        if has_no_host && status != Some(400) {
            wrong.push(format!("{name}: {status:?} instead of 400"));
        }
        let next = judge_next(&jobshim, &tape).await;
        wrong.extend(next.map(|reason| format!("{name}: {reason}")));
    }
    assert_none(&wrong, vectors.len());
}
