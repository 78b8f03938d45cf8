//! The mistakes that people make most, one test each: the answer or the log names the cause and what to do, and every
//! error says whose it is.

mod refusals;
mod upstream_url;

use crate::support::{
    Client, Reply,
    program::{Program, run},
    start,
};
use jobshim::demo::{Board, Options, Rules, Simulator};
use serde_json::Value;

/// What an error of jobshim's own says: type, message, details.
fn own_error(reply: &Reply) -> [String; 3] {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("no JSON: {}", reply.text()));
    let texts =
        ["type", "message", "details"].map(|member| body["error"][member].as_str().unwrap_or_default().to_owned());
    assert!(texts[1].starts_with("jobshim: "), "the message says who speaks: {body}");
    texts
}

pub(super) fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

/// The legacy answer and the passed-through one of a jobshim in front of `url`, both its own errors: `details` of either
/// holds `parts`, and `Proxy-Status` the error type.
async fn both_say(url: &str, status: u16, error_type: &str, parts: &[&str]) {
    let jobshim = start(url, |_| {}).await;
    let client = Client::new();
    for path in ["/history", "/view?filename=a.png"] {
        let reply = client.get(jobshim.address, path).await;
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
        assert_says(&own_error(&reply)[2], parts);
        assert_eq!(
            reply.header("proxy-status"),
            format!("jobshim; error={error_type}"),
            "{path}"
        );
    }
}

pub(super) async fn legacy_says(url: &str, parts: &[&str]) {
    let jobshim = start(url, |_| {}).await;
    let reply = Client::new().get(jobshim.address, "/history").await;
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert_says(&own_error(&reply)[2], parts);
}

pub(super) async fn simulator(rules: Rules, options: Options) -> Simulator {
    Simulator::start(Board::new(rules), options).await.expect("a simulator")
}

/// jobshim's log, in front of `url`, up to the line with `text`.
pub(super) fn log_line(url: &str, text: &str) -> String {
    let mut program = Program::before(url, &[]);
    program.line_with(text)
}

pub(super) fn doctor(url: &str) -> (i32, String) {
    let output = run(&["doctor", "--upstream", url], &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap_or(-1), text)
}
