//! JSON that is made to break whoever reads it: each ends in a 502 or is passed on as it is, in bounded memory, and the
//! program goes on.

#![cfg(target_os = "linux")]

use crate::support::{
    Client, Reply,
    program::Program,
    upstream::{Scripted, raw, reply},
    wait::{as_soon_as, within},
};
use bytes::Bytes;
use http::Method;
use std::{
    fs,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Notify};

const ID: &str = "11111111-2222-4333-8444-555555555555";
const MIB: u64 = 1024;

/// Every legacy read.
const ROUTES: [&str; 7] = [
    "/history",
    "/history/ID",
    "/queue",
    "/api/queue",
    "/api/history_v2",
    "/api/history_v2/ID",
    "/api/job/ID/status",
];

/// jobshim as a process of its own, whose memory can be told.
struct Shim {
    program: Program,
    address: SocketAddr,
    client: Client,
}

impl Shim {
    fn facing(upstream: SocketAddr, more: &[&str]) -> Self {
        let url = format!("http://{upstream}");
        let mut arguments = vec!["--listen", "127.0.0.1:0", "--dialect", "comfyui", "--upstream", &url];
        arguments.extend_from_slice(more);
        // What a client would get compressed is looked at as it is.
        let mut program = Program::start(&arguments, &[("JOBSHIM_COMPRESS", "false")]);
        let address = program.address();
        Self {
            program,
            address,
            client: Client::new(),
        }
    }

    async fn get(&self, route: &str) -> Reply {
        let route = route.replace("ID", ID);
        let headers = [("accept-encoding", "gzip, br")];
        let reply = self.client.send(Method::GET, self.address, &route, &headers, "").await;
        reply.unwrap_or_else(|error| panic!("{route}: {error}"))
    }

    fn assert_peak_below(&self, mib: u64) {
        let peak = self.program.peak_memory() / MIB;
        assert!(peak < mib, "it held {peak} MiB, more than {mib}");
    }
}

/// What the upstream answers.
#[derive(Default)]
struct Bomb {
    list: Vec<u8>,
    detail: Vec<u8>,
    class: Vec<u8>,
    headers: Vec<(&'static str, &'static str)>,
}

