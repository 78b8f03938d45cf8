//! What a store promises, wherever it is kept: the same tests in the process, in a folder and in a Valkey.

use crate::support::StateFolder;
#[cfg(unix)]
use crate::support::valkey::Valkey;
use jobshim::{
    auth::scope::Scope,
    config::{Config, Options, StateConfig, StatePlace},
    store::{Blobs, Change, Event, Signal, Store, StoreError, Table},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    thread,
};

const JOBS: Table<(Scope, String), Option<f64>> = Table::new("test_jobs", "a job");
const WORDS: Table<String, String> = Table::new("test_words", "a word");
const BLOBS: Blobs<String> = Blobs::new("test_blobs");
const SIGNAL: Signal<Vec<String>> = Signal::new("test_signal");

/// A place to keep a store in, which lasts as long as this.
pub(super) enum Place {
    Memory,
    Folder(StateFolder),
    #[cfg(unix)]
    Valkey(Valkey),
}

impl Place {
    pub(super) fn config(&self) -> StateConfig {
        let place = match self {
            Self::Memory => StatePlace::Memory,
            Self::Folder(folder) => StatePlace::Folder(folder.path.clone()),
            #[cfg(unix)]
            Self::Valkey(valkey) => return state_at(&valkey.url()),
        };
        StateConfig {
            place,
            ..config(&[]).state
        }
    }

    pub(super) fn open(&self) -> Store {
        Store::open(&self.config()).expect("a store")
    }

    fn lasts(&self) -> bool {
        !matches!(self, Self::Memory)
    }
}

