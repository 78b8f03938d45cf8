//! Jobs that were deleted or cleared where the server has no `POST /history` any more: in no legacy answer of that scope.

use crate::support::{
    Client, Reply, Running, StateFolder,
    program::Program,
    server::{Server, Setup, board},
    start,
    wait::{as_soon_as, until},
};
use http::Method;
use jobshim::demo::{Job, Rules};
use serde_json::{Value, json};
use std::{net::SocketAddr, os::unix::fs::PermissionsExt};

fn uuid(nth: usize) -> String {
    format!("{nth:08}-0000-4000-8000-000000000000")
}

/// A job that was created at `nth` and ends at `ended`.
fn job(nth: usize, status: &str, ended: usize) -> Job {
    let text = format!(
        r#"{{"id": "{}", "status": "{status}", "priority": {nth}, "create_time": {}, "execution_start_time": {}, "execution_end_time": {}}}"#,
        uuid(nth),
        time(nth),
        time(nth),
        time(ended)
    );
    Job::new(&text, &text).expect("a job")
}

/// In ms.
fn time(nth: usize) -> u64 {
    1_795_000_000_000 + nth as u64
}

/// A server without legacy writes, with `count` jobs that completed one after another.
async fn finished(rules: Rules, count: usize) -> Server {
    let mut board = board(rules);
    for nth in 1..=count {
        board.add(job(nth, "completed", nth));
    }
    Server::start(board, Setup::default()).await
}

async fn post_as(at: SocketAddr, target: &str, headers: &[(&str, &str)], body: &Value) -> Reply {
    Client::new()
        .send(Method::POST, at, target, headers, body.to_string())
        .await
        .expect("an answer")
}

async fn post(jobshim: &Running, target: &str, body: Value) {
    let reply = post_as(jobshim.address, target, &[], &body).await;
    assert_eq!(
        (reply.status.as_u16(), reply.text().as_str()),
        (200, ""),
        "{target} {body}"
    );
}

async fn get(at: SocketAddr, target: &str, headers: &[(&str, &str)]) -> Value {
    let reply = Client::new().get_with(at, target, headers).await;
    assert_eq!(reply.status, 200, "{target}: {}", reply.text());
    serde_json::from_slice(&reply.body).expect("JSON")
}

/// The numbers of the jobs that `/history` shows, in its order.
async fn history(at: SocketAddr, query: &str, headers: &[(&str, &str)]) -> Vec<usize> {
    let reply = Client::new().get_with(at, &format!("/history{query}"), headers).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let shown = crate::support::json::Json::parse(&reply.body).expect("JSON");
    shown
        .keys()
        .iter()
        .map(|id| id[..8].parse().expect("a number"))
        .collect()
}

/// The numbers of the jobs that `/api/history_v2` shows, in its order.
async fn history_v2(at: SocketAddr, query: &str) -> Vec<usize> {
    let shown = get(at, &format!("/api/history_v2{query}"), &[]).await;
    let entries = shown["history"].as_array().expect("a list").iter();
    let ids = entries.map(|entry| entry["prompt_id"].as_str().expect("an id").to_owned());
    ids.map(|id| id[..8].parse().expect("a number")).collect()
}

#[tokio::test]
async fn a_deleted_job_is_in_no_answer_and_the_server_still_has_it() {
    for rules in [Rules::Comfyui, Rules::Cloud] {
        for target in ["/history", "/api/history"] {
            let server = finished(rules, 4).await;
            let jobshim = start(&server.url(), |_| {}).await;
            post(&jobshim, target, json!({"delete": [uuid(2), uuid(77), "x", 5]})).await;
            let at = jobshim.address;
            assert_eq!(history(at, "", &[]).await, [1, 3, 4], "{rules:?}");
            assert_eq!(history_v2(at, "").await, [4, 3, 1], "{rules:?}");
            assert_eq!(get(at, &format!("/history/{}", uuid(2)), &[]).await, json!({}));
            for path in ["history_v2/ID", "job/ID/status"] {
                let path = format!("/api/{}", path.replace("ID", &uuid(2)));
                assert_eq!(Client::new().get(at, &path).await.status, 404, "{path}");
                let other = path.replace(&uuid(2), &uuid(3));
                assert_eq!(Client::new().get(at, &other).await.status, 200, "{other}");
            }
            let path = format!("/api/jobs/{}", uuid(2));
            assert_eq!(Client::new().get(at, &path).await.status, 404);
            let itself = server.url().trim_start_matches("http://").parse().expect("an address");
            assert_eq!(get(itself, &path, &[]).await["id"], uuid(2).as_str());
        }
    }
}

