//! Histories that are longer than memory: bounded, begun early, never well ended when something failed, and asked for
//! no further than they must be.

#![cfg(target_os = "linux")]

use crate::support::{
    Client,
    program::Program,
    shelf::{BEGINNING, Item, Shelf, is_list},
    start,
    upstream::{Scripted, read_head, reply},
    wait::{as_soon_as, until, within},
};
use jobshim::config::DialectChoice;
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn finished(count: usize, size: usize) -> impl Iterator<Item = Item> {
    (0..count).map(move |nth| Item::new(nth, "completed", size))
}

/// Sends a GET on a connection of its own and reads the head of the answer.
async fn begin(at: SocketAddr, target: &str) -> (TcpStream, String) {
    begin_in(at, target, "identity").await
}

/// The same, in a coding.
async fn begin_in(at: SocketAddr, target: &str, coding: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(at).await.expect("a connection");
    let request =
        format!("GET {target} HTTP/1.1\r\nhost: {at}\r\naccept-encoding: {coding}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let head = within("a head", read_head(&mut stream)).await.expect("a head");
    (stream, head)
}

/// Variables of the environment.
type Settings = &'static [(&'static str, &'static str)];

/// A program in front of 500 MB of history after one poll of it, which has taken less than `most` MiB.
async fn over_five_hundred_megabytes(shelf: &Scripted<Shelf>, settings: Settings, most: u64) -> Program {
    let url = shelf.url();
    let mut program =
        tokio::task::spawn_blocking(move || Program::start(&["--listen", "127.0.0.1:0", "--upstream", &url], settings))
            .await
            .expect("a program");
    let (mut stream, head) = begin(program.address(), "/history").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let mut read = 0;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match within("more of the history", stream.read(&mut buffer))
            .await
            .expect("read")
        {
            0 => break,
            count => read += count,
        }
    }
    assert!(read > 500_000_000, "{read} bytes");
    assert!(
        buffer.windows(7).any(|bytes| bytes == b"\r\n0\r\n\r\n"),
        "it ended well"
    );
    let peak = program.peak_memory() >> 10;
    assert!(peak < most, "{peak} MiB");
    program
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_megabytes_of_history_take_less_than_the_budget_and_sixty_four() {
    let shelf = Shelf::start(finished(2_000, 250_000)).await;
    let mut program = over_five_hundred_megabytes(
        &shelf,
        &[("JOBSHIM_CACHE_MAX_BYTES", "32MiB"), ("JOBSHIM_ADMIN", "off")],
        32 + 64,
    )
    .await;
    program.signal("TERM");
    assert!(program.end().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_megabytes_of_history_are_asked_for_once_with_default_settings() {
    // As much as workflows leave when they are compressed.
    let shelf = Shelf::start(finished(2_000, 250_000).map(|item| item.with_noise(18_000))).await;
    let mut program = over_five_hundred_megabytes(&shelf, &[("JOBSHIM_ADMIN", "off")], 128 + 64).await;
    assert_eq!(shelf.details(), 2_000);
    let gzip = [("accept-encoding", "gzip")];
    let again = Client::new().get_with(program.address(), "/history", &gzip).await;
    assert_eq!((again.status.as_u16(), again.header("content-encoding")), (200, "gzip"));
    assert_eq!(shelf.details(), 2_000, "what is packed fits");
    let peak = program.peak_memory() >> 10;
    assert!(peak < 128 + 64, "{peak} MiB");
    program.signal("TERM");
    assert!(program.end().success());
}

#[tokio::test]
async fn a_long_list_begins_before_its_last_detail_and_breaks_when_one_fails() {
    for (coding, least) in [("identity", 4 << 20), ("gzip", 10_000)] {
        let shelf = Shelf::start(finished(100, 100_000)).await;
        let gate = shelf.hold_details();
        let jobshim = start(&shelf.url(), |_| {}).await;
        gate.admit(80);
        let (mut stream, head) = begin_in(jobshim.address, "/history", coding).await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert!(shelf.details() < 100, "it began before all was asked for");
        shelf.intercept(|_, one| one.path().starts_with("/api/jobs/").then(|| reply(500, &[], "no")));
        gate.admit(100);
        let mut rest = Vec::new();
        // Cut off or reset: both are no end.
        let _ = within("an end of the answer", stream.read_to_end(&mut rest)).await;
        assert!(rest.len() > least, "{} bytes in {coding}", rest.len());
        assert!(
            !rest.ends_with(b"0\r\n\r\n"),
            "a short history in {coding} looks complete"
        );
    }
}

#[tokio::test]
async fn what_is_kept_of_a_long_list_counts_until_the_last_of_it_is_sent() {
    let shelf = Shelf::start(finished(1_000, 5_000)).await;
    let gate = shelf.hold_details();
    let jobshim = start(&shelf.url(), |config| config.cache.max_bytes = 0).await;
    gate.admit(900);
    let (mut stream, head) = begin(jobshim.address, "/history").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    // Each job takes more than that, and none of their details waits.
    until("its jobs alone are held", async || {
        (150_000..400_000).contains(&jobshim.buffered())
    })
    .await;
    gate.admit(100);
    let mut rest = Vec::new();
    within("its end", stream.read_to_end(&mut rest))
        .await
        .expect("all of it");
    until("nothing is held", async || jobshim.buffered() == 0).await;
}

#[tokio::test]
async fn a_failure_before_the_list_has_begun_is_a_status() {
    let shelf = Shelf::start(finished(100, 1_000)).await;
    let jobshim = start(&shelf.url(), |_| {}).await;
    shelf.intercept(|_, one| {
        (one.path() == "/api/jobs/job-00099").then(|| reply(503, &[("retry-after", "7")], "later"))
    });
    let reply = Client::new().get(jobshim.address, "/history").await;
    assert_eq!((reply.status.as_u16(), reply.header("retry-after")), (503, "7"));
}

#[tokio::test]
async fn a_client_that_reads_slowly_or_goes_away_leaves_nothing_behind() {
    let shelf = Shelf::start(finished(400, 100_000)).await;
    let jobshim = start(&shelf.url(), |config| config.cache.max_bytes = 0).await;
    let (stream, _) = begin(jobshim.address, "/history").await;
    // It does not read on: what is fetched for it comes to a stop well before the end.
    let mut before = usize::MAX;
    let stopping = async {
        loop {
            let now = shelf.details();
            if now == before && shelf.under_way() == 0 {
                return now;
            }
            before = now;
            // Time for a few more details, if any were to come.
            for _ in 0..50 {
                Client::new().get(jobshim.address, "/queue").await;
            }
        }
    };
    let before = within("a stop of what is fetched", stopping).await;
    assert!(before < 300, "{before} details for a client that does not read");
    drop(stream);
    let gate = shelf.hold_details();
    let (stream, second) = tokio::join!(
        async {
            let mut stream = TcpStream::connect(jobshim.address).await.expect("a connection");
            let request = format!("GET /history HTTP/1.1\r\nhost: {}\r\n\r\n", jobshim.address);
            stream.write_all(request.as_bytes()).await.expect("sent");
            stream
        },
        async {
            as_soon_as("sixteen calls are open", || shelf.under_way() >= 16).await;
        }
    );
    let () = second;
    drop(stream);
    as_soon_as("its calls stop", || shelf.under_way() == 0).await;
    drop(gate);
}

#[tokio::test]
async fn sixty_four_of_ten_thousand_take_as_little_of_the_list_as_is_certain() {
    let hour = 3_600_000;
    // A job an hour, each a minute long, but for one that was put in front and one that took a day less a minute.
    let mut items: Vec<Item> = finished(10_000, 10).collect();
    for (nth, item) in items.iter_mut().enumerate() {
        item.created = BEGINNING + hour * nth as i64;
        item.ended = item.created + 60_000;
    }
    let longest = 9_999 - 64 - 10;
    items[longest].ended = items[longest].created + 24 * hour - 60_000;
    let shelf = Shelf::start(items).await;
    let jobshim = start(&shelf.url(), |_| {}).await;
    let reply = Client::new().get(jobshim.address, "/history?max_items=64").await;
    let history: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(history.len(), 64);
    assert_eq!(shelf.counts(), (1, 64), "one page of a thousand, and what is shown");
    let whole = Client::new()
        .get(jobshim.address, "/history?max_items=64&offset=9936")
        .await;
    assert_eq!(whole.text(), reply.text(), "the same as the last of all of them");
}

#[tokio::test]
async fn a_short_history_reads_on_while_an_older_job_may_have_ended_later() {
    // 2,500 jobs within an hour: each of them may have run for a day.
    let mut items: Vec<Item> = finished(2_500, 10).collect();
    items[3].ended = BEGINNING + 10_000_000;
    let shelf = Shelf::start(items).await;
    let jobshim = start(&shelf.url(), |_| {}).await;
    let reply = Client::new().get(jobshim.address, "/history?max_items=1").await;
    assert!(reply.text().starts_with("{\"job-00003\""), "{}", reply.text());
    assert_eq!(shelf.counts(), (3, 1));
    let jobshim = start(&shelf.url(), |config| {
        config.history.longest_job = Duration::from_secs(60)
    })
    .await;
    let reply = Client::new().get(jobshim.address, "/history?max_items=1").await;
    assert!(
        reply.text().starts_with("{\"job-02499\""),
        "as short as it was told jobs are"
    );
    assert_eq!(shelf.counts(), (1, 1));
}

#[tokio::test]
async fn a_list_that_loses_jobs_between_two_pages_is_walked_anew() {
    let shelf = Shelf::start(finished(2_500, 10)).await;
    let jobshim = start(&shelf.url(), |_| {}).await;
    // With the second list call, before it is answered, the five newest are deleted, once.
    let mut lists = 0;
    shelf.intercept(move |shelf, one| {
        lists += usize::from(is_list(one));
        if is_list(one) && lists == 2 {
            shelf.items.truncate(2_495);
        }
        None
    });
    let reply = Client::new().get(jobshim.address, "/history?max_items=2400").await;
    let history: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&reply.body).expect("JSON");
    let ids: Vec<&String> = history.keys().collect();
    assert_eq!(ids.len(), 2_400);
    assert!(
        history.contains_key("job-00095") && history.contains_key("job-02494"),
        "none is passed over"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_jobshim_takes_little_memory() {
    let program = tokio::task::spawn_blocking(|| {
        let mut program = Program::start(&["--listen", "127.0.0.1:0"], &[("JOBSHIM_ADMIN", "off")]);
        program.address();
        program
    })
    .await
    .expect("a program");
    // Without the pages of the program itself, of which a build for tests has far more.
    let own = program.memory() >> 10;
    assert!(own < 6, "{own} MiB");
}

/// A cloud whose list has always one more page, with `jobs` jobs that no page had before.
async fn endless(jobs: usize, pause: Duration) -> Scripted {
    let pages = Arc::new(AtomicUsize::new(0));
    Scripted::start(move |_| {
        let page = pages.fetch_add(1, Ordering::SeqCst);
        async move {
            tokio::time::sleep(pause).await;
            let jobs: Vec<String> = (0..jobs)
                .map(|nth| format!(r#"{{"id": "{page}-{nth}", "status": "completed", "create_time": 1795000000000}}"#))
                .collect();
            let text = format!(
                r#"{{"jobs": [{}], "pagination": {{"has_more": true, "next_cursor": "c{page}"}}}}"#,
                jobs.join(", ")
            );
            reply(200, &[], text)
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_end_is_given_up_by_the_bytes_the_jobs_and_the_time_of_all_its_pages() {
    let (quick, slow) = (Duration::ZERO, Duration::from_millis(20));
    for (jobs, pause, bytes, time, status, reason) in [
        (
            100,
            quick,
            100_000,
            Duration::from_secs(60),
            502,
            "upstream.max_answer_bytes",
        ),
        (
            1,
            slow,
            1 << 30,
            Duration::from_millis(400),
            504,
            "did not answer within 400 ms",
        ),
        (
            5_000,
            quick,
            1 << 30,
            Duration::from_secs(60),
            502,
            "more than the 200000 jobs that legacy.max_jobs allows",
        ),
    ] {
        let server = endless(jobs, pause).await;
        let jobshim = start(&server.url(), |config| {
            config.upstream.dialect = DialectChoice::Cloud;
            config.upstream.max_answer_bytes = bytes;
            config.upstream.answer_timeout = time;
            config.legacy.max_pages = 1_000_000;
        })
        .await;
        for route in ["/history", "/queue", "/api/history_v2"] {
            let reply = Client::new().get(jobshim.address, route).await;
            assert_eq!(reply.status, status, "{route} {reason}: {}", reply.text());
            assert!(reply.text().contains(reason), "{route}: {}", reply.text());
        }
    }
}
