//! What is remembered and what never is, for whom, and what drops it.

use crate::support::{
    Client, Reply, Running,
    shelf::{Item, Shelf},
    start,
    upstream::{Scripted, read_head, reply},
    wait::{as_soon_as, within},
};
use http::Method;
use std::{collections::HashMap, time::Duration};

/// Finished jobs of 2 KB.
pub fn finished(count: usize) -> impl Iterator<Item = Item> {
    (0..count).map(|nth| Item::new(nth, "completed", 2_000))
}

pub async fn over(shelf: &Scripted<Shelf>) -> Running {
    let jobshim = start(&shelf.url(), |_| {}).await;
    // The first answer finds the dialect out.
    get(&jobshim, "/history/none").await;
    shelf.counts();
    jobshim
}

pub async fn get(jobshim: &Running, target: &str) -> Reply {
    let reply = Client::new().get(jobshim.address, target).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    reply
}

#[tokio::test]
async fn a_finished_job_is_asked_for_once_and_then_answered_without_any_call() {
    let shelf = Shelf::start(finished(3)).await;
    let jobshim = over(&shelf).await;
    for (target, same) in [
        ("/history/job-00001", "/api/history/job-00001"),
        ("/api/history_v2/job-00001", "/api/history_v2/job-00001"),
        ("/api/job/job-00001/status", "/api/job/job-00001/status"),
    ] {
        let first = get(&jobshim, target).await;
        assert_eq!(shelf.counts(), (0, 1), "{target}");
        assert_eq!(first.header("cache-status"), "jobshim; fwd=miss; stored", "{target}");
        let second = get(&jobshim, same).await;
        assert_eq!(shelf.counts(), (0, 0), "{target}");
        assert_eq!(second.header("cache-status"), "jobshim; hit", "{target}");
        assert_eq!(second.text(), first.text(), "{target}");
        for name in ["content-type", "content-length", "etag", "vary"] {
            assert_eq!(second.header(name), first.header(name), "{target} {name}");
        }
    }
}

#[tokio::test]
async fn answers_from_memory_differ_in_nothing_but_the_requests_name() {
    let shelf = Shelf::start(finished(1)).await;
    let jobshim = over(&shelf).await;
    let client = Client::new();
    for target in [
        "/history/job-00000",
        "/api/history_v2/job-00000",
        "/api/job/job-00000/status",
    ] {
        for accepted in ["identity", "gzip", "zstd, gzip"] {
            let headers = |name| [("accept-encoding", accepted), ("x-request-id", name)];
            let ask = async |method, name| {
                let reply = client.send(method, jobshim.address, target, &headers(name), "").await;
                let mut reply = reply.expect("an answer");
                assert_eq!(reply.headers.remove("x-request-id").expect("a name"), name, "{target}");
                reply.headers.remove("date");
                reply
            };
            let first = ask(Method::GET, "first").await;
            let mut second = ask(Method::GET, "second").await;
            if !first.header("cache-status").ends_with("hit") {
                second
                    .headers
                    .insert("cache-status", first.headers["cache-status"].clone());
            }
            assert_eq!(second.headers, first.headers, "{target} {accepted}");
            let third = ask(Method::GET, "third").await;
            assert_eq!(third.header("cache-status"), "jobshim; hit", "{target} {accepted}");
            let head = ask(Method::HEAD, "head").await;
            assert_eq!(head.headers, third.headers, "{target} {accepted}");
            assert!(third.body == first.body && head.body.is_empty(), "{target} {accepted}");
            second
                .headers
                .insert("cache-status", third.headers["cache-status"].clone());
            assert_eq!(third.headers, second.headers, "{target} {accepted}");
        }
    }
}

