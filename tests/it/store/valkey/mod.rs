//! A store in a real Valkey: two at once, and what becomes of them when it fails.

mod away;

use super::every_place::state_at;
use crate::support::{
    valkey::{Traffic, Valkey, Way},
    wait::until,
};
use jobshim::{
    config::StateConfig,
    store::{Change, Event, Store, StoreError, Table},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::task::{JoinHandle, spawn_blocking};

const WORDS: Table<String, u64> = Table::new("test_words", "a word");

/// A store, and what its follower has heard.
struct Opened {
    store: Arc<Store>,
    copy: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Opened {
    async fn at(config: StateConfig) -> Result<Self, StoreError> {
        spawn_blocking(move || {
            let store = Arc::new(Store::open(&config)?);
            let copy: Arc<Mutex<BTreeMap<String, u64>>> = Arc::default();
            let hears = Arc::clone(&copy);
            store.follow(&WORDS, move |event| {
                let mut copy = hears.lock().expect("a copy");
                match event {
                    Event::All(rows) => *copy = rows.into_iter().collect(),
                    Event::Put(key, value) => drop(copy.insert(key, value)),
                    Event::Gone(key) => drop(copy.remove(&key)),
                }
            })?;
            Ok(Self { store, copy })
        })
        .await
        .expect("a store")
    }

    fn put(&self, key: &str, value: u64) -> JoinHandle<Result<(), StoreError>> {
        let (store, change) = (
            Arc::clone(&self.store),
            Change::default().put(&WORDS, &key.to_owned(), &value),
        );
        spawn_blocking(move || store.commit(change))
    }

    fn get(&self, key: &str) -> Option<u64> {
        self.copy.lock().expect("a copy").get(key).copied()
    }
}

fn with(url: &str, change: impl FnOnce(&mut StateConfig)) -> StateConfig {
    let mut config = state_at(url);
    change(&mut config);
    config
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_through_one_is_known_to_all_who_may_answer_without_asking_when_it_is_done() {
    let Some(valkey) = Valkey::start("two", &[]) else {
        return;
    };
    let config = state_at(&valkey.url());
    let all = [
        Opened::at(config.clone()).await.expect("a store"),
        Opened::at(config.clone()).await.expect("a store"),
        Opened::at(config).await.expect("a store"),
    ];
    for nth in 0..1_000_u64 {
        let writer = &all[usize::try_from(nth).expect("few") % 3];
        writer.put("word", nth).await.expect("it ends").expect("it is done");
        for other in &all {
            other.store.confirm().await.expect("it answers");
            assert_eq!(other.get("word"), Some(nth), "change {nth}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_reads_asks_nothing_of_it() {
    let Some(valkey) = Valkey::start("reads", &[]) else {
        return;
    };
    let one = Opened::at(state_at(&valkey.url())).await.expect("a store");
    one.put("word", 1).await.expect("it ends").expect("it is done");
    let (begun, before) = (Instant::now(), valkey.commands());
    let mut reads = 0;
    while begun.elapsed() < Duration::from_secs(2) {
        one.store.confirm().await.expect("it answers");
        assert_eq!(one.get("word"), Some(1));
        reads += 1;
        tokio::task::yield_now().await;
    }
    let commands = valkey.commands() - before;
    // It says four times a second that it is there, in one script of four commands or five.
    assert!(reads > 10_000 && commands < 100, "{reads} reads, {commands} commands");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_one_in_its_place_is_not_taken_for_it() {
    let Some(mut valkey) = Valkey::start("emptied", &[]) else {
        return;
    };
    let one = Opened::at(with(&valkey.url(), |config| config.max_stale = Duration::ZERO))
        .await
        .expect("a store");
    one.put("word", 1).await.expect("it ends").expect("it is done");
    assert!(valkey.says("FLUSHALL").is_some());
    until("nothing is shown by what is gone", async || {
        one.store.confirm().await.is_err()
    })
    .await;
    let refused = one
        .put("word", 2)
        .await
        .expect("it ends")
        .expect_err("it is another store");
    assert!(refused.to_string().contains("another store"), "{refused}");
    valkey.forget();
    valkey.restart();
    let again = Opened::at(state_at(&valkey.url()))
        .await
        .expect("a new one begins with it");
    again.put("word", 3).await.expect("it ends").expect("it is done");
    assert!(one.store.confirm().await.is_err(), "the old one does not mix the two");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_newer_damaged_or_of_another_program_is_refused_and_left_as_it_is() {
    let Some(valkey) = Valkey::start("refused", &[]) else {
        return;
    };
    for (commands, said) in [
        (&["SET {jobshim}:about x"][..], "of another program"),
        (
            &["HSET {jobshim}:about program other format 1 id x seq 0"],
            "of another program",
        ),
        (
            &["HSET {jobshim}:about program jobshim format 2 id x seq 0"],
            "a later jobshim",
        ),
        (&["HSET {jobshim}:about program jobshim id x seq 0"], "in which form"),
        (
            &["HSET {jobshim}:about program jobshim format 1 seq 0"],
            "which one it is",
        ),
        (&["HSET {jobshim}:rows:key x y"], "what it says of itself is gone"),
        (
            &["HSET {jobshim}:about program jobshim format 1 id x seq 0"],
            "the key of its scopes is gone",
        ),
    ] {
        valkey.says("FLUSHALL").expect("it answers");
        for command in commands {
            let said = valkey.says(command).expect("it answers");
            assert!(!said.starts_with('-'), "{command}: {said}");
        }
        let before = valkey.says("DEBUG DIGEST").or_else(|| valkey.says("DBSIZE"));
        let reason = match Opened::at(state_at(&valkey.url())).await {
            Ok(_) => panic!("{commands:?} is taken for a store"),
            Err(error) => error.to_string(),
        };
        assert!(reason.contains(said), "{commands:?}: {reason}");
        assert_eq!(
            valkey.says("DEBUG DIGEST").or_else(|| valkey.says("DBSIZE")),
            before,
            "{commands:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_full_refuses_changes_and_goes_on_to_be_read() {
    let Some(valkey) = Valkey::start("full", &["--maxmemory-policy", "noeviction"]) else {
        return;
    };
    let one = Opened::at(state_at(&valkey.url())).await.expect("a store");
    one.put("word", 1).await.expect("it ends").expect("it is done");
    assert!(
        valkey
            .says("CONFIG SET maxmemory 1")
            .is_some_and(|said| said.starts_with("+OK"))
    );
    let refused = one
        .put("word", 2)
        .await
        .expect("it ends")
        .expect_err("there is no room");
    assert!(refused.may_pass(), "{refused}");
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(2) {
        one.store.confirm().await.expect("it is read");
        assert!(one.store.is_current() || begun.elapsed() < Duration::from_secs(2));
        assert_eq!(one.get("word"), Some(1));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(valkey.says("CONFIG SET maxmemory 0").is_some());
    one.put("word", 3).await.expect("it ends").expect("there is room again");
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_that_nobody_keeps_any_more_are_made_up_for_by_all_rows() {
    let Some(valkey) = Valkey::start("trimmed", &[]) else {
        return;
    };
    let way = Way::to(valkey.port());
    let late = Opened::at(state_at(&way.url())).await.expect("a store");
    let other = Opened::at(state_at(&valkey.url())).await.expect("a store");
    way.is(Traffic::Cut);
    for nth in 0..50 {
        other
            .put(&format!("word {nth}"), nth)
            .await
            .expect("it ends")
            .expect("it is done");
    }
    assert!(valkey.says("XTRIM {jobshim}:changes MAXLEN 3").is_some());
    way.is(Traffic::Flows);
    until("all is heard of", async || {
        (0..50).all(|nth| late.get(&format!("word {nth}")) == Some(nth))
    })
    .await;
    late.store.confirm().await.expect("it answers");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_a_user_and_a_number_of_a_database_are_shown_to_it() {
    let Some(valkey) = Valkey::start("user", &[]) else {
        return;
    };
    let allowed = "ACL SETUSER ann on >secret ~{jobshim}:* +@all -@admin -@dangerous +info";
    assert!(valkey.says(allowed).is_some_and(|said| said.starts_with("+OK")));
    assert!(valkey.says("ACL SETUSER default off").is_some());
    let url = format!("valkey://ann@127.0.0.1:{}/3", valkey.port());
    // What holds a password is read by a reference, as from a file.
    let secret = |value: &str| {
        let options = jobshim::config::Options::default().with(&jobshim::config::settings::STATE.password.key, value);
        jobshim::config::load(&options, |_| None)
            .expect("a configuration")
            .config
            .state
            .password
    };
    let with_password = |value: &str| with(&url, |config| config.password = secret(value));
    let one = Opened::at(with_password("secret")).await.expect("a store");
    one.put("word", 1).await.expect("it ends").expect("it is done");
    assert_eq!(one.get("word"), Some(1));
    let wrong = Opened::at(with_password("wrong"))
        .await
        .expect("it may be right a moment later");
    let refused = wrong
        .put("word", 2)
        .await
        .expect("it ends")
        .expect_err("it is not let in");
    assert!(
        !refused.to_string().contains("secret") && !refused.to_string().contains("wrong"),
        "{refused}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_expire_take_no_more_than_their_room() {
    const NOTES: Table<String, String> =
        Table::new("test_notes", "a note").expiring_after(Duration::from_secs(60), 10_000);
    let Some(valkey) = Valkey::start("room", &[]) else {
        return;
    };
    let store = Opened::at(state_at(&valkey.url())).await.expect("a store").store;
    let put = |nth: usize| {
        let (store, key) = (Arc::clone(&store), format!("{nth:04}"));
        let change = Change::default().put(&NOTES, &key, &"x".repeat(1_000));
        spawn_blocking(move || store.commit(change).expect("done"))
    };
    for nth in (0..100).chain([99, 99]) {
        put(nth).await.expect("it ends");
    }
    let keys = valkey.says("KEYS {jobshim}:rows:test_notes:*").expect("it answers");
    let keys: Vec<&str> = keys.lines().filter(|line| line.contains("test_notes:0")).collect();
    assert!((8..=10).contains(&keys.len()), "{keys:?}");
    assert!(
        keys.iter().any(|key| key.ends_with("0099")),
        "the latest are there: {keys:?}"
    );
    let listed = valkey.says("ZCARD {jobshim}:rows:test_notes").expect("it answers");
    assert_eq!(listed.trim(), format!(":{}", keys.len()));
    let large = Change::default().put(&NOTES, &"large".to_owned(), &"x".repeat(20_000));
    let again = Arc::clone(&store);
    spawn_blocking(move || again.commit(large).expect("done"))
        .await
        .expect("it ends");
    let listed = valkey.says("ZCARD {jobshim}:rows:test_notes").expect("it answers");
    assert_eq!(listed.trim(), ":1", "one that is larger than its room is alone");
}
