//! What a list says of kept entries: those that it tells of are as good as new, those that it lacks are dropped, and in
//! whatever order a server's jobs come, end and go, no old entry is shown after it.

use super::{
    entry_cache::{finished, get, over},
    versions::unfolded,
};
use crate::support::{
    Client, Running,
    server::board,
    shelf::{Item, Shelf},
    start,
    upstream::Scripted,
};
use jobshim::{
    config::DialectChoice,
    demo::{Job, Rules},
};
use proptest::prelude::*;
use serde_json::Value;
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

/// Long against the time between two polls of a few jobs, however busy the machine is.
const TTL: Duration = Duration::from_secs(3);

async fn with_ttl(shelf: &Scripted<Shelf>, ttl: Duration, max_bytes: usize) -> Running {
    let jobshim = start(&shelf.url(), |config| {
        config.cache.ttl = ttl;
        config.cache.max_bytes = max_bytes;
    })
    .await;
    get(&jobshim, "/history/none").await;
    shelf.counts();
    jobshim
}

#[tokio::test]
async fn polls_for_three_ttls_cost_one_detail_a_job_in_all() {
    let shelf = Shelf::start(finished(20)).await;
    let jobshim = with_ttl(&shelf, TTL, 64 << 20).await;
    let begun = Instant::now();
    let first = get(&jobshim, "/history").await.text();
    while begun.elapsed() < 3 * TTL + TTL / 2 {
        assert_eq!(get(&jobshim, "/history").await.text(), first);
        tokio::time::sleep(TTL / 30).await;
    }
    assert_eq!(shelf.details(), 20);
    // Answers by id are good as long as lists confirm them.
    get(&jobshim, "/history/job-00003").await;
    assert_eq!(shelf.details(), 20);
}

