//! jobshim is killed in the middle of submissions: nothing is submitted twice, and what was answered is listed.

#![cfg(unix)]

use super::{ids, workflow};
use crate::support::{
    Client, StateFolder,
    program::Program,
    wait::{as_soon_as, within},
};
use http::Method;
use jobshim::demo::v2::{Call, Fault, Options, Simulator, Status};
use serde_json::{Value, json};
use std::{collections::BTreeSet, net::SocketAddr};
use tokio::task::JoinSet;

/// How many prompts are sent at once.
const LANES: usize = 4;
/// How many each sends, one after the other, while jobshim lives.
const OF_A_LANE: usize = 60;

async fn read(at: SocketAddr, target: &str) -> Value {
    let answer = Client::new().get(at, target).await;
    assert_eq!(answer.status, 200, "{target}: {}", answer.text());
    serde_json::from_slice(&answer.body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_nothing_is_submitted_twice_and_all_that_was_answered_is_listed() {
    let server = Simulator::start(Options::default()).await.expect("a simulator");
    let folder = StateFolder::new("v2-killed");
    let state = folder.path.to_string_lossy().into_owned();
    let arguments = ["--dialect", "v2", "--state", &state];
    let (mut sent, mut answered) = (0, BTreeSet::new());
    for round in 1..=3 {
        let mut program = Program::before(&server.url(), &arguments);
        let at = program.address();
        let mut lanes = JoinSet::new();
        for lane in 0..LANES {
            lanes.spawn(async move {
                let client = Client::new();
                let (mut sent, mut answered) = (0, Vec::new());
                for nth in 0..OF_A_LANE {
                    let name = format!("{round}-{lane}-{nth}");
                    let mut workflow = workflow();
                    workflow["9"]["inputs"]["filename_prefix"] = json!(name);
                    let body = json!({"prompt": workflow, "prompt_id": name}).to_string();
                    sent += 1;
                    match client.send(Method::POST, at, "/prompt", &[], body).await {
                        Ok(answer) => {
                            assert_eq!(answer.status, 200, "{}", answer.text());
                            answered.push(name);
                        }
                        Err(_) => break,
                    }
                }
                (sent, answered)
            });
        }
        let enough = answered.len() + 20 * round;
        as_soon_as("some are submitted", || server.count(Call::Submit) >= enough).await;
        program.signal("KILL");
        let lanes = within("they end", lanes.join_all()).await;
        let is_cut = lanes.iter().any(|(sent, names)| names.len() < *sent);
        assert!(is_cut, "it was killed in the middle");
        for (more, names) in lanes {
            sent += more;
            answered.extend(names);
        }
        program.end();
    }
    assert!(server.count(Call::Submit) <= sent, "none was sent twice");
    // Each has a body of its own.
    let seen = server.seen();
    let bodies = seen.iter().filter(|(call, _)| *call == Call::Submit);
    let bodies: BTreeSet<&[u8]> = bodies.map(|(_, seen)| &seen.body[..]).collect();
    assert_eq!(bodies.len(), server.count(Call::Submit), "none was sent twice");
    let mut program = Program::before(&server.url(), &arguments);
    let at = program.address();
    let listed = ids(&read(at, "/queue").await);
    let is_listed: BTreeSet<String> = listed.iter().cloned().collect();
    let lost: Vec<_> = answered.difference(&is_listed).collect();
    assert!(lost.is_empty(), "answered and not listed: {lost:?}");
    assert_eq!(is_listed.len(), listed.len(), "each once");
    server.finish_all();
    let history = ids(&read(at, "/history").await);
    assert_eq!(BTreeSet::from_iter(history), is_listed, "and all of them end");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_while_a_prompt_is_on_its_way_is_not_sent_it_again() {
    let server = Simulator::start(Options::default()).await.expect("a simulator");
    let (at_server, url) = (server.address(), server.url());
    let mut program = Program::before(&url, &["--dialect", "v2"]);
    let at = program.address();
    read(at, "/queue").await;
    server.fail_next(Some(Call::Submit), 1, Fault::Silent);
    let body = json!({"prompt": workflow()}).to_string();
    let asking = tokio::spawn(async move { Client::new().send(Method::POST, at, "/prompt", &[], body).await });
    as_soon_as("the job is there", || server.in_state(Status::Queued).len() == 1).await;
    drop(server);
    let answer = within("an answer", asking).await.expect("no panic").expect("an answer");
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert!(answer.text().contains("may exist"), "{}", answer.text());
    let again = Simulator::start_at(at_server, Options::default())
        .await
        .expect("a simulator");
    assert_eq!(ids(&read(at, "/queue").await), [""; 0]);
    assert_eq!(again.count(Call::Submit), 0);
}
