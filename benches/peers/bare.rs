//! The limit: what hyper itself costs, with as little around it as the work allows. Also the upstream behind everyone.
//!
//! One thread, one runtime, no checks: it knows where things are in the jobs of `jobs.rs`. It keeps no rule that a
//! proxy must keep, and is no model for one.

use crate::jobs::{JOBS, LISTED, OUTPUT_CLASS, SIZES, detail, id, list};
use bytes::{Bytes, BytesMut};
use clap::{Args, ValueEnum};
use http::{HeaderValue, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Either, Full};
use hyper::{
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use std::{cell::RefCell, collections::HashMap, error::Error, io, net::SocketAddr, ops::Range, rc::Rc};
use tokio::net::{TcpListener, TcpStream};

#[derive(Args)]
pub struct Bare {
    #[arg(value_enum)]
    role: Role,
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    upstream: Option<SocketAddr>,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum Role {
    /// Fixed answers: the server behind the proxies.
    Upstream,
    /// A request in, the same request out, the answer back.
    Pass,
    /// A job's detail fetched and made an entry.
    Splice,
    /// Entries kept ready.
    Memory,
}

type Failure = Box<dyn Error + Send + Sync>;
type Answer = Response<Either<Full<Bytes>, Incoming>>;

struct Shared {
    role: Role,
    upstream: Option<SocketAddr>,
    idle: RefCell<Vec<SendRequest<Incoming>>>,
    fixed: HashMap<String, Bytes>,
    calls: RefCell<[usize; 2]>,
}

pub fn run(bare: &Bare) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let shared = Rc::new(Shared {
        role: bare.role,
        upstream: bare.upstream,
        idle: RefCell::default(),
        fixed: fixed(bare.role),
        calls: RefCell::default(),
    });
    let tasks = tokio::task::LocalSet::new();
    tasks.block_on(&runtime, async {
        let listener = TcpListener::bind(bare.listen).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let shared = Rc::clone(&shared);
            tokio::task::spawn_local(async move {
                let answer = service_fn(|request| shared.answer(request));
                // A client that goes away is how a connection ends.
                let _ = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer)
                    .await;
            });
        }
    })
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Result<Answer, Failure> {
        match self.role {
            Role::Upstream => Ok(self.upstream(request.uri().path())),
            Role::Pass => Ok(self.send(request).await?.map(Either::Right)),
            Role::Splice => self.splice(request).await,
            Role::Memory => {
                let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
                Ok(self.fixed.get(target).map_or_else(missing, |body| json(body.clone())))
            }
        }
    }

    fn upstream(&self, path: &str) -> Answer {
        if path == "/calls" {
            let [lists, details] = *self.calls.borrow();
            return json(format!("[{lists}, {details}]").into());
        }
        let class = path.strip_prefix("/object_info/");
        if let Some(class) = class {
            let output = class == OUTPUT_CLASS;
            return json(format!("{{\"{class}\": {{\"output_node\": {output}}}}}").into());
        }
        let kind = if path.starts_with("/api/jobs/") { 1 } else { 0 };
        if path.starts_with("/api/jobs") {
            self.calls.borrow_mut()[kind] += 1;
        }
        self.fixed.get(path).map_or_else(missing, |body| json(body.clone()))
    }

    /// Sends on a connection that lies idle, or a new one.
    async fn send(&self, request: Request<Incoming>) -> Result<Response<Incoming>, Failure> {
        let idle = {
            let mut idle = self.idle.borrow_mut();
            let ready = idle.iter().rposition(SendRequest::is_ready);
            ready.map(|at| idle.swap_remove(at))
        };
        let mut sender = match idle {
            Some(sender) => sender,
            None => {
                let address = self.upstream.ok_or("no upstream")?;
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                let (sender, connection) = handshake(TokioIo::new(stream)).await?;
                tokio::task::spawn_local(connection);
                sender
            }
        };
        let response = sender.send_request(request).await?;
        self.idle.borrow_mut().push(sender);
        Ok(response)
    }

    async fn splice(&self, mut request: Request<Incoming>) -> Result<Answer, Failure> {
        let id = request.uri().path().trim_start_matches("/history/").to_owned();
        *request.uri_mut() = format!("/api/jobs/{id}").parse()?;
        let mut body = self.send(request).await?.into_body();
        let mut job = BytesMut::new();
        while let Some(frame) = body.frame().await {
            job.extend_from_slice(frame?.data_ref().map_or(&[][..], |data| data));
        }
        Ok(json(entry(&id, &job).into()))
    }
}

fn json(body: Bytes) -> Answer {
    let mut response = Response::new(Either::Left(Full::new(body)));
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json; charset=utf-8"),
    );
    response
}

