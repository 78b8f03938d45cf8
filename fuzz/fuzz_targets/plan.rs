//! A job, and what was posted for it, in any bytes: what a table makes of JSON is JSON, and of nothing else anything.
#![no_main]

use bytes::Bytes;
use jobshim::{mapping::{ClassInputs, Classes, Tables, View, json::check}, legacy::notes::note};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static TABLES: LazyLock<Tables> = LazyLock::new(|| Tables::load(None).expect("good tables"));

/// Inputs of every type.
static INPUTS: LazyLock<Option<ClassInputs>> = LazyLock::new(|| {
    let described = br#"{"input": {"required": {"a": ["INT"], "b": ["FLOAT"], "c": ["STRING"], "d": ["BOOLEAN"], "e": ["*"]}}}"#;
    let names = TABLES.comfyui.names.classes.inputs.as_ref()?;
    ClassInputs::read(described, names).expect("a description")
});

/// Knows what begins with a capital letter.
struct Some26;

impl Classes for Some26 {
    fn is_output(&self, class: &str) -> Option<bool> {
        let first = class.bytes().next().filter(u8::is_ascii_uppercase)?;
        Some(first == b'S')
    }

    fn inputs(&self, class: &str) -> Option<&ClassInputs> {
        self.is_output(class).and(INPUTS.as_ref())
    }
}

fuzz_target!(|text: &[u8]| {
    // What follows a byte that is in no UTF-8 text is a body of POST /prompt.
    let mut parts = text.splitn(2, |byte| *byte == 0xff);
    let job = parts.next().unwrap_or_default();
    let noted = parts.next().and_then(|body| {
        let kept = TABLES.prompt.request.kept(body);
        let sent = kept.as_ref().map_or_else(
            |_| Vec::new(),
            |kept| kept.iter().flat_map(|part| part.of(body)).copied().collect(),
        );
        if kept.is_ok() && check(body).is_ok() {
            assert!(
                check(&sent).is_ok(),
                "no JSON is sent: {}",
                String::from_utf8_lossy(&sent)
            );
        }
        note(&TABLES.prompt, &sent, None)
    });
    if let Some(noted) = &noted {
        assert!(
            check(noted).is_ok(),
            "no JSON is noted: {}",
            String::from_utf8_lossy(noted)
        );
    }
    // One search does for all tables.
    let parsed = TABLES.comfyui.parse_job(Bytes::copy_from_slice(job));
    let is_job = check(job).is_ok_and(|span| span.of(job).starts_with(b"{"));
    for &view in View::ALL {
        let table = TABLES.answers.table(view);
        let Ok(prepared) = table.prepare(job, noted.as_deref()) else {
            assert!(!is_job, "{}", table.name);
            continue;
        };
        assert!(is_job, "{}", table.name);
        prepared.classes_needed();
        let parsed = parsed.as_ref().expect("a job");
        let again = parsed.prepare(view, noted.as_deref()).expect("a job");
        let (mut entry, mut same) = (Vec::new(), Vec::new());
        let same_place = again.write(&Some26, &mut same);
        if let Ok(place) = prepared.write(&Some26, &mut entry) {
            assert_eq!((&same, same_place.expect("an entry")), (&entry, place), "{}", table.name);
            // Whoever sends the item writes its place in the list there.
            if let Some(place) = place {
                entry.insert(place, b'1');
            }
            let shown = String::from_utf8_lossy(&entry);
            assert!(check(&entry).is_ok(), "{}: {shown}", table.name);
        }
    }
});
