//! A stop in the middle of load. What jobshim has begun is in its log, by the ids that clients gave their requests: every
//! one of those must have been answered whole, and whatever a client did not get an answer to must never have been begun.

#![cfg(unix)]

use crate::support::{
    program::Program,
    upstream::{Scripted, reply},
    wait::as_soon_as,
};
use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{net::TcpStream, task::JoinSet};

/// Answers before the stop.
const WARM: usize = 1000;
const LIST: &str = r#"{"jobs": [], "pagination": {"offset": 0, "limit": null, "total": 0, "has_more": false}}"#;

/// Why a request got no answer, or not all of one.
#[derive(Debug)]
enum Lost {
    /// The connection took no more requests.
    NotSent,
    /// Its stream is above the last one of a GOAWAY (RFC 9113 section 6.8).
    NotAccepted,
    Otherwise(String),
}

/// What clients came through, all together.
#[derive(Default)]
struct Lives {
    made: AtomicUsize,
    answered: Mutex<BTreeSet<String>>,
    lost: Mutex<BTreeMap<String, Lost>>,
    /// Those of them whose connection had taken requests before, and had not said that it would end.
    cut_off: Mutex<Vec<String>>,
}

impl Lives {
    /// One request after the other: what passes, what is translated, and what has a body.
    fn request(&self, version: Version) -> (String, Request<Bytes>) {
        let number = self.made.fetch_add(1, SeqCst);
        let id = format!("test-{number}");
        let (method, path, body) = match number % 3 {
            0 => (Method::GET, "/x", ""),
            1 => (Method::POST, "/x", "a body"),
            _ => (Method::GET, "/queue", ""),
        };
        let uri = match version {
            Version::HTTP_2 => format!("http://a{path}"),
            _ => path.to_owned(),
        };
        let request = Request::builder().method(method).uri(uri).header("x-request-id", &id);
        let request = match version {
            Version::HTTP_2 => request,
            _ => request.header("host", "a"),
        };
        (id, request.body(Bytes::from(body)).expect("a request"))
    }

    /// Notes what became of a request; whether its connection goes on.
    fn note(&self, id: String, answer: Result<Response<Bytes>, Lost>) -> bool {
        let answer = match answer {
            Ok(answer) => answer,
            Err(lost) => {
                self.lost.lock().expect("lost").insert(id, lost);
                return false;
            }
        };
        assert!(answer.status() == 200 && !answer.body().is_empty(), "{answer:?}");
        self.answered.lock().expect("answered").insert(id);
        let connection = answer.headers().get("connection");
        connection.is_none_or(|option| option != "close")
    }
}

/// Asks on one kept connection after the other until none is taken.
async fn http1(at: SocketAddr, lives: Arc<Lives>) {
    while let Ok(stream) = TcpStream::connect(at).await {
        let Ok((mut sender, connection)) = http1::handshake(TokioIo::new(stream)).await else {
            continue;
        };
        let connection = tokio::spawn(connection);
        let mut first = true;
        loop {
            let (id, request) = lives.request(Version::HTTP_11);
            let answer = sender.send_request(request.map(Full::new)).await;
            if !first && answer.is_err() {
                lives.cut_off.lock().expect("cut off").push(id.clone());
            }
            let whole = async {
                let (head, body) = answer?.into_parts();
                Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
            };
            let whole = whole
                .await
                .map_err(|error: hyper::Error| Lost::Otherwise(format!("{error:?}")));
            if !lives.note(id, whole) {
                break;
            }
            first = false;
        }
        connection.abort();
    }
}

/// The same, ten requests at a time. By h2 itself: hyper's client (1.12) gives up a request that it has just handed to h2 if
/// the first GOAWAY, which forbids new streams only, comes at that moment, and calls it an error of the server, which has
/// the request and answers it.
async fn http2(at: SocketAddr, lives: Arc<Lives>) {
    while let Ok(stream) = TcpStream::connect(at).await {
        let Ok((sender, connection)) = h2::client::handshake(stream).await else {
            continue;
        };
        let connection = tokio::spawn(connection);
        let mut streams = JoinSet::new();
        for _ in 0..10 {
            let (sender, lives) = (sender.clone(), Arc::clone(&lives));
            streams.spawn(async move {
                loop {
                    let (id, request) = lives.request(Version::HTTP_2);
                    let answer = ask_http2(sender.clone(), request).await;
                    if !lives.note(id, answer) {
                        return;
                    }
                }
            });
        }
        drop(sender);
        streams.join_all().await;
        connection.abort();
    }
}

