//! A server that still has `POST /history` forgets by itself. Where it has none, in whichever way, jobshim hides.

use super::{finished, history, job, post_as, uuid};
use crate::support::{
    Client,
    server::{Server, Setup, board},
    start,
};
use http::Method;
use jobshim::demo::Rules;
use serde_json::json;

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
