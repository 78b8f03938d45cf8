//! An id that is used again: history shows its newest finished run, the queue what waits or runs, in every order of events.

use crate::support::{
    Client, Reply,
    raw::sender,
    server::{Server, Setup, board},
    start,
    wait::until,
};
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use jobshim::demo::{Job, Rules};
use serde_json::{Value, json};
use std::net::SocketAddr;

pub const ID: &str = "00000001-0000-4000-8000-000000000000";
pub const OTHER: &str = "00000002-0000-4000-8000-000000000000";

/// In ms.
pub fn time(nth: usize) -> u64 {
    1_795_000_000_000 + 1000 * nth as u64
}

/// The `nth` run of `id`, which is created at `nth`; its prompt and its output say which one it is.
pub fn run_of(id: &str, nth: usize, status: &str) -> Job {
    let ended = !matches!(status, "pending" | "in_progress");
    let mut entry = json!({"id": id, "status": status, "priority": nth, "create_time": time(nth)});
    let members = entry.as_object_mut().expect("an object");
    if ended {
        members.insert("execution_start_time".to_owned(), json!(time(nth) + 1));
        members.insert("execution_end_time".to_owned(), json!(time(nth) + 500));
    }
    let listed = entry.to_string();
    if ended {
        let members = entry.as_object_mut().expect("an object");
        members.insert("workflow".to_owned(), json!({"prompt": prompt(nth), "extra_data": {}}));
        members.insert("outputs".to_owned(), json!({"9": {"text": [format!("run {nth}")]}}));
        let state = json!({"status_str": "success", "completed": true, "messages": []});
        members.insert("execution_status".to_owned(), state);
    }
    Job::new(&listed, &entry.to_string()).expect("a job")
}

pub fn run(nth: usize, status: &str) -> Job {
    run_of(ID, nth, status)
}

fn prompt(nth: usize) -> Value {
    json!({"9": {"class_type": "SaveImage", "inputs": {"run": nth}}})
}

/// A server whose `POST /prompt` queues run after run of the id that it is given, without looking at it.
pub async fn server(setup: Setup) -> Server {
    let server = Server::start(board(Rules::Comfyui), setup).await;
    let mut nth = 1;
    server.intercept(move |state, arrived| {
        if arrived.method != Method::POST || arrived.target != "/prompt" {
            return None;
        }
        nth += 1;
        let body: Value = serde_json::from_slice(&arrived.body).expect("JSON");
        let id = body["prompt_id"].as_str().expect("an id").to_owned();
        state.board.add(run_of(&id, nth, "pending"));
        let number = body.get("number").cloned().unwrap_or(json!(nth));
        Some((
            200,
            json!({"prompt_id": id, "number": number, "node_errors": {}}).to_string(),
        ))
    });
    server
}

/// What the server does: the queued run moves on.
pub fn becomes(server: &Server, nth: usize, status: &str) {
    server.with(|state| state.board.replace(run(nth, status)));
}

pub async fn post(at: SocketAddr, target: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    Client::new()
        .send(Method::POST, at, target, headers, body.to_string())
        .await
        .expect("an answer")
}

