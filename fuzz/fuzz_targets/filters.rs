//! Any bytes at all, in pieces of any size: what is filtered on its way does not depend on how it comes, what is not meant
//! goes on as it is, and JSON stays JSON.
#![no_main]

use bytes::Bytes;
use jobshim::{
    http::buffered::BufferBudget,
    mapping::json::{ElementFilter, ListFilter, MemberFilter, MemberPath, check, find},
};
use libfuzzer_sys::fuzz_target;

/// More than a text is long.
const ROOM: usize = 16 << 20;

/// Leaves out whatever has the id `x`.
struct Named;

impl ElementFilter for Named {
    fn excludes(&self, object: &[u8], whole: bool) -> Option<bool> {
        let path = MemberPath::parse("id").expect("a path");
        let id = find(object, [&path]).ok().and_then(|[id]| id);
        match id {
            Some(id) => Some(id == br#""x""#),
            None => whole.then_some(false),
        }
    }
}

fn members(text: &[u8], size: usize, changes: bool) -> Vec<u8> {
    let budget = BufferBudget::new(ROOM);
    let mut filter = MemberFilter::new(vec!["extra_data".to_owned(), "a".to_owned()], &budget);
    let mut out = Vec::new();
    for piece in text.chunks(size) {
        let pieces = filter.copy(&Bytes::copy_from_slice(piece), &mut |member| {
            if changes {
                member.value.make_ascii_uppercase();
            }
        });
        out.extend(pieces.expect("room").concat());
    }
    out.extend_from_slice(&filter.end());
    assert_eq!((budget.held(), budget.held_of_requests()), (0, 0), "nothing is held in the end");
    out
}

fn listed(text: &[u8], size: usize) -> Vec<u8> {
    let budget = BufferBudget::new(ROOM);
    let path = MemberPath::parse("jobs").expect("a path");
    let mut filter = ListFilter::new(path, Named, &budget);
    let mut out = Vec::new();
    for piece in text.chunks(size) {
        out.extend(filter.copy(piece).expect("shorter than what is held").concat());
    }
    out.extend(filter.end().concat());
    drop(filter);
    assert_eq!(budget.held(), 0, "nothing is held in the end");
    out
}

fuzz_target!(|input: &[u8]| {
    let Some((&size, text)) = input.split_first() else {
        return;
    };
    let size = usize::from(size) + 1;
    assert_eq!(members(text, size, false), text);
    assert_eq!(members(text, size, true), members(text, text.len().max(1), true));
    let one = listed(text, size);
    assert_eq!(one, listed(text, text.len().max(1)));
    if check(text).is_ok() {
        assert!(check(&one).is_ok(), "{}", String::from_utf8_lossy(&one));
    }
});
