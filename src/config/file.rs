//! The configuration file: TOML to one text a key, with the line it stands on.

use super::{
    error::ConfigError,
    field_path::line_of,
    key::Kind,
    nearest::nearest,
    provenance::{Origin, Place},
    settings::keys,
};
use crate::http::outside::Outside;
use std::{collections::BTreeMap, fs, io, path::Path};
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

/// Reads a configuration file; every complaint about it comes back.
pub(super) fn read(path: &Path) -> Result<FileValues, Vec<ConfigError>> {
    let text = fs::read_to_string(path).map_err(|error| {
        let reason = match error.kind() {
            io::ErrorKind::NotFound => "not found".to_owned(),
            _ => error.to_string(),
        };
        vec![ConfigError::Unreadable {
            path: path.to_owned(),
            reason,
        }]
    })?;
    let refuse = |at, reason| ConfigError::File {
        path: path.to_owned(),
        line: line_of(&text, at),
        reason,
    };
    let root = DeTable::parse(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        vec![refuse(at, error.message().to_owned())]
    })?;
    let mut values = FileValues::new();
    let mut errors = Vec::new();
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
            _ => take(name.get_ref().to_string(), value, name.span().start),
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

/// Says of a key what was meant, or else what its section has.
fn unknown_key(name: &str) -> String {
    let known: Vec<&str> = keys().map(|key| key.name).collect();
    let of_section = |key: &&str| {
        key.rsplit_once('.').map(|(section, _)| section) == name.split_once('.').map(|(section, _)| section)
    };
    // Without its section, too.
    let in_a_section = known.iter().copied().find(|key| key.ends_with(&format!(".{name}")));
    let meant = in_a_section.or_else(|| nearest(name, known.iter().copied()));
    let hint = match (meant, known.iter().copied().filter(of_section).collect::<Vec<_>>()) {
        (Some(key), _) => format!("did you mean {key}?"),
        (None, keys) if !keys.is_empty() => format!("there are {}", keys.join(", ")),
        (None, _) => format!("there are {}", known.join(", ")),
    };
    format!("unknown key {}; {hint}", Outside::new(name))
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
