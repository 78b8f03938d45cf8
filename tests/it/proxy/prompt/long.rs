//! Prompts that are too long to be held: they go on while they are read.

use super::*;
use crate::support::{
    prompts::{PNGINFO, body},
    raw,
    wait::{until, within},
};
use flate2::{Compression, write::GzEncoder};
use http::HeaderMap;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::io::Write;

async fn post(at: SocketAddr, body: impl Into<Bytes>) -> Reply {
    let client = Client::new();
    let sending = client.send(Method::POST, at, "/prompt", &[], body);
    sending.await.expect("an answer")
}

/// Longer than what is read at once below.
const PADDING: usize = 5_000;

/// A prompt that is longer than `notes.max_body`, which is far more than its extra data.
fn long_body(extra_data: &str) -> String {
    format!(
        r#"{{"a": "{}", "extra_data": {{{extra_data}}}, "b": "{}", "prompt": {{"9": {{}}}}}}"#,
        "x".repeat(PADDING),
        "y".repeat(PADDING)
    )
}

fn in_chunks(body: &str, size: usize) -> Vec<u8> {
    let mut request =
        b"POST /prompt HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for chunk in body.as_bytes().chunks(size) {
        request.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        request.extend_from_slice(chunk);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    request
}

#[tokio::test]
async fn what_must_not_go_on_is_blank_in_a_prompt_that_is_too_long_to_be_held() {
    let recorder = Scripted::always(200, &[], r#"{"prompt_id": "a"}"#).await;
    let jobshim = start(&recorder.url(), |config| {
        config.upstream.dialect = DialectChoice::Comfyui;
        config.notes.max_body = 1_000;
    })
    .await;
    let key = r#""api_key_comfy_org": "[REDACTED]""#;
    for (sent, arrives) in PNGINFO.into_iter().chain([(key, ""), (r#""x": 1"#, r#""x": 1"#)]) {
        let whole = long_body(&format!(r#""y":  1e5 , {sent}"#));
        for size in [1, 7, 4096, whole.len()] {
            let reply = raw::exchange(jobshim.address, &in_chunks(&whole, size)).await;
            let reply = reply.expect("an answer");
            assert!(reply.starts_with("HTTP/1.1 200"), "{sent}: {reply}");
            let arrived = recorder.arrived().pop().expect("a request");
            let text = String::from_utf8(arrived.body.to_vec()).expect("text");
            assert_eq!(text.len(), whole.len(), "{sent} in pieces of {size}");
            let bare = |text: &str| text.chars().filter(|c| *c != ' ').collect::<String>();
            let rest = match arrives {
                "" => long_body(r#""y":  1e5"#),
                arrives => long_body(&format!(r#""y":  1e5 , {arrives}"#)),
            };
            assert_eq!(bare(&text), bare(&rest), "{sent} in pieces of {size}");
        }
        // With its length said beforehand.
        let reply = post(jobshim.address, whole.clone()).await;
        assert_eq!(reply.status, 200, "{sent}: {}", reply.text());
        let arrived = recorder.arrived().pop().expect("a request");
        assert_eq!(arrived.headers["content-length"], whole.len().to_string());
        assert_eq!(sent == arrives, arrived.body == whole, "{sent}");
    }
}

#[tokio::test]
async fn a_prompt_of_which_too_much_would_have_to_be_read_is_refused() {
    let recorder = Scripted::always(200, &[], r#"{"prompt_id": "a"}"#).await;
    let jobshim = start(&recorder.url(), |config| {
        config.upstream.dialect = DialectChoice::Comfyui;
        config.notes.max_body = 1_000;
        config.server.max_buffered = 8_000;
    })
    .await;
    let long_extra = body(&format!(
        r#""x": "{}", "extra_pnginfo": {{"workflow": null}}"#,
        "z".repeat(PADDING)
    ));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    let plain = body(&format!(r#""x": "{}", "extra_pnginfo": null"#, "z".repeat(PADDING)));
    gzip.write_all(plain.as_bytes()).expect("written");
    let utf16 = [("content-type", "application/json; charset=utf-16")];
    let client = Client::new();
    for (headers, sent, what) in [
        (&[][..], Bytes::from(long_extra), "the member itself is long"),
        (
            &[("content-encoding", "gzip")],
            gzip.finish().expect("gzip").into(),
            "it is long once it is decoded",
        ),
        (&utf16, plain.into(), "it is long and in another charset"),
    ] {
        let sending = client.send(Method::POST, jobshim.address, "/prompt", headers, sent);
        let reply = sending.await.expect("an answer");
        assert_eq!(reply.status, 413, "{what}: {}", reply.text());
        assert!(reply.text().contains("notes.max_body"), "{what}: {}", reply.text());
        assert!(recorder.arrived().is_empty(), "{what}: no job was made");
    }
}

#[tokio::test]
async fn a_prompt_that_the_server_may_read_and_jobshim_cannot_is_refused() {
    let recorder = Scripted::always(200, &[], r#"{"prompt_id": "a"}"#).await;
    let jobshim = start(&recorder.url(), |config| {
        config.upstream.dialect = DialectChoice::Comfyui;
        config.notes.max_body = 1_000;
    })
    .await;
    let client = Client::new();
    let extra = r#""extra_pnginfo": null"#;
    for sent in [body(extra), long_body(extra)] {
        for header in [
            // The server takes a word that it does not know for none.
            ("content-encoding", "foo"),
            ("content-encoding", "x-gzip"),
            ("content-encoding", "gzip, identity"),
            ("content-encoding", "br"),
            ("content-encoding", "zstd"),
            // Python knows these.
            ("content-type", "application/json; charset=cp437"),
            ("content-type", "application/json; charset=utf-7"),
            ("content-type", "application/json; charset*=utf-8''utf-8"),
        ] {
            let headers = [header];
            let sending = client.send(Method::POST, jobshim.address, "/prompt", &headers, sent.clone());
            let reply = sending.await.expect("an answer");
            assert_eq!(reply.status, 415, "{header:?}: {}", reply.text());
            assert!(recorder.arrived().is_empty(), "{header:?}: no job was made");
        }
    }
    for charset in ["utf-8", "us-ascii", "iso-8859-1"] {
        let kind = format!("application/json; charset={charset}");
        let headers = [("content-type", kind.as_str())];
        let sending = client.send(Method::POST, jobshim.address, "/prompt", &headers, long_body(extra));
        assert_eq!(sending.await.expect("an answer").status, 200, "{charset}");
        let arrived = recorder.arrived().pop().expect("a request");
        assert!(!String::from_utf8_lossy(&arrived.body).contains("null"), "{charset}");
    }
}

#[tokio::test]
async fn over_http2_and_with_members_twice_and_trailers_it_is_the_same() {
    let recorder = Scripted::always(200, &[], r#"{"prompt_id": "a"}"#).await;
    let jobshim = start(&recorder.url(), |config| {
        config.upstream.dialect = DialectChoice::Comfyui;
        config.notes.max_body = 1_000;
    })
    .await;
    let bad = r#"{"extra_pnginfo": {"workflow": null}, "x": 1}"#;
    let sent = format!(
        r#"{{"extra_data": {bad}, "a": "{}", "extr\u0061_data": {bad}, "extra_data": {bad}}}"#,
        "x".repeat(PADDING)
    );
    let stream = TcpStream::connect(jobshim.address).await.expect("a connection");
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
        .await
        .expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let trailers = HeaderMap::from_iter([(http::HeaderName::from_static("x-sum"), http::HeaderValue::from(1))]);
    let pieces = sent
        .as_bytes()
        .chunks(9)
        .map(|piece| Frame::data(Bytes::copy_from_slice(piece)));
    let frames: Vec<_> = pieces
        .chain([Frame::trailers(trailers)])
        .map(Ok::<_, Infallible>)
        .collect();
    let request = Request::post("http://a/prompt").body(StreamBody::new(stream::iter(frames)));
    let answer = sender
        .send_request(request.expect("a request"))
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 200);
    connection.abort();
    let arrived = last(&recorder);
    let text = String::from_utf8(arrived.body.to_vec()).expect("text");
    assert_eq!(text.len(), sent.len());
    let bare: String = text.split(' ').collect();
    assert_eq!(bare, sent.replace(r#""workflow": null"#, "").replace(' ', ""));
}

/// A prompt that cannot go on, and room for it: its extra data alone is more than may be held.
fn refused_prompt(length: usize) -> String {
    format!(r#"{{"extra_data": {{"x": "{}"}}, "prompt": {{}}}}"#, "x".repeat(length))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_only_after_it_has_sent_all_is_told_why_it_is_refused() {
    const LENGTH: usize = 20 << 20;
    let server = Scripted::start(|request| async {
        // It ends where jobshim breaks off.
        let _ = request.into_body().collect().await;
        reply(200, &[], "{}")
    })
    .await;
    let jobshim = start(&server.url(), |config| {
        config.upstream.dialect = DialectChoice::Comfyui;
        config.server.max_buffered = 1 << 20;
        config.notes.max_body = 1_000;
        config.legacy.max_body = 1_000;
    })
    .await;
    let at = jobshim.address;
    let mut busy = TcpStream::connect(at).await.expect("a connection");
    let head = "POST /prompt HTTP/1.1\r\nhost: a\r\ncontent-length: 10000000\r\n\r\n";
    let held = [head.as_bytes(), &refused_prompt(600_000).as_bytes()[..500_000]].concat();
    for (path, headers, busy_with, status) in [
        ("/prompt", "", None, 413),
        ("/prompt", "content-encoding: gzip\r\n", None, 413),
        ("/prompt", "content-encoding: foo\r\n", None, 415),
        ("/queue", "", None, 413),
        ("/prompt", "", Some(held), 503),
    ] {
        if let Some(held) = busy_with {
            busy.write_all(&held).await.expect("it is read");
            until("it is held", async || jobshim.buffered() > 450_000).await;
        }
        for length in [
            format!("content-length: {LENGTH}"),
            "transfer-encoding: chunked".to_owned(),
        ] {
            let what = format!("{path} {headers}{length}");
            let text = refused_prompt(LENGTH - refused_prompt(0).len());
            let chunk = |text: &str| format!("{:x}\r\n{text}\r\n0\r\n\r\n", text.len());
            let body = if length.starts_with('c') { text } else { chunk(&text) };
            let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}{length}\r\n\r\n");
            let mut stream = TcpStream::connect(at).await.expect("a connection");
            for part in [head, body] {
                let sending = stream.write_all(part.as_bytes()).await;
                sending.unwrap_or_else(|error| panic!("{what}: it is hung up on: {error}"));
            }
            let mut answer = String::new();
            within(&what, stream.read_to_string(&mut answer)).await.expect("text");
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{what}: {answer}");
        }
    }
}

#[tokio::test]
async fn a_client_that_waits_for_the_word_to_go_on_is_refused_without_it() {
    let server = Scripted::start(|_| async { reply(200, &[], "{}") }).await;
    let jobshim = start(&server.url(), |config| {
        config.notes.max_body = 1_000;
        config.legacy.max_body = 1_000;
    })
    .await;
    for (path, headers, status) in [("/prompt", "content-encoding: gzip\r\n", 413), ("/queue", "", 413)] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nexpect: 100-continue\r\n{headers}content-length: 90000\r\n\r\n"
        );
        let answer = raw::exchange(jobshim.address, request.as_bytes())
            .await
            .expect("an answer");
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answer}");
    }
}
