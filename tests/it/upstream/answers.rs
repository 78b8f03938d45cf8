//! What the upstream may say, and what becomes of its connection: jobshim reads answers itself, so each is read by another
//! client too.

use crate::support::{
    Client, Running, facing,
    raw::{exchange, sender},
    upstream::{raw, raw_bytes, read_head},
    wait::{PATIENCE, within},
};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Semaphore, oneshot},
    time::timeout,
};

/// Answers of every kind, some of them wrong.
const ANSWERS: [&str; 24] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nConnection: close\r\n\r\nhello, and more",
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
    "HTTP/1.1 200 OK\r\n\r\nuntil the end",
    "HTTP/1.0 200 OK\r\nServer: old\r\n\r\nuntil the end",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\n, a\r\n0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\nhello\r\n0\r\n\r\n",
    "HTTP/1.1 204 No Content\r\nX: y\r\n\r\n",
    "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 5\r\n\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 404 Nothing Here\r\nContent-Length: 2\r\n\r\nno",
    "HTTP/1.1 500 \r\nContent-Length: 2\r\n\r\nno",
    "HTTP/1.1 200 OK\r\nX-Obs: caf\u{e9}\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\r\nX: 1\r\nx: 2\r\nX:3\r\nX:   4  \r\nX:\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "HTTP/1.1 200 OK\r\nX : y\r\n\r\nno",
    "HTTP/1.1 200 OK\r\nX: y\r\n folded\r\n\r\nno",
    "HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
    "HTTP/1.1 299 Strange\r\nContent-Length: 0\r\n\r\n",
    "HTTP/2.0 200 OK\r\n\r\n",
    "<html>not at all</html>",
];

/// What a client has read.
#[derive(Clone, Debug, PartialEq)]
enum Read {
    /// No answer.
    Nothing,
    /// The head of one, and its body if that came to its end.
    Answer(StatusCode, Vec<(String, Vec<u8>)>, Option<Bytes>),
}

async fn read(at: SocketAddr, target: &str) -> Read {
    let mut sender = sender::<Empty<Bytes>>(at).await;
    let request = Request::get(target).header("host", "upstream");
    let request = request.body(Empty::new()).expect("a request");
    let Ok(response) = sender.send_request(request).await else {
        return Read::Nothing;
    };
    let (head, body) = response.into_parts();
    // Of one that came from jobshim itself nothing else is said.
    if head.headers.get("proxy-status").is_some() && head.status == 502 {
        return Read::Nothing;
    }
    let own = [
        "proxy-status",
        "x-request-id",
        "date",
        "transfer-encoding",
        "connection",
        "trailer",
    ];
    let headers = head.headers.iter().filter(|(name, _)| !own.contains(&name.as_str()));
    let mut headers: Vec<_> = headers
        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
        .collect();
    // hyper, which speaks to jobshim's clients, writes none where there is no body, and no 05 for a 0.
    headers.retain(|(name, _)| name != "content-length");
    headers.sort();
    let body = body.collect().await.ok().map(|body| body.to_bytes());
    Read::Answer(head.status, headers, body)
}

/// Bytes that mean something in an answer.
const ODD: &[u8] = b"\r\n :;0159afxX,\0\t";

/// A number that follows from `seed`.
fn next(seed: &mut u64) -> usize {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    (*seed >> 11) as usize
}

