//! What others rely on by name: configuration keys, help, metrics, log fields, and what is stored. A change of the code must not change them
//! unseen. `JOBSHIM_PINS=write cargo test --test it -- pins::` takes over a change that is meant; the diff shows it.

#![cfg(unix)]

use crate::support::{
    Client, StateFolder,
    pin::pinned,
    program::{Program, run},
    server::{Server, Setup, board},
};
use http::Method;
use jobshim::routes::Endpoint;
use jobshim::{
    config::keys,
    demo::{Job, Rules},
    migration::modes::{self, RollbackRecord},
    store::{Change, Store},
    telemetry::{CacheResult, Call, Failure, Observer, RequestKind, StatusClass},
};
use redb::{Builder, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

#[test]
fn configuration_keys_have_their_names_variables_flags_and_defaults() {
    let mut now = String::new();
    for key in keys() {
        let _ = writeln!(
            now,
            "{} {} {} {:?} {:?} secret={} live={}",
            key.name, key.variable, key.flag, key.default, key.kind, key.secret, key.live
        );
    }
    pinned("tests/pins/config.txt", &now);
}

#[test]
fn help_says_what_it_said() {
    let (mut now, mut said) = (String::new(), BTreeSet::new());
    for command in [
        "",
        "serve",
        "start",
        "stop",
        "status",
        "demo",
        "report",
        "check",
        "doctor",
        "health",
        "explain",
        "mapping",
        "completions",
    ] {
        let arguments: Vec<&str> = [command, "--help"]
            .into_iter()
            .filter(|word| !word.is_empty())
            .collect();
        let output = run(&arguments, &[]);
        assert!(output.status.success(), "{arguments:?}");
        let text = String::from_utf8(output.stdout).expect("text");
        let _ = writeln!(now, "$ jobshim {}", arguments.join(" "));
        // Most commands take the options of serve.
        for line in text.lines().filter(|line| said.insert((*line).to_owned())) {
            let _ = writeln!(now, "{line}");
        }
    }
    pinned("tests/pins/help.txt", &now);
}

#[test]
fn metrics_and_their_labels_have_their_names() {
    let observer = Observer::default();
    let metrics = observer.metrics();
    for kind in (0..).map_while(RequestKind::numbered) {
        metrics.request(kind, Duration::from_millis(1), 1, 1);
    }
    for &call in Call::ALL {
        for &status in StatusClass::ALL {
            metrics.call(call, status, Duration::from_millis(1));
        }
        for &failure in Failure::ALL {
            metrics.failure(call, failure);
        }
    }
    for &result in CacheResult::ALL {
        metrics.cache(result, 1);
    }
    for route in Endpoint::ALL {
        metrics.shadowed(route, Duration::from_millis(1));
        metrics.canary(route.name(), Some(true));
    }
    metrics.tunnel(1, 1);
    let text = metrics.text().expect("text");
    let is_of_process = |line: &&str| {
        line.trim_start_matches("# HELP ")
            .trim_start_matches("# TYPE ")
            .starts_with("process_")
    };
    let (process, own): (Vec<&str>, Vec<&str>) = text.lines().partition(is_of_process);
    pinned("tests/pins/metrics.txt", &names_in(&own.join("\n")));
    // Others say less of a process.
    if cfg!(target_os = "linux") {
        pinned("tests/pins/process_metrics.txt", &names_in(&process.join("\n")));
    }
}

/// Help and type of each metric, and which words each of its labels takes.
fn names_in(text: &str) -> String {
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut now = String::new();
    for line in text.lines() {
        if line.starts_with('#') {
            let _ = writeln!(now, "{line}");
            continue;
        }
        let (series, _) = line.rsplit_once(' ').expect("a value");
        let Some((metric, rest)) = series.split_once('{') else {
            labels.entry(series.to_owned()).or_default();
            continue;
        };
        for pair in rest.trim_end_matches('}').split("\",") {
            let (label, word) = pair.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            let word = match label {
                "version" => "VERSION",
                _ => word.trim_end_matches('"'),
            };
            labels
                .entry(format!("{metric} {label}"))
                .or_default()
                .insert(word.to_owned());
        }
    }
    for (label, words) in labels {
        let words: Vec<_> = words.into_iter().collect();
        let _ = writeln!(now, "{label} {}", words.join(" "));
    }
    now
}

#[test]
fn log_lines_have_their_fields() {
    let mut fields = BTreeSet::new();
    for path in sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
        let text = fs::read_to_string(&path).expect("a source");
        for level in ["error", "warn", "info", "debug", "trace"] {
            for (at, start) in text.match_indices(&format!("tracing::{level}!(")) {
                for field in fields_of(&text[at + start.len()..]) {
                    fields.insert(format!("{level} {field}\n"));
                }
            }
        }
    }
    pinned("tests/pins/log.txt", &fields.into_iter().collect::<String>());
}

