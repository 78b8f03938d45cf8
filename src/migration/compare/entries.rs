//! The parts of an answer as they are compared: members, items, and the entries of a list with their ids.

use crate::{
    config::field_path::{FieldPath, Segment},
    mapping::json::{decode, elements, members},
};
use std::{borrow::Cow, collections::HashMap};

/// The members of an object, decoded and in order.
pub(super) fn object(text: &[u8]) -> Vec<(String, &[u8])> {
    let mut found = Vec::new();
    let read = members(text, |key, value| {
        let key = decode(key).unwrap_or_else(|| String::from_utf8_lossy(key).into_owned());
        found.push((key, value));
    });
    if read.is_err() { Vec::new() } else { found }
}

pub(super) fn list(text: &[u8]) -> Vec<&[u8]> {
    let mut found = Vec::new();
    let read = elements(text, |item| found.push(item));
    if read.is_err() { Vec::new() } else { found }
}

/// The items of the list `name`, each with its id, if it has one.
pub(super) fn listed<'t>(
    text: &'t [u8],
    name: &str,
    id: &FieldPath,
) -> impl Iterator<Item = (Option<String>, &'t [u8])> {
    let found = object(text).into_iter().find(|(key, _)| key == name);
    let items = found.map_or(Vec::new(), |(_, value)| list(value));
    items.into_iter().map(move |item| (id_of(item, id), item))
}

/// A text or a number, where an item has its id.
fn id_of(item: &[u8], id: &FieldPath) -> Option<String> {
    let mut at = item;
    for segment in id.segments() {
        at = match segment {
            Segment::Index(index) => *list(at).get(*index)?,
            Segment::Name(name) => object(at).into_iter().find(|(key, _)| key == name)?.1,
        };
    }
    match at.first()? {
        b'"' => decode(inside(at)),
        b'0'..=b'9' => Some(String::from_utf8_lossy(at).into_owned()),
        _ => None,
    }
}

/// Each with how many of the same id stand before it: an id may wait twice.
pub(super) fn told_apart(entries: Vec<(String, &[u8])>) -> Vec<((String, usize), &[u8])> {
    let mut seen: HashMap<String, usize> = HashMap::new();
    let apart = entries.into_iter().map(|(id, entry)| {
        let nth = seen.entry(id.clone()).or_default();
        *nth += 1;
        ((id, *nth), entry)
    });
    apart.collect()
}

/// A string's text between its quotes.
pub(super) fn inside(text: &[u8]) -> &[u8] {
    text.get(1..text.len().saturating_sub(1)).unwrap_or_default()
}

/// A value as it is compared with others of a list: a text by what it says, whatever its escapes.
pub(super) fn said(value: &[u8]) -> Cow<'_, [u8]> {
    match value.first() {
        // With its quote: no number is like it.
        Some(b'"') => decode(inside(value)).map_or(Cow::Borrowed(value), |text| {
            Cow::Owned([b"\"", text.as_bytes()].concat())
        }),
        _ => Cow::Borrowed(value),
    }
}

/// Whether every item of `few` is in `many`, as often.
pub(super) fn is_within(few: &[&[u8]], many: &[&[u8]]) -> bool {
    let mut left: HashMap<Cow<'_, [u8]>, usize> = HashMap::new();
    for item in many {
        *left.entry(said(item)).or_default() += 1;
    }
    few.iter().all(|item| {
        left.get_mut(&said(item))
            .is_some_and(|left| left.checked_sub(1).map(|less| *left = less).is_some())
    })
}
