//! Shadow: the client gets the legacy answer, and what translation would have said is compared with it beside.

mod difference;
mod odd_ids;
mod recorded;
mod side_effects;

use crate::support::{
    Client, Running,
    corpus::Case,
    server::board,
    start_with,
    surfaces::{Surfaces, legacy},
    upstream::Scripted,
};
use jobshim::routes::Endpoint;
use jobshim::{
    config::{
        Key, Options,
        settings::{LEGACY, SHADOW, UPSTREAM},
    },
    demo::{Job, Rules},
    telemetry::Found,
};
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{sleep, timeout};

const ID: &str = "0b8d4d0a-6d0c-4b3e-9c39-0d6a0f8f1c11";

pub(super) async fn jobshim(url: &str, options: &[(&Key, &str)]) -> Running {
    let given = options
        .iter()
        .fold(Options::default(), |given, (key, value)| given.with(key, *value));
    start_with(given.with(&UPSTREAM.url.key, url)).await
}

/// The findings, once `count` comparisons have come to an end one way or another.
pub(super) async fn findings(jobshim: &Running, count: u64) -> BTreeMap<Endpoint, Found> {
    let waiting = async {
        loop {
            let found = jobshim.observer().findings().by_route();
            if found.values().flat_map(|found| found.compared.values()).sum::<u64>() >= count {
                return found;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let found = timeout(Duration::from_secs(30), waiting).await;
    found.unwrap_or_else(|_| panic!("{count} comparisons: {:#?}", jobshim.observer().findings().by_route()))
}

/// Asks everything that was recorded, and gives what was found. Every client must have got the recorded answer.
pub(super) async fn shadow(case: Case, options: &[(&Key, &str)]) -> BTreeMap<Endpoint, Found> {
    let requests: Vec<(String, u16, String)> = case
        .legacy
        .iter()
        .map(|legacy| (legacy.target.clone(), legacy.status, legacy.body.clone()))
        .collect();
    let label = format!("{}/{}", case.server, case.name);
    let server = Surfaces::start(case.board(), case.legacy).await;
    let shadowing = [(&LEGACY.mode.key, "shadow"), (&SHADOW.max_in_flight.key, "64")];
    let jobshim = jobshim(&server.url(), &[&shadowing, options].concat()).await;
    let client = Client::new();
    let mut compared = 0;
    for (target, status, body) in requests {
        let reply = client.get(jobshim.address, &target).await;
        assert_eq!(
            (reply.status.as_u16(), reply.text()),
            (status, body),
            "{label} {target}"
        );
        compared += u64::from(matches!(status, 200 | 404));
        // Failures are not compared: nothing is waited for.
        findings(&jobshim, compared).await;
    }
    let found = findings(&jobshim, compared).await;
    let ended: u64 = found.values().flat_map(|found| found.compared.values()).sum();
    assert_eq!(
        ended, compared,
        "{label}: every answer about jobs is compared: {found:#?}"
    );
    found
}

/// The fields with differences, by route, and how often.
pub(super) fn differing(found: &BTreeMap<Endpoint, Found>) -> Vec<(&'static str, &str, u64)> {
    let fields = found.iter().flat_map(|(route, found)| {
        let differences = found
            .fields
            .iter()
            .map(|(field, found)| (field.as_str(), found.differences));
        differences.map(|(field, count)| (route.name(), field, count))
    });
    fields.filter(|(.., count)| *count > 0).collect()
}

/// A server with one finished job, whose legacy history says something else about its number.
pub(super) async fn differing_server() -> Scripted<Surfaces> {
    let mut board = board(Rules::Comfyui);
    let text = format!(
        r#"{{"id": "{ID}", "status": "completed", "create_time": 1700000000000, "priority": 7, "workflow": {{"prompt": {{}}, "extra_data": {{"secret": "s3cret"}}}}}}"#
    );
    board.jobs.push(Job::new(&text, &text).expect("a job"));
    let plain = Surfaces::start(board.clone(), Vec::new()).await;
    let translated = Client::new()
        .get(jobshim(&plain.url(), &[]).await.address, "/history")
        .await
        .text();
    let other = translated.replace("[7, ", "[8, ").replace("s3cret", "another secret");
    Surfaces::start(board, vec![legacy("/history", &other)]).await
}
