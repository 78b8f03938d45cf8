//! The order of `/queue`, in which the server runs what waits; and counts in digits of any script.

use crate::support::{
    Client,
    server::{Server, Setup, board},
    start,
};
use jobshim::demo::{Job, Rules};
use serde_json::Value;

async fn waiting(rules: Rules, jobs: &[(&str, &str, i64)], target: &str) -> Vec<String> {
    let mut board = board(rules);
    for (id, number, created) in jobs {
        let number = match rules {
            Rules::Cloud => String::new(),
            _ => format!(r#", "priority": {number}"#),
        };
        let text = format!(r#"{{"id": "{id}", "status": "pending", "create_time": {created}{number}}}"#);
        board.add(Job::new(&text, &text).expect("a job"));
    }
    let server = Server::start(board, Setup::default()).await;
    let jobshim = start(&server.url(), |_| {}).await;
    let reply = Client::new().get(jobshim.address, target).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let queue: Value = serde_json::from_slice(&reply.body).expect("JSON");
    let items = queue["queue_pending"].as_array().expect("a list").iter();
    items.map(|item| item[1].as_str().expect("an id").to_owned()).collect()
}

#[tokio::test]
async fn of_equal_numbers_the_lower_id_runs_first() {
    let jobs = [
        ("d", "1", 1_700_000_000_001),
        ("a", "7", 1_700_000_000_002),
        ("c", "1.0", 1_700_000_000_003),
        ("B", "1", 1_700_000_000_004),
        ("y", "0", 1_700_000_000_005),
        ("x", "-0.0", 1_700_000_000_006),
        ("z", "-0.0", 1_700_000_000_007),
        ("e", "-3", 1_700_000_000_008),
    ];
    for target in ["/queue", "/api/queue"] {
        let order = waiting(Rules::Comfyui, &jobs, target).await;
        assert_eq!(order, ["e", "x", "y", "z", "B", "c", "d", "a"], "{target}");
    }
}

#[tokio::test]
async fn the_cloud_numbers_no_jobs_and_runs_the_oldest_first() {
    let jobs = [
        ("b", "", 1_700_000_000_001),
        ("c", "", 1_700_000_000_002),
        ("a", "", 1_700_000_000_003),
    ];
    for target in ["/queue", "/api/queue"] {
        assert_eq!(waiting(Rules::Cloud, &jobs, target).await, ["b", "c", "a"], "{target}");
    }
}

#[tokio::test]
async fn a_count_may_be_in_digits_of_any_script() {
    let mut board = board(Rules::Comfyui);
    for nth in 0..12 {
        let text = format!(
            r#"{{"id": "{nth}", "status": "completed", "create_time": {}}}"#,
            1_700_000_000_000_i64 + nth
        );
        board.add(Job::new(&text, &text).expect("a job"));
    }
    let server = Server::start(board, Setup::default()).await;
    let jobshim = start(&server.url(), |_| {}).await;
    for (target, count) in [
        // Full-width, Arabic-Indic, and full-width with an underscore.
        ("/history?max_items=%EF%BC%95", 5),
        ("/history?max_items=%D9%A1%D9%A0", 10),
        ("/history?max_items=%EF%BC%91_%EF%BC%90&offset=%EF%BC%93", 9),
    ] {
        let reply = Client::new().get(jobshim.address, target).await;
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        let history: Value = serde_json::from_slice(&reply.body).expect("JSON");
        assert_eq!(history.as_object().map(serde_json::Map::len), Some(count), "{target}");
    }
    // A superscript is a digit, but no decimal one.
    let reply = Client::new().get(jobshim.address, "/history?max_items=%C2%B2").await;
    assert_eq!(reply.status, 400, "{}", reply.text());
}
