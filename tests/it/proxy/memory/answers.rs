//! Bodies of answers that are read whole.

use super::{Before, PIECES, SENDERS, body_length, chunk, holds_nothing, send, start};
use crate::support::upstream::raw as upstream;
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};

/// A server that sends a list or a detail, whatever it is asked, in chunks and never to its end.
async fn endless(beginning: &'static str, size: usize, gone: Arc<Notify>) -> SocketAddr {
    let mut text = beginning.as_bytes().to_vec();
    text.resize(body_length(size), b'x');
    let chunks: Arc<[u8]> = text.chunks(size).flat_map(chunk).collect::<Vec<_>>().into();
    upstream(move |mut stream, request| {
        let (chunks, gone) = (Arc::clone(&chunks), Arc::clone(&gone));
        async move {
            if request.starts_with("GET /x ") {
                let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await;
                return;
            }
            let head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
            let _ = stream.write_all(head).await;
            let _ = stream.write_all(&chunks).await;
            gone.notified().await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_in_small_chunks_takes_its_bytes_and_they_are_free_when_the_server_has_gone() {
    for (route, mode, beginning) in [
        (
            "/queue",
            "translate",
            r#"{"jobs": [{"id": "a", "status": "pending", "x": ""#,
        ),
        (
            "/history/ID",
            "translate",
            r#"{"id": "ID", "status": "completed", "x": ""#,
        ),
        ("/history/ID", "shadow", r#"{"ID": {"prompt": [1, ""#),
    ] {
        for size in PIECES {
            let what = format!("{route} in mode {mode}, answered in chunks of {size}");
            let gone = Arc::new(Notify::new());
            let server = endless(beginning, size, Arc::clone(&gone)).await;
            let mut program = start(&format!("http://{server}"), &["--mode", mode]);
            let (at, before) = (program.address(), Before::of(&mut program).await);
            // In shadow the answer that is made to be compared is gathered besides the one that passes.
            let requests = if mode == "shadow" { SENDERS / 2 } else { SENDERS };
            let clients = (0..requests).map(|nth| {
                // Other ids, other users: none shares the call of another.
                let path = route.replace("ID", &format!("1111111{nth}-2222-4333-8444-555555555555"));
                let request = format!("GET {path} HTTP/1.1\r\nhost: a\r\nx-api-key: {nth}\r\n\r\n");
                tokio::spawn(async move {
                    let stream = send(at, request.as_bytes()).await;
                    let (mut read, write) = stream.into_split();
                    tokio::spawn(async move { while read.read(&mut [0; 65_536]).await.is_ok_and(|got| got > 0) {} });
                    write
                })
            });
            let clients = futures_util::future::join_all(clients).await;
            before.holds_no_more_than_it_got(&mut program, size, &what).await;
            drop(clients);
            gone.notify_waiters();
            holds_nothing(&mut program, &what).await;
        }
    }
}
