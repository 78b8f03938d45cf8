//! What a client cannot make jobshim do, and how its socket ends.

use super::{Setup, Socket, told};
use crate::support::{
    program::Program,
    wait::{until, within},
};
use futures_util::{SinkExt, StreamExt};
use jobshim::demo::v2::{Options, Simulator};
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use tokio_tungstenite::{client_async, tungstenite::Message};

/// A node that shows files with such long names that telling of them takes more than a megabyte.
fn talkative() -> Value {
    let files: Vec<Value> = (0..24)
        .map(|nth| json!({"filename": format!("{nth:0>50000}.png")}))
        .collect();
    json!({"9": {"class_type": "LabMedia", "inputs": {"ui_json": json!({"images": files}).to_string()}}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_closed_and_keeps_nobody_waiting() {
    let setup = Setup::new(Options::default()).await;
    let ends = heard_by_the_deaf(&setup, 12).await;
    assert!(ends < 12, "all was kept for it");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_for_a_client_is_within_what_may_be_held() {
    let setup = Setup::with(Options::default(), |config| config.server.max_buffered = 8 << 20).await;
    // A quarter of it is two messages; the system has some more.
    let ends = heard_by_the_deaf(&setup, 8).await;
    assert!(ends < 6, "{ends} were kept for it");
}

/// Jobs are told of to a client that does not read, and to one that does, which hears of all. Says how many ends the first finds
/// once it reads.
async fn heard_by_the_deaf(setup: &Setup, jobs: usize) -> usize {
    // So that the system holds little for it.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(8 << 10).expect("a small buffer");
    let stream = socket.connect(setup.jobshim.address).await.expect("a connection");
    let url = format!("ws://{}/ws?clientId=me", setup.jobshim.address);
    let mut deaf = client_async(url, stream).await.expect("a WebSocket").0;
    let mut other = Socket::of(setup).await;
    for _ in 0..jobs {
        setup
            .submit(&[], json!({"prompt": talkative(), "client_id": "me"}))
            .await;
        setup.server.finish_all();
        other.until_over().await;
    }
    let mut ends = 0;
    let closing = async {
        while let Some(Ok(message)) = deaf.next().await {
            match message {
                Message::Close(frame) => return frame.map(|frame| u16::from(frame.code)),
                message => ends += usize::from(message.to_string().contains("execution_success")),
            }
        }
        None
    };
    let code = within("the end of the socket", closing).await;
    assert!(code.is_none_or(|code| code == 1008), "{code:?}");
    ends
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_are_answered_and_a_close_is_too() {
    let setup = Setup::new(Options::default()).await;
    let mut socket = Socket::of(&setup).await;
    socket.0.send(Message::Ping("here?".into())).await.expect("sent");
    socket
        .0
        .send(Message::text(r#"{"type": "feature_flags", "data": {}}"#))
        .await
        .expect("sent");
    let pong = within("a pong", socket.0.next()).await.expect("an open socket");
    assert_eq!(pong.expect("a message"), Message::Pong("here?".into()));
    setup.submit_slow(&[]).await;
    assert_eq!(told(&socket.next().await), "status 1");
    until("the stream is open", async || setup.server.open_streams() == 1).await;
    socket.0.close(None).await.expect("sent");
    socket.closed().await;
    until("nobody listens any more", async || setup.server.open_streams() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_too_much_at_once_is_closed() {
    let setup = Setup::new(Options::default()).await;
    let mut socket = Socket::of(&setup).await;
    // The socket may be gone before all of it was sent.
    let _ = socket.0.send(Message::binary(vec![0; 2 << 20])).await;
    socket.closed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_streams_are_open_than_may_be_and_all_jobs_are_told_of() {
    let setup = Setup::with(Options::default(), |config| config.upstream.concurrency = 2).await;
    let mut socket = Socket::of(&setup).await;
    for _ in 0..6 {
        setup.submit_slow(&[]).await;
    }
    until("two streams are open", async || setup.server.open_streams() == 2).await;
    let ending = async {
        let mut ends = 0;
        while ends < 6 {
            assert!(setup.server.open_streams() <= 2);
            setup.server.step();
            if let Some(message) = futures_util::FutureExt::now_or_never(socket.next()) {
                ends += usize::from(told(&message) == "execution_success");
            }
            tokio::task::yield_now().await;
        }
    };
    within("all have ended", ending).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn at_the_programs_end_it_gets_a_close_frame() {
    let server = Simulator::start(Options::default()).await.expect("a simulator");
    let mut program = Program::before(&server.url(), &["--dialect", "v2"]);
    let mut socket = Socket::open(program.address(), "?clientId=me", &[]).await;
    assert_eq!(told(&socket.next().await), "status 0");
    program.signal("TERM");
    assert_eq!(socket.closed().await, Some(1001));
    drop(socket);
    assert!(program.end().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_thing_a_client_asks_for_may_be_its_socket() {
    let setup = Setup::new(Options::default()).await;
    // Nothing is known of the server before.
    let mut socket = Socket::of(&setup).await;
    setup.submit_slow(&[]).await;
    setup.server.finish_all();
    let heard = socket.until_over().await;
    assert!(heard.contains(&"execution_success".to_owned()), "{heard:?}");
}