#[tokio::test]
async fn history_asks_for_the_list_each_time_and_for_a_detail_once() {
    let shelf = Shelf::start(finished(5)).await;
    let jobshim = over(&shelf).await;
    let first = get(&jobshim, "/history").await;
    assert_eq!(shelf.counts(), (1, 5));
    let second = get(&jobshim, "/history").await;
    assert_eq!(shelf.counts(), (1, 0));
    assert_eq!(second.text(), first.text());
    assert_eq!(
        second.header("cache-status"),
        "jobshim; fwd=request; detail=\"5 of 5 entries from memory\""
    );
    shelf.with(|shelf| shelf.items.push(Item::new(5, "failed", 10)));
    assert!(get(&jobshim, "/history").await.text().contains("job-00005"));
    assert_eq!(shelf.counts(), (1, 1), "only the new one");
    shelf.with(|shelf| shelf.items.remove(0));
    assert!(
        !get(&jobshim, "/history").await.text().contains("job-00000"),
        "a deleted job vanishes at once"
    );
    assert_eq!(shelf.counts(), (1, 0));
    get(&jobshim, "/history/job-00003").await;
    assert_eq!(shelf.counts(), (0, 0), "what a list brought is there for the id too");
}

#[tokio::test]
async fn that_a_job_is_absent_or_unfinished_is_never_remembered() {
    let shelf = Shelf::start([]).await;
    let jobshim = over(&shelf).await;
    let target = "/history/job-00000";
    assert_eq!(get(&jobshim, target).await.text(), "{}");
    for status in ["pending", "in_progress"] {
        shelf.with(|shelf| shelf.items = vec![Item::new(0, status, 10)]);
        for _ in 0..2 {
            assert_eq!(get(&jobshim, target).await.text(), "{}", "{status}");
        }
    }
    shelf.with(|shelf| shelf.items = vec![Item::new(0, "completed", 10)]);
    assert!(
        get(&jobshim, target)
            .await
            .text()
            .starts_with("{\"job-00000\": {\"prompt\"")
    );
    // Absent it was asked for once more: a job of this name might be there under a UUID.
    assert_eq!(shelf.counts(), (0, 7), "each of these was asked for");
}

#[tokio::test]
async fn five_hundred_pending_jobs_are_one_call_a_poll_and_their_places_move_up() {
    let queued = (0..500).map(|nth| Item::new(nth, "pending", 100));
    let shelf = Shelf::start(queued).await;
    let jobshim = start(&shelf.url(), |config| {
        config.legacy.surface = jobshim::config::Surface::Cloud;
    })
    .await;
    for target in ["/queue", "/api/queue"] {
        get(&jobshim, target).await;
        shelf.counts();
        get(&jobshim, target).await;
        assert_eq!(shelf.counts(), (1, 0), "{target}");
    }
    let places = |reply: &Reply| -> Vec<(u64, String)> {
        let queue: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
        let pending = queue["queue_pending"].as_array().expect("a list");
        let place = |item: &serde_json::Value| (item[0].as_u64().expect("a place"), item[1].to_string());
        pending.iter().map(place).collect()
    };
    let all = places(&get(&jobshim, "/api/queue").await);
    assert_eq!((all.len(), all[0].0, all[499].0), (500, 1, 500));
    shelf.with(|shelf| shelf.items[0].status = "in_progress");
    shelf.counts();
    let moved = places(&get(&jobshim, "/api/queue").await);
    assert_eq!(shelf.counts(), (1, 0), "an item stays the same while it moves up");
    assert_eq!((moved.len(), moved[0].0, moved[498].0), (499, 1, 499));
    assert_eq!(moved[0].1, all[1].1);
}

#[tokio::test]
async fn what_the_upstream_would_refuse_is_not_answered_from_memory() {
    let shelf = Shelf::start(finished(1)).await;
    let jobshim = over(&shelf).await;
    let target = "/history/job-00000";
    get(&jobshim, target).await;
    shelf.intercept(|_, _| Some(reply(403, &[], "")));
    let foreign: [&[(&str, &str)]; 2] = [
        &[("sec-fetch-site", "cross-site")],
        &[("origin", "http://elsewhere.example")],
    ];
    for headers in foreign {
        let reply = Client::new().get_with(jobshim.address, target, headers).await;
        assert_eq!((reply.status.as_u16(), reply.text().as_str()), (403, ""), "{headers:?}");
    }
    assert_eq!(get(&jobshim, target).await.header("cache-status"), "jobshim; hit");
}

