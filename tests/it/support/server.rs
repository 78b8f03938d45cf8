//! Simulated servers with all that a client meets: a queue that the test steps on, `POST /prompt`, uploads, files, a
//! WebSocket, the legacy writes where a test wants them, and for the cloud its keys.

use super::upstream::{Arrived, Scripted, TestBody, reply};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Method, Response, request::Parts};
use http_body_util::BodyExt;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use jobshim::{
    demo::{Board, Job, Rules},
    mapping::scanner::{members, string_value},
};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, HashSet},
    sync::{Arc, Mutex},
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, handshake::derive_accept_key, protocol::Role},
};

/// A file that every simulated server has.
pub const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n not really";

/// What a server has besides the Jobs API.
#[derive(Clone, Default)]
pub struct Setup {
    /// `POST /queue`, `/interrupt` and `/history`.
    pub legacy_writes: bool,
    /// The status of every cancel call, where the server has none.
    pub no_cancel: Option<u16>,
    /// Details of queued jobs have a workflow.
    pub workflow_while_queued: bool,
    /// The only key that is let in.
    pub key: Option<&'static str>,
    /// Where `/view` redirects to, if it does.
    pub storage: Option<String>,
    /// Added to every answer.
    pub headers: Vec<(&'static str, &'static str)>,
}

type Intercept = Box<dyn FnMut(&mut State, &Arrived) -> Option<(u16, String)> + Send>;

/// What a server knows.
pub struct State {
    pub board: Board,
    /// What a running job is once it was stopped; others just change their status.
    pub stopped: BTreeMap<String, Job>,
    /// Jobs of another key.
    pub foreign: HashSet<String>,
    /// Ids for the next prompts, the first one last; made up when there are none.
    pub ids: Vec<String>,
    pub arrived: Vec<Arrived>,
    submitted: BTreeMap<String, Submitted>,
    sockets: Vec<(String, UnboundedSender<String>)>,
    count: i64,
}

/// A prompt that arrived.
struct Submitted {
    id: String,
    number: String,
    created: i64,
    prompt: String,
    extra_data: String,
    client_id: String,
    outputs: Value,
}

/// A running simulated server; it stops when dropped.
pub struct Server {
    pub upstream: Scripted,
    state: Arc<Mutex<State>>,
    setup: Setup,
    intercept: Arc<Mutex<Option<Intercept>>>,
}

/// A time that no test depends on, in ms; the n-th job is created n ms later.
const EPOCH: i64 = 1_795_000_000_000;

impl Server {
    pub async fn start(board: Board, setup: Setup) -> Self {
        let state = Arc::new(Mutex::new(State {
            board,
            stopped: BTreeMap::new(),
            foreign: HashSet::new(),
            ids: Vec::new(),
            arrived: Vec::new(),
            submitted: BTreeMap::new(),
            sockets: Vec::new(),
            count: 0,
        }));
        let intercept: Arc<Mutex<Option<Intercept>>> = Arc::default();
        let shared = (Arc::clone(&state), setup.clone(), Arc::clone(&intercept));
        let upstream = Scripted::start(move |mut request| {
            let (state, setup, intercept) = shared.clone();
            let upgrade = hyper::upgrade::on(&mut request);
            async move {
                let (head, body) = request.into_parts();
                // A client that goes away leaves half a body.
                let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let arrived = Arrived {
                    method: head.method.clone(),
                    target: head.uri.to_string(),
                    headers: head.headers.clone(),
                    body,
                };
                let mut state = state.lock().expect("state");
                state.arrived.push(arrived.clone());
                let mut intercept = intercept.lock().expect("an intercept");
                let intercepted = intercept.as_mut().and_then(|answer| answer(&mut state, &arrived));
                let mut response = match intercepted {
                    Some((status, body)) => json_reply(status, body),
                    None => state.answer(&setup, &head, &arrived.body, upgrade),
                };
                for (name, value) in &setup.headers {
                    response.headers_mut().append(*name, value.parse().expect("a value"));
                }
                response
            }
        })
        .await;
        Self {
            upstream,
            state,
            setup,
            intercept,
        }
    }

    pub fn url(&self) -> String {
        self.upstream.url()
    }

