//! What `server.max_buffered` is for: requests may take half of it, what is made of a body counts like the body, and where
//! there is no room nothing is done.

#![cfg(target_os = "linux")]

use crate::support::{
    Client, Reply, Running, facing,
    program::{Program, run},
    start_with,
    upstream::{Arrived, Gate, Scripted, reply},
    wait::until,
};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{StreamExt, future::join_all, stream};
use http::{Method, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use jobshim::config::{
    DialectChoice, Options,
    settings::{LEGACY, NOTES, SERVER, UPSTREAM},
};
use std::{
    io::Write,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Semaphore, time::timeout};

/// The key that a client was shown in place of its own, and that must not come back as one.
const REDACTED: &str = r#""extra_data": {"api_key_comfy_org": "[REDACTED]"}"#;

/// A server that keeps every `POST /prompt` waiting.
struct Slow {
    server: Scripted,
    gate: Arc<Gate>,
}

fn is_prompt(arrived: &Arrived) -> bool {
    arrived.path().ends_with("/prompt")
}

impl Slow {
    async fn start(list: usize) -> Self {
        let server = Scripted::answering(move |arrived| {
            if is_prompt(arrived) {
                return reply(200, &[], r#"{"prompt_id": "a", "number": 1}"#);
            }
            let padding = "x".repeat(list);
            let text = format!(r#"{{"x": "{padding}", "jobs": [], "pagination": {{"has_more": false}}}}"#);
            reply(200, &[], text)
        })
        .await;
        let gate = server.hold(is_prompt);
        Self { server, gate }
    }

    fn prompts(&self) -> Vec<Bytes> {
        let prompts = self.server.all().into_iter().filter(is_prompt);
        prompts.map(|one| one.body).collect()
    }
}

fn prompt(more: &str, length: usize) -> String {
    format!(r#"{{"prompt": {{"1": {{}}}}, "x": "{}", {more}}}"#, "x".repeat(length))
}

async fn post(at: SocketAddr, path: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Reply {
    let sending = Client::new().send(Method::POST, at, path, headers, body).await;
    sending.expect("an answer")
}

fn assert_has_no_room(reply: &Reply) {
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert_eq!(reply.header("retry-after"), "1");
    assert!(reply.text().contains("server.max_buffered"), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_take_half_at_most_so_that_answers_are_still_read() {
    let slow = Slow::start(400_000).await;
    let jobshim = facing(&slow.server.url(), |config| {
        // What is sent is held until its answer has come, as it may have to be sent elsewhere.
        config.upstream.dialect = DialectChoice::Auto;
        config.server.max_buffered = 1 << 20;
    })
    .await;
    let at = jobshim.address;
    let refused = Arc::new(AtomicUsize::new(0));
    for nth in 1..=3 {
        let counted = Arc::clone(&refused);
        tokio::spawn(async move {
            let reply = post(at, "/prompt", &[], prompt(r#""y": 1"#, 330_000)).await;
            if reply.status == 503 {
                assert_has_no_room(&reply);
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        let settled = async || slow.prompts().len() + refused.load(Ordering::SeqCst) == nth;
        until("it is held or refused", settled).await;
    }
    let reply = Client::new().get(at, "/queue").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(refused.load(Ordering::SeqCst), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_for_which_there_is_no_room_is_refused_and_not_sent_on_as_it_came() {
    let slow = Slow::start(0).await;
    let jobshim = facing(&slow.server.url(), |config| {
        config.upstream.dialect = DialectChoice::Auto;
        config.server.max_buffered = 1 << 20;
    })
    .await;
    let at = jobshim.address;
    let held = tokio::spawn(post(at, "/prompt", &[], prompt(r#""y": 1"#, 400_000)));
    until("one is held", async || slow.prompts().len() == 1).await;
    let second = prompt(REDACTED, 300_000);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(second.as_bytes()).expect("written");
    let gzip = gzip.finish().expect("gzip");
    for (headers, body) in [
        (&[][..], Bytes::from(second.clone())),
        (&[("content-encoding", "gzip")], gzip.clone().into()),
    ] {
        let refused = timeout(Duration::from_secs(10), post(at, "/prompt", headers, body)).await;
        assert_has_no_room(&refused.expect("it is refused, and waits for nothing"));
    }
    assert_eq!(slow.prompts().len(), 1, "nothing was sent on");
    slow.gate.admit(3);
    assert_eq!(held.await.expect("an end").status, 200);
    for (headers, body) in [
        (&[][..], Bytes::from(second)),
        (&[("content-encoding", "gzip")], gzip.into()),
    ] {
        let reply = post(at, "/prompt", headers, body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let arrived = slow.prompts().pop().expect("a prompt");
        assert!(!arrived.windows(8).any(|bytes| bytes == b"REDACTED"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_compressed_body_says_counts_like_the_body() {
    let slow = Slow::start(0).await;
    let jobshim = facing(&slow.server.url(), |config| {
        config.server.max_buffered = 1 << 20;
        config.legacy.max_body = 512 << 10;
    })
    .await;
    let at = jobshim.address;
    let lists = slow.server.hold(|one| !is_prompt(one));
    let text = format!(r#"{{"delete": ["{}"]}}"#, "x".repeat(400_000));
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(text.as_bytes()).expect("written");
    let gzip = Bytes::from(gzip.finish().expect("gzip"));
    assert!(gzip.len() < 4_000);
    let headers = [("content-encoding", "gzip")];
    let first = tokio::spawn({
        let gzip = gzip.clone();
        async move { post(at, "/queue", &headers, gzip).await }
    });
    lists.until_came(1).await;
    let second = timeout(Duration::from_secs(10), post(at, "/queue", &headers, gzip.clone())).await;
    assert_has_no_room(&second.expect("it is refused, and waits for nothing"));
    lists.admit(3);
    assert_eq!(first.await.expect("an end").status, 200);
    let again = post(at, "/queue", &headers, gzip).await;
    assert_eq!(again.status, 200, "{}", again.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_a_prompt_that_was_sent_also_when_something_was_taken_out_of_it() {
    const LENGTH: usize = 24 << 20;
    for more in [r#""y": 1"#, REDACTED] {
        let slow = Slow::start(0).await;
        let limits = ["--dialect", "comfyui", "--notes-max-body", "64MiB"];
        let mut program = Program::before(&slow.server.url(), &limits);
        let (at, before) = (program.address(), program.memory());
        let sending = tokio::spawn(post(at, "/prompt", &[], prompt(more, LENGTH)));
        until("it is sent", async || slow.prompts().len() == 1).await;
        let limit = before + (LENGTH >> 10) as u64 / 2;
        let what = format!("{more}: less than {limit} KiB are held");
        let is_free = async || {
            // Each thread gives back what it took as it goes on, so all of them have something to do.
            join_all((0..16).map(|_| async { Client::new().get(at, "/queue").await.status })).await;
            program.memory() < limit
        };
        until(&what, is_free).await;
        slow.gate.admit(1);
        assert_eq!(sending.await.expect("an end").status, 200);
    }
}

#[test]
fn a_limit_of_all_bodies_that_is_too_small_for_one_is_refused() {
    let both = |more: &[&str]| {
        let output = run(&[&["check", "--upstream", "http://host"], more].concat(), &[]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        (output.status.code(), said)
    };
    // A list may take twice its length while it is read, and requests may take half of all.
    for (flag, key) in [
        ("--max-answer-bytes", "upstream.max_answer_bytes"),
        ("--legacy-max-body", "legacy.max_body"),
        ("--notes-max-body", "notes.max_body"),
    ] {
        let (code, said) = both(&["--max-buffered", "512MiB", flag, "257MiB"]);
        assert_eq!(code, Some(2), "{key}: {said}");
        assert!(
            said.contains("server.max_buffered") && said.contains(key),
            "{key}: {said}"
        );
    }
    let half = [
        "--max-buffered",
        "512MiB",
        "--max-answer-bytes",
        "256MiB",
        "--notes-max-body",
        "256MiB",
    ];
    let (code, said) = both(&half);
    assert_eq!(code, Some(0), "{said}");
}

/// Its list says that the job `a` has ended; nine of a longer list wait, and only its first page comes before the gate
/// opens. The detail of `a` breaks off before it tells which job it is of. It counts what it keeps waiting.
async fn server_of_parts(gate: Arc<Semaphore>, waiting: Arc<AtomicUsize>) -> Scripted {
    Scripted::start(move |request| {
        let (gate, waiting) = (Arc::clone(&gate), Arc::clone(&waiting));
        async move {
            let target = request.uri().to_string();
            let json = [("content-type", "application/json")];
            let padding = "x".repeat(45_000);
            let is_another = target.starts_with("/api/jobs/") && target != "/api/jobs/a";
            if is_another || request.method() == Method::POST {
                return reply(404, &json, r#"{"error": "Job not found"}"#);
            }
            if target == "/api/jobs/a" {
                waiting.fetch_add(1, Ordering::SeqCst);
                let begins = Bytes::from(format!(r#"{{"padding": "{}"#, padding.repeat(13)));
                let frames = stream::iter([Ok(Frame::data(begins))]).chain(stream::pending());
                return Response::new(BodyExt::boxed(StreamBody::new(frames)));
            }
            if !target.contains("pending") {
                let ended = r#"{"id": "a", "status": "completed", "create_time": 1795000000000}"#;
                let text = format!(r#"{{"jobs": [{ended}], "pagination": {{"has_more": false}}}}"#);
                return reply(200, &json, text);
            }
            let (from, more) = match target.contains("offset=") {
                false => (0, true),
                true => {
                    waiting.fetch_add(1, Ordering::SeqCst);
                    gate.acquire().await.expect("a permit").forget();
                    (8, false)
                }
            };
            let jobs = (from..9).map(|nth| {
                let more = if more { &padding } else { "" };
                format!(r#"{{"id": "{nth}", "status": "pending", "create_time": 1795000000000, "padding": "{more}"}}"#)
            });
            let jobs = jobs.collect::<Vec<_>>().join(",");
            let text = format!(r#"{{"jobs": [{jobs}], "pagination": {{"has_more": {more}}}}}"#);
            reply(200, &json, text)
        }
    })
    .await
}

async fn in_front_of_parts(room: usize, gate: &Arc<Semaphore>, waiting: &Arc<AtomicUsize>) -> (Scripted, Running) {
    let server = server_of_parts(Arc::clone(gate), Arc::clone(waiting)).await;
    let options = [
        (&UPSTREAM.url.key, server.url()),
        (&UPSTREAM.dialect.key, "comfyui".to_owned()),
        (&UPSTREAM.max_answer_bytes.key, (room / 2).to_string()),
        (&SERVER.max_buffered.key, room.to_string()),
        (&LEGACY.max_body.key, "64KiB".to_owned()),
        (&NOTES.max_body.key, "64KiB".to_owned()),
        (&LEGACY.mode.key, "translate".to_owned()),
    ];
    let options = options
        .into_iter()
        .fold(Options::default(), |all, (key, value)| all.with(key, value));
    (server, start_with(options).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_of_a_page_counts_while_the_next_ones_are_read() {
    let gate = Arc::new(Semaphore::new(0));
    let waiting = Arc::new(AtomicUsize::new(0));
    let (_server, jobshim) = in_front_of_parts(1 << 20, &gate, &waiting).await;
    let at = jobshim.address;
    let get = move |key: &'static str| async move { Client::new().get_with(at, "/queue", &[("x-api-key", key)]).await };
    let first = tokio::spawn(get("one"));
    until("its second page is waited for", async || {
        waiting.load(Ordering::SeqCst) == 1
    })
    .await;
    let held = jobshim.buffered();
    assert!((400_000..500_000).contains(&held), "{held} bytes of the first one");
    let second = timeout(Duration::from_secs(10), get("two")).await;
    assert_has_no_room(&second.expect("it is refused, and waits for nothing"));
    gate.add_permits(2);
    assert_eq!(first.await.expect("an end").status, 200);
    until("room again", async || jobshim.buffered() == 0).await;
    assert_eq!(get("two").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_of_a_passing_job_until_it_is_known_counts() {
    let waiting = Arc::new(AtomicUsize::new(0));
    let (_server, jobshim) = in_front_of_parts(3 << 19, &Arc::new(Semaphore::new(0)), &waiting).await;
    let at = jobshim.address;
    assert_eq!(post(at, "/history", &[], r#"{"delete": ["a"]}"#).await.status, 200);
    let first = tokio::spawn(async move { Client::new().get(at, "/api/jobs/a").await });
    until("its beginning is held", async || jobshim.buffered() > 500_000).await;
    assert_eq!(waiting.load(Ordering::SeqCst), 1);
    let second = timeout(Duration::from_secs(10), Client::new().get(at, "/api/jobs/a")).await;
    assert_has_no_room(&second.expect("it is refused, and waits for nothing"));
    assert_eq!(waiting.load(Ordering::SeqCst), 2);
    first.abort();
    until("room again", async || jobshim.buffered() == 0).await;
}

#[tokio::test]
async fn what_a_list_takes_of_many_small_jobs_counts() {
    let jobs = |count: usize| {
        let jobs =
            (0..count).map(|nth| format!(r#"{{"id": "{nth}", "status": "completed", "create_time": 1795000000000}}"#));
        let jobs = jobs.collect::<Vec<_>>().join(",");
        format!(r#"{{"jobs": [{jobs}], "pagination": {{"has_more": false}}}}"#)
    };
    for (count, status) in [(100, 200), (10_000, 503)] {
        let json = [("content-type", "application/json")];
        let server = Scripted::answering(move |arrived| match arrived.of_job() {
            None => reply(200, &json, jobs(count)),
            Some(_) => reply(404, &json, r#"{"error": "Job not found"}"#),
        });
        let server = server.await;
        let jobshim = facing(&server.url(), |config| config.server.max_buffered = 3 << 20).await;
        let answer = Client::new().get(jobshim.address, "/history").await;
        assert_eq!(answer.status, status, "{count} jobs: {}", answer.text());
        until("room again", async || jobshim.buffered() == 0).await;
    }
}