#[tokio::test]
async fn where_list_and_detail_tell_of_an_end_by_different_members_it_is_the_same() {
    let mut jobs = board(Rules::Cloud);
    for nth in 1..=3 {
        let job = format!(
            r#""id": "0000000{nth}-0000-4000-8000-000000000000", "status": "completed", "create_time": {nth}000"#
        );
        let listed = format!(r#"{{{job}, "execution_end_time": {nth}500}}"#);
        let detail = format!(r#"{{{job}, "update_time": {nth}600, "outputs": {{}}}}"#);
        jobs.jobs.push(Job::new(&listed, &detail).expect("a job"));
    }
    let cloud = Scripted::of_board(jobs).await;
    let jobshim = start(&cloud.url(), |config| {
        config.cache.ttl = TTL;
        config.upstream.dialect = DialectChoice::Cloud;
    })
    .await;
    let details = || cloud.count(|arrived| arrived.of_job().is_some());
    let first = get(&jobshim, "/history").await.text();
    let asked = details();
    assert_eq!(asked, 3, "{first}");
    let begun = Instant::now();
    while begun.elapsed() < 2 * TTL {
        assert_eq!(get(&jobshim, "/history").await.text(), first);
        tokio::time::sleep(TTL / 30).await;
    }
    assert_eq!(details(), asked);
}

#[tokio::test]
async fn a_poller_whose_history_does_not_fit_hears_for_longer_than_a_ttl_that_it_is_as_it_was() {
    // More than four times what may be kept, when it is compressed.
    let items = (0..200).map(|nth| Item::new(nth, "completed", 60_000).with_noise(60_000));
    let shelf = Shelf::start(items).await;
    // One poll of so much may take longer than the others' time to live.
    let begun = Instant::now();
    get(&over(&shelf).await, "/history").await;
    let ttl = TTL.max(4 * begun.elapsed());
    let jobshim = with_ttl(&shelf, ttl, 2 << 20).await;
    let tag = get(&jobshim, "/history").await.header("etag").to_owned();
    // A list of so many bytes has its tag once all of it is known.
    let tag = match tag.is_empty() {
        true => get(&jobshim, "/history").await.header("etag").to_owned(),
        false => tag,
    };
    let asked = shelf.details();
    let begun = Instant::now();
    while begun.elapsed() < ttl + ttl / 2 {
        let known = [("if-none-match", tag.as_str())];
        let answer = Client::new().get_with(jobshim.address, "/history", &known).await;
        assert_eq!(answer.status, 304);
        tokio::time::sleep(ttl / 30).await;
    }
    assert_eq!(shelf.details(), asked);
}

#[tokio::test]
async fn an_answer_by_id_that_no_list_confirms_is_asked_for_again_after_the_ttl() {
    let shelf = Shelf::start(finished(1)).await;
    let jobshim = with_ttl(&shelf, TTL, 64 << 20).await;
    let begun = Instant::now();
    get(&jobshim, "/history/job-00000").await;
    while shelf.details() < 2 {
        get(&jobshim, "/history/job-00000").await;
        assert!(begun.elapsed() < 20 * TTL, "it is never asked for again");
    }
    assert!(begun.elapsed() >= TTL);
}

#[tokio::test]
async fn what_a_list_lacks_is_not_answered_by_its_id_either() {
    let shelf = Shelf::start(finished(3)).await;
    let jobshim = over(&shelf).await;
    for list in ["/history", "/api/history_v2"] {
        get(&jobshim, list).await;
        let gone = shelf.with(|shelf| shelf.items.remove(0)).id;
        let target = format!("/history/{gone}");
        assert_ne!(get(&jobshim, &target).await.text(), "{}", "no list has said so yet");
        get(&jobshim, list).await;
        assert_eq!(get(&jobshim, &target).await.text(), "{}", "{list} has not got it");
    }
    shelf.counts();
    get(&jobshim, "/history/job-00002").await;
    assert_eq!(shelf.counts(), (0, 0), "what it has stays");
}

/// How long a job's prompt is at least, in bytes.
const SIZE: usize = 14_000;

/// What happens to the job with this number, or who asks for it.
#[derive(Clone, Copy, Debug)]
enum Step {
    Submit(usize),
    End(usize),
    Delete(usize),
    /// Another job with its id, which has ended.
    Replace(usize),
    Restart,
    AskForAll(Accepts),
    AskFor(usize, Accepts),
}

/// `Accept-Encoding`
type Accepts = &'static str;

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let accepts = prop::sample::select(vec!["identity", "gzip", "zstd", "gzip, zstd"]);
    let step = (0..9u8, 0..8usize, accepts).prop_map(|(kind, nth, accepts)| match kind {
        0 => Step::Submit(nth),
        1 => Step::End(nth),
        2 => Step::Delete(nth),
        3 => Step::Replace(nth),
        4 => Step::Restart,
        5 | 6 => Step::AskForAll(accepts),
        _ => Step::AskFor(nth, accepts),
    });
    prop::collection::vec(step, 1..60)
}

/// How long the prompt of `entry` is: no two jobs have the same.
fn size(entry: &Value) -> usize {
    entry["prompt"][2]["padding"].as_str().expect("a prompt").len()
}

/// With a memory of so many bytes.
async fn take(steps: Vec<Step>, max_bytes: usize) {
    let shelf = Shelf::start([]).await;
    let jobshim = start(&shelf.url(), |config| config.cache.max_bytes = max_bytes).await;
    let ask = async |target: &str, accepts| {
        let accepts = [("accept-encoding", accepts)];
        let reply = Client::new().get_with(jobshim.address, target, &accepts).await;
        assert_eq!(reply.status, 200, "{target}");
        serde_json::from_str::<HashMap<String, Value>>(&unfolded(&reply)).expect("an object")
    };
    let mut made = 0;
    let mut item = |nth: usize, status| {
        made += 1;
        let item = Item::new(made, status, SIZE + made);
        let id = format!("job-{nth:05}");
        Item { id, ..item }
    };
    // What was true since the last list, by id.
    let mut was: HashMap<String, HashSet<usize>> = HashMap::new();
    for (at, &step) in steps.iter().enumerate() {
        let id = |nth: usize| format!("job-{nth:05}");
        match step {
            Step::Submit(nth) => {
                let new = item(nth, "pending");
                let is_known = |shelf: &mut Shelf| shelf.items.iter().any(|item| item.id == new.id);
                if !shelf.with(is_known) {
                    shelf.with(|shelf| shelf.items.push(new));
                }
            }
            Step::End(nth) => shelf.with(|shelf| {
                let waiting = shelf.items.iter_mut().find(|item| item.id == id(nth));
                waiting.into_iter().for_each(|item| item.status = "completed");
            }),
            Step::Delete(nth) => shelf.with(|shelf| shelf.items.retain(|item| item.id != id(nth))),
            Step::Replace(nth) => {
                let new = item(nth, "completed");
                shelf.with(|shelf| {
                    shelf.items.retain(|item| item.id != new.id);
                    shelf.items.push(new);
                });
            }
            Step::Restart => shelf.with(|shelf| shelf.items.clear()),
            Step::AskForAll(accepts) => {
                let answer = ask("/history", accepts).await;
                let shown: HashMap<String, usize> =
                    answer.iter().map(|(id, entry)| (id.clone(), size(entry))).collect();
                let ended = shelf.with(|shelf| {
                    let ended = shelf.items.iter().filter(|item| item.status == "completed");
                    ended
                        .map(|item| (item.id.clone(), item.size))
                        .collect::<HashMap<_, _>>()
                });
                assert_eq!(shown, ended, "step {at} of {steps:?}");
                was.clear();
            }
            Step::AskFor(nth, accepts) => {
                let answer = ask(&format!("/history/{}", id(nth)), accepts).await;
                let shown = answer.get(&id(nth)).map(size);
                let ended = shelf.with(|shelf| {
                    let found = shelf.items.iter().find(|item| item.id == id(nth));
                    found.filter(|item| item.status == "completed").map(|item| item.size)
                });
                let was_true = shown.is_some_and(|shown| was.get(&id(nth)).is_some_and(|was| was.contains(&shown)));
                assert!(
                    shown == ended || was_true,
                    "step {at} of {steps:?}: {shown:?} and not {ended:?}"
                );
            }
        }
        for item in shelf.with(|shelf| shelf.items.clone()) {
            was.entry(item.id).or_default().insert(item.size);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn after_a_list_no_old_entry_is_shown_whatever_came_before(steps in steps()) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        // All of it fits, or some of it is packed.
        for max_bytes in [64 << 20, 8 * SIZE] {
            runtime.block_on(take(steps.clone(), max_bytes));
        }
    }
}
