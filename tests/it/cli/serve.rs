//! The program as a server: its log lines, and its end by signals.

#![cfg(unix)]

use super::one_job;
use crate::support::{Client, program::Program, upstream::Scripted, wait::until};
use jobshim::demo::{Options, Rules, Simulator};

#[tokio::test(flavor = "multi_thread")]
async fn serve_logs_one_line_when_it_listens_and_one_when_the_dialect_is_known() {
    for (rules, dialect) in [
        (Rules::Comfyui, "comfyui"),
        (Rules::ComfyuiEarly, "comfyui"),
        (Rules::Cloud, "cloud"),
    ] {
        let simulator = Simulator::start(one_job(rules), Options::default())
            .await
            .expect("a simulator");
        let mut program = Program::before(&simulator.url(), &[]);
        let address = program.address();
        let known = program.line_with("the upstream's dialect is known");
        assert!(known.contains(&format!("dialect={dialect}")), "{known}");
        let reply = Client::new().get(address, "/history/only-one").await;
        assert!(
            reply.text().starts_with(r#"{"only-one": {"prompt": [7, "only-one""#),
            "{}",
            reply.text()
        );
        program.signal("TERM");
        assert_eq!(program.end().code(), Some(0));
        for text in ["listening", "dialect is known", "stopping"] {
            let count = program.log.iter().filter(|line| line.contains(text)).count();
            assert_eq!(count, 1, "{text}: {:#?}", program.log);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_starts_while_the_upstream_is_down_and_says_so() {
    let mut program = Program::start(
        &["serve", "--listen", "127.0.0.1:0", "--log-format", "json"],
        &[("JOBSHIM_UPSTREAM", "http://127.0.0.1:9")],
    );
    let listening: serde_json::Value = serde_json::from_str(&program.line_with("listening")).expect("a line of JSON");
    assert_eq!(listening["level"], "INFO");
    let warned: serde_json::Value = serde_json::from_str(&program.line_with("dialect is not known")).expect("JSON");
    assert_eq!(warned["level"], "WARN");
    let reason = warned["reason"].as_str().expect("a reason");
    assert!(reason.contains("127.0.0.1:9") && reason.contains("refused"), "{reason}");
    let address = listening["address"]
        .as_str()
        .expect("an address")
        .parse()
        .expect("an address");
    assert_eq!(Client::new().get(address, "/queue").await.status, 502);
    program.signal("INT");
    assert_eq!(program.end().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_in_flight_answers_finish_and_takes_no_new_connection() {
    let upstream = Scripted::of_board(one_job(Rules::Comfyui)).await;
    let gate = upstream.hold_details();
    let mut program = Program::before(&upstream.url(), &[]);
    let address = program.address();
    let in_flight = tokio::spawn(async move { Client::new().get(address, "/history/only-one").await });
    gate.until_came(1).await;
    program.signal("TERM");
    program.line_with("stopping");
    until("no connection is taken any more", async || {
        tokio::net::TcpStream::connect(address).await.is_err()
    })
    .await;
    gate.open();
    let reply = in_flight.await.expect("an answer");
    assert!(reply.text().contains("only-one"), "{}", reply.text());
    assert_eq!(program.end().code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_does_not_wait_longer_than_the_drain_timeout() {
    let upstream = Scripted::of_board(one_job(Rules::Comfyui)).await;
    let gate = upstream.hold_details();
    let url = upstream.url();
    let mut program = Program::before(&url, &["--drain-timeout", "50ms"]);
    let address = program.address();
    let hanging = tokio::spawn(async move {
        Client::new()
            .send(http::Method::GET, address, "/history/only-one", &[], "")
            .await
    });
    gate.until_came(1).await;
    program.signal("TERM");
    assert_eq!(program.end().code(), Some(0));
    assert!(
        program.log.iter().any(|line| line.contains("drain timeout is over")),
        "{:#?}",
        program.log
    );
    assert!(hanging.await.expect("a task").is_err());
}
