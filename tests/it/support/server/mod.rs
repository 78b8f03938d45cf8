//! Simulated servers with all that a client meets: a queue that the test steps on, `POST /prompt`, uploads, files, a
//! WebSocket, the legacy writes where a test wants them, and for the cloud its keys, each with its own jobs.

mod answers;
mod prompts;
mod sockets;

use super::upstream::{Arrived, Scripted, TestBody, reply};
use bytes::Bytes;
use http::{Method, Response};
use jobshim::demo::{Board, Job, Rules};
use prompts::Submitted;
use serde_json::json;
use sockets::Sockets;
use std::collections::BTreeMap;

/// What is in every file that a job makes.
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
    /// Ids of prompts may be any text, as before 0.25.
    pub takes_any_id: bool,
    /// The keys that are let in; none lets everyone in.
    pub keys: &'static [&'static str],
    /// The most jobs that one answer lists, whatever the client asks for.
    pub page: Option<usize>,
    /// Where `/view` redirects to, if it does.
    pub storage: Option<String>,
    /// Added to every answer.
    pub headers: Vec<(&'static str, &'static str)>,
}

impl Setup {
    fn with_headers(&self, mut response: Response<TestBody>) -> Response<TestBody> {
        for (name, value) in &self.headers {
            response.headers_mut().append(*name, value.parse().expect("a value"));
        }
        response
    }
}

/// What a server knows.
pub struct State {
    pub board: Board,
    /// What a running job is once it was stopped; others just change their status.
    pub stopped: BTreeMap<String, Job>,
    /// Whose key a job belongs to; one without an owner belongs to every key.
    pub owners: BTreeMap<String, String>,
    /// Uploaded and made, by kind and name, such as `input/a.png`.
    pub files: BTreeMap<String, Bytes>,
    /// Ids for the next prompts, the first one last; made up when there are none.
    pub ids: Vec<String>,
    submitted: BTreeMap<String, Submitted>,
    sockets: Sockets,
    count: i64,
}

/// A running simulated server; it stops when dropped.
pub struct Server {
    pub upstream: Scripted<State>,
    setup: Setup,
}

/// A time that no test depends on, in ms; the n-th job is created n ms later.
const EPOCH: i64 = 1_795_000_000_000;

impl Server {
    pub async fn start(board: Board, setup: Setup) -> Self {
        let state = State {
            board,
            stopped: BTreeMap::new(),
            owners: BTreeMap::new(),
            files: BTreeMap::new(),
            ids: Vec::new(),
            submitted: BTreeMap::new(),
            sockets: Sockets::default(),
            count: 0,
        };
        let own = setup.clone();
        let upstream = Scripted::with_state(state, move |state, arrived| {
            let response = state.answer(&own, arrived);
            own.with_headers(response)
        })
        .await;
        Self { upstream, setup }
    }

    pub fn url(&self) -> String {
        self.upstream.url()
    }

    /// Looks at what the server knows, or changes it.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        self.upstream.with(look)
    }

    /// Answers by `answer` first, wherever that gives an answer.
    pub fn intercept(&self, mut answer: impl FnMut(&mut State, &Arrived) -> Option<(u16, String)> + Send + 'static) {
        let setup = self.setup.clone();
        self.upstream.intercept(move |state, arrived| {
            let (status, body) = answer(state, arrived)?;
            let response = reply(status, &[("content-type", "application/json")], body);
            Some(setup.with_headers(response))
        });
    }

    /// What arrived so far under a path that begins with `prefix`.
    pub fn arrived(&self, method: Method, prefix: &str) -> Vec<Arrived> {
        let all = self.upstream.all().into_iter();
        all.filter(|one| one.method == method && one.target.starts_with(prefix))
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