    /// Looks at what the server knows, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock().expect("state"))
    }

    /// Answers by `answer` first, wherever that gives an answer.
    pub fn intercept(&self, answer: impl FnMut(&mut State, &Arrived) -> Option<(u16, String)> + Send + 'static) {
        *self.intercept.lock().expect("an intercept") = Some(Box::new(answer));
    }

    /// What arrived so far under a path that begins with `prefix`.
    pub fn arrived(&self, method: Method, prefix: &str) -> Vec<Arrived> {
        let all = self.with(|state| state.arrived.clone());
        all.into_iter()
            .filter(|one| one.method == method && one.target.starts_with(prefix))
            .collect()
    }

    /// The running job ends, and the first pending one starts.
    pub fn step(&self) {
        self.with(|state| {
            for id in state.board.in_state("in_progress") {
                state.put_in_state(&id, "completed", &self.setup);
                state.tell(&id, "executing", &json!({"node": null, "prompt_id": id}));
                state.tell(&id, "execution_success", &json!({"prompt_id": id}));
            }
            let pending = state.board.in_state("pending");
            let number = |id: &String| {
                let job = state.submitted.get(id);
                job.and_then(|job| job.number.parse::<f64>().ok()).unwrap_or(0.0)
            };
            let first = pending
                .iter()
                .min_by(|one, other| number(one).total_cmp(&number(other)));
            if let Some(id) = first.cloned() {
                state.put_in_state(&id, "in_progress", &self.setup);
                state.tell(&id, "execution_start", &json!({"prompt_id": id}));
            }
        });
    }
}

fn json_reply(status: u16, body: impl Into<Bytes>) -> Response<TestBody> {
    reply(status, &[("content-type", "application/json")], body)
}

fn text_reply(status: u16, reason: &str) -> Response<TestBody> {
    reply(
        status,
        &[("content-type", "text/plain; charset=utf-8")],
        format!("{status}: {reason}"),
    )
}

impl State {
    fn is_cloud(&self) -> bool {
        self.board.rules == Rules::Cloud
    }

