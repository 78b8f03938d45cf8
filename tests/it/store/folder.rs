//! The store in a folder when its disk or its bytes fail: later writes work again, and what cannot be read is refused,
//! not dropped and not replaced.

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
    store::{Change, DELETED, Store},
    telemetry::Clients,
};
use redb::{Database, TableDefinition, TableHandle};
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
    let store = Store::in_folder(folder).map_err(shown)?;
    let deleted = store.rows(&DELETED).map_err(shown)?;
    let deleted = deleted.into_iter().map(|((scope, id), created)| (scope, id, created));
    let cleared = store.rows(&CLEARED).map_err(shown)?;
    let usage = store.rows(&USAGE).map_err(shown)?.pop().map(|(_, usage)| usage);
    let backs = store.rows(&ROLLBACKS).map_err(shown)?;
    let backs = backs.into_iter().map(|(route, back)| (route, back.reason));
    Ok((deleted.collect(), cleared, usage, backs.collect()))
}

/// A store with something of everything in it.
fn filled(name: &str) -> StateFolder {
    let folder = StateFolder::new(name);
    let store = Store::in_folder(&folder.path).expect("a store");
    for nth in 0..4 {
        let scope = Scope([nth; 32]);
        let deleted = (0..40).fold(Change::default(), |change, nth| {
            change.put(&DELETED, &(scope, uuid(nth)), &Some(1e12))
        });
        store.commit(deleted).expect("stored");
        let cleared = Cleared {
            created_before: 1e12,
            ..Cleared::default()
        };
        let cleared = Change::default().put(&CLEARED, &scope, &cleared);
        store.commit(cleared).expect("stored");
    }
    let mut rest = Change::default().put(&USAGE, &String::new(), &Clients::default());
    let back = RollbackRecord {
        terms: "x".to_owned(),
        at_ms: 1,
        reason: "y".to_owned(),
    };
    rest = rest.put(&ROLLBACKS, &"history".to_owned(), &back);
    store.commit(rest).expect("stored");
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

/// Puts a row into a store as no jobshim would, or takes one out.
fn put(path: &Path, table: &str, key: &[u8], value: Option<&[u8]>) {
    let rows: TableDefinition<&[u8], &[u8]> = TableDefinition::new(table);
    let store = Database::create(path).expect("a store");
    let transaction = store.begin_write().expect("a transaction");
    {
        let mut rows = transaction.open_table(rows).expect("a table");
        match value {
            Some(value) => drop(rows.insert(key, value).expect("a row")),
            None => drop(rows.remove(key).expect("a row")),
        }
    }
    transaction.commit().expect("a commit");
}

type Spoil = fn(&Path);

#[test]
fn rows_that_cannot_be_read_are_refused_and_neither_dropped_nor_replaced() {
    let cleared = r#"{"created_before":1.0,"also":[],"except":[]}"#;
    assert!(serde_json::from_str::<Cleared>(cleared).is_ok());
    let spoilt: [(&str, &str, Spoil); 7] = [
        ("short-key", "key", |path| put(path, "key", b"", Some(b"[7,7]"))),
        ("no-key", "key", |path| put(path, "key", b"", None)),
        ("deleted", "scope", |path| put(path, "deleted", &[1; 31], Some(b"null"))),
        ("cleared", "scope", |path| {
            put(
                path,
                "cleared",
                &[1; 31],
                Some(br#"{"created_before":1.0,"also":[],"except":[]}"#),
            );
        }),
        ("clear", "clear", |path| put(path, "cleared", &[1; 32], Some(b"{"))),
        ("usage", "who calls", |path| put(path, "usage", b"", Some(b"{"))),
        ("rollbacks", "canary", |path| {
            put(path, "rollbacks", b"history", Some(b"{"))
        }),
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

/// What is in a file of jobshim from before it said in which form it is.
fn write_before(path: &Path, key: &[u8]) {
    let store = Database::create(path).expect("a store");
    let transaction = store.begin_write().expect("a transaction");
    {
        let deleted: TableDefinition<(&[u8], &str), ()> = TableDefinition::new("deleted");
        let created: TableDefinition<(&[u8], &str), f64> = TableDefinition::new("deleted_created");
        let cleared: TableDefinition<&[u8], &str> = TableDefinition::new("cleared");
        let scope_key: TableDefinition<(), &[u8]> = TableDefinition::new("key");
        let rollbacks: TableDefinition<&str, &str> = TableDefinition::new("rollbacks");
        let usage: TableDefinition<(), &str> = TableDefinition::new("usage");
        let mut deleted = transaction.open_table(deleted).expect("a table");
        for id in ["dated", "undated"] {
            deleted.insert((&[1; 32][..], id), ()).expect("a row");
        }
        let mut created = transaction.open_table(created).expect("a table");
        created
            .insert((&[1; 32][..], "dated"), 1_795_000_000_000.25)
            .expect("a row");
        let mut cleared = transaction.open_table(cleared).expect("a table");
        let clear = r#"{"created_before":1795000000000.7,"also":["a"],"except":["b"]}"#;
        cleared.insert(&[2; 32][..], clear).expect("a row");
        transaction
            .open_table(scope_key)
            .expect("a table")
            .insert((), key)
            .expect("a row");
        let mut rollbacks = transaction.open_table(rollbacks).expect("a table");
        rollbacks
            .insert("history", r#"{"terms":"x","at_ms":1,"reason":"y"}"#)
            .expect("a row");
        let mut usage = transaction.open_table(usage).expect("a table");
        usage
            .insert((), r#"{"since_ms":7,"watched_ms":9,"clients":[]}"#)
            .expect("a row");
    }
    transaction.commit().expect("a commit");
}

#[test]
fn a_store_from_before_there_were_forms_is_taken_over_with_all_that_is_in_it() {
    let folder = StateFolder::new("store-before");
    fs::create_dir_all(&folder.path).expect("a folder");
    write_before(&folder.path.join(FILE), &[7; 32]);
    let whole: Content = (
        vec![
            (Scope([1; 32]), "dated".to_owned(), Some(1_795_000_000_000.25)),
            (Scope([1; 32]), "undated".to_owned(), None),
        ],
        vec![(
            Scope([2; 32]),
            Cleared {
                created_before: 1_795_000_000_000.7,
                also: ["a".to_owned()].into(),
                except: ["b".to_owned()].into(),
                ..Cleared::default()
            },
        )],
        Some(Clients {
            since_ms: 7,
            watched_ms: 9,
            clients: Vec::new(),
        }),
        vec![("history".to_owned(), "y".to_owned())],
    );
    // It is brought to today's form at the first opening, and is in it at the second.
    for _ in 0..2 {
        assert_eq!(content(&folder.path).as_ref(), Ok(&whole));
    }
    let scope = |folder: &Path| {
        let store = Store::in_folder(folder).expect("a store");
        store.scope_key().same(b"a", b"a");
        let address = "192.0.2.1".parse().expect("an address");
        store.scope_key().client(&Scope([3; 32]), address)
    };
    let expected = jobshim::auth::scope::ScopeKey::new(&[7; 32]);
    let address = "192.0.2.1".parse().expect("an address");
    assert_eq!(scope(&folder.path), expected.client(&Scope([3; 32]), address));
}

#[test]
fn a_store_from_before_is_taken_over_also_where_nothing_but_its_key_was_ever_stored() {
    let folder = StateFolder::new("store-before-key");
    fs::create_dir_all(&folder.path).expect("a folder");
    let store = Database::create(folder.path.join(FILE)).expect("a store");
    let transaction = store.begin_write().expect("a transaction");
    let scope_key: TableDefinition<(), &[u8]> = TableDefinition::new("key");
    let mut rows = transaction.open_table(scope_key).expect("a table");
    rows.insert((), &[7; 32][..]).expect("a row");
    drop(rows);
    transaction.commit().expect("a commit");
    drop(store);
    for _ in 0..2 {
        assert_eq!(content(&folder.path), Ok((Vec::new(), Vec::new(), None, Vec::new())));
        let store = Store::in_folder(&folder.path).expect("a store");
        let deleted = Change::default().put(&DELETED, &(Scope([1; 32]), "a".to_owned()), &None);
        store.commit(deleted).expect("stored");
        let forgotten = Change::default().remove(&DELETED, &(Scope([1; 32]), "a".to_owned()));
        store.commit(forgotten).expect("stored");
    }
}

/// A file that redb has written, with this in the table `about`, and one more table.
fn write_file_of(path: &Path, about: &[(&str, &str)]) {
    let store = Database::create(path).expect("a store");
    let transaction = store.begin_write().expect("a transaction");
    {
        let other: TableDefinition<&str, u64> = TableDefinition::new("users");
        transaction
            .open_table(other)
            .expect("a table")
            .insert("ann", 1)
            .expect("a row");
        if !about.is_empty() {
            let table: TableDefinition<&str, &str> = TableDefinition::new("about");
            let mut table = transaction.open_table(table).expect("a table");
            for (name, value) in about {
                table.insert(*name, *value).expect("a row");
            }
        }
    }
    transaction.commit().expect("a commit");
}

#[test]
fn a_store_that_is_newer_or_of_another_program_is_refused_and_left_as_it_is() {
    let of_other = "is of another program";
    for (name, about, said) in [
        ("other", &[][..], of_other),
        ("named", &[("program", "other"), ("format", "1")], of_other),
        ("unnamed", &[("format", "1")], of_other),
        ("newer", &[("program", "jobshim"), ("format", "2")], "a later jobshim"),
        ("formless", &[("program", "jobshim")], "in which form"),
        ("odd", &[("program", "jobshim"), ("format", "0")], "in which form"),
    ] {
        let folder = StateFolder::new(&format!("store-{name}"));
        fs::create_dir_all(&folder.path).expect("a folder");
        let path = folder.path.join(FILE);
        write_file_of(&path, about);
        for _ in 0..2 {
            let reason = content(&folder.path).expect_err("no store");
            for part in [FILE, said, "move it away"] {
                assert!(reason.contains(part), "{name}: no {part:?} in {reason}");
            }
        }
        let store = Database::create(&path).expect("a store");
        let tables = redb::ReadableDatabase::begin_read(&store).expect("a reader");
        let mut tables: Vec<String> = tables
            .list_tables()
            .expect("tables")
            .map(|table| table.name().to_owned())
            .collect();
        tables.sort();
        let expected: &[&str] = if about.is_empty() {
            &["users"]
        } else {
            &["about", "users"]
        };
        assert_eq!(tables, expected, "{name}");
    }
}
