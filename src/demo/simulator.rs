//! The simulated upstream as a server: the Jobs API, prompts and their pictures; every legacy endpoint is 404.

use super::{
    board::{Board, Reply, Rules},
    listening::{Body, serve},
    now,
    prompts::{PICTURE, Prompts, is_made},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header::CONTENT_TYPE, request::Parts,
};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use parking_lot::Mutex;
use percent_encoding::percent_decode_str;
use std::{io, net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, task::JoinHandle};

/// What a simulated upstream does besides answering.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Added to every answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The only `X-API-Key` that is let in.
    pub key: Option<String>,
    /// ComfyUI's rule: a request that a browser marks as coming from another site is refused.
    pub origin_rule: bool,
}

/// One request that arrived.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Such as GET.
    pub method: Method,
    /// Path and query, as sent.
    pub target: String,
    /// As sent.
    pub headers: HeaderMap,
    /// As sent.
    pub body: Bytes,
}

struct Shared {
    board: Mutex<Board>,
    prompts: Mutex<Prompts>,
    options: Options,
    seen: Mutex<Vec<Seen>>,
}

/// A running simulated upstream; it stops when dropped.
pub struct Simulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Simulator {
    /// Listens on a port of the system's choice.
    pub async fn start(board: Board, options: Options) -> io::Result<Self> {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), board, options).await
    }

    /// Listens on `address`.
    pub async fn start_at(address: SocketAddr, board: Board, options: Options) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let shared = Arc::new(Shared {
            board: Mutex::new(board),
            prompts: Mutex::default(),
            options,
            seen: Mutex::default(),
        });
        Ok(Self {
            address: listener.local_addr()?,
            shared: Arc::clone(&shared),
            task: tokio::spawn(serve(
                listener,
                Arc::new(move |request| Box::pin(answer(Arc::clone(&shared), request))),
            )),
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The targets that arrived so far and begin with `prefix`.
    pub fn targets(&self, prefix: &str) -> Vec<String> {
        let seen = self.shared.seen.lock();
        let targets = seen.iter().map(|seen| seen.target.clone());
        targets.filter(|target| target.starts_with(prefix)).collect()
    }

    /// What arrived so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().clone()
    }

    /// Looks at the jobs, or changes them.
    pub fn with_board<T>(&self, look: impl FnOnce(&mut Board) -> T) -> T {
        look(&mut self.shared.board.lock())
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(shared: Arc<Shared>, request: Request<Incoming>) -> io::Result<Response<Body>> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let whole = |body: Full<Bytes>| body.map_err(|never| match never {}).boxed_unsync();
    Ok(shared.answer(&head, body).map(whole))
}

impl Shared {
    fn answer(&self, request: &Parts, body: Bytes) -> Response<Full<Bytes>> {
        self.seen.lock().push(Seen {
            method: request.method.clone(),
            target: request.uri.to_string(),
            headers: request.headers.clone(),
            body: body.clone(),
        });
        self.prompts.lock().end_due(&mut self.board.lock(), now());
        let refusal = self.refusal(request);
        let (status, content_type, body) = match self.picture(request).filter(|_| refusal.is_none()) {
            Some(picture) => (StatusCode::OK, "image/png", picture),
            None => self.text(
                refusal
                    .or_else(|| self.prompt(request, &body))
                    .or_else(|| self.jobs_api(request, &body)),
            ),
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        for (name, value) in &self.options.headers {
            response.headers_mut().append(name, value.clone());
        }
        response
    }

    /// A reply as it is sent; without one, what is not there.
    fn text(&self, reply: Option<Reply>) -> (StatusCode, &'static str, Bytes) {
        let (status, body) = reply.unwrap_or((404, String::new()));
        let status = StatusCode::from_u16(status).unwrap_or_default();
        let cloud = self.board.lock().rules == Rules::Cloud;
        let (content_type, body) = match (body.is_empty(), cloud) {
            (true, _) => {
                let reason = status.canonical_reason().unwrap_or_default();
                ("text/plain; charset=utf-8", format!("{}: {reason}", status.as_u16()))
            }
            (false, true) => ("application/json", body),
            (false, false) => ("application/json; charset=utf-8", body),
        };
        (status, content_type, Bytes::from(body))
    }

    fn refusal(&self, request: &Parts) -> Option<Reply> {
        let header = |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok());
        if self.options.origin_rule && header("sec-fetch-site") == Some("cross-site") {
            return Some((403, r#"{"error": "cross-site"}"#.to_owned()));
        }
        let key = self.options.key.as_deref()?;
        let refused = r#"{"code": "UNAUTHORIZED", "message": "a valid key is needed"}"#;
        (header("x-api-key") != Some(key)).then(|| (401, refused.to_owned()))
    }

    /// The path without `/api`, which the cloud wants and others take.
    fn own_path<'r>(&self, request: &'r Parts) -> Option<&'r str> {
        let path = request.uri.path();
        match path.strip_prefix("/api") {
            Some(own) if own.starts_with('/') => Some(own),
            _ => (self.board.lock().rules != Rules::Cloud).then_some(path),
        }
    }

    fn picture(&self, request: &Parts) -> Option<Bytes> {
        let reads = matches!(request.method, Method::GET | Method::HEAD);
        let asks = reads && self.own_path(request) == Some("/view");
        let made = asks && is_made(&self.board.lock(), request.uri.query().unwrap_or_default());
        made.then(|| Bytes::from_static(PICTURE))
    }

    fn prompt(&self, request: &Parts, body: &[u8]) -> Option<Reply> {
        let asks = request.method == Method::POST && self.own_path(request) == Some("/prompt");
        asks.then(|| self.prompts.lock().take(&mut self.board.lock(), body, now()))
    }

    fn jobs_api(&self, request: &Parts, body: &[u8]) -> Option<Reply> {
        let own_path = self.own_path(request);
        let mut board = self.board.lock();
        let path = request.uri.path();
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        if request.method == Method::POST {
            return match path.strip_prefix("/api/jobs/")?.strip_suffix("cancel")? {
                "" => Some(board.cancel_many(body, now())),
                id => Some(board.cancel(&decode(id.strip_suffix('/')?), now())),
            };
        }
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return None;
        }
        if path == "/api/jobs" {
            return Some(board.list(request.uri.query().unwrap_or_default()));
        }
        if let Some(id) = path.strip_prefix("/api/jobs/") {
            return Some(board.detail(&decode(id)));
        }
        let class = own_path?.strip_prefix("/object_info/")?;
        Some(board.class(&decode(class)))
    }
}
