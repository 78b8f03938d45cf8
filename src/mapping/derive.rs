//! Derivations: the few things that a path in a table cannot say. One small function each.

use super::{
    plan::{Classes, Context},
    scanner::{ScanError, Scanner, decode, elements, key_is, members, string_value},
    table::{json_text, quoted},
};
use serde::Deserialize;
use std::{
    collections::{BTreeMap, HashSet},
    ops::Range,
};

/// A derivation as a table writes it: its name, the path it works on, and what it needs to know.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, tag = "derive", rename_all = "snake_case")]
pub enum Derivation {
    /// The item's place in its list, counted from 1.
    Position,
    /// A time in milliseconds; a value under 10^11 is seconds (CONTRACT.md section 2).
    Ms { of: String },
    /// A time as RFC 3339 text, from milliseconds or seconds.
    Rfc3339 { of: String },
    /// One value for each word that the field may hold; absent for a word that is not listed.
    Map {
        of: String,
        values: BTreeMap<String, toml::Value>,
    },
    /// The object without some of its members.
    Drop { of: String, members: Vec<Dropped> },
    /// Outputs, with every item that is an object of exactly these members, one with a given value, replaced by one
    /// of its members.
    UnwrapItems {
        of: String,
        exactly: Vec<String>,
        when: BTreeMap<String, String>,
        take: String,
    },
    /// The ids of the nodes whose class is an output node, and that the list `only` names if there is one; absent
    /// while a class is not known to the server.
    OutputNodes {
        of: String,
        class: String,
        only: Option<String>,
    },
    /// The object with members set to the values at other paths, where these have one.
    Extend { of: String, with: BTreeMap<String, String> },
    /// The keys of an object.
    Keys { of: String },
    /// What is known of each node with outputs: an object a node.
    NodeMeta {
        of: String,
        node: String,
        display: String,
        parent: String,
        real: String,
    },
}

/// A member to leave out; with `is`, only when that string is its value.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dropped {
    path: String,
    is: Option<String>,
}

impl Derivation {
    /// The paths it needs: the one it works on first. It is not asked to write when that one has no value.
    pub fn paths(&self) -> Vec<&str> {
        match self {
            Self::Position => Vec::new(),
            Self::Ms { of }
            | Self::Rfc3339 { of }
            | Self::Map { of, .. }
            | Self::Drop { of, .. }
            | Self::UnwrapItems { of, .. }
            | Self::Keys { of }
            | Self::NodeMeta { of, .. } => vec![of],
            Self::OutputNodes { of, only, .. } => {
                let only = only.as_deref();
                [Some(of.as_str()), only].into_iter().flatten().collect()
            }
            Self::Extend { of, with } => {
                let with = with.values().map(String::as_str);
                [of.as_str()].into_iter().chain(with).collect()
            }
        }
    }

    /// Writes the derived value; `false`, and nothing written, when there is none. `values` are those at
    /// [`Derivation::paths`].
    pub fn write(&self, values: &[Option<&[u8]>], context: &Context<'_>, out: &mut Vec<u8>) -> Result<bool, ScanError> {
        let (text, more) = match values.split_first() {
            Some((first, more)) => (first.unwrap_or_default(), more),
            None => (&b""[..], values),
        };
        match self {
            Self::Position => {
                out.extend_from_slice(context.position.to_string().as_bytes());
                Ok(true)
            }
            Self::Ms { .. } => Ok(write_some(milliseconds(text), out)),
            Self::Rfc3339 { .. } => Ok(write_some(rfc3339(text), out)),
            Self::Map { values, .. } => {
                let value = string_value(text).and_then(|word| values.get(&word).map(json_text));
                Ok(write_some(value, out))
            }
            Self::Drop { members, .. } => without(text, members, out).map(|()| true),
            Self::UnwrapItems {
                exactly, when, take, ..
            } => unwrap_items(text, exactly, when, take, out).map(|()| true),
            Self::OutputNodes { class, .. } => {
                let only = more.first().copied().flatten();
                output_nodes(text, class, only, context.classes, out)
            }
            Self::Extend { with, .. } => {
                let members: Vec<_> = with.keys().map(String::as_str).zip(more.iter().copied()).collect();
                extend(text, &members, out)
            }
            Self::Keys { .. } => keys(text, out).map(|()| true),
            Self::NodeMeta {
                node,
                display,
                parent,
                real,
                ..
            } => node_meta(text, [node, display, parent, real], out).map(|()| true),
        }
    }
}

fn write_some(value: Option<String>, out: &mut Vec<u8>) -> bool {
    out.extend_from_slice(value.as_deref().unwrap_or_default().as_bytes());
    value.is_some()
}