#[tokio::test]
async fn counts_and_offsets_do_not_see_hidden_jobs() {
    let server = finished(Rules::Cloud, 10).await;
    let jobshim = start(&server.url(), |_| {}).await;
    post(
        &jobshim,
        "/history",
        json!({"delete": [uuid(1), uuid(4), uuid(9), uuid(10)]}),
    )
    .await;
    let at = jobshim.address;
    for (query, oldest_first) in [
        ("", vec![2, 3, 5, 6, 7, 8]),
        ("?max_items=2", vec![7, 8]),
        ("?max_items=3&offset=1", vec![3, 5, 6]),
        ("?offset=5", vec![8]),
        ("?offset=6", vec![]),
        ("?max_items=100", vec![2, 3, 5, 6, 7, 8]),
    ] {
        assert_eq!(history(at, query, &[]).await, oldest_first, "{query}");
    }
    for (query, newest_first) in [
        ("", vec![8, 7, 6, 5, 3, 2]),
        ("?max_items=2", vec![8, 7]),
        ("?max_items=3&offset=2", vec![6, 5, 3]),
        ("?offset=5", vec![2]),
    ] {
        assert_eq!(history_v2(at, query).await, newest_first, "{query}");
    }
}

#[tokio::test]
async fn a_count_is_filled_from_later_pages_when_the_first_ones_are_hidden() {
    let server = finished(Rules::Cloud, 1500).await;
    let jobshim = start(&server.url(), |_| {}).await;
    let deleted: Vec<String> = (401..=1500).map(uuid).collect();
    post(&jobshim, "/history", json!({"delete": deleted})).await;
    assert_eq!(history_v2(jobshim.address, "?max_items=2").await, [400, 399]);
    assert_eq!(history(jobshim.address, "?max_items=2", &[]).await, [399, 400]);
}

#[tokio::test]
async fn a_clear_hides_what_had_ended_and_shows_what_ends_later() {
    for rules in [Rules::Comfyui, Rules::Cloud] {
        let server = finished(rules, 3).await;
        server.with(|state| {
            // Put in front of the queue or slow: created before others that ended, and not ended yet.
            state.board.add(job(4, "in_progress", 0));
            state.board.add(job(5, "pending", 0));
            state.board.add(job(6, "failed", 6));
            // Two created in the same moment, one of them ended.
            state.board.add(job(7, "completed", 7));
        });
        let twin = job(7, "pending", 0);
        let renamed = |text: &str| text.replace(&uuid(7), &uuid(8));
        let twin = Job::new(&renamed(&twin.entry), &renamed(&twin.detail)).expect("a job");
        server.with(|state| state.board.add(twin));
        let jobshim = start(&server.url(), |_| {}).await;
        let at = jobshim.address;
        assert_eq!(history(at, "", &[]).await, [1, 2, 3, 6, 7]);
        post(&jobshim, "/history", json!({"clear": true})).await;
        assert_eq!(history(at, "", &[]).await, [0; 0], "{rules:?}");
        assert_eq!(history_v2(at, "").await, [0; 0], "{rules:?}");
        assert_eq!(get(at, &format!("/history/{}", uuid(6)), &[]).await, json!({}));
        server.with(|state| {
            state.board.replace(job(4, "completed", 20));
            state.board.replace(job(5, "failed", 21));
            let ended = job(8, "completed", 22);
            state.board.replace(ended);
            state.board.add(job(30, "completed", 31));
        });
        assert_eq!(history(at, "", &[]).await, [4, 5, 8, 30], "{rules:?}");
        assert_eq!(history(at, "?max_items=1&offset=1", &[]).await, [5], "{rules:?}");
        // Another clear hides those too, and a delete after it one more.
        post(&jobshim, "/history", json!({"clear": true})).await;
        assert_eq!(history(at, "", &[]).await, [0; 0], "{rules:?}");
        server.with(|state| {
            state.board.add(job(40, "completed", 41));
            state.board.add(job(42, "completed", 43));
        });
        post(&jobshim, "/history", json!({"delete": [uuid(40)]})).await;
        assert_eq!(history(at, "", &[]).await, [42], "{rules:?}");
    }
}