    fn answer(&mut self, setup: &Setup, head: &Parts, body: &Bytes, upgrade: OnUpgrade) -> Response<TestBody> {
        let (sent, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
        let header = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok());
        let parameter = |name: &str| {
            let found = query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            found.map(|value| percent_decode_str(value).decode_utf8_lossy().into_owned())
        };
        let path = match (sent.strip_prefix("/api"), self.is_cloud()) {
            (Some(below), _) => below,
            (None, false) => sent,
            (None, true) if sent == "/ws" => sent,
            (None, true) => return text_reply(404, "Not Found"),
        };
        if let Some(key) = setup.key {
            let shown = match path {
                "/ws" => parameter("token"),
                _ => header("x-api-key").map(str::to_owned),
            };
            if shown.as_deref() != Some(key) {
                return json_reply(401, r#"{"code": "UNAUTHORIZED", "message": "invalid API key"}"#);
            }
        }
        let (status, answer) = match (head.method.as_str(), path) {
            ("GET", "/jobs") if sent == "/api/jobs" => self.board.list(query),
            ("POST", path) if path.starts_with("/jobs/") && path.ends_with("cancel") => match setup.no_cancel {
                Some(404) => return text_reply(404, "Not Found"),
                Some(405) => return text_reply(405, "Method Not Allowed"),
                Some(status) => return json_reply(status, r#"{"error": "not here"}"#),
                None => self.cancel(path, body),
            },
            ("GET", path) if path.starts_with("/jobs/") => {
                let id = path.trim_start_matches("/jobs/");
                match self.foreign.contains(id) {
                    true => not_yours(),
                    false => self.board.detail(&percent_decode_str(id).decode_utf8_lossy()),
                }
            }
            ("GET", path) if path.starts_with("/object_info/") => {
                self.board.class(path.trim_start_matches("/object_info/"))
            }
            ("GET", "/prompt") => (
                200,
                json!({"exec_info": {"queue_remaining": self.queued()}}).to_string(),
            ),
            ("POST", "/prompt") => self.submit(setup, body),
            ("POST", "/upload/image") => {
                let text = String::from_utf8_lossy(body);
                let name = text.split("filename=\"").nth(1).and_then(|rest| rest.split('"').next());
                (200, json!({"name": name, "subfolder": "", "type": "input"}).to_string())
            }
            ("GET", "/view") => {
                return match &setup.storage {
                    Some(storage) => reply(302, &[("location", &format!("{storage}/signed?{query}"))], ""),
                    None => reply(200, &[("content-type", "image/png")], PICTURE),
                };
            }
            ("GET", "/ws") => {
                let key = header("sec-websocket-key").unwrap_or_default();
                let client = parameter("clientId").unwrap_or_default();
                return self.open_socket(&derive_accept_key(key.as_bytes()), client, upgrade);
            }
            ("POST", "/queue" | "/interrupt" | "/history") if setup.legacy_writes => {
                let order: Option<Value> = serde_json::from_slice(body).ok();
                return self.legacy(path, order);
            }
            _ => return text_reply(404, "Not Found"),
        };
        match answer.is_empty() {
            true => text_reply(status, "Method Not Allowed"),
            false => json_reply(status, answer),
        }
    }

    fn cancel(&mut self, path: &str, body: &Bytes) -> (u16, String) {
        let now = self.now();
        let answer = match path
            .strip_prefix("/jobs/")
            .and_then(|rest| rest.strip_suffix("/cancel"))
        {
            Some(id) if self.foreign.contains(id) => return not_yours(),
            Some(id) => self.board.cancel(&percent_decode_str(id).decode_utf8_lossy(), now),
            None => self.board.cancel_many(body, now),
        };
        self.put_stopped();
        answer
    }

    /// What a stopped job is from now on.
    fn put_stopped(&mut self) {
        for id in self.board.in_state("cancelled") {
            if let Some(job) = self.stopped.remove(&id) {
                self.board.replace(job);
            }
        }
    }

    /// The legacy writes as ComfyUI does them.
    fn legacy(&mut self, path: &str, order: Option<Value>) -> Response<TestBody> {
        let Some(order) = order.or((path == "/interrupt").then(|| json!({}))) else {
            return text_reply(500, "Internal Server Error");
        };
        let all = order["clear"] == json!(true);
        let named: Vec<String> = serde_json::from_value(order["delete"].clone()).unwrap_or_default();
        let meant = |id: &String| all || named.contains(id);
        match path {
            "/queue" => {
                let gone: Vec<String> = self.board.in_state("pending").into_iter().filter(meant).collect();
                self.board.jobs.retain(|job| !gone.contains(&job.id));
            }
            "/history" => {
                let mut gone = Vec::new();
                for status in ["completed", "failed", "cancelled"] {
                    gone.extend(self.board.in_state(status).into_iter().filter(meant));
                }
                self.board.jobs.retain(|job| !gone.contains(&job.id));
            }
            _ => {
                let only = order["prompt_id"].as_str();
                for id in self.board.in_state("in_progress") {
                    if only.is_none_or(|only| only == id) {
                        let stopped = self.stopped.remove(&id);
                        let stopped = stopped.or_else(|| {
                            let job = self.board.jobs.iter().find(|job| job.id == id)?;
                            let failed = |text: &str| text.replace("in_progress", "failed");
                            Job::new(&failed(&job.entry), &failed(&job.detail))
                        });
                        self.board.replace(stopped.expect("a stopped job"));
                    }
                }
            }
        }
        reply(200, &[], "")
    }

    fn queued(&self) -> usize {
        self.board.in_state("pending").len() + self.board.in_state("in_progress").len()
    }

    fn now(&mut self) -> i64 {
        self.count += 1;
        EPOCH + self.count
    }

    fn submit(&mut self, setup: &Setup, body: &[u8]) -> (u16, String) {
        let mut parts: BTreeMap<String, String> = BTreeMap::new();
        let read = members(body, |key, value| {
            let key = String::from_utf8_lossy(key).into_owned();
            parts.insert(key, String::from_utf8_lossy(value).into_owned());
        });
        let (Ok(()), Some(prompt)) = (read, parts.remove("prompt")) else {
            return (
                400,
                r#"{"error": {"type": "no_prompt", "message": "No prompt provided"}, "node_errors": {}}"#.to_owned(),
            );
        };
        let created = self.now();
        let id = self
            .ids
            .pop()
            .unwrap_or_else(|| format!("{:08}-0000-4000-8000-000000000000", self.count));
        let front = parts.get("front").is_some_and(|front| front == "true");
        let counted = if front { -self.count } else { self.count };
        let number = parts.remove("number").unwrap_or_else(|| counted.to_string());
        let client_id = parts
            .get("client_id")
            .and_then(|id| string_value(id.as_bytes()))
            .unwrap_or_default();
        let mut extra_data: Vec<String> = Vec::new();
        if let Some(sent) = parts.get("extra_data") {
            members(sent.as_bytes(), |key, value| {
                let (key, value) = (String::from_utf8_lossy(key), String::from_utf8_lossy(value));
                if !key.ends_with("_comfy_org") {
                    extra_data.push(format!("\"{key}\": {value}"));
                }
            })
            .expect("extra_data");
        }
        if self.is_cloud() {
            extra_data.push(r#""api_key_comfy_org": "[REDACTED]""#.to_owned());
        }
        if let Some(client_id) = parts.get("client_id") {
            extra_data.push(format!("\"client_id\": {client_id}"));
        }
        extra_data.push(format!("\"create_time\": {created}"));
        let nodes: Value = serde_json::from_str(&prompt).unwrap_or_default();
        let saves = nodes
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, node)| node["class_type"] == "SaveImage");
        let outputs = saves.map(|(node, _)| {
            let image = json!({"filename": format!("{node}_00001_.png"), "subfolder": "", "type": "output"});
            (node.clone(), json!({"images": [image]}))
        });
        let submitted = Submitted {
            outputs: Value::Object(outputs.collect()),
            extra_data: format!("{{{}}}", extra_data.join(", ")),
            id: id.clone(),
            number: number.clone(),
            created,
            prompt,
            client_id,
        };
        let job = submitted.job("pending", self.board.rules, setup);
        self.submitted.insert(id.clone(), submitted);
        // A recorded job stays as it was recorded.
        if !self.board.jobs.iter().any(|known| known.id == id) {
            self.board.add(job);
        }
        (
            200,
            format!(r#"{{"prompt_id": "{id}", "number": {number}, "node_errors": {{}}}}"#),
        )
    }

    fn put_in_state(&mut self, id: &str, status: &str, setup: &Setup) {
        if let Some(submitted) = self.submitted.get(id) {
            self.board.replace(submitted.job(status, self.board.rules, setup));
        }
    }

    fn tell(&self, id: &str, kind: &str, event: &Value) {
        let client = self.submitted.get(id).map_or("", |job| job.client_id.as_str());
        for (name, socket) in &self.sockets {
            if name == client {
                let _ = socket.send(json!({"type": kind, "data": event}).to_string());
            }
        }
    }

    fn open_socket(&mut self, accept: &str, client: String, upgrade: OnUpgrade) -> Response<TestBody> {
        let (sender, events) = unbounded_channel();
        let status = json!({"type": "status", "data": {"status": {"exec_info": {"queue_remaining": self.queued()}}}});
        sender.send(status.to_string()).expect("a channel");
        self.sockets.push((client, sender));
        tokio::spawn(serve_socket(upgrade, events));
        let headers = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", accept),
        ];
        reply(101, &headers, "")
    }
}

async fn serve_socket(upgrade: OnUpgrade, mut events: UnboundedReceiver<String>) {
    let Ok(upgraded) = upgrade.await else { return };
    let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => if socket.send(Message::text(event)).await.is_err() { return },
                None => return,
            },
            sent = socket.next() => if !matches!(sent, Some(Ok(_))) { return },
        }
    }
}

