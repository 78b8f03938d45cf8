//! A long upload goes on as it comes.
//!
//! `JOBSHIM_TEST_BODY=134217728` makes it as long as that, in bytes.

#![cfg(target_os = "linux")]

use super::{FORM, form};
use crate::support::{Client, program::Program};
use http::Method;
use jobshim::demo::v2::{Options, Simulator};

/// What a program may take for an upload of any length, in KiB: buffers of two connections, and code that runs for the first
/// time.
const MOST: u64 = 8 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn a_long_upload_passes_whole_and_takes_no_memory_for_its_length() {
    let told = std::env::var("JOBSHIM_TEST_BODY").map(|text| text.parse().expect("a number of bytes"));
    let length: usize = told.unwrap_or(32 << 20);
    let server = Simulator::start(Options::default()).await.expect("a simulator");
    let mut program = Program::before(&server.url(), &["--dialect", "v2"]);
    let (at, client) = (program.address(), Client::new());
    let mut content: Vec<u8> = (0..length).map(|nth| (nth % 251) as u8).collect();
    // Much of it looks like the beginning of a delimiter.
    for place in (0..length.saturating_sub(10)).step_by(4_096) {
        content[place..place + 10].copy_from_slice(b"\r\n--XX--Xy");
    }
    let small = form("filename=\"small.png\"", b"x", &[]);
    let send = async |form: Vec<u8>| {
        let reply = client.send(Method::POST, at, "/upload/image", &[FORM], form).await;
        let reply = reply.expect("an answer");
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    send(small).await;
    program.until_at_rest().await;
    let before = program.reset_peak_memory();
    send(form("filename=\"long.png\"", &content, &[("subfolder", "sub")])).await;
    let took = program.peak_memory().saturating_sub(before);
    println!("{length} bytes took {took} KiB");
    assert!(took <= MOST, "{length} bytes took {took} KiB");
    let shown = client.get(at, "/view?filename=long.png&subfolder=sub&type=input").await;
    assert_eq!(shown.status, 200);
    assert!(shown.body == content, "it is another file: {} bytes", shown.body.len());
}
