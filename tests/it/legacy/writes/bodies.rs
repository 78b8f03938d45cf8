//! Bodies that are compressed, or in another charset: read as the server reads them, or refused, and never taken for an
//! order that they are not.

use super::*;
use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use jobshim::demo::Rules::{Cloud, Comfyui};
use std::io::Write;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("written");
    encoder.finish().expect("gzip")
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("written");
    encoder.finish().expect("zlib")
}

fn raw_deflate(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("written");
    encoder.finish().expect("deflate")
}

fn utf16(text: &[u8]) -> Vec<u8> {
    let text = std::str::from_utf8(text).expect("text");
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

type Headers = &'static [(&'static str, &'static str)];

/// How a text is written.
type Written = fn(&[u8]) -> Vec<u8>;

/// Ways to write a body, each with its headers.
const WRITTEN: [(Headers, Written); 6] = [
    (&[("content-encoding", "gzip")], gzip),
    (&[("content-encoding", "Deflate")], zlib),
    (&[("content-encoding", "deflate")], raw_deflate),
    (&[("content-type", "application/json; charset=utf-16")], utf16),
    (
        &[
            ("content-type", "application/json; charset=\"UTF-16LE\""),
            ("content-encoding", "gzip"),
        ],
        |text| gzip(&utf16(text)),
    ),
    (
        &[("content-encoding", "utf-8"), ("content-type", "charset=x")],
        |text| text.to_vec(),
    ),
];

/// In a coding or a charset that jobshim does not read, and a server may.
fn unknown(text: &str) -> Vec<(Headers, Vec<u8>)> {
    let (plain, zipped) = (text.as_bytes(), gzip(text.as_bytes()));
    vec![
        (&[("content-encoding", "br")], plain.to_vec()),
        (&[("content-encoding", "zstd")], plain.to_vec()),
        (&[("content-encoding", "x-gzip")], zipped.clone()),
        (&[("content-encoding", "snappy")], [b"\x12\x44", plain].concat()),
        (&[("content-encoding", "gzip, gzip")], gzip(&zipped)),
        (
            &[("content-encoding", "identity"), ("content-encoding", "gzip")],
            zipped.clone(),
        ),
        (&[("content-encoding", "gzip"), ("content-encoding", "gzip")], zipped),
        (
            &[("content-type", "application/json; charset=nonsense")],
            plain.to_vec(),
        ),
        (&[("content-type", "application/json; charset=utf-32le")], utf16(plain)),
    ]
}

/// Not what its headers say it is: nobody can read it.
fn broken(text: &str) -> Vec<(Headers, Vec<u8>)> {
    let (plain, zipped) = (text.as_bytes(), gzip(text.as_bytes()));
    let cut = zipped[..zipped.len() - 12].to_vec();
    vec![
        (&[("content-encoding", "gzip")], cut),
        (&[("content-encoding", "gzip")], plain.to_vec()),
        (&[("content-encoding", "deflate")], zlib(plain)[..9].to_vec()),
        (&[], zipped),
        (&[], b"\xff\xfe".to_vec()),
        (&[("content-type", "application/json; charset=us-ascii")], "é".into()),
        (&[("content-type", "application/json; charset=utf-16")], b"x".to_vec()),
    ]
}

/// Bodies that cannot be read, each with its headers.
fn unreadable(text: &str) -> Vec<(Headers, Vec<u8>)> {
    [unknown(text), broken(text)].concat()
}

async fn send(jobshim: &Running, target: &str, headers: &[(&str, &str)], body: impl Into<bytes::Bytes>) -> Reply {
    Client::new()
        .send(Method::POST, jobshim.address, target, headers, body)
        .await
        .expect("an answer")
}

fn in_state(server: &Server, word: &str) -> Vec<String> {
    server.with(|state| state.board.in_state(word))
}

#[tokio::test]
async fn a_body_is_read_as_the_server_reads_it() {
    for rules in [Comfyui, Cloud] {
        for (headers, write) in WRITTEN {
            let (server, jobshim) = behind(busy(rules, 3), Setup::default()).await;
            let interrupt = json!({"prompt_id": uuid(2)}).to_string();
            let reply = send(&jobshim, "/interrupt", headers, write(interrupt.as_bytes())).await;
            assert_done(&reply, &format!("{rules:?} {headers:?}"));
            assert_eq!(
                cancels(&server),
                [],
                "{rules:?} {headers:?}: a job that waits is not interrupted"
            );
            let delete = json!({"delete": [uuid(2), uuid(3)]}).to_string();
            assert_done(
                &send(&jobshim, "/queue", headers, write(delete.as_bytes())).await,
                "delete",
            );
            assert_eq!(in_state(&server, "pending"), [uuid(4)], "{rules:?} {headers:?}");
            let interrupt = json!({"prompt_id": uuid(1)}).to_string();
            assert_done(
                &send(&jobshim, "/interrupt", headers, write(interrupt.as_bytes())).await,
                "interrupt",
            );
            assert_eq!(in_state(&server, "in_progress"), [""; 0], "{rules:?} {headers:?}");
            assert_eq!(in_state(&server, "pending"), [uuid(4)], "{rules:?} {headers:?}");
        }
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_a_415_and_nothing_is_done() {
    for rules in [Comfyui, Cloud] {
        let mut board = busy(rules, 2);
        board.add(job(&uuid(99), "completed", 99));
        let (server, jobshim) = behind(board, Setup::default()).await;
        for (target, text) in [
            ("/interrupt", json!({"prompt_id": uuid(2)})),
            ("/api/interrupt", json!({})),
            ("/queue", json!({"clear": true})),
            ("/api/queue", json!({"delete": [uuid(2)]})),
            ("/history", json!({"clear": true})),
        ] {
            for (headers, body) in unreadable(&text.to_string()) {
                let reply = send(&jobshim, target, headers, body).await;
                assert_eq!(reply.status, 415, "{target} {headers:?}: {}", reply.text());
                let error: Value = serde_json::from_slice(&reply.body).expect("JSON");
                assert_eq!(error["error"]["type"], "unreadable_body", "{target} {headers:?}");
                assert_eq!(error["error"]["details"], "nothing was done", "{target} {headers:?}");
                let codings = reply.header("accept-encoding");
                assert!(["", "gzip, deflate"].contains(&codings), "{codings}");
            }
        }
        assert_eq!(cancels(&server), [], "{rules:?}");
        let history = Client::new().get(jobshim.address, "/history").await;
        assert!(history.text().contains(&uuid(99)), "{}", history.text());
    }
    // A cancel by path needs no body.
    let (server, jobshim) = behind(busy(Comfyui, 1), Setup::default()).await;
    let target = format!("/api/job/{}/cancel", uuid(2));
    let reply = send(&jobshim, &target, &[("content-encoding", "br")], "x").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(in_state(&server, "pending"), [""; 0]);
}

#[tokio::test]
async fn a_body_that_is_read_and_is_not_json_still_means_whatever_runs() {
    for (headers, body) in [
        (&[][..], b"\xef\xbb\xbf{\"prompt_id\": \"x\"}".to_vec()),
        (&[("content-encoding", "gzip")], gzip(b"not JSON")),
        (&[("content-encoding", "gzip")], gzip(b"")),
        (&[("content-encoding", "br")], Vec::new()),
        (&[("content-type", "text/plain; charset=latin1")], b"\xe9".to_vec()),
    ] {
        let (server, jobshim) = behind(busy(Comfyui, 1), Setup::default()).await;
        assert_done(
            &send(&jobshim, "/interrupt", headers, body).await,
            &format!("{headers:?}"),
        );
        assert_eq!(in_state(&server, "cancelled"), [uuid(1)], "{headers:?}");
    }
}

#[tokio::test]
async fn the_limit_counts_what_a_body_is_when_it_is_decoded() {
    let (server, jobshim) = behind(busy(Comfyui, 1), Setup::default()).await;
    let mut text = vec![b' '; 64 << 20];
    text.extend_from_slice(br#"{"clear": true}"#);
    for (coding, bomb) in [
        ("gzip", gzip(&text)),
        ("deflate", zlib(&text)),
        ("deflate", raw_deflate(&text)),
    ] {
        assert!(bomb.len() < 1 << 20, "{coding}: {} bytes", bomb.len());
        for target in ["/queue", "/interrupt", "/history"] {
            let reply = send(&jobshim, target, &[("content-encoding", coding)], bomb.clone()).await;
            assert_eq!(reply.status, 413, "{coding} {target}: {}", reply.text());
        }
    }
    assert_eq!(cancels(&server), []);
}

#[tokio::test]
async fn what_goes_on_to_the_servers_endpoint_goes_on_as_it_was_sent() {
    let setup = Setup {
        legacy_writes: true,
        no_cancel: Some(405),
        ..Setup::default()
    };
    let (server, jobshim) = behind(busy(Comfyui, 2), setup).await;
    server.intercept(|_, request| {
        let is_write = request.method == Method::POST && !request.target.starts_with("/api/jobs");
        is_write.then(|| (200, String::new()))
    });
    for (target, coding, body) in [
        (
            "/queue",
            "gzip",
            gzip(json!({"delete": [uuid(2)]}).to_string().as_bytes()),
        ),
        (
            "/interrupt",
            "deflate",
            zlib(json!({"prompt_id": uuid(1)}).to_string().as_bytes()),
        ),
        ("/history", "gzip", gzip(br#"{"clear": true}"#)),
        // Who has the package for it reads this, and it is the server's to say.
        ("/history", "br", b"what is read there".to_vec()),
    ] {
        let reply = send(&jobshim, target, &[("content-encoding", coding)], body.clone()).await;
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        let arrived = server.arrived(Method::POST, target).pop().expect("a call");
        assert_eq!(arrived.body, body, "{target}");
        assert_eq!(arrived.headers["content-encoding"], coding, "{target}");
    }
}

#[tokio::test]
async fn jobs_are_hidden_by_a_compressed_order() {
    let mut board = busy(Comfyui, 0);
    board.add(job(&uuid(98), "completed", 98));
    board.add(job(&uuid(99), "completed", 99));
    let (_server, jobshim) = behind(board, Setup::default()).await;
    let order = gzip(json!({"delete": [uuid(98)]}).to_string().as_bytes());
    assert_done(
        &send(&jobshim, "/history", &[("content-encoding", "gzip")], order).await,
        "delete",
    );
    let history = Client::new().get(jobshim.address, "/history").await.text();
    assert!(!history.contains(&uuid(98)) && history.contains(&uuid(99)), "{history}");
}

#[tokio::test]
async fn a_compressed_prompt_is_noted_and_goes_on_as_it_was_sent() {
    for (headers, write) in WRITTEN {
        let (server, jobshim) = behind(busy(Comfyui, 1), Setup::default()).await;
        server.intercept(|_, request| {
            let answer = json!({"prompt_id": uuid(2), "number": 2, "node_errors": {}});
            (request.target == "/prompt").then(|| (200, answer.to_string()))
        });
        let prompt = json!({"9": {"class_type": "SaveImage", "inputs": {"text": "é"}}});
        let body = write(json!({"prompt": prompt}).to_string().as_bytes());
        assert_eq!(send(&jobshim, "/prompt", headers, body.clone()).await.status, 200);
        let arrived = server.arrived(Method::POST, "/prompt").pop().expect("a call");
        assert_eq!(arrived.body, body, "{headers:?}");
        for (name, value) in headers {
            assert_eq!(arrived.headers[*name], *value, "{headers:?}");
        }
        let queue = Client::new().get(jobshim.address, "/queue").await;
        let queue: Value = serde_json::from_slice(&queue.body).expect("JSON");
        assert_eq!(queue["queue_pending"][0][2], prompt, "{headers:?} {queue}");
    }
}

#[tokio::test]
async fn a_prompt_that_nobody_can_read_goes_on_as_it_was_sent_and_one_that_a_server_may_read_is_refused() {
    let recorder = Scripted::always(200, &[], r#"{"prompt_id": "a"}"#).await;
    let jobshim = start(&recorder.url(), |config| {
        config.upstream.dialect = DialectChoice::Comfyui
    })
    .await;
    for (headers, body) in broken(r#"{"prompt": {}}"#) {
        let reply = send(&jobshim, "/prompt", headers, body.clone()).await;
        assert_eq!(reply.status, 200, "{headers:?}");
        let arrived = recorder.arrived().pop().expect("a call");
        assert_eq!(arrived.body, body, "{headers:?}");
    }
    recorder.take();
    for (headers, body) in unknown(r#"{"prompt": {}}"#) {
        let reply = send(&jobshim, "/prompt", headers, body).await;
        assert_eq!(reply.status, 415, "{headers:?}");
        assert!(recorder.arrived().is_empty(), "{headers:?}");
    }
}

#[tokio::test]
async fn a_redacted_key_is_taken_out_of_a_compressed_prompt() {
    let recorder = Scripted::always(200, &[], r#"{"prompt_id": "a"}"#).await;
    let jobshim = start(&recorder.url(), |config| {
        config.upstream.dialect = DialectChoice::Comfyui
    })
    .await;
    let text = r#"{"prompt": {"1": "é"}, "extra_data": {"api_key_comfy_org": "[REDACTED]"}}"#;
    let clean = r#"{"prompt": {"1": "é"}, "extra_data": {}}"#;
    for (headers, write) in &WRITTEN[..5] {
        assert_eq!(
            send(&jobshim, "/prompt", headers, write(text.as_bytes())).await.status,
            200
        );
        let arrived = recorder.arrived().pop().expect("a call");
        assert_eq!(String::from_utf8_lossy(&arrived.body), clean, "{headers:?}");
        assert!(!arrived.headers.contains_key("content-encoding"), "{headers:?}");
        let content_type = arrived
            .headers
            .get("content-type")
            .map(|value| value.to_str().expect("text"));
        assert!(
            [None, Some("application/json; charset=utf-8")].contains(&content_type),
            "{content_type:?}"
        );
        assert_eq!(
            arrived.headers["content-length"],
            clean.len().to_string(),
            "{headers:?}"
        );
    }
}
