//! Event streams that break, or that a server has none of.

use super::{Setup, Socket, is_whole, told};
use crate::support::wait::until;
use jobshim::demo::v2::{Call, Fault, Options};
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_is_cut_is_opened_again_and_nothing_is_told_twice() {
    for options in [Options::default(), Options::api_proxy()] {
        let setup = Setup::new(options).await;
        let mut socket = Socket::of(&setup).await;
        setup.submit_slow(&[]).await;
        until("the stream is open", async || setup.server.open_streams() == 1).await;
        for _ in 0..3 {
            setup.server.step();
        }
        let mut heard = socket.until("progress 3 1/2").await;
        for times in 2..4 {
            setup.server.cut_streams();
            until("the stream is open again", async || {
                setup.server.count(Call::Events) == times && setup.server.open_streams() == 1
            })
            .await;
        }
        setup.server.finish_all();
        heard.extend(socket.until_over().await);
        is_whole(&heard);
        let steps = heard.iter().filter(|heard| heard.starts_with("progress 3")).count();
        assert_eq!(steps, 2, "{heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_are_no_streams_the_job_is_asked_for() {
    for options in [Options::default(), Options::api_proxy()] {
        let setup = Setup::new(Options {
            events: false,
            ..options
        })
        .await;
        let mut socket = Socket::of(&setup).await;
        for _ in 0..2 {
            setup.submit_slow(&[]).await;
            assert_eq!(told(&socket.next().await), "status 1");
            setup.server.step();
            assert_eq!(told(&socket.next().await), "execution_start");
            setup.server.finish_all();
            let mut heard = vec!["execution_start".to_owned()];
            heard.extend(socket.until_over().await);
            is_whole(&heard);
        }
        assert_eq!(setup.server.count(Call::Events), 1, "it was said that there are none");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_asked_for_again_where_there_are_too_many() {
    let setup = Setup::new(Options {
        max_streams: 1,
        ..Options::default()
    })
    .await;
    let mut socket = Socket::of(&setup).await;
    let first = setup.submit_slow(&[]).await;
    until("the stream is open", async || setup.server.open_streams() == 1).await;
    let second = setup.submit_slow(&[]).await;
    until("one more was asked for", async || setup.server.count(Call::Events) > 1).await;
    assert!(setup.server.finish(&first) && setup.server.finish(&second));
    socket.until_succeeded(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_for_a_while_does_not_keep_the_end_from_a_client() {
    let setup = Setup::new(Options::default()).await;
    let mut socket = Socket::of(&setup).await;
    setup.server.fail_next(Some(Call::Events), 2, Fault::Status(500));
    setup.server.fail_next(Some(Call::Job), 2, Fault::Lost);
    setup.submit_slow(&[]).await;
    setup.server.finish_all();
    is_whole(&socket.until_over().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_end_at_once_are_not_opened_again_at_once() {
    let setup = Setup::new(Options::default()).await;
    let mut socket = Socket::of(&setup).await;
    setup.server.fail_next(Some(Call::Events), 5, Fault::Short);
    let since = Instant::now();
    setup.submit_slow(&[]).await;
    until("they were asked for", async || setup.server.count(Call::Events) >= 6).await;
    let took = since.elapsed();
    assert!(took > Duration::from_millis(1_500), "{took:?}");
    setup.server.finish_all();
    is_whole(&socket.until_over().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_no_such_path_has_no_streams() {
    let setup = Setup::new(Options::default()).await;
    let mut socket = Socket::of(&setup).await;
    setup
        .server
        .fail_next(Some(Call::Events), 1, Fault::Code(404, "no_such_path"));
    for _ in 0..2 {
        setup.submit_slow(&[]).await;
        setup.server.finish_all();
        is_whole(&socket.until_over().await);
    }
    assert_eq!(setup.server.count(Call::Events), 1, "it was said that there are none");
}
