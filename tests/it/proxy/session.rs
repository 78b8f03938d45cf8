//! One session of a client that was written for a local ComfyUI and knows no key, against each kind of server: upload,
//! prompt, watch, poll, view, queue, delete, interrupt, clear.

#![cfg(unix)]

use crate::support::{
    Client, Reply,
    json::Json,
    program::Program,
    server::{PICTURE, Server, Setup, board},
    upstream::Scripted,
    wait::within,
};
use futures_util::StreamExt;
use http::{Method, Uri};
use jobshim::demo::{
    Board, Job, Rules,
    v2::{self, Call, Status},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio_tungstenite::{WebSocketStream, client_async, tungstenite::Message};

const KEY: &str = "comfyui-7c1d9e2a/+=";
/// As it stands in `token=`.
const ENCODED_KEY: &str = "7c1d9e2a%2F%2B%3D";
const OTHER_KEY: &str = "comfyui-of-another";
/// Jobs that the server has finished before; more than two pages of the cloud.
const EARLIER: usize = 230;

/// A board with earlier jobs, each of them created long before the session.
fn with_history(rules: Rules) -> Board {
    let mut board = board(rules);
    for nth in 1..=EARLIER {
        let id = format!("earlier-{nth:04}");
        let text = format!(
            r#"{{"id": "{id}", "status": "completed", "priority": {nth}, "create_time": {0}, "execution_start_time": {0}, "execution_end_time": {0}}}"#,
            1_700_000_000_000 + nth
        );
        board.add(Job::new(&text, &text).expect("a job"));
    }
    board
}

/// The server behind jobshim: how it is moved on, and what it was sent.
trait SessionServer {
    /// What runs ends, and the oldest that waits starts.
    fn step(&self);
    /// What was told to stop does.
    fn stop(&self) {}
    /// Whether it has an upload with this content.
    fn has_upload(&self, content: &[u8]) -> bool;
    /// Whether this is a picture that it makes.
    fn is_picture(&self, content: &[u8]) -> bool;
    /// The prompts that the session has sent.
    fn prompts(&self) -> Vec<Vec<u8>>;
    /// Whether it describes its node classes, and runs a part of a workflow.
    fn is_whole(&self) -> bool {
        true
    }
}

impl SessionServer for Server {
    fn step(&self) {
        Server::step(self);
    }

    fn has_upload(&self, content: &[u8]) -> bool {
        self.with(|state| state.files["input/cat 1.png"] == content)
    }

    fn is_picture(&self, content: &[u8]) -> bool {
        content == PICTURE
    }

    fn prompts(&self) -> Vec<Vec<u8>> {
        let is_cloud = self.with(|state| state.board.rules == Rules::Cloud);
        let sent = self.arrived(Method::POST, if is_cloud { "/api/prompt" } else { "/prompt" });
        sent.into_iter().map(|one| one.body.to_vec()).collect()
    }
}

impl SessionServer for v2::Simulator {
    fn step(&self) {
        for id in self.in_state(Status::Running) {
            self.finish(&id);
        }
        v2::Simulator::step(self);
    }

    fn stop(&self) {
        v2::Simulator::step(self);
    }

    fn has_upload(&self, content: &[u8]) -> bool {
        let seen = self.seen().into_iter().filter(|(call, _)| *call == Call::Upload);
        let bodies: Vec<Vec<u8>> = seen.map(|(_, seen)| seen.body.to_vec()).collect();
        bodies
            .iter()
            .any(|body| body.windows(content.len()).any(|part| part == content))
    }

    fn is_picture(&self, content: &[u8]) -> bool {
        content.starts_with(b"\x89PNG")
    }

    fn prompts(&self) -> Vec<Vec<u8>> {
        let seen = self.seen().into_iter().filter(|(call, _)| *call == Call::Submit);
        seen.skip(EARLIER).map(|(_, seen)| seen.body.to_vec()).collect()
    }

    fn is_whole(&self) -> bool {
        false
    }
}

/// The script: all that it knows is where the server is.
struct Script {
    at: SocketAddr,
    client: Client,
    socket: WebSocketStream<TcpStream>,
    /// What it calls its jobs, the first one last; where there are none, the server chooses.
    names: Vec<String>,
}

impl Script {
    async fn start(at: SocketAddr, names: &[String]) -> Self {
        let stream = TcpStream::connect(at).await.expect("a connection");
        let url = format!("ws://{at}/ws?clientId=my%20script");
        let (socket, _) = client_async(url, stream).await.expect("a WebSocket");
        Self {
            at,
            client: Client::new(),
            socket,
            names: names.iter().rev().cloned().collect(),
        }
    }

    async fn send(&self, method: Method, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let reply = self.client.send(method, self.at, target, headers, body.to_vec()).await;
        reply.unwrap_or_else(|error| panic!("{target}: {error}"))
    }

    async fn get(&self, target: &str) -> Value {
        let reply = self.send(Method::GET, target, &[], b"").await;
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        serde_json::from_slice(&reply.body).unwrap_or_else(|_| panic!("{target}: {}", reply.text()))
    }

    /// A write, which is answered with 200 and nothing else.
    async fn order(&self, target: &str, order: Value) {
        let reply = self.send(Method::POST, target, &[], order.to_string().as_bytes()).await;
        let answer = (reply.status.as_u16(), reply.text());
        assert_eq!(answer, (200, String::new()), "{target} {order}");
    }

    async fn prompt(&mut self, mut body: Value) -> String {
        let name = self.names.pop();
        if let Some(name) = &name {
            body["prompt_id"] = json!(name);
        }
        let reply = self
            .send(Method::POST, "/prompt", &[], body.to_string().as_bytes())
            .await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
        let id = answer["prompt_id"].as_str().expect("an id").to_owned();
        assert!(name.is_none_or(|name| name == id), "{id}");
        id
    }

    /// The ids that `/queue` shows: what runs, what waits.
    async fn queue(&self) -> [Vec<String>; 2] {
        let queue = self.get("/queue").await;
        ["queue_running", "queue_pending"].map(|list| {
            let items = queue[list].as_array().expect("a list").iter();
            items.map(|item| item[1].as_str().expect("an id").to_owned()).collect()
        })
    }

    /// The ids that `/history` shows, in its order.
    async fn history(&self, query: &str) -> Vec<String> {
        let reply = self.send(Method::GET, &format!("/history{query}"), &[], b"").await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        let shown = Json::parse(&reply.body).expect("JSON");
        shown.keys().into_iter().map(str::to_owned).collect()
    }

    /// The next event of a kind; whatever comes before is passed over, as scripts do.
    async fn event(&mut self, kind: &str) -> Value {
        loop {
            let message = within(&format!("the event {kind}"), self.socket.next()).await;
            let message = message.expect("an open WebSocket").expect("a message");
            if let Message::Text(text) = message {
                let event: Value = serde_json::from_str(&text).expect("JSON");
                if event["type"] == kind {
                    return event["data"].clone();
                }
            }
        }
    }

    /// A file, wherever the server says it is; to another host a script sends what it sends to every host: nothing.
    async fn view(&self, query: &str) -> Vec<u8> {
        let reply = self.send(Method::GET, &format!("/view?{query}"), &[], b"").await;
        if reply.status != 302 {
            assert_eq!(reply.status, 200, "{query}: {}", reply.text());
            return reply.body.to_vec();
        }
        let location: Uri = reply.header("location").parse().expect("a location");
        let host = location
            .authority()
            .expect("a host")
            .as_str()
            .parse()
            .expect("an address");
        let target = location.path_and_query().expect("a target").as_str();
        let stored = self.client.get(host, target).await;
        assert_eq!(stored.status, 200);
        stored.body.to_vec()
    }
}

/// A prompt that reads `image`, and one of its output nodes alone is asked for.
fn prompt(image: &str, seed: u64) -> Value {
    json!({
        "prompt": {
            "1": {"class_type": "LoadImage", "inputs": {"image": image}},
            "2": {"class_type": "EmptyImage", "inputs": {"width": 64, "color": seed}},
            "8": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
            "9": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}},
        },
        "client_id": "my script",
        "extra_data": {"extra_pnginfo": {"workflow": {"nodes": [seed]}}},
        "partial_execution_targets": ["9"],
    })
}

