//! The scanner against serde_json, and every field's text byte for byte through scanner and table.

use jobshim::mapping::{
    Classes, Table,
    json::{MemberPath, check, elements, find, members},
};
use proptest::prelude::*;

struct NoClasses;

impl Classes for NoClasses {
    fn is_output(&self, _: &str) -> Option<bool> {
        Some(false)
    }
}

/// JSON text of any kind and spacing, with what Python adds to it.
fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        Just("NaN".to_owned()),
        Just("Infinity".to_owned()),
        Just("-Infinity".to_owned()),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,12})?([eE][+-]?[0-9]{1,4})?",
        "\"([ !#-\\[\\]-~é世😀]|\\\\[\"\\\\/bfnrt]|\\\\u[0-9a-fA-F]{4}|\\\\ud83d){0,24}\"",
    ];
    leaf.prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            (prop::collection::vec(inner.clone(), 0..6), space(), space()).prop_map(|(items, before, after)| format!(
                "[{before}{}{after}]",
                items.join(&format!("{after},{before}"))
            )),
            (prop::collection::vec(("[a-z.\\[]{0,4}", inner), 0..6), space(), space()).prop_map(
                |(items, before, after)| {
                    let items: Vec<_> = items
                        .iter()
                        .map(|(key, value)| format!("\"{key}\"{after}:{before}{value}"))
                        .collect();
                    format!("{{{before}{}{after}}}", items.join(&format!("{before},{after}")))
                }
            ),
        ]
    })
}

