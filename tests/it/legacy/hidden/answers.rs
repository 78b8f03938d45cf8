//! Which jobs are in which answers after a delete or a clear, and for whom.

use super::{finished, get, history, history_v2, job, post, post_as, uuid};
use crate::support::{Client, start};
use jobshim::demo::{Job, Rules};
use serde_json::json;

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
