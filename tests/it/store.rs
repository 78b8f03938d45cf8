//! The store in `state_dir` when its disk or its bytes fail: later writes work again, and what cannot be read is refused,
//! not dropped and not replaced.

#![cfg(target_os = "linux")]

use crate::support::{
    Client, Reply, StateFolder,
    program::{Program, run},
    server::{Server, Setup, board},
};
use http::Method;
use jobshim::{
    auth::scope::Scope,
    demo::{Job, Rules},
    legacy::hidden::{CLEARED, Cleared},
    migration::modes::{ROLLBACKS, RollbackRecord},
    proxy::USAGE,
    store::Store,
    telemetry::Clients,
};
use redb::{Database, Key, TableDefinition, Value};
use serde_json::json;
use std::{
    fs,
    net::SocketAddr,
    panic::catch_unwind,
    path::{Path, PathBuf},
};

const FILE: &str = "jobshim.redb";

fn uuid(nth: usize) -> String {
    format!("{nth:08}-0000-4000-8000-000000000000")
}

/// A server without legacy writes, with `count` completed jobs.
async fn server(count: usize) -> Server {
    let mut board = board(Rules::Comfyui);
    for nth in 1..=count {
        let text = format!(
            r#"{{"id": "{}", "status": "completed", "create_time": {}}}"#,
            uuid(nth),
            1_795_000_000_000 + nth as u64
        );
        board.add(Job::new(&text, &text).expect("a job"));
    }
    Server::start(board, Setup::default()).await
}

async fn delete(at: SocketAddr, nth: usize) -> Reply {
    let body = json!({"delete": [uuid(nth)]}).to_string();
    let sent = Client::new().send(Method::POST, at, "/history", &[], body).await;
    sent.expect("an answer")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_the_disk_refused_fails_and_later_ones_are_stored_once_the_disk_takes_them() {
    let folder = StateFolder::new("store-disk");
    let server = server(4).await;
    let path = folder.path.display().to_string();
    let arguments = [
        "--listen",
        "127.0.0.1:0",
        "--upstream",
        &server.url(),
        "--state-dir",
        &path,
    ];
    {
        let mut program = Program::start_with_failing_writes(&arguments);
        let at = program.address();
        assert_eq!(delete(at, 1).await.status, 200);
        // Every write beyond the first byte of a file fails, as on a disk that is full.
        program.limit_files("1");
        for _ in 0..2 {
            let refused = delete(at, 2).await;
            assert_eq!(refused.status, 500, "{}", refused.text());
            assert!(refused.text().contains("state_not_kept"), "{}", refused.text());
            assert!(!refused.text().contains(&path), "{}", refused.text());
        }
        program.line_with(FILE);
        program.limit_files("unlimited");
        for nth in [3, 4] {
            let reply = delete(at, nth).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        program.signal("TERM");
        assert_eq!(program.end().code(), Some(0), "{:#?}", program.log);
    }
    let mut program = Program::start(&arguments, &[]);
    let shown = Client::new().get(program.address(), "/history").await.text();
    for (nth, there) in [(1, false), (3, false), (4, false)] {
        assert_eq!(shown.contains(&uuid(nth)), there, "{nth} in {shown}");
    }
}

/// What a state folder holds.
type Content = (
    Vec<(Scope, String, Option<f64>)>,
    Vec<(Scope, Cleared)>,
    Option<Clients>,
    Vec<(String, String)>,
);

fn content(folder: &Path) -> Result<Content, String> {
    let shown = |error: jobshim::store::StoreError| error.to_string();
    let store = Store::open(Some(folder)).map_err(shown)?;
    let deleted = store.deleted().map_err(shown)?;
    let deleted = deleted.into_iter().map(|job| (job.scope, job.id, job.created));
    let cleared = store.rows(&CLEARED).map_err(shown)?;
    let usage = store.rows(&USAGE).map_err(shown)?.pop().map(|((), usage)| usage);
    let backs = store.rows(&ROLLBACKS).map_err(shown)?;
    let backs = backs.into_iter().map(|(route, back)| (route, back.reason));
    Ok((deleted.collect(), cleared, usage, backs.collect()))
}

/// A store with something of everything in it.
fn filled(name: &str) -> StateFolder {
    let folder = StateFolder::new(name);
    let store = Store::open(Some(&folder.path)).expect("a store");
    for nth in 0..4 {
        let scope = Scope([nth; 32]);
        let ids: Vec<_> = (0..40).map(|nth| (uuid(nth), Some(1e12))).collect();
        store.delete(scope, &ids).expect("stored");
        let cleared = Cleared {
            created_before: 1e12,
            ..Cleared::default()
        };
        store.put(&CLEARED, &scope, &cleared).expect("stored");
    }
    store.put(&USAGE, &(), &Clients::default()).expect("stored");
    let back = RollbackRecord {
        terms: "x".to_owned(),
        at_ms: 1,
        reason: "y".to_owned(),
    };
    store.put(&ROLLBACKS, &"history".to_owned(), &back).expect("stored");
    folder
}

#[test]
fn a_bit_that_flips_anywhere_in_the_store_is_harmless_or_an_error_that_names_the_file_and_what_to_do() {
    let folder = filled("store-flips");
    let path = folder.path.join(FILE);
    let sound = content(&folder.path).expect("a sound store");
    let bytes = fs::read(&path).expect("the store");
    // All that is in use: the rest of the file is zeros.
    let used: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] != 0).collect();
    let header = (0..320).map(|at| (at, 1 << (at % 8)));
    let spread = used.iter().step_by((used.len() / 550).max(1));
    let flips: Vec<(usize, u8)> = header.chain(spread.map(|&at| (at, 1 << (at % 7)))).collect();
    assert!(flips.len() >= 800, "{}", flips.len());
    let (mut refused, mut wrong) = (0, Vec::new());
    for (at, bit) in flips {
        let mut flipped = bytes.clone();
        flipped[at] ^= bit;
        fs::write(&path, &flipped).expect("the store");
        match catch_unwind(|| content(&folder.path)) {
            Ok(Ok(found)) if found == sound => {}
            Ok(Ok(_)) => wrong.push(format!("{at}: another content")),
            Ok(Err(reason)) if reason.contains(FILE) && reason.contains("move it away") => refused += 1,
            Ok(Err(reason)) => wrong.push(format!("{at}: {reason}")),
            Err(_) => wrong.push(format!("{at}: a panic")),
        }
    }
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
    assert!(refused > 100, "{refused} refused");
}

