//! Members of objects: left out, set, replaced, listed; every other byte stays as it was.

use super::{DroppedMember, separate, write_string};
use crate::mapping::json::{MemberPath, PathSet, ScanError, Scanner, Span, decode, key_is, members, quoted, spelt};
use memchr::{memchr, memmem};
use std::{collections::BTreeMap, ops::Range};

/// Writes `text` without the named members, every other byte as it was. Paths are relative to `text`.
pub(super) fn without(text: &[u8], members: &[DroppedMember], out: &mut Vec<u8>) -> Result<(), ScanError> {
    for part in parts_without(text, members)? {
        out.extend_from_slice(part.of(text));
    }
    Ok(())
}

/// The stretches of `text`, in order, that are left of it without `members`.
pub(crate) fn parts_without(text: &[u8], members: &[DroppedMember]) -> Result<Vec<Span>, ScanError> {
    let dropped: Vec<_> = members.iter().map(|member| (member.names(), member)).collect();
    let gaps = gaps(text, &dropped)?;
    let starts = std::iter::once(0).chain(gaps.iter().map(|gap| gap.end));
    let ends = gaps.iter().map(|gap| gap.start).chain([text.len()]);
    Ok(starts.zip(ends).map(|(start, end)| Span { start, end }).collect())
}

/// The stretches of `value` that go, in order, where it is the value of the member `key` of an object that loses `members`.
pub(crate) fn gaps_below(value: &[u8], key: &[u8], members: &[DroppedMember]) -> Result<Vec<Range<usize>>, ScanError> {
    let below = |member| below(key, (DroppedMember::names(member), member));
    gaps(value, &members.iter().filter_map(below).collect::<Vec<_>>())
}

fn gaps(text: &[u8], dropped: &[(&[String], &DroppedMember)]) -> Result<Vec<Range<usize>>, ScanError> {
    let mut gaps = Vec::new();
    find_dropped(&mut Scanner::new(text), dropped, &mut gaps)?;
    Ok(gaps)
}

/// What is dropped of the value of the member `key`.
fn below<'a>(
    key: &[u8],
    (path, member): (&'a [String], &'a DroppedMember),
) -> Option<(&'a [String], &'a DroppedMember)> {
    let (head, rest) = path.split_first()?;
    key_is(key, head).then_some((rest, member))
}

/// Passes over a value, and collects the stretches of it that go, in order, each with the comma that goes with it.
// Recursion goes as deep as the longest path of the table, never as deep as the text.
fn find_dropped(
    scanner: &mut Scanner<'_>,
    dropped: &[(&[String], &DroppedMember)],
    gaps: &mut Vec<Range<usize>>,
) -> Result<(), ScanError> {
    if dropped.is_empty() {
        return scanner.value().map(drop);
    }
    let text = scanner.text();
    let mut end_of_kept = None;
    // A member that goes with none kept before it goes up to the next key, if there is one.
    let mut open: Option<Range<usize>> = None;
    scanner.members(|scanner, key| {
        if let Some(gap) = open.take() {
            gaps.push(gap.start..key.start - 1);
        }
        let named = dropped.iter().filter_map(|&dropped| below(key.of(text), dropped));
        let (whole, inside): (Vec<_>, Vec<_>) = named.partition(|(rest, _)| rest.is_empty());
        let (kept, before) = (end_of_kept, gaps.len());
        scanner.peek();
        let start = scanner.position();
        find_dropped(scanner, &inside, gaps)?;
        let end = scanner.position();
        let value = Span { start, end }.of(text);
        if !whole.iter().any(|(_, member)| member.holds(value)) {
            end_of_kept = Some(end);
            return Ok(());
        }
        gaps.truncate(before);
        match kept {
            Some(kept) => {
                gaps.push(kept..end);
                end_of_kept = Some(end);
            }
            None => open = Some(key.start - 1..end),
        }
        Ok(())
    })?;
    gaps.extend(open);
    Ok(())
}

/// Writes `outputs` with every item that is an object of exactly these members, and has the values `when`, replaced by the
/// member `take`.
pub(super) fn unwrap_items(
    outputs: &[u8],
    exactly: &[String],
    when: &BTreeMap<String, String>,
    take: &str,
    out: &mut Vec<u8>,
) -> Result<(), ScanError> {
    // Without any escape a value looks as it is spelt.
    let is_in = |value: &String| memmem::find(outputs, quoted(value).as_bytes()).is_some();
    if memchr(b'\\', outputs).is_none() && !when.values().all(is_in) {
        out.extend_from_slice(outputs);
        return Ok(());
    }
    let rule = PlainItem { exactly, when, take };
    let mut written = 0;
    let mut scanner = Scanner::new(outputs);
    scanner.members(|scanner, _node| {
        scanner.members(|scanner, _kind| {
            scanner.elements(|scanner| {
                scanner.peek();
                let start = scanner.position();
                if let Some(plain) = rule.read(scanner)? {
                    out.extend_from_slice(outputs.get(written..start).unwrap_or_default());
                    out.extend_from_slice(plain.of(outputs));
                    written = scanner.position();
                }
                Ok(())
            })
        })
    })?;
    out.extend_from_slice(outputs.get(written..).unwrap_or_default());
    Ok(())
}