/// Seconds become milliseconds; milliseconds stay as they were written.
fn milliseconds(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let number: f64 = text.parse().ok().filter(|number: &f64| number.is_finite())?;
    if number.abs() < 1e11 {
        return Some(format!("{:.0}", number * 1000.0));
    }
    Some(text.to_owned())
}

/// The civil date by Howard Hinnant's `days_from_civil` inverted: exact for every day, with no time zone data.
fn rfc3339(text: &[u8]) -> Option<String> {
    let ms: f64 = milliseconds(text)?.parse().ok()?;
    // Years 0 to 9999: what RFC 3339 section 5.6 can write.
    if !(-62_167_219_200_000.0..253_402_300_800_000.0).contains(&ms) {
        return None;
    }
    let ms = ms.floor() as i64;
    let (day, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let shifted = day + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (in_day / 3_600_000, in_day / 60_000 % 60, in_day / 1000 % 60);
    let fraction = in_day % 1000;
    Some(format!(
        "\"{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}.{fraction:03}Z\""
    ))
}

/// Writes `text` without the named members, every other byte as it was. Paths are relative to `text`.
pub fn without(text: &[u8], members: &[Dropped], out: &mut Vec<u8>) -> Result<(), ScanError> {
    let dropped: Vec<_> = members
        .iter()
        .map(|member| (member.path.as_str(), member.is.as_deref()))
        .collect();
    let mut gaps = Vec::new();
    find_dropped(text, 0, &dropped, &mut gaps)?;
    let mut written = 0;
    for gap in gaps {
        out.extend_from_slice(text.get(written..gap.start).unwrap_or_default());
        written = gap.end;
    }
    out.extend_from_slice(text.get(written..).unwrap_or_default());
    Ok(())
}

/// Collects the stretches of `text` that go, in order, each with the comma that goes with it.
fn find_dropped(
    text: &[u8],
    base: usize,
    dropped: &[(&str, Option<&str>)],
    gaps: &mut Vec<Range<usize>>,
) -> Result<(), ScanError> {
    let mut scanner = Scanner::new(text);
    if dropped.is_empty() || !scanner.take(b'{') || scanner.take(b'}') {
        return Ok(());
    }
    let mut end_of_kept = None;
    loop {
        let key = scanner.key()?;
        let value = scanner.value()?;
        let last = !scanner.take(b',');
        scanner.peek();
        let mut goes = false;
        let mut inside = Vec::new();
        for &(path, is) in dropped {
            let (head, rest) = path
                .split_once('.')
                .map_or((path, None), |(head, rest)| (head, Some(rest)));
            match rest {
                _ if !key_is(key.of(text), head) => {}
                Some(rest) => inside.push((rest, is)),
                None => goes |= is.is_none_or(|is| string_value(value.of(text)).as_deref() == Some(is)),
            }
        }
        if !goes {
            find_dropped(value.of(text), base + value.start, &inside, gaps)?;
            end_of_kept = Some(value.end);
        } else if let Some(kept) = end_of_kept {
            gaps.push(base + kept..base + value.end);
            end_of_kept = Some(value.end);
        } else {
            let next = if last { value.end } else { scanner.position() };
            gaps.push(base + key.start - 1..base + next);
        }
        if last {
            return scanner.expect(b'}', "expected ',' or '}'");
        }
    }
}

fn separate(first: &mut bool, out: &mut Vec<u8>) {
    if !std::mem::take(first) {
        out.extend_from_slice(b", ");
    }
}

fn write_key(raw: &[u8], out: &mut Vec<u8>) {
    write_string(raw, out);
    out.extend_from_slice(b": ");
}

fn write_string(raw: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(raw);
    out.push(b'"');
}

fn unwrap_items(
    outputs: &[u8],
    exactly: &[String],
    when: &BTreeMap<String, String>,
    take: &str,
    out: &mut Vec<u8>,
) -> Result<(), ScanError> {
    // Found by address: the spans to replace are slices of `outputs`, visited in order.
    let mut written = 0;
    let mut outcome = Ok(());
    let start = |part: &[u8]| part.as_ptr() as usize - outputs.as_ptr() as usize;
    members(outputs, |_, node| {
        let node_outcome = members(node, |_, items| {
            let item_outcome = elements(items, |item| {
                if let Some(plain) = plain_item(item, exactly, when, take) {
                    let at = start(item);
                    out.extend_from_slice(outputs.get(written..at).unwrap_or_default());
                    out.extend_from_slice(plain);
                    written = at + item.len();
                }
            });
            outcome = std::mem::replace(&mut outcome, Ok(())).and(item_outcome);
        });
        outcome = std::mem::replace(&mut outcome, Ok(())).and(node_outcome);
    })?;
    out.extend_from_slice(outputs.get(written..).unwrap_or_default());
    outcome
}

fn plain_item<'a>(item: &'a [u8], exactly: &[String], when: &BTreeMap<String, String>, take: &str) -> Option<&'a [u8]> {
    let mut left: Vec<&String> = exactly.iter().collect();
    let mut fits = true;
    let mut plain = None;
    members(item, |key, value| {
        let Some(at) = left.iter().position(|name| key_is(key, name)) else {
            fits = false;
            return;
        };
        let name = left.swap_remove(at);
        fits &= when
            .get(name)
            .is_none_or(|wanted| string_value(value).as_deref() == Some(wanted));
        if name == take {
            plain = Some(value);
        }
    })
    .ok()?;
    plain.filter(|_| fits && left.is_empty())
}