async fn ask_http2(sender: SendRequest<Bytes>, request: Request<Bytes>) -> Result<Response<Bytes>, Lost> {
    let mut sender = sender.ready().await.map_err(|_| Lost::NotSent)?;
    let (head, content) = request.into_parts();
    let sent = sender.send_request(Request::from_parts(head, ()), content.is_empty());
    let (answer, mut body) = sent.map_err(|_| Lost::NotSent)?;
    if !content.is_empty() {
        // What keeps it from being sent is what the answer tells.
        let _ = body.send_data(content, true);
    }
    let whole = async {
        let (head, mut body) = answer.await?.into_parts();
        let mut content = Vec::new();
        while let Some(piece) = body.data().await {
            let piece = piece?;
            body.flow_control().release_capacity(piece.len())?;
            content.extend_from_slice(&piece);
        }
        Ok(Response::from_parts(head, Bytes::from(content)))
    };
    whole.await.map_err(|error: h2::Error| {
        // h2 tells a stream of a GOAWAY only where the last one is below it.
        match error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR) {
            true => Lost::NotAccepted,
            false => Lost::Otherwise(format!("{error:?}")),
        }
    })
}

/// Begins with `clients`, stops in the middle, and compares what they came through with what the program says it did. Gives
/// what is wrong, and what was lost and why.
async fn stop_under_load<C>(
    clients: usize,
    client: impl Fn(SocketAddr, Arc<Lives>) -> C,
) -> (Vec<String>, BTreeMap<String, Lost>)
where
    C: Future<Output = ()> + Send + 'static,
{
    let upstream = Scripted::start(|request| async move {
        let list = request.uri().path() == "/api/jobs";
        request.into_body().collect().await.expect("a whole body");
        // An answer takes a moment, so that the stop finds some under way.
        tokio::time::sleep(Duration::from_millis(3)).await;
        reply(200, &[], if list { LIST } else { "whole" })
    })
    .await;
    let mut program = Program::before(&upstream.url(), &["--dialect", "comfyui"]);
    let (at, lives) = (program.address(), Arc::new(Lives::default()));
    let mut running = JoinSet::new();
    for _ in 0..clients {
        running.spawn(client(at, Arc::clone(&lives)));
    }
    as_soon_as("enough is answered", || {
        lives.answered.lock().expect("answered").len() >= WARM
    })
    .await;
    program.signal("TERM");
    running.join_all().await;
    assert_eq!(program.end().code(), Some(0));
    let value = |line: &str, name: &str| {
        let (_, rest) = line.split_once(name)?;
        rest.split_whitespace().next().map(str::to_owned)
    };
    let mut begun = BTreeMap::new();
    for line in &program.log {
        if let Some(id) = value(line, "request_id=") {
            begun.insert(id.trim_matches('"').to_owned(), line.clone());
        }
    }
    let answered = lives.answered.lock().expect("answered");
    let lost = mem::take(&mut *lives.lost.lock().expect("lost"));
    println!(
        "{} begun, {} answered, {} never begun",
        begun.len(),
        answered.len(),
        lost.len()
    );
    let mut wrong: Vec<String> = lives.cut_off.lock().expect("cut off").clone();
    wrong
        .iter_mut()
        .for_each(|id| *id += ": a kept connection ended without a word");
    for (id, line) in &begun {
        if !answered.contains(id) {
            wrong.push(format!("{id} was begun and not answered: {:?}, {line}", lost.get(id)));
        } else if !line.contains("status=200") || !line.contains("complete=true") {
            wrong.push(format!("the log tells otherwise of {id}: {line}"));
        }
    }
    wrong.extend(answered.iter().filter(|id| !begun.contains_key(*id)).cloned());
    (wrong, lost)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_loses_no_request_that_was_accepted() {
    for _ in 0..3 {
        let (wrong, _) = stop_under_load(100, http1).await;
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_under_load_over_http2_loses_no_request_that_was_accepted() {
    for _ in 0..3 {
        let (wrong, lost) = stop_under_load(10, http2).await;
        assert!(wrong.is_empty(), "{wrong:#?}");
        // Clients may ask elsewhere: it was not sent, or they heard that it came too late.
        let untold: Vec<_> = lost
            .values()
            .filter_map(|lost| match lost {
                Lost::Otherwise(why) => Some(why),
                Lost::NotSent | Lost::NotAccepted => None,
            })
            .collect();
        assert!(untold.is_empty(), "{untold:#?}");
    }
}
