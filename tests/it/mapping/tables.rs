//! Tables are data: edits take effect without code, and a broken table is refused with file, line and reason.

use crate::support::{TableFolder, built_in};
use jobshim::mapping::{Classes, Table, TableFile, Tables, files_in};
use std::{collections::BTreeSet, fs, path::Path};

struct NoClasses;

impl Classes for NoClasses {
    fn is_output(&self, _: &str) -> Option<bool> {
        None
    }
}

fn render(table: &Table, job: &str) -> String {
    let prepared = table.prepare(job.as_bytes(), None).expect("JSON");
    let mut out = Vec::new();
    prepared.write(&NoClasses, &mut out).expect("an entry");
    String::from_utf8(out).expect("text")
}

fn parse(source: &str) -> Result<Table, String> {
    Table::parse("mine", "mine.toml", source).map_err(|error| error.to_string())
}

const HEAD: &str = "about = \"x\"\n[answer]\ncontent_type = \"application/json\"\n";

/// A table with `rows`, which begin on line 4.
fn table(rows: &str) -> Result<Table, String> {
    parse(&format!("{HEAD}{rows}"))
}

#[test]
fn a_new_field_and_a_renamed_field_take_effect_from_the_table_alone() {
    let edited = built_in("history").replace("to = \"meta\"", "to = \"about_nodes\"")
        + "\n[[field]]\nto = \"finished_at\"\nfrom = [\"execution_end_time\"]\ndefault = 0\nfidelity = \"exact\"\n";
    let folder = TableFolder::with("new-field", &[("history.toml", &edited)]);
    let tables = Tables::load(Some(&folder.path)).expect("good tables");
    let entry = render(
        &tables.answers.history.table,
        r#"{"id": "a", "status": "completed", "execution_end_time": 17.50}"#,
    );
    assert!(entry.contains(r#""about_nodes": {}"#), "{entry}");
    assert!(!entry.contains(r#""meta""#), "{entry}");
    assert!(entry.ends_with(r#""finished_at": 17.50}"#), "{entry}");
}

#[test]
fn tables_that_a_folder_does_not_hold_stay_built_in() {
    let edited = built_in("queue").replace("queue_running", "at_work");
    let folder = TableFolder::with("one-table", &[("queue.toml", &edited)]);
    let tables = Tables::load(Some(&folder.path)).expect("good tables");
    assert_eq!(tables.answers.queue.running, "at_work");
    assert_eq!(tables.answers.queue_cloud.running, "queue_running");
}

#[test]
fn five_lines_change_the_words_of_job_status() {
    let words = "{ pending = \"pending\", in_progress = \"in_progress\", completed = \"completed\", failed = \"error\", cancelled = \"cancelled\" }";
    let source = built_in("job_status");
    let start = source.find("{ pending").expect("the map");
    let end = start + source[start..].find('}').expect("its end") + 1;
    let edited = format!("{}{words}{}", &source[..start], &source[end..]);
    let table = Table::parse("job_status", "job_status.toml", &edited).expect("a good table");
    assert!(render(&table, r#"{"id": "a", "status": "completed"}"#).contains(r#""status": "completed""#));
}

#[test]
fn each_kind_of_broken_table_is_refused_with_file_line_and_reason() {
    let cases = [
        (
            "[[field]]\nto = \"a\"\nform = []\nfidelity = \"exact\"",
            6,
            "unknown field `form`",
        ),
        (
            "[[field]]\nto = \"a\"\nfrom = [\"x\"]\nfidelity = \"good\"",
            7,
            "unknown variant `good`",
        ),
        ("[[field]]\nto = \"a\"\nfrom = [\"x\"]", 4, "missing field `fidelity`"),
        (
            "[[field]]\nto = \"a\"\nfrom = [\n  \"x\",\n  { derive = \"magic\", of = \"x\" },\n]\nfidelity = \"exact\"",
            8,
            "unknown variant `magic`",
        ),
        (
            "[[field]]\nto = \"a\"\nfrom = [{ derive = \"keys\", off = \"x\" }]\nfidelity = \"exact\"",
            6,
            "off",
        ),
        (
            "[[field]]\nto = \"a\"\nfrom = [{ part = \"p\" }]\nfidelity = \"exact\"",
            6,
            "no [[part.p]]",
        ),
        (
            "[[field]]\nto = \"a\"\nfrom = [{ part = \"p\", of = \"status\" }]\nfidelity = \"exact\"",
            6,
            "go together",
        ),
        (
            "[[field]]\nto = \"a\"\nfrom = [{ part = \"p\", is = [\"failed\"] }]\nfidelity = \"exact\"",
            6,
            "go together",
        ),
        (
            "[[field]]\nto = \"a\"\nfrom = [\"x..y\"]\nfidelity = \"exact\"",
            6,
            "is no path",
        ),
        (
            "[[field]]\nto = \"a\"\nfrom = [7]\nfidelity = \"exact\"",
            6,
            "a source is a path",
        ),
        (
            "[[field]]\nto = \"a[x]\"\nfrom = [\"x\"]\nfidelity = \"exact\"",
            5,
            "is no target",
        ),
        (
            "[[field]]\nto = \"a\"\nfidelity = \"exact\"",
            5,
            "neither a source nor a default",
        ),
        (
            "[[field]]\nto = \"a\"\nfrom = [\"x\"]\nnull = true\ndefault = 1\nfidelity = \"exact\"",
            5,
            "exclude each other",
        ),
        (
            "[[field]]\nto = \"a\"\nfrom = [\"x\"]\nfidelity = \"exact\"\n[[field]]\nto = \"a\"\nfrom = [\"y\"]\nfidelity = \"exact\"",
            9,
            "two rows have this target",
        ),
        (
            "[[field]]\nto = \"a\"\nfrom = [\"x\"]\nfidelity = \"exact\"\n[[field]]\nto = \"a.b\"\nfrom = [\"y\"]\nfidelity = \"exact\"",
            9,
            "another row has this target or one above it",
        ),
        (
            "[[field]]\nto = \"a[0]\"\nfrom = [\"x\"]\nfidelity = \"exact\"\n[[field]]\nto = \"a[2]\"\nfrom = [\"y\"]\nfidelity = \"exact\"",
            9,
            "the array has a hole: nothing is at [1] yet",
        ),
        (
            "[[field]]\nto = \"a[0]\"\nfrom = [\"x\"]\nfidelity = \"exact\"\n[[field]]\nto = \"a.b\"\nfrom = [\"y\"]\nfidelity = \"exact\"",
            9,
            "a name in what other rows make an array",
        ),
        (
            "[[field]]\nto = \"a\"\nfrom = [\"x\"]\noptional = true\nfidelity = \"exact\"",
            5,
            "an optional field cannot be the first member",
        ),
        ("[[field]]\nto = ", 5, ""),
        ("", 1, "missing field `field`"),
    ];
    for (rows, line, reason) in cases {
        let error = table(rows).map(|_| ()).expect_err(rows);
        assert!(
            error.starts_with(&format!("mine.toml:{line}: ")) && error.contains(reason),
            "{rows}\nis refused with {error:?}\ninstead of line {line} and {reason:?}"
        );
    }
}

#[test]
fn an_answer_that_lacks_what_its_route_needs_is_refused() {
    let source = built_in("queue").replace("running = \"queue_running\"\n", "");
    let folder = TableFolder::with("lacks", &[("queue.toml", &source)]);
    let error = Tables::load(Some(&folder.path))
        .map(|_| ())
        .expect_err("refused")
        .to_string();
    assert!(
        error.contains("queue.toml:1: [answer] needs \"running\" in table \"queue\""),
        "{error}"
    );
}

#[test]
fn a_broken_dialect_and_a_misspelt_file_name_are_refused() {
    let broken = built_in("dialect-cloud").replace("/api/jobs/{id}", "/api/jobs");
    let folder = TableFolder::with("broken-dialect", &[("dialect-cloud.toml", &broken)]);
    let error = Tables::load(Some(&folder.path))
        .map(|_| ())
        .expect_err("refused")
        .to_string();
    assert!(
        error.contains("dialect-cloud.toml:") && error.contains("{id}"),
        "{error}"
    );
    let folder = TableFolder::with("stranger", &[("histroy.toml", "")]);
    let error = Tables::load(Some(&folder.path))
        .map(|_| ())
        .expect_err("refused")
        .to_string();
    assert!(error.contains("histroy.toml:1: no table has this name"), "{error}");
}

#[test]
fn every_built_in_table_is_a_file_and_their_folder_is_a_folder_of_tables() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    let on_disk: BTreeSet<String> = files_in(&folder)
        .expect("a folder")
        .iter()
        .map(|file| fs::read_to_string(file).expect("a file"))
        .collect();
    let texts = |dir| -> BTreeSet<String> {
        let files = TableFile::read_all(dir).expect("good files");
        files.into_iter().map(|file| file.text).collect()
    };
    assert_eq!(texts(None), on_disk);
    assert_eq!(texts(Some(folder.as_path())), on_disk);
    Tables::load(Some(&folder)).expect("good tables");
}

#[test]
fn a_table_is_found_in_its_folder_and_beside_it_and_in_both_refused() {
    let edited = built_in("queue").replace("queue_running", "at_work");
    for file in ["queue.toml", "answers/queue.toml"] {
        let folder = TableFolder::with("in-its-folder", &[(file, &edited)]);
        let tables = Tables::load(Some(&folder.path)).expect("good tables");
        assert_eq!(tables.answers.queue.running, "at_work", "{file}");
    }
    let refused = |files: &[(&str, &str)]| {
        let folder = TableFolder::with("refused", files);
        let error = Tables::load(Some(&folder.path)).map(|_| ()).expect_err("refused");
        error.to_string()
    };
    let both = refused(&[("queue.toml", &edited), ("answers/queue.toml", &edited)]);
    assert!(both.contains("queue.toml:1: the table \"queue\" is also in "), "{both}");
    for stranger in ["answers/histroy.toml", "dialects/history.toml", "comfyui.toml"] {
        let error = refused(&[(stranger, "")]);
        assert!(
            error.contains(&format!("{stranger}:1: no table has this name")),
            "{error}"
        );
    }
}

#[test]
fn members_are_dropped_with_their_comma_and_nothing_else_changes() {
    let table = table(
        "[[field]]\nto = \"a\"\nfrom = [{ derive = \"drop\", of = \"x\", members = [{ path = \"k\", is = \"[R]\" }, { path = \"in.w\" }] }]\nfidelity = \"exact\"",
    )
    .expect("a good table");
    for (before, after) in [
        (r#"{"k": "[R]"}"#, "{}"),
        (r#"{ "k":"[R]" , "b":1 }"#, r#"{ "b":1 }"#),
        (r#"{"b":1,"k":"[R]"}"#, r#"{"b":1}"#),
        (r#"{"b":1, "k": "[R]", "c" : 2}"#, r#"{"b":1, "c" : 2}"#),
        (r#"{"k": "[R]", "k": "[R]", "c": 2}"#, r#"{"c": 2}"#),
        (r#"{"c": 2, "k": "[R]", "k": "[R]"}"#, r#"{"c": 2}"#),
        (r#"{"k": "real key"}"#, r#"{"k": "real key"}"#),
        (r#"{"in": {"w": [1, {"w": 2}]}, "w": 3}"#, r#"{"in": {}, "w": 3}"#),
        (r#"{"in": {"a": 1, "w": 2}, "in": 5}"#, r#"{"in": {"a": 1}, "in": 5}"#),
        (r#"[{"k": "[R]"}]"#, r#"[{"k": "[R]"}]"#),
    ] {
        assert_eq!(
            render(&table, &format!(r#"{{"x": {before}}}"#)),
            format!(r#"{{"a": {after}}}"#)
        );
    }
}

#[test]
fn times_are_milliseconds_or_seconds_and_come_out_as_text() {
    let table = table(
        "[[field]]\nto = \"ms\"\nfrom = [{ derive = \"ms\", of = \"t\" }]\nnull = true\nfidelity = \"exact\"\n[[field]]\nto = \"at\"\nfrom = [{ derive = \"rfc3339\", of = \"t\" }]\nnull = true\nfidelity = \"exact\"",
    )
    .expect("a good table");
    for (time, ms, text) in [
        ("1795461654848", "1795461654848", "\"2026-11-23T19:20:54.848Z\""),
        ("1795461654", "1795461654000", "\"2026-11-23T19:20:54.000Z\""),
        ("1795461654.5", "1795461654500", "\"2026-11-23T19:20:54.500Z\""),
        ("951782400000", "951782400000", "\"2000-02-29T00:00:00.000Z\""),
        ("\"soon\"", "null", "null"),
        ("1e300", "1e300", "null"),
    ] {
        let expected = format!(r#"{{"ms": {ms}, "at": {text}}}"#);
        assert_eq!(render(&table, &format!(r#"{{"t": {time}}}"#)), expected);
    }
}
