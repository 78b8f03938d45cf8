//! An id that is used again: history shows its newest finished run, the queue what waits or runs, in every order of events.

use crate::support::{
    Client, Reply, Running, StateFolder,
    raw::sender,
    server::{Server, Setup, board},
    start,
    wait::until,
};
use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use jobshim::demo::{Job, Rules};
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde_json::{Value, json};
use std::net::SocketAddr;

const ID: &str = "00000001-0000-4000-8000-000000000000";
const OTHER: &str = "00000002-0000-4000-8000-000000000000";

/// In ms.
fn time(nth: usize) -> u64 {
    1_795_000_000_000 + 1000 * nth as u64
}

/// The `nth` run of `id`, which is created at `nth`; its prompt and its output say which one it is.
fn run_of(id: &str, nth: usize, status: &str) -> Job {
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

fn run(nth: usize, status: &str) -> Job {
    run_of(ID, nth, status)
}

fn prompt(nth: usize) -> Value {
    json!({"9": {"class_type": "SaveImage", "inputs": {"run": nth}}})
}

/// A server whose `POST /prompt` queues run after run of the id that it is given, without looking at it.
async fn server(setup: Setup) -> Server {
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
fn becomes(server: &Server, nth: usize, status: &str) {
    server.with(|state| state.board.replace(run(nth, status)));
}

async fn post(at: SocketAddr, target: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    Client::new()
        .send(Method::POST, at, target, headers, body.to_string())
        .await
        .expect("an answer")
}

async fn submit(at: SocketAddr, nth: usize) {
    let body = json!({"prompt_id": ID, "prompt": prompt(nth)});
    let reply = post(at, "/prompt", &[], &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

async fn get(at: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Value {
    let reply = Client::new().get_with(at, target, headers).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    serde_json::from_slice(&reply.body).expect("JSON")
}

/// Which run each endpoint of the history shows; 0 for none.
async fn shown_to(at: SocketAddr, headers: &[(&str, &str)]) -> [u64; 4] {
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

async fn shown(at: SocketAddr) -> [u64; 4] {
    shown_to(at, &[]).await
}

/// Which runs are running and pending, by their prompts; 0 for an empty prompt.
async fn queue(at: SocketAddr) -> (Vec<u64>, Vec<u64>) {
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

async fn delete(jobshim: &Running, body: Value) {
    let reply = post(jobshim.address, "/history", &[], &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn a_job_is_hidden_as_of_its_creation_and_a_later_run_of_its_id_is_shown() {
    let folder = StateFolder::new("reused-hidden");
    let server = server(Setup::default()).await;
    server.with(|state| state.board.add(run(1, "completed")));
    let keeping = async || start(&server.url(), |config| config.state_dir = Some(folder.path.clone())).await;
    let jobshim = keeping().await;
    delete(&jobshim, json!({"delete": [ID]})).await;
    assert_eq!(shown(jobshim.address).await, [0; 4]);
    submit(jobshim.address, 2).await;
    assert_eq!(
        shown(jobshim.address).await,
        [0; 4],
        "run 1 is still the newest finished one"
    );
    assert_eq!(queue(jobshim.address).await.1, [2], "and hiding is not about the queue");
    jobshim.stop().await;
    let jobshim = keeping().await;
    assert_eq!(shown(jobshim.address).await, [0; 4], "after a restart, too");
    becomes(&server, 2, "completed");
    assert_eq!(shown(jobshim.address).await, [2; 4]);
    delete(&jobshim, json!({"delete": [ID]})).await;
    assert_eq!(shown(jobshim.address).await, [0; 4]);
    jobshim.stop().await;
    let jobshim = keeping().await;
    assert_eq!(shown(jobshim.address).await, [0; 4], "the later one, too");
}

#[tokio::test]
async fn what_an_earlier_version_stored_as_hidden_stays_hidden() {
    const DELETED: TableDefinition<(&[u8], &str), ()> = TableDefinition::new("deleted");
    let folder = StateFolder::new("reused-stored");
    let server = server(Setup::default()).await;
    server.with(|state| state.board.add(run(1, "completed")));
    let keeping = async || start(&server.url(), |config| config.state_dir = Some(folder.path.clone())).await;
    let jobshim = keeping().await;
    delete(&jobshim, json!({"delete": [ID]})).await;
    jobshim.stop().await;
    {
        // As that version left it: the ids alone.
        let store = Database::open(folder.path.join("jobshim.redb")).expect("the store");
        let reading = store.begin_read().expect("a read");
        let rows = reading.open_table(DELETED).expect("its table");
        assert_eq!(rows.iter().expect("rows").count(), 1);
        drop((rows, reading));
        let writing = store.begin_write().expect("a write");
        let others: Vec<String> = writing
            .list_tables()
            .expect("tables")
            .map(|table| redb::TableHandle::name(&table).to_owned())
            .filter(|name| !["deleted", "cleared", "key", "usage", "rollbacks"].contains(&name.as_str()))
            .collect();
        for name in others {
            let table: TableDefinition<(&[u8], &str), f64> = TableDefinition::new(&name);
            writing.delete_table(table).expect("deleted");
        }
        writing.commit().expect("a commit");
    }
    let jobshim = keeping().await;
    assert_eq!(shown(jobshim.address).await, [0; 4]);
}

#[tokio::test]
async fn a_clear_takes_the_finished_run_of_an_id_and_not_the_one_that_waits() {
    let folder = StateFolder::new("reused-cleared");
    let server = server(Setup::default()).await;
    server.with(|state| state.board.add(run(1, "completed")));
    let keeping = async || start(&server.url(), |config| config.state_dir = Some(folder.path.clone())).await;
    let jobshim = keeping().await;
    submit(jobshim.address, 2).await;
    server.with(|state| state.board.add(run_of(OTHER, 3, "completed")));
    delete(&jobshim, json!({"clear": true})).await;
    assert_eq!(shown(jobshim.address).await, [0; 4], "run 1 and the other job");
    jobshim.stop().await;
    let jobshim = keeping().await;
    assert_eq!(shown(jobshim.address).await, [0; 4]);
    becomes(&server, 2, "completed");
    assert_eq!(
        shown(jobshim.address).await,
        [2; 4],
        "it had not ended when it was cleared"
    );
    server.with(|state| state.board.add(run_of(OTHER, 4, "completed")));
    let entry = get(jobshim.address, &format!("/history/{OTHER}"), &[]).await;
    assert!(
        entry[OTHER].is_object(),
        "the newest job of the clear, run again: {entry}"
    );
}

#[tokio::test]
async fn a_clear_that_an_earlier_version_stored_is_in_force() {
    let cleared: jobshim::legacy::hidden::Cleared = serde_json::from_value(json!({
        "created_before": time(3), "also": [OTHER], "except": [ID],
    }))
    .expect("a clear");
    assert!(cleared.holds("older", time(1) as f64));
    assert!(cleared.holds(OTHER, time(3) as f64));
    assert!(!cleared.holds(ID, time(1) as f64), "it had not ended");
    assert!(!cleared.holds(OTHER, time(4) as f64), "a later run of it");
}

#[tokio::test]
async fn deleting_from_the_queue_never_stops_the_running_job_of_the_same_id() {
    for legacy_writes in [false, true] {
        let server = server(Setup {
            legacy_writes,
            ..Setup::default()
        })
        .await;
        server.with(|state| {
            state.board.add(run(1, "in_progress"));
            state.board.add(run_of(OTHER, 3, "pending"));
        });
        let jobshim = start(&server.url(), |_| {}).await;
        let at = jobshim.address;
        submit(at, 4).await;
        let reply = post(at, "/queue", &[], &json!({"delete": [ID, OTHER]})).await;
        let states = |status: &str| server.with(|state| state.board.in_state(status));
        assert_eq!(states("in_progress"), [ID], "{}", reply.text());
        match legacy_writes {
            true => {
                assert_eq!(reply.status, 200, "the server's own endpoint can: {}", reply.text());
                assert_eq!(states("pending"), [""; 0]);
            }
            false => {
                assert_eq!(reply.status, StatusCode::NOT_IMPLEMENTED, "{}", reply.text());
                assert_eq!(states("pending").len(), 2, "nothing is done by half");
            }
        }
        let stop = post(at, "/interrupt", &[], &json!({"prompt_id": ID})).await;
        assert_eq!(stop.status, 200);
        assert_eq!(states("in_progress"), [""; 0], "an interrupt means the running one");
    }
}

#[tokio::test]
async fn a_job_deleted_and_forgotten_by_the_server_is_gone_for_every_scope() {
    for body in [json!({"delete": [ID]}), json!({"clear": true})] {
        let server = server(Setup {
            legacy_writes: true,
            ..Setup::default()
        })
        .await;
        server.with(|state| state.board.add(run(1, "completed")));
        let jobshim = start(&server.url(), |_| {}).await;
        let at = jobshim.address;
        let (anna, bert) = ([("comfy-user", "anna")], [("comfy-user", "bert")]);
        for user in [&anna, &bert] {
            assert_eq!(shown_to(at, user).await, [1; 4]);
        }
        assert_eq!(post(at, "/history", &anna, &body).await.status, 200);
        for user in [&anna, &bert] {
            assert_eq!(shown_to(at, user).await, [0; 4], "{user:?} after {body}");
        }
    }
}
