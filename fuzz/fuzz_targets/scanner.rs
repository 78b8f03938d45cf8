//! Any bytes at all: the scanner agrees with serde_json on what is JSON, and all it finds is where it says.
#![no_main]

use jobshim::mapping::json::{MemberPath, check, elements, find, key_is, members, string_value};
use libfuzzer_sys::fuzz_target;

fn holds(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window == word)
}

fuzz_target!(|text: &[u8]| {
    let ours = check(text);
    let theirs = serde_json::from_slice::<serde::de::IgnoredAny>(text);
    match (&ours, &theirs) {
        (Ok(_), Ok(_)) | (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => {
            // Python's words for numbers, and half surrogate pairs, are passed on as they are.
            let python = holds(text, b"NaN") || holds(text, b"Infinity");
            assert!(python || error.to_string().contains("surrogate"), "serde_json: {error}");
        }
        (Err(error), Ok(_)) => panic!("serde_json takes it, we say {error}"),
    }
    let whole = ours.as_ref().map(|span| span.of(text)).unwrap_or_default();
    let mut of_parts = true;
    let by_members = members(text, |_, value| {
        of_parts &= check(value).is_ok_and(|span| span.of(value) == value)
    });
    let by_elements = elements(text, |value| {
        of_parts &= check(value).is_ok_and(|span| span.of(value) == value)
    });
    assert!(of_parts, "a part is no value");
    if ours.is_ok() {
        assert!(by_members.is_ok() && by_elements.is_ok());
        assert_eq!(
            string_value(whole).is_some(),
            serde_json::from_slice::<String>(whole).is_ok()
        );
    }
    let paths = ["a", "a.b", "id", "workflow.prompt", "workflow.extra_data"].map(|path| MemberPath::parse(path).expect("a path"));
    let found = find(text, paths.each_ref());
    assert_eq!(found.is_ok(), ours.is_ok() && whole.starts_with(b"{"), "{found:?}");
    for (path, found) in paths.iter().zip(found.into_iter().flatten()) {
        // The same by a walk for each path.
        let walked = path.names().iter().try_fold(whole, |value, name| {
            let mut inner = None;
            let _ = members(value, |key, value| {
                if key_is(key, name) {
                    inner = Some(value);
                }
            });
            inner
        });
        assert_eq!(found, walked, "{path}");
    }
});