fn space() -> impl Strategy<Value = String> {
    "[ \n\t\r]{0,2}"
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_value_is_found_whole_whatever_stands_around_it(value in json(), before in space(), after in space()) {
        let text = format!("{before}{value}{after}");
        let span = check(text.as_bytes()).map_err(|error| TestCaseError::fail(format!("{error}: {text}")))?;
        prop_assert_eq!(span.of(text.as_bytes()), value.as_bytes());
    }

    #[test]
    fn scanner_and_serde_json_agree_on_what_is_json(bytes in prop::collection::vec(prop::sample::select(br#"{}[]",:\u0dtrefalsn1-+.e "#.to_vec()), 0..24)) {
        // The alphabet has no NaN or Infinity; half surrogates are the one thing left that serde_json refuses.
        let ours = check(&bytes).is_ok();
        let theirs = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes);
        let surrogate = matches!(&theirs, Err(error) if error.to_string().contains("surrogate"));
        prop_assert!(ours == theirs.is_ok() || surrogate, "{:?}: ours {ours}, theirs {theirs:?}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let _ = check(&bytes);
        let _ = members(&bytes, |_, _| {});
        let _ = elements(&bytes, |_| {});
        let _ = find(&bytes, [&path("a.b")]);
    }

    #[test]
    fn each_field_comes_out_byte_for_byte(prompt in json(), extra in json(), outputs in json(), status in json(), number in json()) {
        let table = built_in("history");
        let job = format!(
            r#"{{"id": "x", "priority": {number} , "outputs":{outputs}, "workflow": {{"extra_data": {extra}, "prompt": {prompt}}}, "execution_status" : {status}}}"#
        );
        let prepared = table.prepare(job.as_bytes(), None).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let mut entry = Vec::new();
        prepared.write(&NoClasses, &mut entry).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let found = find(&entry, [&path("outputs"), &path("status"), &path("prompt")]);
        let found = found.map_err(|error| TestCaseError::fail(error.to_string()))?;
        let text = |nth: usize| found[nth].unwrap_or_default();
        let mut tuple = Vec::new();
        elements(text(2), |item| tuple.push(item.to_vec())).map_err(|error| TestCaseError::fail(error.to_string()))?;
        // Absent and null are the same to the Jobs API; then the default stands in.
        let or = |value: &str, default: &str| if value == "null" { default.to_owned() } else { value.to_owned() };
        prop_assert_eq!(String::from_utf8_lossy(&tuple[0]), or(&number, "0"));
        prop_assert_eq!(String::from_utf8_lossy(&tuple[2]), or(&prompt, "{}"));
        prop_assert_eq!(String::from_utf8_lossy(&tuple[3]), or(&extra, r#"{"create_time": 0}"#));
        prop_assert_eq!(String::from_utf8_lossy(text(0)), or(&outputs, "{}"));
        if status != "null" {
            prop_assert_eq!(String::from_utf8_lossy(text(1)), status);
        }
    }
}

fn path(text: &str) -> MemberPath {
    MemberPath::parse(text).expect("a path")
}

fn built_in(name: &str) -> Table {
    Table::parse(name, name, &crate::support::built_in(name)).expect("a good table")
}

#[test]
fn nesting_has_no_limit() {
    let depth = 1_000_000;
    let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert!(check(deep.as_bytes()).is_ok());
    let crossed = format!("{}{}", "[".repeat(depth), "}".repeat(depth));
    assert!(check(crossed.as_bytes()).is_err());
    let mixed = format!("{}1{}", "[{\"a\":".repeat(1000), "}]".repeat(1000));
    assert!(check(mixed.as_bytes()).is_ok());
}

#[test]
fn text_that_is_cut_short_anywhere_is_refused() {
    let whole = br#"{"a": [1.5e3, "x\u00e9\\", true, {"b": NaN}], "c": -Infinity}"#;
    assert!(check(whole).is_ok());
    for end in 0..whole.len() {
        assert!(
            check(&whole[..end]).is_err(),
            "{}",
            String::from_utf8_lossy(&whole[..end])
        );
    }
}

#[test]
fn the_last_of_a_repeated_key_counts() {
    let paths = [path("a.b"), path("a")];
    let text = br#"{"a": {"b": 1}, "a": {"c": 2}, "\u0061": {"b": 3, "b": 4}}"#;
    let found = find(text, paths.each_ref()).expect("JSON");
    assert_eq!(found, [Some(&b"4"[..]), Some(br#"{"b": 3, "b": 4}"#)]);
    let text = br#"{"a": {"b": 1}, "a": 7}"#;
    assert_eq!(find(text, paths.each_ref()).expect("JSON"), [None, Some(&b"7"[..])]);
}

#[test]
fn what_is_open_is_known_at_every_depth() {
    for depth in 1..200 {
        let is_object = |level: usize| level.is_multiple_of(3) || level.is_multiple_of(7);
        let opening: String = (0..depth)
            .map(|level| if is_object(level) { "{\"a\":" } else { "[" })
            .collect();
        let closing: Vec<u8> = (0..depth)
            .rev()
            .map(|level| if is_object(level) { b'}' } else { b']' })
            .collect();
        let text = [opening.as_bytes(), b"1", &closing].concat();
        assert!(check(&text).is_ok(), "{depth}");
        for wrong in 0..depth {
            let mut text = text.clone();
            let at = text.len() - 1 - wrong;
            text[at] = if text[at] == b'}' { b']' } else { b'}' };
            assert_eq!(check(&text).expect_err("a wrong end").at, at, "{wrong} of {depth}");
        }
    }
}

/// Output nodes are those whose class ends with `0`.
struct Tens;

impl Classes for Tens {
    fn is_output(&self, class: &str) -> Option<bool> {
        Some(class.ends_with('0'))
    }
}

#[test]
fn each_node_keeps_its_own_class_however_many_there_are() {
    let table = built_in("history");
    // Every class comes three times, the last time in another spelling, with many others in between.
    let class = |node: usize| match node {
        0..200 => format!(r#""Class{}""#, node % 100),
        _ => format!(r#""\u0043lass{}""#, node % 100),
    };
    let node = |node: usize| format!(r#""n{node}": {{"class_type": {}}}"#, class(node));
    let nodes: Vec<String> = (0..300).map(node).collect();
    let job = format!(r#"{{"id": "x", "workflow": {{"prompt": {{{}}}}}}}"#, nodes.join(", "));
    let prepared = table.prepare(job.as_bytes(), None).expect("a job");
    let mut needed: Vec<String> = (0..100).map(|class| format!("Class{class}")).collect();
    needed.sort();
    assert_eq!(prepared.classes_needed(), needed, "each once");
    let mut entry = Vec::new();
    prepared.write(&Tens, &mut entry).expect("an entry");
    let outputs: Vec<String> = (0..300).step_by(10).map(|node| format!(r#""n{node}""#)).collect();
    let entry = String::from_utf8_lossy(&entry);
    assert!(entry.contains(&format!("[{}]]", outputs.join(", "))), "{entry}");
}
