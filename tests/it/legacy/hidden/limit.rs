//! How much may be hidden: what is beyond is refused as a whole, and what the server has forgotten makes room.

use super::{finished, history, job, post_as, uuid};
use crate::support::{Client, start, wait::until};
use http::Method;
use jobshim::demo::Rules;
use serde_json::json;
use std::net::SocketAddr;

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
