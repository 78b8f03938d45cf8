//! The configuration file: TOML to one text a key, with the line it stands on.

use super::{
    error::ConfigError,
    field_path::line_of,
    key::Kind,
    nearest::nearest,
    provenance::{Origin, Place},
    settings::{STATE, keys},
    why_unread::why_unread,
};
use crate::http::outside::Outside;
use std::{collections::BTreeMap, fs, ops::Range, path::Path};
use toml::de::{DeTable, DeValue};

/// What the file says, by key.
pub(super) type FileValues = BTreeMap<String, Written>;

/// A value as the file has it.
pub(super) struct Written {
    pub text: String,
    pub origin: Origin,
    /// Of a table or a list: where each line of the text stands.
    pub places: Vec<Place>,
}

/// Reads a configuration file: what can be used of it, and every complaint about the rest.
pub(super) fn read(path: &Path) -> (FileValues, Vec<ConfigError>) {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) => {
            let unreadable = ConfigError::Unreadable {
                path: path.to_owned(),
                reason: why_unread(&error),
            };
            return (FileValues::new(), vec![unreadable]);
        }
    };
    let refuse = |at, reason| ConfigError::File {
        path: path.to_owned(),
        line: line_of(&text, at),
        reason,
    };
    let (root, faults) = DeTable::parse_recoverable(&text);
    let mut errors = Vec::new();
    for fault in faults {
        let span = fault.span().unwrap_or_default();
        if fault.message() != DUPLICATE {
            // What follows a fault of the grammar may be read as something else.
            let reason = format!("this is no TOML: {}", fault.message());
            return (FileValues::new(), vec![refuse(span.start, reason)]);
        }
        errors.push(refuse(span.start, given_twice(&text, root.get_ref(), span)));
    }
    let mut values = FileValues::new();
    let mut take = |name: String, value: &toml::Spanned<DeValue<'_>>, at: usize| {
        let Some(key) = keys().find(|key| key.name == name) else {
            return errors.push(refuse(at, unknown_key(&name)));
        };
        match lines_of(&text, value, key.kind) {
            Ok((lines, places)) => {
                let origin = Origin::File(path.to_owned(), line_of(&text, at));
                let text = lines.join("\n");
                values.insert(name, Written { text, origin, places });
            }
            Err(reason) => errors.push(refuse(at, format!("{name}: {reason}"))),
        }
    };
    for (name, value) in root.get_ref() {
        match value.get_ref() {
            DeValue::Table(section) => {
                for (below, value) in section {
                    take(
                        format!("{}.{}", name.get_ref(), below.get_ref()),
                        value,
                        below.span().start,
                    );
                }
            }
            // A section that has a value of its own is short for the key that says most.
            _ if section_of(STATE.store.key.name) == Some(name.get_ref()) => {
                take(STATE.store.key.name.to_owned(), value, name.span().start);
            }
            _ => take(name.get_ref().to_string(), value, name.span().start),
        }
    }
    (values, errors)
}

/// What the TOML library says of a key that is there already.
const DUPLICATE: &str = "duplicate key";

/// Says of the key at `span` that it is there already, and where.
fn given_twice(text: &str, root: &DeTable<'_>, span: Range<usize>) -> String {
    let name = text.get(span.clone()).unwrap_or_default();
    match last_before(root, name.trim_matches(['"', '\'']), span.start, "") {
        Some((at, key)) => format!(
            "{} is given twice: it is in line {} already",
            Outside::new(&key),
            line_of(text, at)
        ),
        None => format!("{} is given twice", Outside::new(name)),
    }
}

/// The last key of that name before a place, and where it is. What is given twice was given in the same table, and no table
/// begins twice: so it is the one.
fn last_before(table: &DeTable<'_>, name: &str, place: usize, lead: &str) -> Option<(usize, String)> {
    let found = table.iter().filter_map(|(key, value)| {
        let (at, path) = (key.span().start, format!("{lead}{}", key.get_ref()));
        let below = match value.get_ref() {
            DeValue::Table(below) => last_before(below, name, place, &format!("{path}.")),
            DeValue::Array(items) => {
                let tables = items.iter().filter_map(|item| item.get_ref().as_table());
                let found = tables.filter_map(|below| last_before(below, name, place, &format!("{path}.")));
                found.max_by_key(|(at, _)| *at)
            }
            _ => None,
        };
        below.or_else(|| (key.get_ref() == name && at < place).then_some((at, path)))
    });
    found.max_by_key(|(at, _)| *at)
}