/// The answer with a few bytes taken away, put in, doubled or exchanged.
fn changed(answer: &str, seed: &mut u64) -> Vec<u8> {
    let mut bytes: Vec<u8> = answer.chars().map(|one| one as u8).collect();
    for _ in 0..next(seed) % 3 {
        let at = next(seed) % bytes.len();
        let byte = ODD[next(seed) % ODD.len()];
        match next(seed) % 4 {
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, byte),
            2 => bytes[at] = byte,
            _ => bytes.insert(at, bytes[at]),
        }
        if bytes.is_empty() {
            bytes.push(byte);
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_read_as_another_client_reads_it_or_refused() {
    let answers = Arc::new(Mutex::new(Vec::<(Vec<u8>, u64)>::new()));
    let told = Arc::clone(&answers);
    let upstream = raw(move |mut stream, head| {
        let nth = head.split(['/', ' ']).find_map(|word| word.parse::<usize>().ok());
        let (bytes, mut seed) = told.lock().expect("answers")[nth.expect("a number")].clone();
        async move {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (now, later) = rest.split_at((1 + next(&mut seed) % 40).min(rest.len()));
                let _ = stream.write_all(now).await;
                tokio::task::yield_now().await;
                rest = later;
            }
            // What was not read of the request would take back what was said.
            let _ = stream.shutdown().await;
            let _ = timeout(Duration::from_secs(10), stream.read_u8()).await;
        }
    })
    .await;
    let jobshim = facing(&format!("http://{upstream}"), |_| {}).await;
    let (mut seed, mut whole, mut stricter) = (0x5eed_cafe_u64, 0, Vec::new());
    for nth in 0..1200 {
        let answer = ANSWERS[nth % ANSWERS.len()];
        let bytes = match nth < ANSWERS.len() {
            true => answer.chars().map(|one| one as u8).collect(),
            false => changed(answer, &mut seed),
        };
        answers.lock().expect("answers").push((bytes.clone(), seed | 1));
        let target = format!("/view/{nth}");
        let reading = futures_util::future::join(read(upstream, &target), read(jobshim.address, &target));
        let (reference, read) = within("both answers", reading).await;
        let shown = String::from_utf8_lossy(&bytes).into_owned();
        match (&reference, &read) {
            (Read::Answer(.., Some(_)), Read::Nothing | Read::Answer(.., None)) => stricter.push(shown),
            (Read::Answer(.., Some(_)), _) => {
                whole += 1;
                assert_eq!(read, reference, "{shown:?}");
            }
            // Never whole where the other client missed something.
            (Read::Answer(.., None), Read::Answer(_, _, Some(body))) => panic!("{body:?} is whole, of {shown:?}"),
            (Read::Answer(.., None), _) => {}
            (Read::Nothing, _) => assert_eq!(read, Read::Nothing, "{shown:?}"),
        }
    }
    assert!(whole > 400, "only {whole} answers were whole");
    stricter.retain(|answer| !is_refused_on_purpose(answer));
    assert_eq!(stricter, [""; 0], "refused, though another client reads it");
}

/// Whether hyper reads an end there that others may read elsewhere: a coding that is not `chunked`, a length that is no
/// number, a line without a carriage return at the end of the trailers.
fn is_refused_on_purpose(answer: &str) -> bool {
    let is_odd = |line: &str| {
        let line = line.to_ascii_lowercase();
        let value = |name| Some(line.strip_prefix(name)?.trim_matches(['\t', ' ', '\r']));
        let coding = value("transfer-encoding:").is_some_and(|coding| coding != "chunked");
        let length = value("content-length:");
        coding || length.is_some_and(|length| length.is_empty() || length.bytes().any(|byte| !byte.is_ascii_digit()))
    };
    answer.split('\n').any(is_odd) || answer.contains("\r\n0\r\n\n")
}

/// jobshim before a server that gives these answers one after the other, as long as its connections last, and how many
/// connections there have been.
async fn before(answers: &[&str]) -> (Running, Arc<AtomicUsize>) {
    let answers: Vec<String> = answers.iter().map(ToString::to_string).collect();
    let (connections, given) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&connections);
    let upstream = raw(move |mut stream, _| {
        counted.fetch_add(1, SeqCst);
        let (answers, given) = (answers.clone(), Arc::clone(&given));
        async move {
            loop {
                let Some(answer) = answers.get(given.fetch_add(1, SeqCst)) else {
                    return;
                };
                let (answer, ends) = match answer.strip_suffix("<end>") {
                    Some(answer) => (answer, true),
                    None => (&answer[..], false),
                };
                stream.write_all(answer.as_bytes()).await.expect("written");
                if ends || read_head(&mut stream).await.is_none() {
                    return;
                }
            }
        }
    })
    .await;
    (facing(&format!("http://{upstream}"), |_| {}).await, connections)
}

#[tokio::test]
async fn a_connection_is_used_again_after_every_answer_that_says_where_it_ends() {
    let (jobshim, connections) = before(&[
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ])
    .await;
    let client = Client::new();
    for status in [200, 200, 200, 200, 204, 304, 200, 200] {
        assert_eq!(client.get(jobshim.address, "/view").await.status, status);
    }
    assert_eq!(connections.load(SeqCst), 1);
}

#[tokio::test]
async fn a_connection_is_not_used_again_where_its_next_answer_could_be_another_ones() {
    let evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let more = format!("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello{evil}");
    let (jobshim, connections) = before(&[
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\n\r\nhello<end>",
        &more,
        &format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n{evil}"),
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    ])
    .await;
    let client = Client::new();
    for nth in 0..6 {
        let reply = client.get(jobshim.address, "/view").await;
        assert_eq!(
            (reply.status.as_u16(), &reply.text()[..]),
            (200, "hello"),
            "answer {nth}"
        );
    }
    assert_eq!(connections.load(SeqCst), 6);
}

