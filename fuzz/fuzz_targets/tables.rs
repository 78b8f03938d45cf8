//! A table file of any bytes, for any of the tables: it is refused with its line, or what it makes of a job is JSON.
#![no_main]

use jobshim::mapping::{dialect::DialectNames, Classes, Table, TableError, WriteNames, names, json::check};
use libfuzzer_sys::fuzz_target;

const JOB: &[u8] = br#"{"id": "x", "status": "completed", "create_time": 1795461653, "outputs": {"5.0.1": {"3d": [{"filename": "a.glb",
    "type": "output", "subfolder": "", "mediaType": "3d"}]}}, "workflow": {"prompt": {"1": {"class_type": "Save", "inputs": {}}},
    "extra_data": {"api_key_comfy_org": "[REDACTED]", "extra_pnginfo": {"workflow": {}}, "client_id": null}}}"#;
const NOTE: &[u8] =
    br#"{"prompt": {"1": {"class_type": "Load"}}, "extra_data": {"a": 1}, "client_id": "c", "targets": ["1"]}"#;

struct AllKnown;

impl Classes for AllKnown {
    fn is_output(&self, class: &str) -> Option<bool> {
        Some(class == "Save")
    }
}

fn refused(error: &TableError, text: &str) {
    let lines = text.lines().count() + 1;
    assert!((1..=lines).contains(&error.line), "{error}");
    assert!(!error.reason.is_empty());
}

fuzz_target!(|text: &str| {
    // The first line names the table, as a comment.
    let name = text.lines().next().unwrap_or_default().trim_start_matches(['#', ' ']);
    let name = names().find(|known| *known == name).unwrap_or("history");
    if name.starts_with("dialect") {
        if let Err(error) = DialectNames::parse("mine.toml", text) {
            refused(&error, text);
        }
        return;
    }
    if name == "writes" {
        if let Err(error) = WriteNames::parse("mine.toml", text) {
            refused(&error, text);
        }
        return;
    }
    let table = match Table::parse(name, "mine.toml", text) {
        Ok(table) => table,
        Err(error) => return refused(&error, text),
    };
    for noted in [None, Some(NOTE)] {
        let prepared = table.prepare(JOB, noted).expect("a good job");
        prepared.classes_needed();
        let mut entry = Vec::new();
        if let Ok(place) = prepared.write(&AllKnown, &mut entry) {
            // Whoever sends the item writes its place in the list there.
            if let Some(place) = place {
                entry.insert(place, b'7');
            }
            assert!(check(&entry).is_ok(), "{}", String::from_utf8_lossy(&entry));
        }
    }
});