fn not_yours() -> (u16, String) {
    (
        403,
        r#"{"code": "FORBIDDEN", "message": "the job is another user's"}"#.to_owned(),
    )
}

impl Submitted {
    fn job(&self, status: &str, rules: Rules, setup: &Setup) -> Job {
        let Self {
            id, created, number, ..
        } = self;
        let cloud = rules == Rules::Cloud;
        let (started, ended) = (created + 10, created + 20);
        let mut entry = format!(r#""id": "{id}", "status": "{status}", "create_time": {created}"#);
        if !cloud {
            entry += &format!(r#", "priority": {number}"#);
        }
        let mut detail = entry.clone();
        let finished = !matches!(status, "pending" | "in_progress");
        if finished {
            let times = format!(r#", "execution_start_time": {started}, "execution_end_time": {ended}"#);
            entry += &times;
            let outputs = &self.outputs;
            let state = json!({"status_str": "success", "completed": true, "messages": [
                ["execution_start", {"prompt_id": id, "timestamp": started}],
                ["execution_success", {"prompt_id": id, "timestamp": ended}],
            ]});
            detail += &format!(r#", "outputs": {outputs}, "execution_status": {state}"#);
            detail += &match cloud {
                false => times,
                true => format!(r#", "update_time": {ended}, "execution_meta": {{}}"#),
            };
        }
        if finished || cloud || setup.workflow_while_queued {
            let (prompt, extra_data) = (&self.prompt, &self.extra_data);
            detail += &format!(r#", "workflow": {{"prompt": {prompt}, "extra_data": {extra_data}}}"#);
        }
        Job::new(&format!("{{{entry}}}"), &format!("{{{detail}}}")).expect("a job")
    }
}

/// The node classes that the tests' prompts use.
pub fn classes() -> BTreeMap<String, String> {
    let classes = [
        ("EmptyImage", false),
        ("LabSleep", false),
        ("LoadImage", false),
        ("PreviewImage", true),
        ("SaveImage", true),
    ];
    classes
        .into_iter()
        .map(|(class, output)| {
            (
                class.to_owned(),
                json!({"name": class, "output_node": output}).to_string(),
            )
        })
        .collect()
}

/// A server that has run nothing and knows the classes.
pub fn board(rules: Rules) -> Board {
    let mut board = Board::new(rules);
    board.classes = classes();
    board
}