#[tokio::test]
async fn cors_headers_are_those_that_the_upstream_sent_to_that_origin() {
    let shelf = Shelf::start(finished(1)).await;
    let jobshim = over(&shelf).await;
    let own_origin = format!("http://{}", jobshim.address);
    let allowed = |origin: &str| {
        vec![
            ("access-control-allow-origin".to_owned(), origin.to_owned()),
            ("x-other".to_owned(), "1".to_owned()),
        ]
    };
    for (sent, allow) in [(None, "*"), (Some(own_origin.as_str()), "http://one.example")] {
        shelf.with(|shelf| shelf.headers = allowed(allow));
        let headers: Vec<(&str, &str)> = sent.iter().map(|origin| ("origin", *origin)).collect();
        for cached in ["jobshim; fwd=miss; stored", "jobshim; hit"] {
            let reply = Client::new()
                .get_with(jobshim.address, "/history/job-00000", &headers)
                .await;
            assert_eq!(reply.header("cache-status"), cached, "{sent:?}");
            assert_eq!(reply.header("access-control-allow-origin"), allow, "{sent:?}");
            assert_eq!(reply.header("x-other"), "", "{sent:?}");
        }
    }
}

#[tokio::test]
async fn a_write_drops_what_it_touches() {
    // The server has `POST /history`: whatever it does there, it is asked again.
    let shelf = Shelf::start(finished(3)).await;
    let jobshim = over(&shelf).await;
    for (target, body, dropped) in [
        ("/history", r#"{"delete": ["job-00001"]}"#, vec!["job-00001"]),
        (
            "/api/history",
            r#"{"clear": true}"#,
            vec!["job-00000", "job-00001", "job-00002"],
        ),
        ("/queue", r#"{"delete": ["job-00002"]}"#, vec!["job-00002"]),
        ("/history", "not JSON", vec!["job-00000", "job-00001", "job-00002"]),
    ] {
        get(&jobshim, "/history").await;
        shelf.intercept(|_, one| one.path().ends_with("/history").then(|| reply(200, &[], "")));
        shelf.counts();
        Client::new()
            .send(Method::POST, jobshim.address, target, &[], body)
            .await
            .expect("an answer");
        shelf.counts();
        let mut asked = Vec::new();
        for nth in 0..3 {
            let id = format!("job-{nth:05}");
            get(&jobshim, &format!("/history/{id}")).await;
            if shelf.counts().1 > 0 {
                asked.push(id);
            }
        }
        assert_eq!(asked, dropped, "{target} {body}");
    }
}

#[tokio::test]
async fn a_write_whose_client_goes_away_in_the_middle_drops_what_it_touches_too() {
    let shelf = Shelf::start(finished(1)).await;
    let jobshim = over(&shelf).await;
    let (at, target) = (jobshim.address, "/history/job-00000");
    get(&jobshim, target).await;
    shelf.counts();
    let gate = shelf.hold_details();
    let deleting = tokio::spawn(async move {
        let body = r#"{"delete": ["job-00000"]}"#;
        Client::new().send(Method::POST, at, "/history", &[], body).await
    });
    as_soon_as("a call is open", || shelf.under_way() != 0).await;
    // The server has it and may have done it; nobody will hear.
    deleting.abort();
    as_soon_as("no call is open any more", || shelf.under_way() == 0).await;
    gate.admit(1_000);
    let asked_again = async {
        while shelf.counts().1 == 0 {
            get(&jobshim, target).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), asked_again).await;
    assert!(
        in_time.is_ok(),
        "a job that may be deleted is still answered from memory"
    );
}

#[tokio::test]
async fn an_old_entry_is_shown_while_the_upstream_is_away_only_where_that_was_allowed() {
    for (max_stale, expected) in [(Duration::ZERO, 502), (Duration::from_secs(60), 200)] {
        let shelf = Shelf::start(finished(1)).await;
        let jobshim = start(&shelf.url(), |config| {
            config.cache.ttl = Duration::from_millis(300);
            config.cache.max_stale = max_stale;
        })
        .await;
        let client = Client::new();
        let before = client.get(jobshim.address, "/history/job-00000").await;
        assert_eq!(before.status, 200);
        drop(shelf);
        let mut answer = client.get(jobshim.address, "/history/job-00000").await;
        while answer.header("cache-status") == "jobshim; hit" {
            answer = client.get(jobshim.address, "/history/job-00000").await;
        }
        assert_eq!(answer.status, expected, "{max_stale:?}: {}", answer.text());
        if expected == 200 {
            assert_eq!(answer.text(), before.text());
            assert_eq!(answer.header("cache-status"), "jobshim; hit; detail=stale");
            let foreign = [("sec-fetch-site", "cross-site")];
            let refused = client.get_with(jobshim.address, "/history/job-00000", &foreign).await;
            assert_ne!(
                refused.status, 200,
                "nobody can say whether the upstream would refuse it"
            );
        }
        let list = client.get(jobshim.address, "/history").await;
        assert_eq!(list.status, 502, "which jobs there are is never remembered");
    }
}

#[tokio::test]
async fn without_a_budget_or_over_an_eighth_of_it_nothing_is_kept() {
    for (max_bytes, size, kept) in [(0, 100, 0), (80_000, 11_000, 0), (80_000, 8_000, 1)] {
        let shelf = Shelf::start([Item::new(0, "completed", size)]).await;
        let jobshim = start(&shelf.url(), |config| config.cache.max_bytes = max_bytes).await;
        get(&jobshim, "/history/job-00000").await;
        shelf.counts();
        get(&jobshim, "/history/job-00000").await;
        assert_eq!(shelf.counts(), (0, 1 - kept), "{size} of {max_bytes} bytes");
    }
}

#[tokio::test]
async fn a_failure_is_no_entry() {
    let shelf = Shelf::start(finished(1)).await;
    let jobshim = over(&shelf).await;
    shelf.intercept(|_, one| one.path().starts_with("/api/jobs/").then(|| reply(500, &[], "no")));
    for target in ["/history/job-00000", "/history"] {
        assert_eq!(Client::new().get(jobshim.address, target).await.status, 500, "{target}");
    }
    shelf.intercept(|_, _| None);
    for target in ["/history/job-00000", "/history"] {
        assert!(get(&jobshim, target).await.text().contains("job-00000"), "{target}");
    }
}

#[tokio::test]
async fn what_is_noted_of_a_job_after_it_was_read_is_in_the_next_answer() {
    let shelf = Shelf::start([Item::new(0, "completed", 10)]).await;
    shelf.intercept(|_, one| match one.path() {
        "/api/jobs/job-00000" => Some(reply(
            200,
            &[],
            r#"{"id": "job-00000", "status": "completed", "create_time": 1790000000000, "outputs": {}}"#,
        )),
        "/prompt" => Some(reply(200, &[], r#"{"prompt_id": "job-00000", "number": 1}"#)),
        _ => None,
    });
    let jobshim = over(&shelf).await;
    let target = "/history/job-00000";
    for _ in 0..2 {
        assert!(get(&jobshim, target).await.text().contains(r#""job-00000", {}, "#));
    }
    let body = r#"{"prompt": {"1": {"class_type": "A", "inputs": {}}}}"#;
    Client::new()
        .send(Method::POST, jobshim.address, "/prompt", &[], body)
        .await
        .expect("an answer");
    assert!(
        get(&jobshim, target)
            .await
            .text()
            .contains(r#"{"1": {"class_type": "A""#)
    );
}

/// A client over HTTP/1.1 that sends what it is told and reads only the head.
#[tokio::test]
async fn head_answers_as_get_does_without_the_body_and_from_memory_too() {
    let shelf = Shelf::start(finished(2)).await;
    let jobshim = over(&shelf).await;
    for target in ["/history/job-00000", "/history/job-00000", "/history"] {
        let got = get(&jobshim, target).await;
        let mut stream = tokio::net::TcpStream::connect(jobshim.address)
            .await
            .expect("a connection");
        let request = format!("HEAD {target} HTTP/1.1\r\nhost: {}\r\n\r\n", jobshim.address);
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes())
            .await
            .expect("sent");
        let head = within("a head", read_head(&mut stream)).await.expect("a head");
        let headers: HashMap<String, String> = head
            .lines()
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        for name in ["etag", "content-type", "content-length"] {
            assert_eq!(
                headers.get(name).map(String::as_str),
                Some(got.header(name)),
                "{target} {name}: {head}"
            );
        }
    }
}