/// Calls `visit` with each node's id (without quotes) and class.
pub fn node_classes<'a>(
    prompt: &'a [u8],
    class: &str,
    mut visit: impl FnMut(&'a [u8], Option<String>),
) -> Result<(), ScanError> {
    let mut outcome = Ok(());
    members(prompt, |id, node| {
        let mut found = None;
        let node_outcome = members(node, |key, value| {
            if key_is(key, class) {
                found = string_value(value);
            }
        });
        outcome = std::mem::replace(&mut outcome, Ok(())).and(node_outcome);
        visit(id, found);
    })?;
    outcome
}

fn output_nodes(
    prompt: &[u8],
    class: &str,
    only: Option<&[u8]>,
    classes: &dyn Classes,
    out: &mut Vec<u8>,
) -> Result<bool, ScanError> {
    let mut wanted = only.map(|_| HashSet::new());
    if let (Some(list), Some(wanted)) = (only, &mut wanted) {
        elements(list, |id| wanted.extend(string_value(id)))?;
    }
    let is_wanted = |id: &[u8]| {
        wanted
            .as_ref()
            .is_none_or(|wanted| decode(id).is_some_and(|id| wanted.contains(&id)))
    };
    let start = out.len();
    let (mut first, mut all_known) = (true, true);
    out.push(b'[');
    node_classes(prompt, class, |id, class| {
        match class.and_then(|class| classes.is_output(&class)) {
            Some(true) if is_wanted(id) => {
                separate(&mut first, out);
                write_string(id, out);
            }
            Some(_) => {}
            None => all_known = false,
        }
    })?;
    out.push(b']');
    if !all_known {
        out.truncate(start);
    }
    Ok(all_known)
}

/// Writes `object` with `members` set: in their place where it has them, else at the end. Every other byte stays.
fn extend(object: &[u8], members: &[(&str, Option<&[u8]>)], out: &mut Vec<u8>) -> Result<bool, ScanError> {
    let mut left: Vec<(&str, &[u8])> = members
        .iter()
        .filter_map(|&(name, value)| value.map(|value| (name, value)))
        .collect();
    let mut scanner = Scanner::new(object);
    if !scanner.take(b'{') {
        return Ok(false);
    }
    let empty = scanner.take(b'}');
    let (mut written, mut more) = (0, !empty);
    while more {
        let key = scanner.key()?;
        let value = scanner.value()?;
        if let Some(at) = left.iter().position(|(name, _)| key_is(key.of(object), name)) {
            out.extend_from_slice(object.get(written..value.start).unwrap_or_default());
            out.extend_from_slice(left.remove(at).1);
            written = value.end;
        }
        more = scanner.take(b',');
    }
    let close = object.len().saturating_sub(1);
    out.extend_from_slice(object.get(written..close).unwrap_or_default());
    let mut first = empty;
    for (name, value) in left {
        separate(&mut first, out);
        out.extend_from_slice(quoted(name).as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
    }
    out.push(b'}');
    Ok(true)
}

fn keys(object: &[u8], out: &mut Vec<u8>) -> Result<(), ScanError> {
    let mut first = true;
    out.push(b'[');
    members(object, |key, _| {
        separate(&mut first, out);
        write_string(key, out);
    })?;
    out.push(b']');
    Ok(())
}

/// A node that another one expanded to (`5.0.0.2`) stands for the one before the first dot (CONTRACT.md section 3).
fn node_meta(outputs: &[u8], names: [&String; 4], out: &mut Vec<u8>) -> Result<(), ScanError> {
    let [node, display, parent, real] = names.map(|name| quoted(name));
    let mut first = true;
    out.push(b'{');
    members(outputs, |id, _| {
        separate(&mut first, out);
        write_key(id, out);
        let id = String::from_utf8_lossy(id);
        let shown = id.split_once('.').map_or(&*id, |(origin, _)| origin);
        let above = if id.contains('.') {
            format!("\"{shown}\"")
        } else {
            "null".to_owned()
        };
        let meta = format!("{{{node}: \"{id}\", {display}: \"{shown}\", {parent}: {above}, {real}: \"{shown}\"}}");
        out.extend_from_slice(meta.as_bytes());
    })?;
    out.push(b'}');
    Ok(())
}