/// The names of the fields in a macro's arguments: what stands before the message.
fn fields_of(arguments: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let (mut depth, mut field) = (0, String::new());
    for character in arguments.chars() {
        match character {
            '"' if depth == 0 && field.trim().is_empty() => return fields,
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => return fields,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => {
                let name = field.split(" = ").next().unwrap_or_default();
                fields.push(name.trim().trim_start_matches(['%', '?']).to_owned());
                field.clear();
                continue;
            }
            _ => {}
        }
        field.push(character);
    }
    fields
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false if path.extension().is_some_and(|end| end == "rs") => found.push(path),
            false => {}
        }
    }
    found
}

/// Tables of the store, the form of their keys, and the members of what is stored as JSON. A store of an earlier version is
/// read by later ones.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_stored_has_its_tables_and_members() {
    let ids = [
        "00000001-0000-4000-8000-000000000000",
        "00000002-0000-4000-8000-000000000000",
    ];
    let mut jobs = board(Rules::Comfyui);
    for id in ids {
        let text = json!({"id": id, "status": "completed", "create_time": 1_795_000_000_000_u64}).to_string();
        jobs.add(Job::new(&text, &text).expect("a job"));
    }
    let server = Server::start(jobs, Setup::default()).await;
    let folder = StateFolder::new("pins");
    let path = folder.path.display().to_string();
    let mut program = Program::before(&server.url(), &["--state-dir", &path]);
    let client = Client::new();
    for body in [json!({"delete": [ids[0]]}), json!({"clear": true})] {
        let sent = client.send(
            Method::POST,
            program.address(),
            "/history",
            &[("user-agent", "a client")],
            body.to_string(),
        );
        assert_eq!(sent.await.expect("an answer").status, 200);
    }
    program.signal("TERM");
    program.end();
    let store = Store::in_folder(&folder.path).expect("the store");
    let back = RollbackRecord {
        terms: "x".to_owned(),
        at_ms: 1,
        reason: "y".to_owned(),
    };
    store
        .commit(Change::default().put(&modes::ROLLBACKS, &"history".to_owned(), &back))
        .expect("stored");
    drop(store);
    let store = Builder::new()
        .open(folder.path.join("jobshim.redb"))
        .expect("the store");
    let read = store.begin_read().expect("a reader");
    let mut now = String::new();
    let mut tables: Vec<String> = read
        .list_tables()
        .expect("its tables")
        .map(|table| table.name().to_owned())
        .collect();
    tables.sort();
    for name in tables {
        if name == "about" {
            let about: TableDefinition<&str, &str> = TableDefinition::new("about");
            for row in read.open_table(about).expect("a table").iter().expect("rows") {
                let (key, value) = row.expect("a row");
                let _ = writeln!(now, "about {} -> {}", key.value(), value.value());
            }
            continue;
        }
        let rows: TableDefinition<&[u8], &[u8]> = TableDefinition::new(&name);
        for row in read.open_table(rows).expect("a table").iter().expect("rows") {
            let (key, value) = row.expect("a row");
            let value = str::from_utf8(value.value()).expect("JSON");
            let _ = writeln!(now, "{name} {} -> {}", shape_of_key(key.value()), shape_of(value));
        }
    }
    pinned("tests/pins/store.txt", &now);
}

/// A key: text as it is, and how many bytes of a scope stand before it.
fn shape_of_key(key: &[u8]) -> String {
    match str::from_utf8(key) {
        Ok(text) => format!("{text:?}"),
        Err(_) => {
            let (scope, name) = key.split_at(32);
            format!("({} bytes, {:?})", scope.len(), str::from_utf8(name).expect("text"))
        }
    }
}

/// The members of JSON, and the types of their values.
fn shape_of(text: &str) -> String {
    fn show(value: &Value) -> String {
        match value {
            Value::Null => "null".to_owned(),
            Value::Bool(_) => "boolean".to_owned(),
            Value::Number(_) => "number".to_owned(),
            Value::String(_) => "string".to_owned(),
            Value::Array(items) => format!("[{}]", items.first().map(show).unwrap_or_default()),
            Value::Object(members) => {
                let members = members.iter().map(|(key, value)| format!("{key}: {}", show(value)));
                format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
            }
        }
    }
    show(&serde_json::from_str(text).expect("JSON"))
}
