//! Every recorded legacy answer, made again from the recorded Jobs API alone.

mod support;

use jobshim::demo::{Options, Simulator};
use support::{
    Client,
    corpus::{Case, cases},
    json::{Difference, Json, differences},
    start,
};

/// Compares every legacy GET of a case; gives what differs, with the request in front of the path.
async fn replay(case: &Case) -> Vec<Difference> {
    let simulator = Simulator::start(case.board(), Options::default())
        .await
        .expect("a simulator");
    let jobshim = start(&format!("http://{}", simulator.address()), |_| {}).await;
    let client = Client::new();
    let mut found = Vec::new();
    assert!(!case.legacy.is_empty(), "{}/{} has no requests", case.server, case.name);
    for legacy in &case.legacy {
        let reply = client.get(jobshim.address, &legacy.target).await;
        let head = |path: &str, wanted: &str, given: &str| Difference {
            path: path.to_owned(),
            wanted: wanted.to_owned(),
            given: given.to_owned(),
        };
        let mut differing = Vec::new();
        if reply.status.as_u16() != legacy.status {
            differing.push(head("status", &legacy.status.to_string(), reply.status.as_str()));
        }
        if reply.header("content-type") != legacy.content_type {
            differing.push(head("content-type", &legacy.content_type, reply.header("content-type")));
        }
        let mut wanted = Json::parse(legacy.body.as_bytes()).expect("a recorded body");
        let mut given = Json::parse(&reply.body).unwrap_or_else(|error| panic!("{}: {error}", legacy.target));
        wanted.settle();
        given.settle();
        differing.extend(differences(&wanted, &given));
        found.extend(differing.into_iter().map(|difference| Difference {
            path: format!("{}/{} {} {}", case.server, case.name, legacy.target, difference.path),
            ..difference
        }));
    }
    for seen in simulator.seen() {
        let allowed = ["/api/jobs", "/object_info/", "/api/object_info/"];
        assert!(
            seen.method == "GET" && allowed.iter().any(|path| seen.target.starts_with(path)),
            "the upstream was asked {} {}",
            seen.method,
            seen.target
        );
    }
    found
}

async fn replay_all(server: &str) -> Vec<Difference> {
    let mut found = Vec::new();
    for case in cases(server) {
        found.extend(replay(&case).await);
    }
    found
}

/// A loss of the Jobs API itself: where (the end of a path), what the legacy server said, what jobshim can say.
struct Loss {
    case: &'static str,
    path: &'static str,
    wanted: &'static str,
    given: &'static str,
    /// How often, over all requests of the case.
    times: usize,
}

/// Every difference must be a listed loss, and every listed loss must still occur, as often as listed.
fn assert_losses(found: &[Difference], losses: &[Loss]) {
    let is = |loss: &Loss, found: &Difference| {
        found.path.contains(loss.case)
            && found.path.ends_with(loss.path)
            && found.wanted.starts_with(loss.wanted)
            && found.given == loss.given
    };
    let unlisted: Vec<_> = found
        .iter()
        .filter(|found| !losses.iter().any(|loss| is(loss, found)))
        .collect();
    assert!(unlisted.is_empty(), "not like the recording: {unlisted:#?}");
    for loss in losses {
        let times = found.iter().filter(|found| is(loss, found)).count();
        assert_eq!(
            times, loss.times,
            "the loss {} {} occurs {times} times: {found:#?}",
            loss.case, loss.path
        );
    }
}

#[tokio::test]
async fn next_is_equal() {
    assert_losses(&replay_all("comfyui-next").await, &[]);
}

#[tokio::test]
async fn cloud_is_equal() {
    assert_losses(&replay_all("cloud-contract").await, &[]);
}

#[tokio::test]
async fn v027_is_equal() {
    assert_losses(&replay_all("comfyui-0.27").await, &[]);
}

#[tokio::test]
async fn v08_is_equal() {
    assert_losses(&replay_all("comfyui-0.8").await, &[]);
}
