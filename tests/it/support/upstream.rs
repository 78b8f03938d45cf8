//! Upstreams that do what a test wants: scripted answers, raw bytes, and one that holds back until told.

use super::{
    accepting::{ANY, Accepting},
    wait::within,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use jobshim::demo::Board;
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, Semaphore},
};
use tokio_rustls::TlsAcceptor;

pub type TestBody = BoxBody<Bytes, io::Error>;

pub fn full(bytes: impl Into<Bytes>) -> TestBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// A status, headers and a body.
pub fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<TestBody> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(full(body)).expect("a response")
}

/// An upstream that answers by a function; it stops, and drops its connections, when dropped.
pub struct Scripted {
    pub address: SocketAddr,
    /// Connections accepted so far.
    pub connections: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    _server: Accepting,
}

impl Scripted {
    pub async fn start<F, A>(answer: F) -> Self
    where
        F: Fn(Request<Incoming>) -> A + Send + Sync + 'static,
        A: Future<Output = Response<TestBody>> + Send + 'static,
    {
        let connections = Arc::new(AtomicUsize::new(0));
        let ended = Arc::new(AtomicUsize::new(0));
        let (count, gone) = (Arc::clone(&connections), Arc::clone(&ended));
        let answer = Arc::new(answer);
        let server = Accepting::start(ANY, move |stream, _| {
            count.fetch_add(1, Ordering::SeqCst);
            let answer = Arc::clone(&answer);
            let service = service_fn(move |request| {
                let reply = answer(request);
                async move { Ok::<_, Infallible>(reply.await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let gone = Arc::clone(&gone);
            async move {
                let _ = connection.with_upgrades().await;
                gone.fetch_add(1, Ordering::SeqCst);
            }
        });
        let server = server.await;
        Self {
            address: server.address,
            connections,
            ended,
            _server: server,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections there are now.
    pub fn open(&self) -> usize {
        let ended = self.ended.load(Ordering::SeqCst);
        self.connections.load(Ordering::SeqCst) - ended
    }
}

/// One request as an upstream got it.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub method: Method,
    pub target: String,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// An upstream that notes every request and answers each with the same.
pub struct Recorder {
    pub upstream: Scripted,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl Recorder {
    pub async fn start(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Self {
        let arrived = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&arrived);
        let headers: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        let body = Bytes::copy_from_slice(body.as_ref());
        let upstream = Scripted::start(move |request| {
            let (notes, headers, answer) = (Arc::clone(&notes), headers.clone(), body.clone());
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.expect("a body").to_bytes();
                notes.lock().expect("notes").push(Arrived {
                    method: head.method,
                    target: head.uri.to_string(),
                    headers: head.headers,
                    body,
                });
                let headers: Vec<(&str, &str)> = headers
                    .iter()
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect();
                reply(status, &headers, answer)
            }
        })
        .await;
        Self { upstream, arrived }
    }

    pub fn url(&self) -> String {
        self.upstream.url()
    }

    /// All that arrived.
    pub fn all(&self) -> Vec<Arrived> {
        self.arrived.lock().expect("notes").clone()
    }

    /// What arrived, without jobshim's own first question.
    pub fn arrived(&self) -> Vec<Arrived> {
        self.all()
            .into_iter()
            .filter(|one| !one.target.contains("/api/jobs?"))
            .collect()
    }
}

/// An upstream of raw bytes: `answer` gets the connection once the head of a request has been read.
pub async fn raw<F, A>(answer: F) -> SocketAddr
where
    F: Fn(TcpStream, String) -> A + Send + Sync + 'static,
    A: Future<Output = ()> + Send + 'static,
{
    let answer = Arc::new(answer);
    let server = Accepting::start(ANY, move |mut stream, _| {
        let answer = Arc::clone(&answer);
        async move {
            if let Some(head) = read_head(&mut stream).await {
                answer(stream, head).await;
            }
        }
    });
    server.await.detach()
}

/// A raw upstream that writes `bytes` and closes.
pub async fn raw_bytes(bytes: impl Into<Bytes>) -> SocketAddr {
    let bytes = bytes.into();
    raw(move |mut stream, _| {
        let bytes = bytes.clone();
        async move {
            let _ = stream.write_all(&bytes).await;
        }
    })
    .await
}

/// The head of a message, to the empty line and no further; `None` when the connection ended before.
pub async fn read_head(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    Some(String::from_utf8_lossy(&head).into_owned())
}

/// An upstream that holds back every job detail until it is opened.
pub struct Gate {
    upstream: Scripted,
    waiting: Arc<AtomicUsize>,
    arrived: Arc<Notify>,
    gate: Arc<Semaphore>,
}

impl Gate {
    pub async fn start(board: Board) -> Self {
        let (waiting, arrived) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let gate = Arc::new(Semaphore::new(0));
        let shared = (Arc::clone(&waiting), Arc::clone(&arrived), Arc::clone(&gate));
        let board = Arc::new(board);
        let upstream = Scripted::start(move |request| {
            let (waiting, arrived, gate) = shared.clone();
            let board = Arc::clone(&board);
            async move {
                let path = request.uri().path();
                let (status, body) = match path.strip_prefix("/api/jobs/") {
                    Some(id) => {
                        waiting.fetch_add(1, Ordering::SeqCst);
                        arrived.notify_one();
                        let _permit = gate.acquire().await.expect("the gate");
                        board.detail(id)
                    }
                    None => board.list(request.uri().query().unwrap_or_default()),
                };
                reply(status, &[("content-type", "application/json")], body)
            }
        })
        .await;
        Self {
            upstream,
            waiting,
            arrived,
            gate,
        }
    }

    pub fn url(&self) -> String {
        self.upstream.url()
    }

    /// How many details have been asked for.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    pub async fn until_waiting(&self, count: usize) {
        let waiting = async {
            while self.waiting() < count {
                self.arrived.notified().await;
            }
        };
        within(&format!("{count} details that wait"), waiting).await;
    }

    pub fn open(&self) {
        self.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }
}

/// A https server for `localhost`.
pub struct Secure {
    pub port: u16,
    /// Its own certificate, as PEM.
    pub certificate: String,
}

/// A https server that answers everything with `body`.
pub async fn secure(body: &'static str) -> Secure {
    let own = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let server = Accepting::start(ANY, move |stream, _| {
        let acceptor = acceptor.clone();
        async move {
            // A client that does not trust the certificate ends the handshake.
            if let Ok(stream) = acceptor.accept(stream).await {
                let service = service_fn(move |_| async move { Ok::<_, Infallible>(reply(200, &[], body)) });
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            }
        }
    });
    Secure {
        port: server.await.detach().port(),
        certificate: own.cert.pem(),
    }
}
