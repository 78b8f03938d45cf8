use super::*;
use proptest::prelude::*;

/// Has every letter of the members `extra` written large, in pieces of `size` bytes.
fn copied(text: &str, size: usize) -> String {
    let budget = BufferBudget::new(1 << 20);
    let mut filter = MemberFilter::new(vec!["extra".to_owned()], &budget);
    let mut edit = |member: HeldMember<'_>| member.value.make_ascii_uppercase();
    let mut out = Vec::new();
    for piece in text.as_bytes().chunks(size) {
        let pieces = filter.copy(&Bytes::copy_from_slice(piece), &mut edit).expect("room");
        out.extend_from_slice(&pieces.concat());
    }
    out.extend_from_slice(&filter.end());
    assert_eq!((budget.held(), budget.held_of_requests()), (0, 0));
    String::from_utf8(out).expect("text")
}

#[test]
fn members_of_the_outermost_object_are_changed_and_every_other_byte_goes_on() {
    for (text, changed) in [
        (r#"{"extra": "a"}"#, r#"{"extra": "A"}"#),
        (
            r#"{"a": 1, "extra" : {"x": ["y", {"z": "}"}]} , "b": "c"}"#,
            r#"{"a": 1, "extra" : {"X": ["Y", {"Z": "}"}]} , "b": "c"}"#,
        ),
        (
            r#"{"ex\u0074ra":[null],"extra":"b"}"#,
            r#"{"ex\u0074ra":[NULL],"extra":"B"}"#,
        ),
        (
            r#"{"a": {"extra": "a"}, "b": ["extra", "a"], "c": "extra"}"#,
            r#"{"a": {"extra": "a"}, "b": ["extra", "a"], "c": "extra"}"#,
        ),
        (r#"[{"extra": "a"}]"#, r#"[{"extra": "a"}]"#),
        (r#""extra": "a""#, r#""extra": "a""#),
        // Cut short, and no JSON.
        (r#"{"extra": {"a"#, r#"{"extra": {"a"#),
        (r#"{"extra", "extra": "a"}"#, r#"{"extra", "extra": "A"}"#),
        (r#"{extra: "a"}"#, r#"{extra: "a"}"#),
    ] {
        for size in [1, 2, 3, 7, 1000] {
            assert_eq!(copied(text, size), changed, "{text} in pieces of {size}");
        }
    }
}

#[test]
fn a_member_that_is_too_long_or_has_no_room_is_an_error_and_what_is_before_and_behind_may_be_long() {
    let long = "x".repeat(5000);
    let text = format!(r#"{{"{long}": "{long}", "extra": "a", "b": "{long}"}}"#);
    assert_eq!(copied(&text, 100), text.replace(r#""a""#, r#""A""#));
    let text = Bytes::from(format!(r#"{{"extra": "{long}"}}"#));
    let mut edit = |_: HeldMember<'_>| ();
    for (others, error) in [(0, BufferError::TooLong(1 << 10)), (300, BufferError::NoRoom(2 << 10))] {
        let budget = BufferBudget::new(2 << 10);
        let mut other = budget.request_buffer(others);
        other.expect(others).expect("room");
        let mut filter = MemberFilter::new(vec!["extra".to_owned()], &budget);
        let copied: Result<Vec<_>, _> = text
            .chunks(300)
            .map(|piece| filter.copy(&Bytes::copy_from_slice(piece), &mut edit))
            .collect();
        assert_eq!(copied.expect_err("an error"), error);
    }
}

#[test]
fn a_piece_without_any_of_them_is_not_copied() {
    let budget = BufferBudget::new(1 << 20);
    let mut filter = MemberFilter::new(vec!["extra".to_owned()], &budget);
    let piece = Bytes::from_static(br#"{"a": 1, "b": ["#);
    let copy = filter.copy(&piece, &mut |_| ()).expect("room");
    assert_eq!(
        copy.iter().map(|copy| copy.as_ptr()).collect::<Vec<_>>(),
        [piece.as_ptr()]
    );
}

#[test]
fn what_was_held_counts_until_it_is_sent() {
    for length in [100, 100_000] {
        let budget = BufferBudget::new(1 << 20);
        let mut filter = MemberFilter::new(vec!["extra".to_owned()], &budget);
        let text = Bytes::from(format!(r#"{{"extra": "{}", "b": 1"#, "x".repeat(length)));
        let mut pieces = Vec::new();
        for piece in text.chunks(90) {
            pieces.extend(filter.copy(&Bytes::copy_from_slice(piece), &mut |_| ()).expect("room"));
        }
        assert_eq!(pieces.concat(), text);
        let held = budget.held();
        assert!((length..length + 1000).contains(&held), "{held} of {length}");
        drop(pieces);
        assert_eq!((budget.held(), budget.held_of_requests()), (0, 0));
    }
}

proptest! {
    #[test]
    fn a_text_that_nothing_is_changed_in_goes_on_as_it_is(text in "[{}\\[\\]\",:\\\\ a1extra]{0,60}", size in 1usize..9) {
        let text = format!("{{\"extra\": [{text}");
        let budget = BufferBudget::new(1 << 20);
        let mut filter = MemberFilter::new(vec!["extra".to_owned()], &budget);
        let mut out = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            let pieces = filter.copy(&Bytes::copy_from_slice(piece), &mut |_| ()).expect("room");
            out.extend_from_slice(&pieces.concat());
        }
        out.extend_from_slice(&filter.end());
        prop_assert_eq!(String::from_utf8(out).expect("text"), text);
    }
}
