//! What clients have of the server in common, and what they have each for itself.

use super::{Setup, Socket, slow, told};
use crate::support::wait::until;
use jobshim::demo::v2::{Call, Options};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_wait_leave_streams_to_other_clients() {
    let setup = Setup::with(Options::default(), |config| config.upstream.concurrency = 3).await;
    let _waiting = Socket::of(&setup).await;
    for _ in 0..4 {
        setup.submit_slow(&[]).await;
    }
    until("the others were asked for", async || setup.server.count(Call::Job) >= 4).await;
    until("two streams are open", async || setup.server.open_streams() == 2).await;
    let mut other = Socket::open(setup.jobshim.address, "?clientId=you", &[]).await;
    let (id, _) = setup.submit(&[], json!({"prompt": slow(), "client_id": "you"})).await;
    until("it has the third", async || setup.server.open_streams() == 3).await;
    setup.server.finish(&id);
    other.until_succeeded(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_the_server_may_answer_differently_share_nothing() {
    let setup = Setup::new(Options::default()).await;
    setup.get("/queue").await;
    let at = setup.jobshim.address;
    let mut one = Socket::open(at, "?clientId=me", &[("host", "one.example")]).await;
    let mut other = Socket::open(at, "?clientId=me", &[("host", "other.example")]).await;
    setup.submit_slow(&[]).await;
    until("each has a stream", async || setup.server.open_streams() == 2).await;
    setup.server.finish_all();
    one.until_succeeded(1).await;
    other.until_succeeded(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_of_a_key_ask_together_which_of_its_jobs_have_ended() {
    let setup = Setup::new(Options::api_proxy()).await;
    setup.submit_slow(&[]).await;
    for name in ["?clientId=a", "?clientId=b", "?clientId=c"] {
        let mut socket = Socket::open(setup.jobshim.address, name, &[]).await;
        assert_eq!(told(&socket.next().await), "status 1");
        until("it was asked", async || setup.server.count(Call::List) == 1).await;
    }
    let mut socket = Socket::of(&setup).await;
    // What has ended when it is looked at first was over before.
    until("its job is listened to", async || setup.server.count(Call::Events) > 0).await;
    setup.server.finish_all();
    socket.until_succeeded(1).await;
    assert_eq!(setup.server.count(Call::List), 1);
}
