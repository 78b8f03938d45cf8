use super::{
    super::prefix::{MOST, ObjectPrefix},
    *,
};
use crate::{http::buffered::BufferError, mapping::json::find};
use proptest::prelude::*;

/// Leaves out whatever has `"out": 1`.
#[derive(Clone, Copy)]
struct Outs;

impl ElementFilter for Outs {
    fn excludes(&self, object: &[u8], whole: bool) -> Option<bool> {
        let value = find(object, [&path("out")]).ok().and_then(|[value]| value);
        match value {
            Some(value) => Some(value == b"1"),
            None => whole.then_some(false),
        }
    }
}

fn room() -> BufferBudget {
    BufferBudget::new(64 << 20)
}

fn path(text: &str) -> MemberPath {
    MemberPath::parse(text).expect("a path")
}

fn copied(list: &str, text: &str, size: usize) -> String {
    let mut elements = ListFilter::new(path(list), Outs, &room());
    let mut out = Vec::new();
    for piece in text.as_bytes().chunks(size) {
        out.extend(elements.copy(piece).expect("clear").concat());
    }
    out.extend(elements.end().concat());
    String::from_utf8(out).expect("text")
}

#[test]
fn elements_are_left_out_and_every_other_byte_goes_on() {
    for (text, left) in [
        (r#"{"jobs": []}"#, r#"{"jobs": []}"#),
        (r#"{"jobs": [ ] , "a":1}"#, r#"{"jobs": [ ] , "a":1}"#),
        (r#"{"jobs": [{"out": 1}]}"#, r#"{"jobs": []}"#),
        (r#"{"jobs": [{"out": 1}, {"out": 2} ]}"#, r#"{"jobs": [ {"out": 2} ]}"#),
        (
            r#"{"jobs": [{"a": 1},{"out": 1} , {"b": ","}]}"#,
            r#"{"jobs": [{"a": 1}, {"b": ","}]}"#,
        ),
        (
            r#"{"jobs": [{"x": {"out": 1}}, {"s": "]\"}", "out": 1}, 5, "out", [1, 2]], "more": {"jobs": [{"out": 1}]}}"#,
            r#"{"jobs": [{"x": {"out": 1}}, 5, "out", [1, 2]], "more": {"jobs": [{"out": 1}]}}"#,
        ),
        (
            r#"{"a": {"jobs": [{"out": 1}]}, "b": "jobs", "c": ["jobs", {"out": 1}], "jobs": [{"out": 1}]}"#,
            r#"{"a": {"jobs": [{"out": 1}]}, "b": "jobs", "c": ["jobs", {"out": 1}], "jobs": []}"#,
        ),
        (
            r#"{"jobs": {"jobs": [{"out": 1}]}}"#,
            r#"{"jobs": {"jobs": [{"out": 1}]}}"#,
        ),
        (r#"{"j\u006fbs": [{"out": 1}]}"#, r#"{"j\u006fbs": []}"#),
        (r#"[{"jobs": [{"out": 1}]}]"#, r#"[{"jobs": [{"out": 1}]}]"#),
        ("502 Bad Gateway", "502 Bad Gateway"),
        (r#"{"jobs": [{"a": 1"#, r#"{"jobs": [{"a": 1"#),
    ] {
        for size in [1, 2, 3, 7, 1000] {
            assert_eq!(copied("jobs", text, size), left, "{text} in pieces of {size}");
        }
    }
    let nested = r#"{"b": [{"out": 1}], "a": {"x": 1, "b": [{"out": 1}, {}]}}"#;
    assert_eq!(
        copied("a.b", nested, 3),
        r#"{"b": [{"out": 1}], "a": {"x": 1, "b": [ {}]}}"#
    );
}

#[test]
fn a_long_element_is_judged_by_its_beginning_and_not_held() {
    let long = "x".repeat(3 * MOST);
    for out in [1, 2] {
        let mut elements = ListFilter::new(path("jobs"), Outs, &room());
        let text = format!(
            r#"{{"jobs": [{{"out": {out}, "pad": "{}", "long": "{long}"}}]}}"#,
            "y".repeat(USUAL)
        );
        let mut copy = Vec::new();
        for piece in text.as_bytes().chunks(1000) {
            copy.extend(elements.copy(piece).expect("clear").concat());
        }
        let left = if out == 1 { r#"{"jobs": []}"# } else { text.as_str() };
        assert_eq!(copy, left.as_bytes());
    }
    let unclear = format!(r#"{{"jobs": [{{"long": "{long}", "out": 1}}]}}"#);
    assert_eq!(
        ListFilter::new(path("jobs"), Outs, &room()).copy(unclear.as_bytes()),
        Err(Undecided::Untold)
    );
    let mut beginning = ObjectPrefix::new(&room());
    assert_eq!(beginning.take(&unclear.as_bytes()[10..], &Outs), Err(Undecided::Untold));
}

#[test]
fn an_object_is_judged_as_soon_as_its_beginning_tells() {
    let mut beginning = ObjectPrefix::new(&room());
    let piece = br#"{"a": {"out": 1},"#;
    assert_eq!(beginning.take(piece, &Outs), Ok(piece.len()));
    assert_eq!(beginning.verdict(), None);
    let piece = br#" "more": 5, "out": 1, "b"#;
    assert_eq!(beginning.take(piece, &Outs), Ok(piece.len() - 4));
    assert_eq!(beginning.verdict(), Some(true));
    assert_eq!(beginning.into_bytes(), br#"{"a": {"out": 1}, "more": 5, "out": 1"#[..]);
    let mut beginning = ObjectPrefix::new(&room());
    assert_eq!(beginning.take(br#"{"out": 1}"#, &Outs), Ok(10));
    assert_eq!(beginning.verdict(), None);
    assert!(beginning.end(&Outs));
}

proptest! {
    #[test]
    fn where_nothing_is_left_out_every_text_goes_on_as_it_is(text in "[{}\\[\\]\",:\\\\ a1jobs]{0,60}", size in 1usize..9) {
        struct None;
        impl ElementFilter for None {
            fn excludes(&self, _: &[u8], _: bool) -> Option<bool> {
                Some(false)
            }
        }
        let text = format!("{{\"jobs\": [{text}");
        let mut elements = ListFilter::new(path("jobs"), None, &room());
        let mut out = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            out.extend(elements.copy(piece).expect("clear").concat());
        }
        out.extend(elements.end().concat());
        // What is no element, such as nothing between two commas, may lose its comma.
        let bare = |text: &[u8]| text.iter().copied().filter(|byte| *byte != b',').collect::<Vec<u8>>();
        prop_assert_eq!(bare(&out), bare(text.as_bytes()));
    }
}

#[test]
fn what_is_held_counts_and_is_given_back() {
    let text = format!(r#"{{"jobs": [{{"long": "{}", "out": 1}}]}}"#, "x".repeat(100_000));
    let budget = BufferBudget::new(1 << 20);
    let mut filter = ListFilter::new(path("jobs"), Outs, &budget);
    let mut out = filter.copy(&text.as_bytes()[..90_000]).expect("room");
    assert!((80_000..200_000).contains(&budget.held()), "{}", budget.held());
    out.extend(filter.copy(&text.as_bytes()[90_000..]).expect("room"));
    assert_eq!((out.concat().as_slice(), budget.held()), (&br#"{"jobs": []}"#[..], 0));
    let small = BufferBudget::new(50_000);
    let copied = ListFilter::new(path("jobs"), Outs, &small).copy(text.as_bytes());
    assert_eq!(copied, Err(Undecided::NoRoom(BufferError::NoRoom(50_000))));
    let mut beginning = ObjectPrefix::new(&small);
    assert!(matches!(
        beginning.take(&text.as_bytes()[10..], &Outs),
        Err(Undecided::NoRoom(_))
    ));
    drop(beginning);
    assert_eq!(small.held(), 0);
}

#[test]
fn what_was_held_counts_until_it_is_sent() {
    for length in [100, 100_000] {
        let text = format!(r#"{{"jobs": [{{"long": "{}", "out": 2}}, 5"#, "x".repeat(length));
        let budget = BufferBudget::new(1 << 20);
        let mut filter = ListFilter::new(path("jobs"), Outs, &budget);
        let mut pieces = Vec::new();
        for piece in text.as_bytes().chunks(90) {
            pieces.extend(filter.copy(piece).expect("room"));
        }
        drop(filter);
        assert!(text.as_bytes().starts_with(&pieces.concat()));
        let held = budget.held();
        assert!((length..2 * length + 1000).contains(&held), "{held} of {length}");
        drop(pieces);
        assert_eq!(budget.held(), 0);
    }
}