fn config(arguments: &[(&'static jobshim::config::Key, &str)]) -> Config {
    let options = arguments
        .iter()
        .fold(Options::default(), |options, (key, value)| options.with(key, *value));
    jobshim::config::load(&options, |_| None)
        .expect("a configuration")
        .config
}

/// The state at a URL.
pub(super) fn state_at(url: &str) -> StateConfig {
    config(&[(&jobshim::config::settings::STATE.store.key, url)]).state
}

/// All places, each new.
fn places(name: &str) -> Vec<Place> {
    let mut places = vec![Place::Memory, Place::Folder(StateFolder::new(&format!("every-{name}")))];
    #[cfg(unix)]
    places.extend(Valkey::start(name, &[]).map(Place::Valkey));
    places
}

/// A copy of a table, by what its follower hears.
pub(super) type Copy<K, V> = Arc<Mutex<BTreeMap<K, V>>>;

fn copy_of_words(store: &Store) -> Copy<String, String> {
    let copy: Copy<String, String> = Arc::default();
    let hears = Arc::clone(&copy);
    let followed = store.follow(&WORDS, move |event| {
        let mut copy = hears.lock().expect("a copy");
        match event {
            Event::All(rows) => *copy = rows.into_iter().collect(),
            Event::Put(key, value) => drop(copy.insert(key, value)),
            Event::Gone(key) => drop(copy.remove(&key)),
        }
    });
    followed.expect("it is followed");
    copy
}

fn word(key: &str, value: &str) -> Change {
    Change::default().put(&WORDS, &key.to_owned(), &value.to_owned())
}

fn words(copy: &Copy<String, String>) -> Vec<(String, String)> {
    let copy = copy.lock().expect("a copy");
    copy.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    all.iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

#[test]
fn who_follows_a_table_has_heard_of_a_change_when_it_is_done() {
    for place in places("follow") {
        let store = place.open();
        store.commit(word("before", "1")).expect("done");
        let copy = copy_of_words(&store);
        assert_eq!(words(&copy), pairs(&[("before", "1")]));
        for nth in 0..100 {
            let value = nth.to_string();
            store.commit(word("one", &value)).expect("done");
            assert_eq!(words(&copy), pairs(&[("before", "1"), ("one", &value)]));
        }
        let both =
            word("one", "x")
                .remove(&WORDS, &"before".to_owned())
                .put(&JOBS, &(Scope([7; 32]), "j".to_owned()), &None);
        store.commit(both).expect("done");
        assert_eq!(words(&copy), pairs(&[("one", "x")]));
        let jobs = store.rows(&JOBS).expect("rows");
        assert_eq!(jobs, [((Scope([7; 32]), "j".to_owned()), None)]);
    }
}

#[test]
fn what_is_new_takes_no_place_and_what_is_removed_is_what_it_was_thought_to_be() {
    for place in places("conditions") {
        let store = place.open();
        let copy = copy_of_words(&store);
        let (one, value) = ("one".to_owned(), |text: &str| text.to_owned());
        let put_new = |text: &str| Change::default().put_new(&WORDS, &one, &value(text));
        store.commit(put_new("first")).expect("done");
        store.commit(put_new("second")).expect("done");
        assert_eq!(words(&copy), pairs(&[("one", "first")]));
        let remove_if = |text: &str| Change::default().remove_if(&WORDS, &one, &value(text));
        store.commit(remove_if("second")).expect("done");
        assert_eq!(words(&copy), pairs(&[("one", "first")]));
        store.commit(remove_if("first")).expect("done");
        assert_eq!(words(&copy), []);
        store
            .commit(remove_if("first"))
            .expect("there is nothing, and that is no error");
    }
}

#[test]
fn nothing_of_a_change_is_done_where_a_row_is_not_what_it_expects() {
    for place in places("expect") {
        let store = place.open();
        let copy = copy_of_words(&store);
        let (key, one, two) = ("key".to_owned(), "one".to_owned(), "two".to_owned());
        let expects = |value| word("other", "done").expect(&WORDS, &key, value);
        let refused = store.commit(expects(Some(&one)));
        assert!(matches!(refused, Err(StoreError::Changed)), "{refused:?}");
        assert_eq!(words(&copy), []);
        store.commit(word("key", "one")).expect("done");
        for wrong in [None, Some(&two)] {
            let refused = store.commit(expects(wrong));
            assert!(matches!(refused, Err(StoreError::Changed)), "{refused:?}");
            assert_eq!(words(&copy), pairs(&[("key", "one")]));
        }
        store.commit(expects(Some(&one)).remove(&WORDS, &key)).expect("done");
        assert_eq!(words(&copy), pairs(&[("other", "done")]));
        store
            .commit(word("last", "1").expect(&WORDS, &key, None))
            .expect("done");
        assert_eq!(words(&copy), pairs(&[("last", "1"), ("other", "done")]));
    }
}

#[test]
fn blobs_are_bytes_that_are_read_one_by_one_and_last_as_long_as_the_store() {
    for place in places("blobs") {
        let texts = [Vec::new(), vec![0, 1, 255, 1], vec![7; 300_000]];
        {
            let store = place.open();
            for (nth, text) in texts.iter().enumerate() {
                assert_eq!(store.blob(&BLOBS, &nth.to_string()).expect("an answer"), None);
                let change = word("key", "value").put_blob(&BLOBS, &nth.to_string(), text.clone());
                store.commit(change).expect("done");
            }
        }
        let store = place.open();
        for (nth, text) in texts.into_iter().enumerate().filter(|_| place.lasts()) {
            assert_eq!(
                store.blob(&BLOBS, &nth.to_string()).expect("an answer"),
                Some(text),
                "{nth}"
            );
        }
        store
            .commit(Change::default().remove_blob(&BLOBS, &"2".to_owned()))
            .expect("done");
        assert_eq!(store.blob(&BLOBS, &"2".to_owned()).expect("an answer"), None);
    }
}

#[test]
fn any_key_and_any_value_come_back_as_they_were() {
    let texts = [
        "",
        "a",
        "\0",
        "my job/1",
        "\u{1f600}",
        "\r\n*3\r\n$3\r\nSET\r\n",
        &"x".repeat(70_000),
    ];
    for place in places("texts") {
        let store = place.open();
        let mut change = Change::default();
        for text in texts {
            change = change.put(&WORDS, &text.to_owned(), &text.to_owned());
            change = change.put(&JOBS, &(Scope([0xff; 32]), text.to_owned()), &Some(1_795_000_000_000.1));
        }
        store.commit(change).expect("done");
        let mut expected: Vec<_> = texts
            .iter()
            .map(|text| ((*text).to_owned(), (*text).to_owned()))
            .collect();
        expected.sort();
        let mut found = store.rows(&WORDS).expect("rows");
        found.sort();
        assert_eq!(found, expected);
        let jobs = store.rows(&JOBS).expect("rows");
        assert_eq!(jobs.len(), texts.len());
        assert!(jobs.iter().all(|(_, created)| *created == Some(1_795_000_000_000.1)));
    }
}

#[test]
fn a_signal_reaches_who_listens_and_is_kept_by_nobody() {
    for place in places("signal") {
        let store = place.open();
        let heard: Arc<Mutex<Vec<Option<Vec<String>>>>> = Arc::default();
        let hears = Arc::clone(&heard);
        let listened = store.listen(&SIGNAL, move |what| hears.lock().expect("a list").push(what));
        listened.expect("it is listened to");
        let what = vec!["a".to_owned()];
        store.commit(Change::default().tell(&SIGNAL, &what)).expect("done");
        assert_eq!(*heard.lock().expect("a list"), [None, Some(what)]);
    }
}

#[test]
fn what_was_stored_is_there_for_the_next_one_and_the_scopes_are_the_same() {
    for place in places("next") {
        if !place.lasts() {
            continue;
        }
        let address = "192.0.2.1".parse().expect("an address");
        let client = |store: &Store| store.scope_key().client(&Scope([3; 32]), address);
        let before = {
            let store = place.open();
            let many = (0..2_500).fold(Change::default(), |change, nth| {
                change.put(&WORDS, &format!("{nth:04}"), &nth.to_string())
            });
            store.commit(many).expect("done");
            client(&store)
        };
        let store = place.open();
        let copy = copy_of_words(&store);
        assert_eq!(words(&copy).len(), 2_500);
        assert_eq!(client(&store), before);
    }
}

#[test]
fn values_are_encrypted_where_there_is_a_key_and_read_with_that_key_alone() {
    let secret = |text: &str| {
        let key = &jobshim::config::settings::STATE.key.key;
        config(&[(key, text)]).state.key
    };
    let (right, other) = (secret(&"a".repeat(32)), secret(&"b".repeat(32)));
    for place in places("sealed") {
        if !place.lasts() {
            continue;
        }
        let with = |key: &Option<jobshim::config::Secret>| StateConfig {
            key: key.clone(),
            ..place.config()
        };
        {
            let store = Store::open(&with(&right)).expect("a store");
            let copy = copy_of_words(&store);
            let one = "one".to_owned();
            store.commit(word("one", "plainly")).expect("done");
            assert_eq!(words(&copy), pairs(&[("one", "plainly")]));
            store
                .commit(Change::default().remove_if(&WORDS, &one, &"plainly".to_owned()))
                .expect("done");
            assert_eq!(words(&copy), []);
            store.commit(word("one", "plainly")).expect("done");
        }
        for wrong in [&other, &None] {
            let refused = Store::open(&with(wrong)).err().map(|error| error.to_string());
            assert!(
                refused.as_ref().is_some_and(|said| said.contains("state.key")),
                "{refused:?}"
            );
        }
        let store = Store::open(&with(&right)).expect("a store");
        assert_eq!(store.rows(&WORDS).expect("rows"), pairs(&[("one", "plainly")]));
        drop(store);
        let kept = match &place {
            Place::Memory => unreachable!("it does not last"),
            Place::Folder(folder) => std::fs::read(folder.path.join("jobshim.redb")).expect("a file"),
            #[cfg(unix)]
            Place::Valkey(valkey) => valkey
                .says("HGETALL {jobshim}:rows:test_words")
                .expect("it answers")
                .into_bytes(),
        };
        assert!(
            !kept.windows(7).any(|part| part == b"plainly"),
            "it lies there in clear"
        );
    }
    let plain = Place::Folder(StateFolder::new("every-plain"));
    drop(plain.open());
    let config = StateConfig {
        key: right,
        ..plain.config()
    };
    let refused = Store::open(&config).err().map(|error| error.to_string());
    assert!(
        refused.as_ref().is_some_and(|said| said.contains("not encrypted")),
        "{refused:?}"
    );
}

#[test]
fn changes_of_many_at_once_are_all_made_and_heard_of() {
    for place in places("many") {
        let store = Arc::new(place.open());
        let copy = copy_of_words(&store);
        thread::scope(|threads| {
            for thread in 0..8 {
                let store = Arc::clone(&store);
                threads.spawn(move || {
                    for nth in 0..50 {
                        store.commit(word(&format!("{thread}-{nth}"), "x")).expect("done");
                    }
                });
            }
        });
        assert_eq!(words(&copy).len(), 400);
        assert_eq!(store.rows(&WORDS).expect("rows").len(), 400);
    }
}

#[test]
fn a_place_that_cannot_be_used_is_an_error_that_names_it() {
    let file = StateFolder::new("every-unusable");
    std::fs::create_dir_all(&file.path).expect("a folder");
    let path = file.path.join("file");
    std::fs::write(&path, "x").expect("a file");
    let config = StateConfig {
        place: StatePlace::Folder(path.clone()),
        ..config(&[]).state
    };
    let error = Store::open(&config).err().map(|error: StoreError| error.to_string());
    assert!(
        error
            .as_ref()
            .is_some_and(|error| error.contains(&path.display().to_string())),
        "{error:?}"
    );
}