#[tokio::test]
async fn an_answer_that_does_not_wait_for_its_request_does_not_cut_it_off() {
    let (whole, arrived) = oneshot::channel();
    let whole = Arc::new(Mutex::new(Some(whole)));
    let upstream = raw(move |mut stream, head| {
        let whole = Arc::clone(&whole);
        async move {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
                .await
                .expect("written");
            if !head.starts_with("POST") {
                return;
            }
            let mut body = vec![0; 300_000];
            stream.read_exact(&mut body).await.expect("the rest of the request");
            let whole = whole.lock().expect("a sender").take().expect("one upload");
            whole.send(body.iter().all(|byte| *byte == b'x')).expect("a listener");
        }
    })
    .await;
    let jobshim = facing(&format!("http://{upstream}"), |_| {}).await;
    let mut client = TcpStream::connect(jobshim.address).await.expect("a connection");
    let head = "POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 300000\r\n\r\n";
    client.write_all(head.as_bytes()).await.expect("sent");
    client.write_all(&[b'x'; 1000]).await.expect("sent");
    let answer = within("an answer", read_head(&mut client))
        .await
        .expect("an answer before the end of the request");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    client.write_all(&[b'x'; 299_000]).await.expect("the rest");
    let arrived = timeout(PATIENCE, arrived).await.expect("in time");
    assert_eq!(arrived, Ok(true), "what arrived is what was sent");
}

#[tokio::test]
async fn a_refusal_counts_though_the_server_hangs_up_on_the_request() {
    let upstream = raw(|mut stream, _| async move {
        let refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!";
        stream.write_all(refusal).await.expect("written");
    })
    .await;
    let jobshim = facing(&format!("http://{upstream}"), |_| {}).await;
    let client = Client::new();
    for _ in 0..20 {
        let body = Bytes::from(vec![b'x'; 1_000_000]);
        let reply = client.send(Method::POST, jobshim.address, "/upload", &[], body);
        assert_eq!(reply.await.expect("an answer").status, 413);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_call_that_was_made_for_it() {
    let (begun, gone) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (said, left) = (Arc::clone(&begun), Arc::clone(&gone));
    let upstream = raw(move |mut stream, head| {
        let (said, left) = (Arc::clone(&said), Arc::clone(&left));
        async move {
            if head.starts_with("GET /begun") {
                let part = b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\npart";
                stream.write_all(part).await.expect("written");
            }
            said.add_permits(1);
            // The end of the connection.
            let _ = stream.read_u8().await;
            left.add_permits(1);
        }
    })
    .await;
    let jobshim = facing(&format!("http://{upstream}"), |_| {}).await;
    for target in ["/silent", "/begun"] {
        let mut client = TcpStream::connect(jobshim.address).await.expect("a connection");
        let request = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        client.write_all(request.as_bytes()).await.expect("sent");
        within("a call", begun.acquire()).await.expect("a call").forget();
        drop(client);
        let ended = timeout(PATIENCE, gone.acquire()).await;
        ended.expect(target).expect("an end").forget();
    }
}

#[tokio::test]
async fn an_idle_connection_that_the_server_has_closed_is_closed_here_too() {
    let (closed, hears) = oneshot::channel();
    let closed = Arc::new(Mutex::new(Some(closed)));
    let upstream = raw(move |mut stream, _| {
        let closed = Arc::clone(&closed);
        async move {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
            stream.write_all(answer).await.expect("written");
            stream.shutdown().await.expect("closed");
            let ended = stream.read_u8().await.is_err();
            let closed = closed.lock().expect("a sender").take().expect("one connection");
            closed.send(ended).expect("a listener");
        }
    })
    .await;
    let jobshim = facing(&format!("http://{upstream}"), |_| {}).await;
    let request = b"GET /view HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    let answer = exchange(jobshim.address, request).await.expect("an answer");
    assert!(answer.ends_with("ok"), "{answer}");
    let ended = timeout(PATIENCE, hears)
        .await
        .expect("an end, though nothing more is asked");
    assert_eq!(ended, Ok(true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn interim_answers_without_end_are_no_answer() {
    let upstream = raw(|mut stream, _| async move {
        let many = "HTTP/1.1 102 Processing\r\n\r\n".repeat(1000);
        while stream.write_all(many.as_bytes()).await.is_ok() {}
    })
    .await;
    let jobshim = facing(&format!("http://{upstream}"), |_| {}).await;
    let client = Client::new();
    let reply = timeout(PATIENCE, client.get(jobshim.address, "/view"));
    assert_eq!(reply.await.expect("an end").status, 502);
}

#[tokio::test]
async fn what_came_of_an_answer_reaches_its_client_before_the_answer_breaks_off() {
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhalf";
    let upstream = raw_bytes(half).await;
    let jobshim = facing(&format!("http://{upstream}"), |_| {}).await;
    for _ in 0..20 {
        let request = b"GET /view HTTP/1.1\r\nHost: h\r\n\r\n";
        let answer = exchange(jobshim.address, request).await.expect("an end");
        assert!(
            answer.starts_with("HTTP/1.1 200") && answer.ends_with("half"),
            "{answer:?}"
        );
    }
}