/// Says of a key what was meant, or else what its section has.
fn unknown_key(name: &str) -> String {
    let known: Vec<&str> = keys().map(|key| key.name).collect();
    let last = last_part(name);
    // By the name of its flag, or in another section.
    let flag = format!("--{}", last.replace('_', "-"));
    let elsewhere: Vec<&str> = match keys().find(|key| key.flag == flag) {
        Some(key) => vec![key.name],
        None => known.iter().copied().filter(|key| last_part(key) == last).collect(),
    };
    let of_section = |key: &&str| {
        key.rsplit_once('.').map(|(section, _)| section) == name.split_once('.').map(|(section, _)| section)
    };
    let alike = nearest(name, known.iter().copied());
    let meant = match alike {
        Some(key) if elsewhere.is_empty() || elsewhere.contains(&key) => vec![key],
        _ => elsewhere,
    };
    let hint = match (
        meant.as_slice(),
        known.iter().copied().filter(of_section).collect::<Vec<_>>(),
    ) {
        ([key], _) => format!("did you mean {key}?{}", place_of(key, name)),
        ([_, ..], _) => format!("did you mean {}?", meant.join(" or ")),
        ([], keys) if !keys.is_empty() => format!("there are {}", keys.join(", ")),
        ([], _) => format!("there are {}", known.join(", ")),
    };
    format!("unknown key {}; {hint}", Outside::new(name))
}

fn last_part(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(_, last)| last)
}

fn section_of(key: &str) -> Option<&str> {
    key.rsplit_once('.').map(|(section, _)| section)
}

/// Where `key` stands in the file, if that is another place than where `written` is.
fn place_of(key: &str, written: &str) -> String {
    match (section_of(key), section_of(written)) {
        (there, here) if there == here => String::new(),
        (Some(there), _) => format!(" Write {} under [{there}].", last_part(key)),
        (None, _) => format!(" Write {key} above the first section."),
    }
}

/// The lines of a value as its flag would take them, and where each stands in `source`, if it is a table or a list.
fn lines_of(
    source: &str,
    value: &toml::Spanned<DeValue<'_>>,
    kind: Kind,
) -> Result<(Vec<String>, Vec<Place>), &'static str> {
    let (mut lines, mut places) = (Vec::new(), Vec::new());
    let mut take = |text: String, line: usize, words: Vec<(String, usize)>| {
        for _ in text.lines() {
            let words = words.clone();
            places.push(Place { line, words });
        }
        lines.push(text);
    };
    match (value.get_ref(), kind) {
        (DeValue::Table(table), Kind::Table | Kind::Tables) => {
            for (name, value) in table {
                let mut words = Vec::new();
                let text = match (value.get_ref(), kind) {
                    (DeValue::Table(options), Kind::Tables) => {
                        words_of(source, "", options, &mut words);
                        flat("", options)?
                    }
                    _ => text_of(value)?,
                };
                let line = line_of(source, name.span().start);
                take(format!("{}={text}", name.get_ref()), line, words);
            }
        }
        (DeValue::Array(items), Kind::List) => {
            for item in items {
                take(text_of(item)?, line_of(source, item.span().start), Vec::new());
            }
        }
        _ => return Ok((vec![text_of(value)?], Vec::new())),
    }
    Ok((lines, places))
}

/// The line of each name and each value of a table, as complaints quote them.
fn words_of(source: &str, lead: &str, table: &DeTable<'_>, words: &mut Vec<(String, usize)>) {
    for (name, value) in table {
        let (path, line) = (format!("{lead}{}", name.get_ref()), line_of(source, name.span().start));
        match value.get_ref() {
            DeValue::Table(below) => words_of(source, &format!("{path}."), below, words),
            _ => words.extend(text_of(value).into_iter().map(|value| (value, line))),
        }
        words.push((path, line));
    }
}

/// A table in one line, as its flag takes it: `a=1,b.c=2`.
fn flat(lead: &str, table: &DeTable<'_>) -> Result<String, &'static str> {
    let parts = table.iter().map(|(name, value)| match value.get_ref() {
        DeValue::Table(below) => flat(&format!("{lead}{}.", name.get_ref()), below),
        _ => Ok(format!("{lead}{}={}", name.get_ref(), text_of(value)?)),
    });
    Ok(parts.collect::<Result<Vec<_>, _>>()?.join(","))
}

/// A value as text; `{ env = "NAME" }` and `{ file = "PATH" }` are where a secret is kept.
fn text_of(value: &toml::Spanned<DeValue<'_>>) -> Result<String, &'static str> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.to_string()),
        DeValue::Float(number) => Ok(number.to_string()),
        DeValue::Datetime(time) => Ok(time.to_string()),
        DeValue::Boolean(flag) => Ok(flag.to_string()),
        DeValue::Table(reference) if reference.len() == 1 => reference
            .iter()
            .find_map(|(kind, place)| match (&**kind.get_ref(), place.get_ref()) {
                (kind @ ("env" | "file"), DeValue::String(place)) => Some(format!("{kind}:{place}")),
                _ => None,
            })
            .ok_or("{ env = \"NAME\" } or { file = \"PATH\" } is expected"),
        _ => Err("a text or a number is expected"),
    }
}
