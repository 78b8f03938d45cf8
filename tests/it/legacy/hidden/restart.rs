//! What is hidden stays so after the program has ended, in whatever way.

#![cfg(unix)]

use super::{finished, history, job, post_as, uuid};
use crate::support::{Client, StateFolder, program::Program, server::Server, wait::as_soon_as};
use http::Method;
use jobshim::demo::Rules;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;

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
            !program.log.iter().any(|line| line.contains("state.store")),
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
    let lines: Vec<_> = program.log.iter().filter(|line| line.contains("state.store")).collect();
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
