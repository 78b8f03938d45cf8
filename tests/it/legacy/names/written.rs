//! Deletes, interrupts and cancels by name.

use super::{User, names, segment, start, submitted};
use crate::support::{facing, server::Setup};
use http::Method;
use jobshim::config::Ids;
use serde_json::{Value, json};

/// Whether the server's own legacy writes are there.
fn with_legacy_writes(legacy_writes: bool) -> Setup {
    Setup {
        legacy_writes,
        workflow_while_queued: true,
        ..Setup::default()
    }
}

#[tokio::test]
async fn jobs_are_deleted_and_interrupted_by_their_names() {
    for (ids, legacy_writes) in [(Ids::Any, false), (Ids::Auto, false), (Ids::Auto, true)] {
        let (server, jobshim) = start(ids, with_legacy_writes(legacy_writes)).await;
        let user = User::of(&jobshim);
        for name in names() {
            for job in [name.as_str(), "stays"] {
                user.prompt(job).await;
            }
            user.order("/queue", json!({"delete": [name, "no such job"]})).await;
            assert_eq!(user.queue().await, [vec![], vec!["stays".to_owned()]], "{name}");
            user.order("/queue", json!({"delete": ["stays"]})).await;
            user.prompt(&name).await;
            server.step();
            user.order("/interrupt", json!({"prompt_id": "stays"})).await;
            assert_eq!(user.queue().await[0], [name.as_str()]);
            user.order("/interrupt", json!({"prompt_id": name})).await;
            assert_eq!(user.queue().await[0], [""; 0], "{name}");
            assert_eq!(user.history().await, [name.as_str()]);
            user.order("/history", json!({"delete": [name]})).await;
            assert_eq!(user.history().await, [""; 0], "{name}");
            assert!(!user.jobs().await.contains(&name), "hidden there, too");
            let job = format!("/api/jobs/{}", segment(&name));
            let hidden = user.send(Method::GET, &job, String::new()).await;
            assert_eq!(hidden.status, 404, "{name}: {}", hidden.text());
            assert_eq!(user.get(&format!("/history/{}", segment(&name))).await, json!({}));
        }
    }
}

#[tokio::test]
async fn jobs_are_cancelled_by_their_names() {
    let (server, jobshim) = start(Ids::Auto, with_legacy_writes(false)).await;
    let user = User::of(&jobshim);
    for name in names() {
        let id = segment(&name);
        for target in [format!("/api/jobs/{id}/cancel"), format!("/api/job/{id}/cancel")] {
            user.prompt(&name).await;
            let reply = user.post(&target, json!({})).await;
            assert_eq!(reply.text(), r#"{"cancelled":true}"#, "{target}");
            assert_eq!(user.queue().await[1], [""; 0], "{target}");
        }
        user.prompt(&name).await;
        let own = submitted(&server).pop().expect("a prompt")["prompt_id"].clone();
        let reply = user.post("/api/jobs/cancel", json!({"job_ids": [name, own]})).await;
        assert_eq!(
            (reply.status.as_u16(), user.queue().await[1].len()),
            (200, 0),
            "{}",
            reply.text()
        );
    }
}

#[tokio::test]
async fn writes_by_name_are_understood_first_of_all_after_a_restart() {
    let (server, jobshim) = start(Ids::Auto, with_legacy_writes(false)).await;
    let user = User::of(&jobshim);
    user.prompt("runs").await;
    server.step();
    for name in ["one", "two", "three"] {
        user.prompt(name).await;
    }
    drop(user);
    jobshim.stop().await;
    let writes: [(&str, Value); 4] = [
        ("/interrupt", json!({"prompt_id": "runs"})),
        ("/queue", json!({"delete": ["one"]})),
        ("/api/jobs/two/cancel", json!({})),
        ("/api/jobs/cancel", json!({"job_ids": ["three"]})),
    ];
    let mut left = 4;
    for (target, body) in writes {
        let jobshim = facing(&server.url(), |_| {}).await;
        let user = User::of(&jobshim);
        user.order(target, body).await;
        left -= 1;
        let queued = server.with(|state| {
            ["pending", "in_progress"]
                .map(|word| state.board.in_state(word))
                .concat()
        });
        assert_eq!(queued.len(), left, "{target}");
        drop(user);
        jobshim.stop().await;
    }
    assert_eq!(server.arrived(Method::POST, "/queue").len(), 0);
}