#[tokio::test]
async fn a_queued_job_cannot_be_deleted_from_history_and_is_shown_once_it_ends() {
    let server = finished(Rules::Comfyui, 1).await;
    server.with(|state| {
        state.board.add(job(2, "pending", 0));
        state.board.add(job(3, "in_progress", 0));
    });
    let jobshim = start(&server.url(), |_| {}).await;
    post(&jobshim, "/history", json!({"delete": [uuid(1), uuid(2), uuid(3)]})).await;
    server.with(|state| {
        state.board.replace(job(2, "completed", 5));
        state.board.replace(job(3, "completed", 4));
    });
    assert_eq!(history(jobshim.address, "", &[]).await, [3, 2]);
}

#[tokio::test]
async fn what_one_user_deletes_others_still_see() {
    let server = finished(Rules::Comfyui, 3).await;
    let jobshim = start(&server.url(), |_| {}).await;
    let at = jobshim.address;
    let anna = [("comfy-user", "anna")];
    let order = json!({"delete": [uuid(2)]});
    assert_eq!(post_as(at, "/history", &anna, &order).await.status, 200);
    assert_eq!(history(at, "", &anna).await, [1, 3]);
    for other in [
        vec![],
        vec![("comfy-user", "bert")],
        vec![("x-api-key", "anna")],
        vec![("authorization", "anna")],
        vec![("cookie", "anna")],
    ] {
        assert_eq!(history(at, "", &other).await, [1, 2, 3], "{other:?}");
    }
    assert_eq!(history(at, "?token=anna", &[]).await, [1, 2, 3]);
    assert_eq!(
        post_as(at, "/history", &anna, &json!({"clear": true})).await.status,
        200
    );
    assert_eq!(history(at, "", &anna).await, [0; 0]);
    assert_eq!(history(at, "", &[]).await, [1, 2, 3]);
}

/// Clears the history as one made-up user after the other, until that is refused; how many were let.
async fn clear_as_strangers(at: SocketAddr) -> usize {
    let client = Client::new();
    for nth in 0..10_000 {
        let user = format!("stranger-{nth}");
        let reply = client
            .send(
                Method::POST,
                at,
                "/history",
                &[("comfy-user", &user)],
                r#"{"clear": true}"#,
            )
            .await
            .expect("an answer");
        if reply.status != 200 {
            assert_eq!(reply.status, 507, "{}", reply.text());
            assert!(reply.text().contains("hidden_full"), "{}", reply.text());
            return nth;
        }
    }
    panic!("what is hidden grows without end");
}