/// `None` for an id that is not there or has not ended.
async fn entry(script: &Script, id: &str) -> Option<Value> {
    let path = utf8_percent_encode(id, NON_ALPHANUMERIC);
    let answer = script.get(&format!("/history/{path}")).await;
    answer.as_object().expect("an object").get(id).cloned()
}

async fn session(server: &impl SessionServer, at: SocketAddr, names: &[String]) {
    let mut script = Script::start(at, names).await;
    let status = script.event("status").await;
    assert_eq!(status["status"]["exec_info"]["queue_remaining"], 0);
    assert_eq!(script.history("").await.len(), EARLIER);
    assert_eq!(script.history("?max_items=2").await, ["earlier-0229", "earlier-0230"]);
    if server.is_whole() {
        assert_eq!(script.get("/object_info").await["SaveImage"]["output_node"], true);
    }

    // Upload, and read it back.
    let picture = b"\x89PNG\r\n\x1a\nuploaded\0\xff";
    let form = [
        &b"--b\r\nContent-Disposition: form-data; name=\"image\"; filename=\"cat 1.png\"\r\nContent-Type: image/png\r\n\r\n"[..],
        picture,
        b"\r\n--b--\r\n",
    ]
    .concat();
    let headers = [("content-type", "multipart/form-data; boundary=b")];
    let uploaded = script.send(Method::POST, "/upload/image", &headers, &form).await;
    assert_eq!(uploaded.status, 200, "{}", uploaded.text());
    let uploaded: Value = serde_json::from_slice(&uploaded.body).expect("JSON");
    assert_eq!(uploaded, json!({"name": "cat 1.png", "subfolder": "", "type": "input"}));
    assert!(server.has_upload(picture));

    // Four prompts; nothing has started.
    let mut ids = Vec::new();
    for seed in 1..=4 {
        ids.push(script.prompt(prompt("cat 1.png", seed)).await);
    }
    let [first, second, third, fourth] = &ids[..] else {
        panic!("{ids:?}")
    };
    assert_eq!(script.queue().await, [vec![], ids.clone()]);
    assert_eq!(script.get("/prompt").await["exec_info"]["queue_remaining"], 4);
    let item = script.get("/queue").await["queue_pending"][0].clone();
    assert_eq!(item[2], prompt("cat 1.png", 1)["prompt"]);
    assert_eq!(item[3]["client_id"], "my script");
    if server.is_whole() {
        assert_eq!(item[4], json!(["9"]), "a partial execution");
    }

    // One starts: it is in no history yet, and a delete of the queue does not touch it.
    server.step();
    assert_eq!(script.event("execution_start").await["prompt_id"], **first);
    assert_eq!(entry(&script, first).await, None);
    assert_eq!(entry(&script, "no-such-job").await, None);
    script
        .order("/queue", json!({"delete": [first, third, "no-such-job", "x"]}))
        .await;
    let waiting = vec![second.clone(), fourth.clone()];
    assert_eq!(script.queue().await, [vec![first.clone()], waiting.clone()]);
    // An interrupt of a job that waits does nothing.
    script.order("/interrupt", json!({"prompt_id": second})).await;
    assert_eq!(script.queue().await, [vec![first.clone()], waiting]);

    // It ends: the history has it in the moment the socket says so.
    server.step();
    assert_eq!(script.event("execution_success").await["prompt_id"], **first);
    let done = entry(&script, first).await.expect("the entry of a job that has ended");
    assert_eq!(done["status"]["status_str"], "success");
    assert_eq!(done["status"]["completed"], true);
    assert_eq!(done["prompt"][1], **first);
    assert_eq!(done["prompt"][2], prompt("cat 1.png", 1)["prompt"]);
    assert_eq!(done["prompt"][3]["extra_pnginfo"]["workflow"]["nodes"], json!([1]));
    assert_eq!(done["prompt"][3]["client_id"], "my script");
    if server.is_whole() {
        assert_eq!(done["prompt"][4], json!(["9"]));
        let meta = json!({"9": {"node_id": "9", "display_node": "9", "parent_node": null, "real_node_id": "9"}});
        assert_eq!(done["meta"], meta);
    }
    assert!(!done.to_string().contains("REDACTED"), "{done}");
    let image = &done["outputs"]["9"]["images"][0];
    let part = |name: &str| image[name].as_str().expect("a text");
    let query = format!(
        "filename={}&subfolder={}&type={}",
        part("filename"),
        part("subfolder"),
        part("type")
    );
    assert!(server.is_picture(&script.view(&query).await));

    // The second runs and is interrupted.
    assert_eq!(script.queue().await, [vec![second.clone()], vec![fourth.clone()]]);
    script.order("/interrupt", json!({})).await;
    server.stop();
    assert_eq!(script.event("execution_interrupted").await["prompt_id"], **second);
    let stopped = entry(&script, second)
        .await
        .expect("the entry of a job that was interrupted");
    assert_eq!(stopped["status"]["status_str"], "error");
    assert_eq!(stopped["status"]["completed"], false);

    // What still waits is cleared.
    script.order("/queue", json!({"clear": true})).await;
    assert_eq!(script.queue().await, [vec![""; 0], vec![]]);
    let mut shown = script.history("").await;
    // The cloud remembers jobs that were cancelled before they started; a self-hosted server does not.
    shown.retain(|id| id != third && id != fourth);
    assert_eq!(shown.split_off(EARLIER), [first.clone(), second.clone()]);

    // History: one job is deleted, then all of it; a job that ends afterwards is shown.
    script
        .order("/history", json!({"delete": [second, "no-such-job"]}))
        .await;
    assert_eq!(entry(&script, second).await, None);
    assert!(entry(&script, first).await.is_some());
    script.order("/history", json!({"clear": true})).await;
    assert_eq!(script.history("").await, [""; 0]);
    assert_eq!(entry(&script, first).await, None);
    // Resubmitted as it was read, by a client that has no key to put in.
    let mut again = done["prompt"][3].clone();
    again["api_key_comfy_org"] = json!("[REDACTED]");
    let body = json!({"prompt": done["prompt"][2], "extra_data": again, "client_id": "my script"});
    let last = script.prompt(body).await;
    server.step();
    server.step();
    assert_eq!(script.event("execution_success").await["prompt_id"], *last);
    assert_eq!(script.history("").await, [last.as_str()]);
    let entry = entry(&script, &last).await.expect("the entry");
    assert_eq!(entry["prompt"][4], json!(["8", "9"]), "not a partial execution");
    let sent = server.prompts();
    assert_eq!(sent.len(), 5);
    for body in sent {
        assert!(!String::from_utf8_lossy(&body).contains("REDACTED"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_script_runs_whole_on_a_self_hosted_server() {
    for workflow_while_queued in [false, true] {
        let setup = Setup {
            workflow_while_queued,
            ..Setup::default()
        };
        let server = Server::start(with_history(Rules::Comfyui), setup).await;
        let mut program = Program::before(&server.url(), &[]);
        session(&server, program.address(), &[]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_names_its_jobs_runs_whole_on_a_server_that_refuses_names() {
    let names = [
        "my job/1".to_owned(),
        "0B8D4D0A-6D0C-4B3E-9C39-0D6A0F8F1C11".to_owned(),
        "x".repeat(300),
        "\u{1f388}".to_owned(),
        "the last one".to_owned(),
    ];
    for workflow_while_queued in [false, true] {
        let setup = Setup {
            workflow_while_queued,
            ..Setup::default()
        };
        let server = Server::start(with_history(Rules::Comfyui), setup).await;
        let mut program = Program::before(&server.url(), &["--ids", "any"]);
        session(&server, program.address(), &names).await;
    }
}

/// jobshim, which logs all it can, with a header of its own for the server: its value is in this variable.
fn with_header(server: &str, header: &str, value: &str) -> Program {
    let arguments = [
        "-vv",
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        server,
        "--upstream-header",
        header,
    ];
    Program::start(&arguments, &[("COMFY_CLOUD_API_KEY", value)])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_script_runs_whole_on_the_cloud_and_its_key_is_seen_by_the_cloud_alone() {
    let storage = Scripted::always(200, &[("content-type", "image/png")], PICTURE).await;
    let setup = Setup {
        keys: &[KEY, OTHER_KEY],
        page: Some(100),
        storage: Some(storage.url()),
        ..Setup::default()
    };
    let mut board = with_history(Rules::Cloud);
    let theirs = r#"{"id": "theirs", "status": "in_progress", "create_time": 1795000000000}"#;
    board.add(Job::new(theirs, theirs).expect("a job"));
    let server = Server::start(board, setup).await;
    server.with(|state| state.owners.insert("theirs".to_owned(), OTHER_KEY.to_owned()));
    let mut program = with_header(&server.url(), "X-API-Key=env:COMFY_CLOUD_API_KEY", KEY);
    session(&server, program.address(), &[]).await;
    server.with(|state| {
        assert_eq!(state.board.in_state("in_progress"), ["theirs"], "another's job goes on");
    });
    for one in server.upstream.all() {
        let key = match one.target.starts_with("/ws") {
            true => one.target.contains(ENCODED_KEY),
            false => one.headers.get("x-api-key").is_some_and(|key| key == KEY),
        };
        assert!(key, "{one:?}");
        assert_eq!(one.headers["host"], server.url()["http://".len()..], "{one:?}");
    }
    let stored = storage.all();
    assert_eq!(stored.len(), 1);
    assert!(!format!("{stored:?}").contains("7c1d9e2a"), "{stored:?}");
    program.signal("TERM");
    program.end();
    let shown: Vec<_> = program.log.iter().filter(|line| line.contains("7c1d9e2a")).collect();
    assert!(shown.is_empty(), "{shown:#?}");
    assert!(
        program.log.iter().any(|line| line.contains("asked the upstream")),
        "it logs all it can"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_script_runs_whole_on_comfy_api_v2_and_its_key_is_seen_by_the_server_alone() {
    for redirect in [false, true] {
        let options = v2::Options {
            keys: vec![KEY.to_owned(), OTHER_KEY.to_owned()],
            redirect,
            ..v2::Options::default()
        };
        let server = v2::Simulator::start(options).await.expect("a simulator");
        let bearer = format!("Bearer {KEY}");
        let mut program = with_header(&server.url(), "Authorization=env:COMFY_CLOUD_API_KEY", &bearer);
        let at = program.address();
        // There is no list: only what went through jobshim is known.
        for nth in 1..=EARLIER {
            let mut body = prompt("none.png", 0);
            body["prompt_id"] = json!(format!("earlier-{nth:04}"));
            body["prompt"].as_object_mut().expect("nodes").remove("1");
            body["prompt"].as_object_mut().expect("nodes").remove("9");
            let answer = Client::new()
                .send(Method::POST, at, "/prompt", &[], body.to_string())
                .await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.status, 200, "{}", answer.text());
        }
        server.finish_all();
        // Which of them have ended is known once somebody has asked.
        assert_eq!(Client::new().get(at, "/queue").await.status, 200);
        session(&server, at, &[]).await;
        for (call, one) in server.seen() {
            let key = one
                .headers
                .get("authorization")
                .map(|key| key == &format!("Bearer {KEY}"));
            assert_eq!(key, (call != Call::Signed).then_some(true), "{call:?} {one:?}");
        }
        program.signal("TERM");
        program.end();
        let shown: Vec<_> = program.log.iter().filter(|line| line.contains("7c1d9e2a")).collect();
        assert!(shown.is_empty(), "{shown:#?}");
    }
}
