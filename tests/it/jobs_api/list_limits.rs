//! What a limit of jobshim's own ends is no sign of another server behind; and a list that is sent while it is made takes
//! one of the places for answers that are being made.

use crate::support::{
    Client,
    shelf::{Item, Shelf},
    start,
    upstream::{Arrived, Scripted, read_head, reply},
    wait::{until, within},
};
use jobshim::config::Config;
use std::net::SocketAddr;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn is_probe(arrived: &Arrived) -> bool {
    arrived.query().contains("sort_by=create_time")
}

/// A self-hosted server with pages of 100 jobs without end.
async fn endless() -> Scripted {
    Scripted::answering(|arrived| {
        if is_probe(arrived) {
            return reply(400, &[], r#"{"error": "bad sort_by"}"#);
        }
        let mut parameters = arrived.query().split('&');
        let offset = parameters.find_map(|parameter| parameter.strip_prefix("offset="));
        let begin: usize = offset.map_or(0, |offset| offset.parse().expect("a number"));
        let jobs: Vec<String> = (begin..begin + 100)
            .map(|nth| format!(r#"{{"id": "{nth}", "status": "completed", "create_time": 1795461653499}}"#))
            .collect();
        let text = format!(
            r#"{{"jobs": [{}], "pagination": {{"has_more": true}}}}"#,
            jobs.join(", ")
        );
        reply(200, &[("content-type", "application/json")], text)
    })
    .await
}

async fn assert_names_it_and_asks_once(limit: &str, status: u16, set: impl FnOnce(&mut Config)) {
    let server = endless().await;
    let jobshim = start(&server.url(), set).await;
    for route in ["/history", "/queue", "/api/history_v2", "/queue"] {
        let reply = Client::new().get(jobshim.address, route).await;
        assert_eq!(reply.status, status, "{limit}, {route}: {}", reply.text());
        assert!(reply.text().contains(limit), "{limit}, {route}: {}", reply.text());
        assert!(!reply.text().contains("ComfyUI"), "{limit}, {route}: {}", reply.text());
    }
    assert_eq!(
        server.count(is_probe),
        1,
        "{limit}: the server is asked once what it is"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_of_jobshim_is_named_and_is_no_doubt_of_the_server() {
    let jobs = |config: &mut Config| config.legacy.max_jobs = 2_000;
    assert_names_it_and_asks_once("legacy.max_jobs", 502, jobs).await;
    let pages = |config: &mut Config| config.legacy.max_pages = 20;
    assert_names_it_and_asks_once("legacy.max_pages", 502, pages).await;
    let bytes = |config: &mut Config| config.upstream.max_answer_bytes = 100_000;
    assert_names_it_and_asks_once("upstream.max_answer_bytes", 502, bytes).await;
    let room = |config: &mut Config| config.server.max_buffered = 5_000;
    assert_names_it_and_asks_once("server.max_buffered", 503, room).await;
}

async fn begin(at: SocketAddr, target: &str) -> TcpStream {
    let mut stream = TcpStream::connect(at).await.expect("a connection");
    let request = format!("GET {target} HTTP/1.1\r\nhost: {at}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let head = within("a head", read_head(&mut stream)).await.expect("a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_sent_while_it_is_made_is_being_made_until_its_last_job_or_until_its_client_leaves() {
    let items = (0..100).map(|nth| Item::new(nth, "completed", 100_000));
    let shelf = Shelf::start(items).await;
    let jobshim = start(&shelf.url(), |config| {
        config.legacy.max_translations = 1;
        config.cache.max_bytes = 0;
    })
    .await;
    let at = jobshim.address;
    let ask = async || Client::new().get(at, "/queue").await.status.as_u16();
    // It has begun, and its last jobs have not been told.
    let gate = shelf.hold_details();
    gate.admit(80);
    let stream = begin(at, "/history").await;
    assert_eq!(ask().await, 503, "one is being made");
    drop(stream);
    until("its place is free", async || ask().await == 200).await;
    gate.admit(80);
    let mut stream = begin(at, "/history").await;
    assert_eq!(ask().await, 503, "one is being made");
    gate.admit(1000);
    let mut rest = Vec::new();
    within("read", stream.read_to_end(&mut rest)).await.expect("read");
    assert!(rest.ends_with(b"0\r\n\r\n"), "{} bytes", rest.len());
    until("its place is free", async || ask().await == 200).await;
}
