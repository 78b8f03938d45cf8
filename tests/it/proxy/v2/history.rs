//! A job from its prompt to the history, and out of it.

use super::{Setup, ids, workflow};
use crate::support::{Client, StateFolder, start};
use jobshim::{
    config::StatePlace,
    demo::v2::{Call, Options},
};
use serde_json::json;

#[tokio::test]
async fn a_prompt_waits_runs_and_is_in_the_history_as_of_a_comfyui() {
    let setup = Setup::new(Options::default()).await;
    let extra_data = json!({"extra_pnginfo": {"workflow": {"version": 0.4}}, "api_key_comfy_org": "secret"});
    let (id, number) = setup
        .submit(&[], json!({"client_id": "mine", "extra_data": extra_data}))
        .await;
    assert_eq!(number, 0);
    let (second, number) = setup.submit(&[], json!({"front": true})).await;
    assert_eq!(number, -1);
    let queue = setup.get("/queue").await;
    assert_eq!(ids(&queue), [second.clone(), id.clone()], "{queue}");
    let item = &queue["queue_pending"][1];
    assert_eq!(item[2], workflow());
    assert_eq!(item[3]["client_id"], "mine", "{item}");
    assert_eq!(item[3]["extra_pnginfo"]["workflow"]["version"], 0.4, "{item}");
    assert!(
        item[3]["create_time"]
            .as_i64()
            .is_some_and(|time| time > 1_700_000_000_000),
        "{item}"
    );
    assert!(!queue.to_string().contains("secret"), "{queue}");
    assert_eq!(setup.get(&format!("/history/{id}")).await, json!({}));
    assert!(setup.server.finish(&id));
    let history = setup.get(&format!("/history/{id}")).await;
    let entry = &history[&id];
    assert_eq!(entry["prompt"][0], 0, "{entry}");
    assert_eq!(entry["prompt"][2], workflow(), "{entry}");
    assert_eq!(entry["prompt"][3], item[3], "{entry}");
    let file = &entry["outputs"]["9"]["images"][0];
    assert_eq!(
        (&file["subfolder"], &file["type"]),
        (&json!("sub"), &json!("output")),
        "{entry}"
    );
    assert_eq!(entry["status"]["status_str"], "success", "{entry}");
    assert_eq!(entry["status"]["messages"][1][0], "execution_success", "{entry}");
    assert_eq!(setup.get("/history").await, history);
    let status = setup.get(&format!("/api/job/{second}/status")).await;
    assert_eq!(status["status"], "queued_waiting");
    let v2 = setup.get("/api/history_v2").await;
    assert_eq!(v2["history"][0]["prompt_id"], json!(id), "{v2}");
}

#[tokio::test]
async fn what_was_submitted_is_listed_after_a_restart_and_numbered_on() {
    let folder = StateFolder::new("v2-restart");
    let place = StatePlace::Folder(folder.path.clone());
    let mut setup = Setup::with(Options::default(), |config| config.state.place = place.clone()).await;
    let sent = json!({"client_id": "mine", "extra_data": {"a": [1.50]}});
    let (first, _) = setup.submit(&[], sent).await;
    let (second, number) = setup.submit(&[], json!({"number": 2.5})).await;
    assert_eq!(number, 2.5);
    setup.server.finish(&first);
    let before = [setup.get("/history").await, setup.get("/queue").await];
    let url = setup.server.url();
    // Its connections hold what is stopped.
    setup.client = Client::new();
    setup.jobshim.stop().await;
    setup.jobshim = start(&url, |config| config.state.place = place).await;
    let lookups = setup.server.count(Call::Job);
    assert_eq!([setup.get("/history").await, setup.get("/queue").await], before);
    let asked = setup.server.count(Call::Job) - lookups;
    assert!(
        asked <= 5,
        "the one that has ended is asked for its entry alone, and not where it stands, besides the first question: {asked}"
    );
    let (_, number) = setup.submit(&[], json!({})).await;
    assert_eq!(number, 1, "after 0, and 2.5 that a client chose");
    let queue = ids(&setup.get("/queue").await);
    assert_eq!(queue.last(), Some(&second), "by number: {queue:?}");
}

#[tokio::test]
async fn what_is_deleted_or_cleared_is_hidden_and_what_comes_later_is_not() {
    let setup = Setup::new(Options::default()).await;
    let mut finished = Vec::new();
    for _ in 0..3 {
        let (id, _) = setup.submit(&[], json!({})).await;
        setup.server.finish(&id);
        finished.push(id);
    }
    let gone = finished.remove(0);
    let answer = setup.post("/history", &[], &json!({"delete": [gone]})).await;
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (200, ""));
    let mut left = ids(&setup.get("/history").await);
    left.sort();
    finished.sort();
    assert_eq!(left, finished);
    assert_eq!(setup.get(&format!("/history/{gone}")).await, json!({}));
    setup.post("/history", &[], &json!({"clear": true})).await;
    assert_eq!(setup.get("/history").await, json!({}));
    let (id, _) = setup.submit(&[], json!({})).await;
    setup.server.finish(&id);
    assert_eq!(ids(&setup.get("/history").await), [id]);
    assert_eq!(
        setup.server.count(Call::Other),
        1,
        "the first question alone: nothing of this is the server's"
    );
}

#[tokio::test]
async fn the_queue_is_deleted_cleared_and_interrupted_by_cancels() {
    let setup = Setup::new(Options::default()).await;
    let mut submitted = Vec::new();
    for _ in 0..4 {
        submitted.push(setup.submit(&[], json!({})).await.0);
    }
    assert!(setup.server.step(), "the first one runs");
    let queue = setup.get("/queue").await;
    assert_eq!(queue["queue_running"][0][1], json!(submitted[0]), "{queue}");
    setup
        .post("/queue", &[], &json!({"delete": [submitted[0], submitted[2]]}))
        .await;
    let queue = setup.get("/queue").await;
    assert_eq!(
        ids(&queue),
        [submitted[1].clone(), submitted[3].clone()],
        "one that runs is not in the queue: {queue}"
    );
    setup.post("/interrupt", &[], &json!({"prompt_id": submitted[1]})).await;
    assert_eq!(setup.server.count(Call::Cancel), 1, "it does not run");
    setup.post("/interrupt", &[], &json!(null)).await;
    setup.server.step();
    setup.post("/queue", &[], &json!({"clear": true})).await;
    let queue = setup.get("/queue").await;
    assert_eq!(queue["queue_pending"], json!([]), "{queue}");
    let history = setup.get(&format!("/history/{}", submitted[0])).await;
    let status = &history[&submitted[0]]["status"];
    assert_eq!(status["messages"][1][0], "execution_interrupted", "{history}");
    let answer = setup
        .post(&format!("/api/job/{}/cancel", submitted[0]), &[], &json!(null))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}
