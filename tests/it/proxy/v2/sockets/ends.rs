//! Ends of jobs that servers do not tell straight, or that come while few jobs are followed.

use super::{Setup, Socket, is_whole, slow, told};
use crate::support::wait::until;
use jobshim::demo::v2::{Call, Fault, Options};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_called_expired_at_its_end_has_ended_as_it_is_told_of_later() {
    let setup = Setup::new(Options::api_proxy()).await;
    let mut socket = Socket::of(&setup).await;
    setup.server.fail_next(Some(Call::Events), 1, Fault::Expired);
    let id = setup.submit_slow(&[]).await;
    until("the stream is open", async || setup.server.open_streams() == 1).await;
    setup.server.fail_next(Some(Call::Job), 1, Fault::Expired);
    setup.server.finish_all();
    is_whole(&socket.until_over().await);
    let history = setup.get(&format!("/history/{id}")).await;
    assert_eq!(history[&id]["status"]["status_str"], "success", "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn looks_that_say_expired_or_what_nobody_knows_are_no_end() {
    for fault in [Fault::Expired, Fault::Word("pausing")] {
        let setup = Setup::new(Options {
            events: false,
            ..Options::api_proxy()
        })
        .await;
        let mut socket = Socket::of(&setup).await;
        setup.submit_slow(&[]).await;
        assert_eq!(told(&socket.next().await), "status 1");
        setup.server.step();
        assert_eq!(told(&socket.next().await), "execution_start");
        setup.server.fail_next(Some(Call::Job), 2, fault);
        let before = setup.server.count(Call::Job);
        until("it was said", async || setup.server.count(Call::Job) >= before + 2).await;
        setup.server.finish_all();
        let mut heard = vec!["execution_start".to_owned()];
        heard.extend(socket.until_over().await);
        is_whole(&heard);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_expires_while_it_waits_leaves_the_queue() {
    for events in [true, false] {
        let setup = Setup::new(Options {
            events,
            ..Options::default()
        })
        .await;
        let mut socket = Socket::of(&setup).await;
        let id = setup.submit_slow(&[]).await;
        assert_eq!(told(&socket.next().await), "status 1");
        setup.server.expire(&id);
        assert_eq!(told(&socket.next().await), "status 0");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_end_before_they_are_followed_are_told_of_as_well() {
    const JOBS: usize = 66;
    let setup = Setup::new(Options::default()).await;
    let mut socket = Socket::of(&setup).await;
    let mut ids = Vec::new();
    for _ in 0..JOBS {
        ids.push(setup.submit_slow(&[]).await);
    }
    for id in &ids[64..] {
        assert!(setup.server.finish(id));
        // From here on it is known that it has ended.
        let history = setup.get(&format!("/history/{id}")).await;
        assert!(history.get(id).is_some(), "{history}");
    }
    setup.server.finish_all();
    socket.until_succeeded(JOBS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_after_a_client_came_back_is_told_to_it() {
    let setup = Setup::new(Options::default()).await;
    setup.submit_slow(&[]).await;
    setup.server.fail_next(Some(Call::Job), 2, Fault::Status(500));
    let mut socket = Socket::of(&setup).await;
    until("it was asked for", async || setup.server.count(Call::Job) >= 2).await;
    setup.server.finish_all();
    socket.until_succeeded(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_jobs_of_one_id_have_an_end_each() {
    let setup = Setup::new(Options::default()).await;
    let mut socket = Socket::of(&setup).await;
    for _ in 0..2 {
        let asked = json!({"prompt_id": "mine", "client_id": "me", "prompt": slow()});
        setup.submit(&[], asked).await;
    }
    setup.server.finish_all();
    socket.until_succeeded(2).await;
}