impl Bomb {
    /// `value` wherever the Jobs API has a value of any kind.
    fn everywhere(value: &[u8]) -> Self {
        let with = |before: &str, after: &str| [before.as_bytes(), value, after.as_bytes()].concat();
        let job = format!(r#""id": "{ID}", "status": "completed", "create_time": 1795461653499"#);
        let list = with(
            &format!(r#"{{"jobs": [{{{job}, "execution_error": "#),
            r#"}], "pagination": {"has_more": false}}"#,
        );
        let outputs = with(r#""outputs": {"9": {"images": ["#, "]}}");
        let status = with(r#""execution_status": "#, "");
        let prompt = with(
            r#""prompt": {"1": {"class_type": "Save", "inputs": {"x": "#,
            "}, \"_meta\": 0}}",
        );
        let extra = with(r#""extra_data": {"api_key_comfy_org": "[REDACTED]", "x": "#, "}");
        let head = format!("{{{job}, ");
        let parts = [
            head.as_bytes(),
            &outputs,
            b", ",
            &status,
            b", \"workflow\": {",
            &prompt,
            b", ",
            &extra,
            b"}}",
        ];
        Self {
            list,
            detail: parts.concat(),
            class: with(r#"{"Save": {"input": "#, r#", "output_node": true}}"#),
            headers: vec![("content-type", "application/json")],
        }
    }

    async fn serve(self) -> Scripted {
        let (list, detail, class) = (
            Bytes::from(self.list),
            Bytes::from(self.detail),
            Bytes::from(self.class),
        );
        let headers = self.headers;
        Scripted::answering(move |arrived| {
            let body = match (arrived.path(), arrived.of_job()) {
                ("/api/jobs", _) => &list,
                (_, Some(_)) => &detail,
                _ => &class,
            };
            reply(200, &headers, body.clone())
        })
        .await
    }
}

fn assert_refused(reply: &Reply, kind: &str, route: &str) {
    assert_eq!(reply.status, 502, "{route}: {:.300}", reply.text());
    let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(body["error"]["type"], kind, "{route}: {body}");
}

fn holds(body: &[u8], part: &[u8]) -> bool {
    memchr::memmem::find(body, part).is_some()
}

/// What is JSON, however odd: every route answers, and what shows the value shows it as it is.
#[tokio::test]
async fn what_is_json_however_odd_is_passed_on_as_it_is() {
    let deep_lists = [vec![b'['; 1_000_000], vec![b']'; 1_000_000]].concat();
    let deep_objects = [&br#"{"a":"#.repeat(200_000)[..], b"0", &b"}".repeat(200_000)].concat();
    let odd: [(&str, Vec<u8>); 6] = [
        ("a million lists deep", deep_lists),
        ("two hundred thousand objects deep", deep_objects),
        ("a number of two hundred thousand digits", b"7".repeat(200_000)),
        (
            "a key a hundred thousand times",
            [b"{".to_vec(), br#""id": 1, "#.repeat(100_000), br#""id": 2}"#.to_vec()].concat(),
        ),
        (
            "half a surrogate pair",
            br#"["\ud83d", {"\udc00": "\ud83d\ud83d"}]"#.to_vec(),
        ),
        ("no numbers", b"[NaN, -Infinity, 1e999999999, -0.0]".to_vec()),
    ];
    for (name, value) in odd {
        let upstream = Bomb::everywhere(&value).serve().await;
        let shim = Shim::facing(upstream.address, &[]);
        for route in ROUTES {
            let reply = shim.get(route).await;
            assert_eq!(reply.status, 200, "{name}: {route}: {:.300}", reply.text());
            if route.contains("history") {
                assert!(holds(&reply.body, &value), "{name}: {route} does not show it");
            }
        }
        shim.assert_peak_below(192);
    }
}

#[tokio::test]
async fn what_is_no_json_is_a_502_wherever_it_is() {
    let broken: [(&str, Vec<u8>); 8] = [
        ("a million lists that are never closed", vec![b'['; 1_000_000]),
        (
            "a million lists closed as objects",
            [vec![b'['; 1_000_000], vec![b'}'; 1_000_000]].concat(),
        ),
        ("a million closed that were never opened", vec![b']'; 1_000_000]),
        (
            "broken UTF-8 in strings",
            b"[\"\xff\xfe\", {\"\xc0\x80\": \"\xed\xa0\x80\"}]".to_vec(),
        ),
        ("broken UTF-8 outside a string", b"[\xff]".to_vec()),
        ("half an escape", br#"["\u12"]"#.to_vec()),
        ("NUL in a string", b"[\"a\0b\"]".to_vec()),
        (
            "a string that is never closed",
            [b"[\"".to_vec(), vec![b'a'; 1_000_000]].concat(),
        ),
    ];
    for (name, value) in broken {
        let upstream = Bomb::everywhere(&value).serve().await;
        let shim = Shim::facing(upstream.address, &[]);
        for route in ROUTES {
            assert_refused(
                &shim.get(route).await,
                "bad_upstream_answer",
                &format!("{name}: {route}"),
            );
        }
        shim.assert_peak_below(160);
    }
}

#[tokio::test]
async fn the_last_of_repeated_ids_and_states_counts_on_every_route() {
    let job = format!(
        r#"{{"id": "x", "status": "pending", "id": 7, "status": "completed", "create_time": 1, "id": "{ID}"}}"#
    );
    let bomb = Bomb {
        list: format!(r#"{{"jobs": 7, "jobs": [{job}], "pagination": {{"has_more": false}}}}"#).into_bytes(),
        detail: job.into_bytes(),
        ..Bomb::default()
    };
    let upstream = bomb.serve().await;
    let shim = Shim::facing(upstream.address, &[]);
    for route in ["/history", "/history/ID", "/api/history_v2/ID"] {
        let reply = shim.get(route).await;
        assert_eq!(reply.status, 200, "{route}");
        assert!(holds(&reply.body, ID.as_bytes()), "{route}: {}", reply.text());
    }
    assert_eq!(
        shim.get("/queue").await.text(),
        r#"{"queue_running": [], "queue_pending": []}"#
    );
}

#[tokio::test]
async fn ten_million_keys_are_read_without_a_place_for_each() {
    let keys = |count| [&b"{"[..], &br#""":0,"#.repeat(count), br#""":0}"#].concat();
    let (many, nodes) = (keys(10_000_000), keys(1_000_000));
    let head = format!(r#"{{"id": "{ID}", "status": "completed", "workflow": {{"prompt": "#);
    let detail = [head.as_bytes(), &nodes, br#"}, "preview_output": "#, &many, b"}"].concat();
    let in_list = [
        br#"{"jobs": [], "pagination": {"has_more": false}, "more": "#,
        &many[..],
        b"}",
    ]
    .concat();
    let size = detail.len() as u64 / (1024 * 1024);
    let bomb = Bomb {
        list: in_list,
        detail,
        ..Bomb::default()
    };
    let upstream = bomb.serve().await;
    let shim = Shim::facing(upstream.address, &[]);
    assert_eq!(shim.get("/history").await.text(), "{}");
    let reply = shim.get("/history/ID").await;
    assert_eq!(reply.status, 200, "{:.300}", reply.text());
    assert!(holds(&reply.body, &nodes));
    // The answer as it came and as it goes, each while it grows, and little else.
    shim.assert_peak_below(4 * size + 64);
    assert_eq!(calls(&upstream), 2);
}

/// A prompt of more nodes than can be told apart is shown, without a call for each of its classes.
#[tokio::test]
async fn a_hundred_thousand_classes_are_not_asked_for() {
    let nodes: Vec<_> = (0..100_000)
        .map(|nth| format!(r#""{nth}": {{"class_type": "C{nth}"}}"#))
        .collect();
    let detail = format!(
        r#"{{"id": "{ID}", "status": "completed", "outputs": {{"9": {{}}}}, "workflow": {{"prompt": {{{}}}}}}}"#,
        nodes.join(", ")
    );
    let bomb = Bomb {
        detail: detail.into_bytes(),
        ..Bomb::default()
    };
    let upstream = bomb.serve().await;
    let shim = Shim::facing(upstream.address, &[]);
    let reply = shim.get("/history/ID").await;
    assert!(
        holds(&reply.body, br#"{"create_time": 0}, ["9"]], "outputs""#),
        "{:.300}",
        reply.text()
    );
    assert_eq!(calls(&upstream), 1);
}

/// How many calls clients led to.
fn calls(upstream: &Scripted) -> usize {
    upstream.count(|one| one.headers.contains_key("x-request-id"))
}

/// How many bytes the other end of a connection has got and not read, by the system's own table.
fn unread(stream: &TcpStream) -> usize {
    let (here, there) = (stream.local_addr(), stream.peer_addr());
    let (Ok(here), Ok(there)) = (here, there) else { return 0 };
    let table = fs::read_to_string("/proc/net/tcp").expect("connections");
    // Number, own address, address of the other end, state, bytes to be sent and to be read.
    let queue = table.lines().find_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().take(5).collect();
        let ends = [there, here].map(|end| format!(":{:04X}", end.port()));
        let meant = columns.len() == 5 && columns[1].ends_with(&ends[0]) && columns[2].ends_with(&ends[1]);
        meant.then(|| columns[4].split_once(':'))?
    });
    let unread = queue.map(|(_, unread)| usize::from_str_radix(unread, 16).expect("a number"));
    unread.unwrap_or(0)
}

#[tokio::test]
async fn a_number_of_two_gigabytes_is_left_at_the_limit() {
    const CHUNK: usize = 256 * 1024;
    const LIMIT: usize = 32 * 1024 * 1024;
    const WHOLE: usize = 2 * 1024 * 1024 * 1024;
    /// What the answer may have beyond its limit: one piece that is sent, one that lies unread, and what is read at a time.
    const BEYOND: usize = 1024 * 1024;
    for announced in [false, true] {
        let (sent, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (count, ended) = (Arc::clone(&sent), Arc::clone(&over));
        let upstream = raw(move |mut stream, _| {
            let (count, ended) = (Arc::clone(&count), Arc::clone(&ended));
            async move {
                let length = match announced {
                    true => format!("content-length: {}\r\n", WHOLE + 9),
                    false => String::new(),
                };
                let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\n{length}\r\n{{\"jobs\": ");
                let _ = stream.write_all(head.as_bytes()).await;
                let digits = vec![b'7'; CHUNK];
                let mut left = WHOLE;
                while left > 0 && stream.write_all(&digits).await.is_ok() {
                    left -= CHUNK;
                    count.fetch_add(CHUNK, Ordering::SeqCst);
                    // The system would take any number for a reader who is late.
                    as_soon_as("what was sent is read", || unread(&stream) <= CHUNK).await;
                }
                ended.notify_one();
            }
        })
        .await;
        let shim = Shim::facing(upstream, &["--max-answer-bytes", &LIMIT.to_string()]);
        for route in ROUTES {
            sent.store(0, Ordering::SeqCst);
            let reply = shim.get(route).await;
            assert_refused(&reply, "upstream_answer_too_large", route);
            // It is told at once, and not by a timeout, that nobody listens.
            within("the end of the connection", over.notified()).await;
            let taken = sent.load(Ordering::SeqCst);
            let most = if announced { BEYOND } else { LIMIT + BEYOND };
            assert!(taken <= most, "{route}: {taken} bytes were taken, {most} are allowed");
        }
        shim.assert_peak_below(if announced { 64 } else { 160 });
    }
}

/// A megabyte of nothing, folded by gzip to 1,051 bytes.
fn folded() -> Vec<u8> {
    let head = b"\x1f\x8b\x08\0\0\0\0\0\x02\x03\xed\xc1\x31\x01\0\0\0\xc2\xa0\xf5\x4f\x6d\x08\x5f\xa0";
    [&head[..], &[0; 1016], b"\x3e\x03\x1c\xea\x38\xa7\0\0\x10\0"].concat()
}

#[tokio::test]
async fn an_answer_that_would_unfold_a_thousandfold_is_refused_unread() {
    for encoding in ["gzip", "GZIP", "x-gzip", "br", "zstd", "identity, gzip"] {
        let bomb = Bomb {
            list: folded(),
            detail: folded(),
            class: folded(),
            headers: vec![("content-type", "application/json"), ("content-encoding", encoding)],
        };
        let upstream = bomb.serve().await;
        let shim = Shim::facing(upstream.address, &[]);
        for route in ROUTES {
            let reply = shim.get(route).await;
            assert_refused(&reply, "upstream_interrupted", route);
            let said = reply.text();
            assert!(said.contains(encoding) && said.contains("encod"), "{route}: {said}");
        }
        let asked = upstream.all();
        assert!(asked.len() >= ROUTES.len());
        for one in asked {
            let encodings: Vec<_> = one.headers.get_all("accept-encoding").iter().collect();
            assert_eq!(encodings, ["identity"]);
        }
        shim.assert_peak_below(64);
    }
    // Nor is it unfolded when nothing says that it is folded.
    let bomb = Bomb {
        list: folded(),
        detail: folded(),
        ..Bomb::default()
    };
    let upstream = bomb.serve().await;
    let shim = Shim::facing(upstream.address, &[]);
    for route in ROUTES {
        assert_refused(&shim.get(route).await, "bad_upstream_answer", route);
    }
}
