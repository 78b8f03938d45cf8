//! Writes whose client leaves in the middle: they are done all the same, as by a server that has read the request.

#![cfg(unix)]

use super::*;
use crate::support::{
    facing,
    upstream::{Gate, Scripted, reply},
    wait::until,
};

const JOBS: usize = 10;

/// A server whose waiting jobs are cancelled one by one, as their ids are no UUIDs, and each only once that is allowed.
struct Reluctant {
    upstream: Scripted,
    cancels: Arc<Gate>,
}

impl Reluctant {
    async fn start() -> Self {
        let mut board = Board::new(Rules::Comfyui);
        for nth in 0..JOBS {
            board.add(job(&id(nth), "pending", nth));
        }
        let upstream = Scripted::answering(move |arrived| {
            let (status, body) = match arrived.method {
                Method::POST => (200, r#"{"cancelled": true}"#.to_owned()),
                _ => board.list(arrived.query()),
            };
            reply(status, &[("content-type", "application/json")], body)
        })
        .await;
        let cancels = upstream.hold_details();
        Self { upstream, cancels }
    }

    fn arrived(&self) -> Vec<String> {
        let posted = self.upstream.all().into_iter().filter(|one| one.method == Method::POST);
        posted.map(|one| one.target).collect()
    }

    /// Lets all cancels be done, and waits for each of them.
    async fn assert_all_are_done(&self) {
        self.cancels.admit(JOBS);
        self.cancels.until_came(JOBS).await;
        let all: Vec<_> = (0..JOBS).map(|nth| format!("/api/jobs/{}/cancel", id(nth))).collect();
        let mut arrived = self.arrived();
        arrived.sort();
        assert_eq!(arrived, all);
    }
}

fn id(nth: usize) -> String {
    format!("waits-{nth}")
}

/// Orders all jobs to be cancelled, and leaves once the first cancel has arrived.
async fn order_and_leave(at: SocketAddr, body: &str, server: &Reluctant) {
    let mut client = TcpStream::connect(at).await.expect("a connection");
    let length = body.len();
    let request = format!("POST /queue HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}");
    client.write_all(request.as_bytes()).await.expect("sent");
    server.cancels.until_came(1).await;
}

fn delete_all() -> String {
    json!({"delete": (0..JOBS).map(id).collect::<Vec<_>>()}).to_string()
}

/// jobshim has noticed that its client has gone.
async fn until_left(jobshim: &Running) {
    let observer = jobshim.observer();
    until("no client is connected", async || {
        observer.metrics().connections_open.get() == 0
    })
    .await;
}

#[tokio::test]
async fn a_write_whose_client_leaves_after_its_first_cancel_is_done_to_the_end() {
    for body in [delete_all(), r#"{"clear": true}"#.to_owned()] {
        let server = Reluctant::start().await;
        let jobshim = facing(&server.upstream.url(), |_| {}).await;
        order_and_leave(jobshim.address, &body, &server).await;
        until_left(&jobshim).await;
        assert_eq!(server.arrived().len(), 1);
        server.assert_all_are_done().await;
    }
}

#[tokio::test]
async fn a_write_whose_client_has_left_keeps_its_turn_until_it_is_done() {
    let server = Reluctant::start().await;
    let jobshim = facing(&server.upstream.url(), |config| config.legacy.max_translations = 1).await;
    order_and_leave(jobshim.address, &delete_all(), &server).await;
    until_left(&jobshim).await;
    let get = async || Client::new().get(jobshim.address, "/history").await.status;
    assert_eq!(get().await, 503, "as many as may are at work");
    server.assert_all_are_done().await;
    until("there is a turn again", async || get().await == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_programs_end_waits_for_a_write_whose_client_has_left() {
    let server = Reluctant::start().await;
    let mut program = Program::before(&server.upstream.url(), &["--dialect", "comfyui"]);
    order_and_leave(program.address(), &delete_all(), &server).await;
    // The line of the request that nobody waits for any more.
    program.line_with("complete=false");
    program.signal("TERM");
    program.line_with("stopping");
    // Longer than the end takes where nothing is waited for; that it does not come can only be waited out.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(program.is_running(), "{:#?}", program.log);
    server.assert_all_are_done().await;
    assert_eq!(program.end().code(), Some(0), "{:#?}", program.log);
    program.line_with("a client left before its write was done; it is done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_takes_longer_than_the_programs_end_may_leaves_in_the_log_what_was_not_done() {
    let server = Reluctant::start().await;
    let mut program = Program::before(
        &server.upstream.url(),
        &["--dialect", "comfyui", "--drain-timeout", "100ms"],
    );
    server.cancels.admit(1);
    let at = program.address();
    let body = delete_all();
    let leaving = tokio::spawn(async move { Client::new().send(Method::POST, at, "/queue", &[], body).await });
    server.cancels.until_came(2).await;
    leaving.abort();
    program.signal("TERM");
    let line = program.line_with("jobshim ended while jobs were being cancelled");
    let (done, not_done) = line.split_once("not_done=").unwrap_or_else(|| panic!("{line}"));
    assert!(done.contains("done=\"waits-"), "{line}");
    let left = (0..JOBS).filter(|nth| not_done.contains(&id(*nth))).count();
    assert_eq!(left, JOBS - 1, "{line}");
}