#[tokio::test]
async fn made_up_users_fill_what_may_be_hidden_and_whoever_hid_a_job_before_never_sees_it_again() {
    let server = finished(Rules::Comfyui, 9).await;
    let jobshim = start(&server.url(), |config| config.history.max_hidden = 20_000).await;
    let at = jobshim.address;
    let anna = [("comfy-user", "anna")];
    assert_eq!(
        post_as(at, "/history", &anna, &json!({"delete": [uuid(2)]}))
            .await
            .status,
        200
    );
    let strangers = clear_as_strangers(at).await;
    assert!((20..100).contains(&strangers), "{strangers}");
    assert_eq!(history(at, "", &anna).await, [1, 3, 4, 5, 6, 7, 8, 9]);
    // What is refused is not done by half, and what is hidden already needs no more room.
    let delete = async |ids: Vec<String>| post_as(at, "/history", &anna, &json!({"delete": ids})).await.status;
    assert_eq!(delete((1..=9).map(uuid).collect()).await, 507);
    assert_eq!(history(at, "", &anna).await, [1, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(delete(vec![uuid(2)]).await, 200);
    let stranger = [("comfy-user", "stranger-0")];
    assert_eq!(history(at, "", &stranger).await, [0; 0]);
    assert_eq!(
        post_as(at, "/history", &stranger, &json!({"clear": true})).await.status,
        200,
        "a clear takes the place of the one before"
    );
}

#[tokio::test]
async fn jobs_that_the_server_no_longer_has_make_room_for_others() {
    let server = finished(Rules::Comfyui, 300).await;
    let jobshim = start(&server.url(), |config| config.history.max_hidden = 20_000).await;
    let at = jobshim.address;
    let delete = async |from: usize, to: usize| {
        let ids: Vec<_> = (from..=to).map(uuid).collect();
        post_as(at, "/history", &[], &json!({"delete": ids})).await.status
    };
    assert_eq!(delete(1, 150).await, 200);
    assert_eq!(delete(151, 300).await, 507);
    server.with(|state| {
        state.board.jobs.clear();
        (151..=300).for_each(|nth| state.board.add(job(nth, "completed", nth)));
    });
    until("there is room again", async || {
        history(at, "", &[]).await;
        delete(151, 300).await == 200
    })
    .await;
    assert_eq!(history(at, "", &[]).await, [0; 0]);
}

#[tokio::test]
async fn where_the_server_still_has_the_endpoint_it_forgets_itself() {
    let mut jobs = board(Rules::Comfyui);
    (1..=3).for_each(|nth| jobs.add(job(nth, "completed", nth)));
    let setup = Setup {
        legacy_writes: true,
        ..Setup::default()
    };
    let server = Server::start(jobs, setup).await;
    let jobshim = start(&server.url(), |_| {}).await;
    for prefix in ["", "/api"] {
        let body = format!("{{\"delete\" : [{:?}]}}", uuid(if prefix.is_empty() { 1 } else { 2 }));
        let reply = Client::new()
            .send(
                Method::POST,
                jobshim.address,
                &format!("{prefix}/history"),
                &[],
                body.clone(),
            )
            .await
            .expect("an answer");
        assert_eq!(reply.status, 200);
        let forwarded = server.arrived(Method::POST, &format!("{prefix}/history"));
        assert_eq!(forwarded.last().expect("forwarded").body, body);
    }
    server.with(|state| assert_eq!(state.board.in_state("completed"), [uuid(3)]));
}

#[tokio::test]
async fn each_way_of_having_no_such_endpoint_hides_and_any_other_answer_is_the_clients() {
    for (status, hides) in [
        (404, true),
        (405, true),
        (410, true),
        (501, true),
        (500, false),
        (403, false),
        (200, false),
    ] {
        let server = finished(Rules::Comfyui, 2).await;
        server.intercept(move |_, request| {
            (request.method == Method::POST && request.target == "/history").then(|| (status, "{}".to_owned()))
        });
        let jobshim = start(&server.url(), |_| {}).await;
        let reply = post_as(jobshim.address, "/history", &[], &json!({"delete": [uuid(1)]})).await;
        assert_eq!(reply.status.as_u16(), if hides { 200 } else { status }, "{status}");
        let wanted: &[usize] = if hides { &[2] } else { &[1, 2] };
        assert_eq!(history(jobshim.address, "", &[]).await, wanted, "{status}");
    }
}

// ------------------------------------------------------------------------------------------------ restarts

fn program(server: &Server, folder: &StateFolder) -> Program {
    let path = folder.path.display().to_string();
    Program::before(&server.url(), &["--state-dir", &path])
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_survives_a_restart_for_the_same_user() {
    let folder = StateFolder::new("hidden-restart");
    let server = finished(Rules::Comfyui, 5).await;
    let anna = [("comfy-user", "anna")];
    {
        let mut program = program(&server, &folder);
        let at = program.address();
        post_as(at, "/history", &[], &json!({"delete": [uuid(2)]})).await;
        post_as(at, "/history", &anna, &json!({"clear": true})).await;
        program.signal("TERM");
        assert_eq!(program.end().code(), Some(0));
        assert!(
            !program.log.iter().any(|line| line.contains("state_dir")),
            "{:#?}",
            program.log
        );
    }
    server.with(|state| state.board.add(job(6, "completed", 6)));
    let mut program = program(&server, &folder);
    let at = program.address();
    assert_eq!(history(at, "", &[]).await, [1, 3, 4, 5, 6]);
    assert_eq!(history(at, "", &anna).await, [6]);
    let file = std::fs::metadata(folder.path.join("jobshim.redb")).expect("the store");
    assert_eq!(file.permissions().mode() & 0o777, 0o600, "nobody else reads it");
    // A smaller limit shows nothing again.
    program.signal("TERM");
    program.end();
    let path = folder.path.display().to_string();
    let mut program = Program::before(&server.url(), &["--state-dir", &path, "--max-hidden", "1"]);
    let at = program.address();
    assert_eq!(history(at, "", &[]).await, [1, 3, 4, 5, 6]);
    assert_eq!(
        post_as(at, "/history", &[], &json!({"delete": [uuid(1)]})).await.status,
        507
    );
    program.line_with("more is hidden already than history.max_hidden allows");
    // One store, one jobshim; a look at the configuration leaves it alone.
    let check = crate::support::program::run(&["check", "--state-dir", &path], &[]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stderr));
    let second = crate::support::program::run(&["--listen", "127.0.0.1:0", "--state-dir", &path], &[]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        !second.status.success() && said.contains("in use by another jobshim"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_state_folder_the_log_says_once_that_a_restart_forgets() {
    let server = finished(Rules::Comfyui, 3).await;
    let mut program = Program::before(&server.url(), &[]);
    let at = program.address();
    for nth in 1..=3 {
        post_as(at, "/history", &[], &json!({"delete": [uuid(nth)]})).await;
    }
    program.signal("TERM");
    program.end();
    let lines: Vec<_> = program.log.iter().filter(|line| line.contains("state_dir")).collect();
    assert_eq!(lines.len(), 1, "{:#?}", program.log);
    assert!(lines[0].contains("WARN"), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_of_a_thousand_deletes_every_one_that_was_answered_is_still_hidden() {
    let folder = StateFolder::new("hidden-kill");
    let server = finished(Rules::Comfyui, 1000).await;
    let mut first = program(&server, &folder);
    let at = first.address();
    let mut deleting = tokio::task::JoinSet::new();
    for lane in 0..4 {
        deleting.spawn(async move {
            let client = Client::new();
            let mut answered = Vec::new();
            for nth in (1..=1000).filter(|nth| nth % 4 == lane) {
                let body = json!({"delete": [uuid(nth)]}).to_string();
                match client.send(Method::POST, at, "/history", &[], body).await {
                    Ok(reply) if reply.status == 200 => answered.push(nth),
                    Ok(reply) => panic!("{}: {}", reply.status, reply.text()),
                    Err(_) => break,
                }
            }
            answered
        });
    }
    // In the middle: the server has been asked about a few hundred of them.
    as_soon_as("a few hundred are deleted", || {
        server.arrived(Method::POST, "/history").len() >= 300
    })
    .await;
    first.signal("KILL");
    let answered: Vec<usize> = deleting.join_all().await.into_iter().flatten().collect();
    first.end();
    assert!(
        (100..900).contains(&answered.len()),
        "killed in the middle: {}",
        answered.len()
    );
    let mut second = program(&server, &folder);
    let shown = history(second.address(), "", &[]).await;
    let back: Vec<_> = answered.iter().filter(|nth| shown.contains(nth)).collect();
    assert!(back.is_empty(), "shown again: {back:?}");
    assert!(shown.len() >= 1000 - answered.len() - 4, "nothing else is hidden");
}
