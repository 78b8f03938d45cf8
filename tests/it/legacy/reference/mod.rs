//! The plan against a naive reference: the same entry, worked out on a tree by the words of docs/contract.md section 3.

mod jobs;
mod naive;
mod tree;

use bytes::Bytes;
use jobs::{job, note};
use jobshim::mapping::{PreparedEntry, Tables, View, json::ScanError};
use naive::{KnownClasses, Reference};
use proptest::prelude::*;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};
use tree::Tree;

fn rendered(prepared: &PreparedEntry<'_>) -> Result<(String, BTreeSet<String>), TestCaseError> {
    let needed = prepared.classes_needed();
    let classes: BTreeSet<String> = needed.iter().cloned().collect();
    prop_assert_eq!(needed.len(), classes.len(), "a class is asked for twice: {:?}", needed);
    let mut out = Vec::new();
    let place = prepared.write(&KnownClasses, &mut out);
    // A place is left open; these are the first of their lists.
    if let Some(place) = place.map_err(|error| TestCaseError::fail(error.to_string()))? {
        out.insert(place, b'1');
    }
    Ok((String::from_utf8_lossy(&out).into_owned(), classes))
}

static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables::load(None).expect("good tables"));

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_entry_is_what_the_contract_says_byte_for_byte(job in job(), seen in prop::option::of(note())) {
        let tables = &*TABLES;
        let reference = Reference { job: &job, seen: seen.as_ref() };
        let (text, seen_text) = (job.text(), seen.as_ref().map(Tree::text));
        let expected = BTreeMap::from([
            ("history", (View::History, reference.history())),
            ("history_v2", (View::HistoryV2, reference.history_v2())),
            ("queue_cloud", (View::QueueCloud, reference.queue_cloud())),
        ]);
        let fail = |error: ScanError| TestCaseError::fail(format!("{error}: {text}"));
        let seen_bytes = seen_text.as_deref().map(str::as_bytes);
        for (name, (view, expected)) in expected {
            // Searched once for all tables, and by the table itself.
            let parsed = tables.comfyui.parse_job(Bytes::copy_from_slice(text.as_bytes())).map_err(fail)?;
            let (entry, classes) = rendered(&parsed.prepare(view, seen_bytes).map_err(fail)?)?;
            let table = tables.answers.table(view);
            let other = rendered(&table.prepare(text.as_bytes(), seen_bytes).map_err(fail)?)?;
            prop_assert_eq!(&other, &(entry.clone(), classes.clone()), "table {}, job {}", name, text);
            prop_assert_eq!(&entry, &expected.text(), "table {}, job {}, seen {:?}", name, text, seen_text);
            let needed = if name == "history_v2" { BTreeSet::new() } else { reference.classes() };
            prop_assert_eq!(&classes, &needed, "table {}, job {}, seen {:?}", name, text, seen_text);
        }
    }
}

#[test]
fn an_output_item_with_a_repeated_member_is_no_plain_string() {
    let item = r#"{"filename": "a.glb", "filename": "b.glb", "type": "output", "subfolder": ""}"#;
    let outputs = format!(r#"{{"1": {{"3d": [{item}]}}}}"#);
    let job = format!(r#"{{"id": "x", "outputs": {outputs}}}"#);
    let prepared = TABLES
        .answers
        .history
        .table
        .prepare(job.as_bytes(), None)
        .expect("a job");
    let (entry, _) = rendered(&prepared).expect("an entry");
    assert!(entry.contains(&format!(r#""outputs": {outputs}"#)), "{entry}");
}