/// How an item looks that was a plain value.
struct PlainItem<'a> {
    exactly: &'a [String],
    when: &'a BTreeMap<String, String>,
    take: &'a str,
}

impl PlainItem<'_> {
    /// Passes over an item, and tells where its plain value is if it was one.
    fn read(&self, scanner: &mut Scanner<'_>) -> Result<Option<Span>, ScanError> {
        let text = scanner.text();
        let mut left: Vec<&String> = self.exactly.iter().collect();
        let (mut fits, mut plain) = (true, None);
        scanner.members(|scanner, key| {
            let value = scanner.value()?;
            let Some(at) = left.iter().position(|name| key_is(key.of(text), name)) else {
                fits = false;
                return Ok(());
            };
            let name = left.swap_remove(at);
            let wanted = self.when.get(name);
            fits &= wanted.is_none_or(|wanted| spelt(value.of(text)).as_deref() == Some(wanted));
            if name == self.take {
                plain = Some(value);
            }
            Ok(())
        })?;
        Ok(plain.filter(|_| fits && left.is_empty()))
    }
}

/// A member that an object gets.
pub(super) struct NewMember<'a> {
    pub name: &'a str,
    pub value: &'a [u8],
    /// Whether it takes the place of one that is there.
    pub replaces: bool,
}

/// Writes `object` with the members of `left`: in their place where it has them, else at the end, by name. Every other byte
/// stays.
pub(super) fn extend(object: &[u8], mut left: Vec<NewMember<'_>>, out: &mut Vec<u8>) -> Result<bool, ScanError> {
    let mut scanner = Scanner::new(object);
    if !scanner.take(b'{') {
        return Ok(false);
    }
    let empty = scanner.take(b'}');
    let (mut written, mut more) = (0, !empty);
    while more {
        let key = scanner.key()?;
        let value = scanner.value()?;
        if let Some(at) = left.iter().position(|new| key_is(key.of(object), new.name)) {
            let new = left.remove(at);
            if new.replaces {
                out.extend_from_slice(object.get(written..value.start).unwrap_or_default());
                out.extend_from_slice(new.value);
                written = value.end;
            }
        }
        more = scanner.take(b',');
    }
    let close = object.len().saturating_sub(1);
    out.extend_from_slice(object.get(written..close).unwrap_or_default());
    let mut first = empty;
    left.sort_by_key(|new| new.name);
    for NewMember { name, value, .. } in left {
        separate(&mut first, out);
        out.extend_from_slice(quoted(name).as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
    }
    out.push(b'}');
    Ok(true)
}

/// Writes `object` with the members of the object `put`, each in its place or at the end.
pub(super) fn put_in(object: &[u8], put: &[u8], out: &mut Vec<u8>) -> Result<bool, ScanError> {
    let mut members_put = Vec::new();
    members(put, |key, value| members_put.push((decode(key), value)))?;
    let members_put = members_put.iter().filter_map(|(name, value)| {
        Some(NewMember {
            name: name.as_deref()?,
            value,
            replaces: true,
        })
    });
    extend(object, members_put.collect(), out)
}

/// The object that [`no_objects`] looks into.
#[derive(Clone, Copy)]
struct Object;

/// Writes an object of those members of `object` that are there and no objects, or have something inside that is none, by
/// `paths`; `false`, and nothing written, when there are none.
pub(super) fn no_objects(object: &[u8], paths: &[MemberPath], out: &mut Vec<u8>) -> Result<bool, ScanError> {
    if !object.starts_with(b"{") {
        return Ok(false);
    }
    let mut wanted = PathSet::<Object>::default();
    let slots: Vec<_> = paths
        .iter()
        .filter_map(|path| Some((path.names().first()?, wanted.add(&path.head()), wanted.add(path))))
        .collect();
    let found = wanted.find(object)?;
    let mut members: Vec<NewMember<'_>> = Vec::new();
    for (name, whole, inside) in slots {
        let is_none = found
            .value(inside, object)
            .is_some_and(|value| !value.starts_with(b"{"));
        let is_new = !members.iter().any(|known| known.name == name);
        if let Some(value) = found.value(whole, object).filter(|_| is_none && is_new) {
            members.push(NewMember {
                name,
                value,
                replaces: true,
            });
        }
    }
    match members.is_empty() {
        true => Ok(false),
        false => extend(b"{}", members, out),
    }
}

/// The keys of an object, as a list.
pub(super) fn keys(object: &[u8], out: &mut Vec<u8>) -> Result<(), ScanError> {
    let mut first = true;
    out.push(b'[');
    members(object, |key, _| {
        separate(&mut first, out);
        write_string(key, out);
    })?;
    out.push(b']');
    Ok(())
}
