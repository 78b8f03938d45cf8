//! An id that is used again, and what was deleted or cleared of it: each as of a run, and for every scope.

use super::reused::{ID, OTHER, becomes, get, post, queue, run, run_of, server, shown, shown_to, submit, time};
use crate::support::{Running, StateFolder, server::Setup, start};
use http::StatusCode;
use jobshim::config::StatePlace;
use redb::{Database, ReadableTable, TableDefinition};
use serde_json::{Value, json};

async fn delete(jobshim: &Running, body: Value) {
    let reply = post(jobshim.address, "/history", &[], &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn a_job_is_hidden_as_of_its_creation_and_a_later_run_of_its_id_is_shown() {
    let folder = StateFolder::new("reused-hidden");
    let server = server(Setup::default()).await;
    server.with(|state| state.board.add(run(1, "completed")));
    let keeping = async || {
        start(&server.url(), |config| {
            config.state.place = StatePlace::Folder(folder.path.clone())
        })
        .await
    };
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
    let folder = StateFolder::new("reused-stored");
    let server = server(Setup::default()).await;
    server.with(|state| state.board.add(run(1, "completed")));
    let keeping = async || {
        start(&server.url(), |config| {
            config.state.place = StatePlace::Folder(folder.path.clone())
        })
        .await
    };
    let jobshim = keeping().await;
    delete(&jobshim, json!({"delete": [ID]})).await;
    jobshim.stop().await;
    {
        // As that version left it: the ids alone.
        let store = Database::open(folder.path.join("jobshim.redb")).expect("the store");
        let rows: TableDefinition<&[u8], &[u8]> = TableDefinition::new("deleted");
        let writing = store.begin_write().expect("a transaction");
        {
            let mut rows = writing.open_table(rows).expect("the table");
            let keys: Vec<Vec<u8>> = rows
                .iter()
                .expect("rows")
                .map(|row| row.expect("a row").0.value().to_vec())
                .collect();
            assert!(!keys.is_empty(), "something is deleted");
            for key in keys {
                rows.insert(key.as_slice(), &b"null"[..]).expect("a row");
            }
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
    let keeping = async || {
        start(&server.url(), |config| {
            config.state.place = StatePlace::Folder(folder.path.clone())
        })
        .await
    };
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
