//! What of a request is still to be sent, and whether its connection is open.

#![cfg(unix)]

use super::*;
use futures_util::stream;
use http::Request;
use http_body_util::{BodyExt, StreamBody};
use std::time::Duration;
use tokio::{net::UnixStream, sync::mpsc, task::coop, time::timeout};

const PATIENCE: ResponseTimeout = ResponseTimeout {
    limit: Duration::from_secs(20),
    progress: None,
};

fn connection() -> (Connection, UnixStream) {
    let (here, server) = UnixStream::pair().expect("a connection");
    (Connection::new(Io::Unix(here)), server)
}

fn post() -> Parts {
    let (head, ()) = Request::post("/").body(()).expect("a request").into_parts();
    head
}

/// A body of unknown length, of what is sent.
fn body(pieces: mpsc::UnboundedReceiver<Bytes>) -> Body {
    let frames = stream::unfold(pieces, |mut pieces| async {
        let piece = pieces.recv().await?;
        Some((Ok::<_, BoxError>(Frame::data(piece)), pieces))
    });
    StreamBody::new(Box::pin(frames)).boxed_unsync()
}

#[tokio::test]
async fn the_last_piece_of_a_request_is_sent_though_the_answer_has_begun_before() {
    let (mut connection, mut server) = connection();
    let (piece, pieces) = mpsc::unbounded_channel();
    let mut piece = Some(piece);
    let head = post();
    let sending = timeout(Duration::ZERO, connection.send(&head, body(pieces), &PATIENCE));
    assert!(sending.await.is_err());
    // Until the server's queue is full; then comes the end.
    let mut sent = 0;
    while connection.head.is_empty() {
        sent += 4096;
        let more = piece.as_ref().expect("no end yet").send(Bytes::from(vec![b'x'; 4096]));
        more.expect("a reader");
        let looked = poll_fn(|cx| Poll::Ready(connection.poll_head(&Method::POST, &mut 0, cx)));
        assert!(looked.await.is_pending());
    }
    piece.take();
    let looked = poll_fn(|cx| Poll::Ready(connection.poll_head(&Method::POST, &mut 0, cx)));
    assert!(looked.await.is_pending());

    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
    server.write_all(answer).await.expect("written");
    let head = poll_fn(|cx| connection.poll_head(&Method::POST, &mut 0, cx)).await;
    let mut reader = head.expect("an answer").body;
    assert!(
        connection.is_sending() && !connection.is_idle(),
        "something is still to be sent"
    );
    let reading = async {
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n0\r\n\r\n") {
            assert_ne!(server.read_buf(&mut request).await.expect("read"), 0);
        }
        server.write_all(b"ok").await.expect("written");
        request.len()
    };
    let answering = poll_fn(|cx| connection.poll_body(&mut reader, cx));
    let (read, content) = timeout(PATIENCE.limit, async { tokio::join!(reading, answering) })
        .await
        .expect("the whole request is sent");
    assert!(read > sent, "{read} bytes of {sent}");
    let content = content.expect("no end").expect("content").into_data();
    assert_eq!(content.expect("content"), "ok");
    assert!(connection.is_idle());
    connection.rest();
    assert!(
        connection.head.capacity() <= MAX_TO_WRITE,
        "{}",
        connection.head.capacity()
    );
}

#[tokio::test]
async fn a_closed_connection_is_seen_however_much_its_task_has_done() {
    let (mut connection, server) = connection();
    drop(server);
    let Io::Unix(io) = &connection.io else {
        panic!("another connection");
    };
    io.readable().await.expect("the end");
    poll_fn(|cx| {
        // Nothing that tokio knows is ready for this task now.
        while pin!(coop::consume_budget()).poll(cx).is_ready() {}
        assert!(!connection.is_open());
        Poll::Ready(())
    })
    .await;
}