fn missing() -> Answer {
    let mut response = json(Bytes::from_static(b"{}"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

/// What a role answers with as it is.
fn fixed(role: Role) -> HashMap<String, Bytes> {
    let jobs = || SIZES.into_iter().flat_map(|size| (0..JOBS).map(move |nth| (size, nth)));
    let entry_of = |size, nth| entry(&id(size, nth), detail(size, nth).as_bytes());
    let mut fixed = HashMap::new();
    match role {
        Role::Pass | Role::Splice => {}
        Role::Memory => {
            let entries = jobs().map(|(size, nth)| (format!("/history/{}", id(size, nth)), entry_of(size, nth).into()));
            fixed.extend(entries);
            fixed.insert("/history?max_items=64".to_owned(), history().into());
        }
        Role::Upstream => {
            for (name, length) in [("1k", 1_000), ("70k", 70_000), ("5m", 5_000_000)] {
                fixed.insert(format!("/view/{name}"), vec![b'x'; length].into());
            }
            for (size, nth) in jobs() {
                fixed.insert(format!("/api/jobs/{}", id(size, nth)), detail(size, nth).into());
                fixed.insert(format!("/history/{}", id(size, nth)), entry_of(size, nth).into());
            }
            fixed.insert("/api/jobs".to_owned(), list().into());
            fixed.insert("/history".to_owned(), history().into());
        }
    }
    fixed
}

/// The listed jobs as `GET /history` shows them.
fn history() -> Vec<u8> {
    let entries = (0..LISTED).map(|nth| entry(&id(SIZES[0], nth), detail(SIZES[0], nth).as_bytes()));
    let inner: Vec<Vec<u8>> = entries.map(|entry| entry[1..entry.len() - 1].to_vec()).collect();
    [b"{", &inner.join(&b", "[..])[..], b"}"].concat()
}

/// `{id: entry}` of a job: one pass over it, which trusts that it is well formed.
fn entry(id: &str, job: &[u8]) -> Vec<u8> {
    let (mut priority, mut prompt, mut extra, mut outputs, mut status) = (0..0, 0..0, 0..0, 0..0, 0..0);
    let (mut targets, mut meta) = (Vec::new(), Vec::new());
    members(job, 0, &mut |key, at| match key {
        b"priority" => note(&mut priority, at, skip(job, at)),
        b"execution_status" => note(&mut status, at, skip(job, at)),
        b"outputs" => {
            let end = members(job, at, &mut |node, at| {
                let (id, display) = (b"\": {\"node_id\": \"", b"\", \"display_node\": \"");
                let real = b"\", \"parent_node\": null, \"real_node_id\": \"";
                add(&mut meta, &[b"\"", node, id, node, display, node, real, node, b"\"}"]);
                skip(job, at)
            });
            note(&mut outputs, at, end)
        }
        b"workflow" => members(job, at, &mut |key, at| match key {
            b"prompt" => {
                let end = members(job, at, &mut |node, at| {
                    members(job, at, &mut |key, at| {
                        let end = skip(job, at);
                        if key == b"class_type" && &job[at + 1..end - 1] == OUTPUT_CLASS.as_bytes() {
                            add(&mut targets, &[b"\"", node, b"\""]);
                        }
                        end
                    })
                });
                note(&mut prompt, at, end)
            }
            b"extra_data" => note(&mut extra, at, skip(job, at)),
            _ => skip(job, at),
        }),
        _ => skip(job, at),
    });
    let mut out = Vec::with_capacity(job.len() + 256);
    for part in [
        &b"{\""[..],
        id.as_bytes(),
        b"\": {\"prompt\": [",
        &job[priority],
        b", \"",
        id.as_bytes(),
        b"\", ",
        &job[prompt],
        b", ",
        &job[extra],
        b", [",
        &targets,
        b"]], \"outputs\": ",
        &job[outputs],
        b", \"status\": ",
        &job[status],
        b", \"meta\": {",
        &meta,
        b"}}}",
    ] {
        out.extend_from_slice(part);
    }
    out
}

fn note(place: &mut Range<usize>, start: usize, end: usize) -> usize {
    *place = start..end;
    end
}

/// Adds the next item of a list.
fn add(out: &mut Vec<u8>, parts: &[&[u8]]) {
    if !out.is_empty() {
        out.extend_from_slice(b", ");
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

/// Calls `member` with each key of the object at `at` and the place of its value; it gives the value's end.
fn members(text: &[u8], at: usize, member: &mut impl FnMut(&[u8], usize) -> usize) -> usize {
    let mut at = at + 1;
    loop {
        match text[at] {
            b'}' => return at + 1,
            b'"' => {
                let end = skip(text, at);
                at = member(&text[at + 1..end - 1], end + 2);
            }
            _ => at += 1,
        }
    }
}

/// Where the value at `at` ends.
fn skip(text: &[u8], mut at: usize) -> usize {
    let mut depth = 0;
    loop {
        match text[at] {
            b'"' => {
                at += 1;
                loop {
                    at += memchr::memchr2(b'"', b'\\', &text[at..]).unwrap_or_default();
                    if text[at] == b'"' {
                        break;
                    }
                    at += 2;
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => {
                if depth == 0 {
                    return at;
                }
                depth -= 1;
            }
            b',' if depth == 0 => return at,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 1;
        if depth == 0 {
            return at;
        }
    }
}