#[test]
fn a_store_that_was_cut_short_or_is_something_else_is_refused_with_what_to_do() {
    let folder = filled("store-cut");
    let path = folder.path.join(FILE);
    let bytes = fs::read(&path).expect("the store");
    for text in [&bytes[..bytes.len() / 2], &bytes[..100], b"hello", &[0; 8192]] {
        fs::write(&path, text).expect("the store");
        let reason = content(&folder.path).expect_err("no store");
        assert!(reason.contains(FILE) && reason.contains("move it away"), "{reason}");
        assert_eq!(
            fs::read(&path).expect("the file").len(),
            text.len(),
            "it is left as it is"
        );
    }
}

/// Puts a row into a store as no jobshim would.
fn put<K: Key + 'static, V: Value + 'static>(
    path: &Path,
    table: TableDefinition<K, V>,
    key: K::SelfType<'_>,
    value: V::SelfType<'_>,
) {
    let store = Database::create(path).expect("a store");
    let transaction = store.begin_write().expect("a transaction");
    transaction
        .open_table(table)
        .expect("a table")
        .insert(key, value)
        .expect("a row");
    transaction.commit().expect("a commit");
}

type Spoil = fn(&Path);

#[test]
fn rows_that_cannot_be_read_are_refused_and_neither_dropped_nor_replaced() {
    const KEY: TableDefinition<(), &[u8]> = TableDefinition::new("key");
    const DELETED: TableDefinition<(&[u8], &str), ()> = TableDefinition::new("deleted");
    const CLEARED: TableDefinition<&[u8], &str> = TableDefinition::new("cleared");
    const USAGE: TableDefinition<(), &str> = TableDefinition::new("usage");
    const ROLLBACKS: TableDefinition<&str, &str> = TableDefinition::new("rollbacks");
    let cleared = r#"{"created_before":1.0,"also":[],"except":[]}"#;
    assert!(serde_json::from_str::<Cleared>(cleared).is_ok());
    let spoilt: [(&str, &str, Spoil); 7] = [
        ("short-key", "key", |path| put(path, KEY, (), &[7; 16][..])),
        ("no-key", "key", |path| {
            let store = Database::create(path).expect("a store");
            let transaction = store.begin_write().expect("a transaction");
            transaction.open_table(KEY).expect("a table").remove(()).expect("a row");
            transaction.commit().expect("a commit");
        }),
        ("deleted", "scope", |path| put(path, DELETED, (&[1; 31][..], "a"), ())),
        ("cleared", "scope", |path| {
            put(
                path,
                CLEARED,
                &[1; 31][..],
                r#"{"created_before":1.0,"also":[],"except":[]}"#,
            );
        }),
        ("clear", "clear", |path| put(path, CLEARED, &[1; 32][..], "{")),
        ("usage", "who calls", |path| put(path, USAGE, (), "{")),
        ("rollbacks", "canary", |path| put(path, ROLLBACKS, "history", "{")),
    ];
    for (name, said, spoil) in spoilt {
        let folder = filled(&format!("store-{name}"));
        let path: PathBuf = folder.path.join(FILE);
        spoil(&path);
        for _ in 0..2 {
            let output = run(
                &[
                    "--listen",
                    "127.0.0.1:0",
                    "--state-dir",
                    &folder.path.display().to_string(),
                ],
                &[],
            );
            let reason = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{name}: {reason}");
            for part in [FILE, said, "move it away"] {
                assert!(reason.contains(part), "{name}: no {part:?} in {reason}");
            }
        }
    }
}