pub async fn submit(at: SocketAddr, nth: usize) {
    let body = json!({"prompt_id": ID, "prompt": prompt(nth)});
    let reply = post(at, "/prompt", &[], &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

pub async fn get(at: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Value {
    let reply = Client::new().get_with(at, target, headers).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    serde_json::from_slice(&reply.body).expect("JSON")
}

/// Which run each endpoint of the history shows; 0 for none.
pub async fn shown_to(at: SocketAddr, headers: &[(&str, &str)]) -> [u64; 4] {
    let of = |entry: &Value| {
        let text = entry["outputs"]["9"]["text"][0].as_str();
        let number = text.and_then(|text| text.strip_prefix("run ")?.parse().ok());
        number.unwrap_or(0)
    };
    let one = get(at, &format!("/history/{ID}"), headers).await;
    let all = get(at, "/history", headers).await;
    let newest = get(at, "/history?max_items=3", headers).await;
    let v2 = get(at, "/api/history_v2", headers).await;
    [of(&one[ID]), of(&all[ID]), of(&newest[ID]), of(&v2["history"][0])]
}

pub async fn shown(at: SocketAddr) -> [u64; 4] {
    shown_to(at, &[]).await
}

/// Which runs are running and pending, by their prompts; 0 for an empty prompt.
pub async fn queue(at: SocketAddr) -> (Vec<u64>, Vec<u64>) {
    let queue = get(at, "/queue", &[]).await;
    let runs = |name: &str| {
        let items = queue[name].as_array().expect("a list").iter();
        items
            .map(|item| item[2]["9"]["inputs"]["run"].as_u64().unwrap_or(0))
            .collect()
    };
    (runs("queue_running"), runs("queue_pending"))
}

#[tokio::test]
async fn the_history_shows_the_newest_finished_run_and_the_queue_the_one_that_waits_or_runs() {
    for workflow_while_queued in [false, true] {
        let setup = Setup {
            workflow_while_queued,
            ..Setup::default()
        };
        let server = server(setup).await;
        server.with(|state| state.board.add(run(1, "completed")));
        let jobshim = start(&server.url(), |_| {}).await;
        let at = jobshim.address;
        assert_eq!(shown(at).await, [1; 4]);
        for nth in 2..5 {
            let before = nth as u64 - 1;
            submit(at, nth).await;
            assert_eq!(shown(at).await, [before; 4], "run {nth} waits");
            assert_eq!(queue(at).await, (vec![], vec![nth as u64]));
            becomes(&server, nth, "in_progress");
            assert_eq!(shown(at).await, [before; 4], "run {nth} is under way");
            assert_eq!(queue(at).await, (vec![nth as u64], vec![]));
            becomes(&server, nth, "completed");
            assert_eq!(shown(at).await, [nth as u64; 4], "run {nth} is done");
            assert_eq!(queue(at).await, (vec![], vec![]));
        }
    }
}

#[tokio::test]
async fn a_run_that_is_done_before_anybody_looks_is_shown_at_once() {
    let server = server(Setup::default()).await;
    server.with(|state| state.board.add(run(1, "completed")));
    let jobshim = start(&server.url(), |_| {}).await;
    let at = jobshim.address;
    assert_eq!(shown(at).await, [1; 4]);
    submit(at, 2).await;
    becomes(&server, 2, "failed");
    assert_eq!(shown(at).await, [2; 4]);
}

#[tokio::test]
async fn one_entry_is_remembered_again_once_the_run_that_was_submitted_is_the_one_shown() {
    let server = server(Setup::default()).await;
    server.with(|state| state.board.add(run(1, "completed")));
    let jobshim = start(&server.url(), |_| {}).await;
    let at = jobshim.address;
    let target = format!("/history/{ID}");
    let asked = || server.arrived(Method::GET, "/api/jobs/").len();
    submit(at, 2).await;
    get(at, &target, &[]).await;
    get(at, &target, &[]).await;
    assert_eq!(asked(), 2, "the first run is not the last word");
    becomes(&server, 2, "completed");
    get(at, &target, &[]).await;
    get(at, &target, &[]).await;
    assert_eq!(asked(), 3, "the second one is");
}

#[tokio::test]
async fn a_number_that_the_client_chose_tells_no_run_from_another() {
    let server = server(Setup::default()).await;
    let numbered = |nth: usize, status: &str| {
        let with = |text: &str| text.replace(&format!(r#""priority":{nth}"#), r#""priority":7"#);
        let job = run(nth, status);
        Job::new(&with(&job.entry), &with(&job.detail)).expect("a job")
    };
    server.with(|state| state.board.add(numbered(1, "completed")));
    let jobshim = start(&server.url(), |_| {}).await;
    let at = jobshim.address;
    assert_eq!(shown(at).await, [1; 4]);
    let body = json!({"prompt_id": ID, "number": 7, "prompt": prompt(2)});
    assert_eq!(post(at, "/prompt", &[], &body).await.status, 200);
    assert_eq!(shown(at).await, [1; 4]);
    server.with(|state| state.board.replace(numbered(2, "completed")));
    assert_eq!(shown(at).await, [2; 4]);
}

#[tokio::test]
async fn lists_see_by_creation_and_end_that_a_run_is_another_one_whoever_submitted_it() {
    let server = server(Setup::default()).await;
    server.with(|state| state.board.add(run(1, "completed")));
    let jobshim = start(&server.url(), |_| {}).await;
    let at = jobshim.address;
    let list = async |known: &str| {
        let reply = Client::new()
            .get_with(at, "/history", &[("if-none-match", known)])
            .await;
        (reply.status.as_u16(), reply.header("etag").to_owned(), reply.text())
    };
    let (_, first, _) = list("\"none\"").await;
    assert_eq!(list(&first).await.0, 304);
    // Past jobshim.
    server.with(|state| state.board.add(run(2, "completed")));
    let (status, second, text) = list(&first).await;
    assert_eq!(status, 200);
    assert!(text.contains("run 2"), "{text}");
    assert_eq!(list(&second).await.0, 304);
    assert_eq!(
        shown(at).await,
        [2; 4],
        "and what a list brought is good for the single entry"
    );
    // The same creation, another end: the server corrected it.
    server.with(|state| {
        let job = run(2, "completed");
        let later = |text: &str| text.replace(&(time(2) + 500).to_string(), &(time(2) + 700).to_string());
        let corrected = Job::new(&later(&job.entry), &later(&job.detail).replace("run 2", "run 9"));
        state.board.replace(corrected.expect("a job"));
    });
    let (status, _, text) = list(&second).await;
    assert_eq!(status, 200);
    assert!(text.contains("run 9"), "{text}");
}

#[tokio::test]
async fn two_runs_of_an_id_that_wait_at_once_are_two_items_each_with_its_own_prompt() {
    let server = server(Setup::default()).await;
    let jobshim = start(&server.url(), |_| {}).await;
    let at = jobshim.address;
    submit(at, 2).await;
    submit(at, 3).await;
    assert_eq!(queue(at).await, (vec![], vec![2, 3]));
    becomes(&server, 2, "in_progress");
    assert_eq!(queue(at).await, (vec![2], vec![3]));
    assert_eq!(shown(at).await, [0; 4]);
}

#[tokio::test]
async fn what_a_prompt_taught_belongs_to_its_run_alone() {
    let server = server(Setup::default()).await;
    server.with(|state| state.board.add(run(1, "completed")));
    let jobshim = start(&server.url(), |_| {}).await;
    let at = jobshim.address;
    let nodes = json!({
        "8": {"class_type": "PreviewImage", "inputs": {}},
        "9": {"class_type": "SaveImage", "inputs": {"run": 2}},
    });
    let body = json!({"prompt_id": ID, "prompt": nodes, "partial_execution_targets": []});
    assert_eq!(post(at, "/prompt", &[], &body).await.status, 200);
    let entry = &get(at, &format!("/history/{ID}"), &[]).await[ID];
    assert_eq!(entry["prompt"][4], json!(["9"]), "the first run had no such targets");
    assert_eq!(
        queue(at).await.1,
        [2],
        "and what is known of the second is not forgotten for it"
    );
}

#[tokio::test]
async fn every_scope_sees_the_newest_run_whoever_submitted_it() {
    let server = server(Setup::default()).await;
    server.with(|state| state.board.add(run(1, "completed")));
    let jobshim = start(&server.url(), |_| {}).await;
    let at = jobshim.address;
    let bert = [("comfy-user", "bert")];
    assert_eq!(shown_to(at, &bert).await, [1; 4]);
    submit(at, 2).await;
    assert_eq!(shown_to(at, &bert).await, [1; 4], "run 2 waits");
    becomes(&server, 2, "completed");
    assert_eq!(shown_to(at, &bert).await, [2; 4]);
}

#[tokio::test]
async fn a_submission_whose_answer_nobody_saw_ends_what_is_remembered_of_its_id_too() {
    let server = server(Setup::default()).await;
    server.with(|state| state.board.add(run(1, "completed")));
    let jobshim = start(&server.url(), |_| {}).await;
    let at = jobshim.address;
    assert_eq!(shown(at).await, [1; 4]);
    // The server takes the prompt and is gone before it has answered.
    server.intercept(|state, arrived| {
        let posted = arrived.method == Method::POST && arrived.target == "/prompt";
        posted.then(|| {
            state.board.add(run(2, "completed"));
            (502, "gone".to_owned())
        })
    });
    let body = json!({"prompt_id": ID, "prompt": prompt(2)});
    assert_eq!(post(at, "/prompt", &[], &body).await.status, 502);
    assert_eq!(shown(at).await, [2; 4]);
}

#[tokio::test]
async fn a_submission_whose_client_leaves_ends_what_is_remembered_of_its_id_too() {
    let server = server(Setup::default()).await;
    server.with(|state| state.board.add(run(1, "completed")));
    let gate = crate::support::upstream::Scripted::start({
        let url = server.url();
        move |request: Request<hyper::body::Incoming>| {
            let url = url.clone();
            async move {
                if request.method() == Method::POST {
                    return std::future::pending().await;
                }
                let target = request.uri().to_string();
                let at = url.trim_start_matches("http://").parse().expect("an address");
                let reply = Client::new().get(at, &target).await;
                crate::support::upstream::reply(reply.status.as_u16(), &[], reply.body)
            }
        }
    })
    .await;
    let jobshim = start(&gate.url(), |_| {}).await;
    let at = jobshim.address;
    assert_eq!(shown(at).await, [1; 4]);
    let mut sender = sender(at).await;
    let body = json!({"prompt_id": ID, "prompt": prompt(2)}).to_string();
    let request = Request::post("/prompt").header("host", "x");
    let request = request.body(Full::new(Bytes::from(body))).expect("a request");
    let sent = tokio::spawn(async move { sender.send_request(request).await.map(drop) });
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    sent.abort();
    let _ = sent.await;
    server.with(|state| state.board.add(run(2, "completed")));
    until("the newest run is shown", async || shown(at).await == [2; 4]).await;
}
