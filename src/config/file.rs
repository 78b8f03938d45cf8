//! The configuration file: TOML to one text a key, with the line it stands on.

use super::{error::ConfigError, field_path::line_of, key::Kind, provenance::Origin, settings::keys};
use crate::http::outside::Outside;
use std::{collections::BTreeMap, fs, path::Path};
use toml::de::{DeTable, DeValue};

/// By key, the text and where it stands.
pub(super) type FileValues = BTreeMap<String, (String, Origin)>;

/// Reads a configuration file; every complaint about it comes back.
pub(super) fn read(path: &Path) -> Result<FileValues, Vec<ConfigError>> {
    let refuse = |line, reason| ConfigError::File {
        path: path.to_owned(),
        line,
        reason,
    };
    let text = fs::read_to_string(path).map_err(|error| vec![refuse(1, error.to_string())])?;
    let line = |offset| line_of(&text, offset);
    let root = DeTable::parse(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        vec![refuse(line(at), error.message().to_owned())]
    })?;
    let mut values = FileValues::new();
    let mut errors = Vec::new();
    let mut take = |name: String, value: &toml::Spanned<DeValue<'_>>, at: usize| {
        let kind = keys().find(|key| key.name == name).map(|key| key.kind);
        let text = match (value.get_ref(), kind) {
            (DeValue::Table(table), Some(kind @ (Kind::Table | Kind::Tables))) => {
                let lines = table.iter().map(|(name, value)| {
                    let text = match (value.get_ref(), kind) {
                        (DeValue::Table(options), Kind::Tables) => flat("", options),
                        _ => text_of(value),
                    };
                    Ok(format!("{}={}", name.get_ref(), text?))
                });
                lines.collect::<Result<Vec<_>, _>>().map(|lines| lines.join("\n"))
            }
            (DeValue::Array(items), Some(Kind::List)) => {
                let lines = items.iter().map(text_of);
                lines.collect::<Result<Vec<_>, _>>().map(|lines| lines.join("\n"))
            }
            _ => text_of(value),
        };
        match text {
            _ if !keys().any(|key| key.name == name) => {
                let known: Vec<_> = keys().map(|key| key.name).collect();
                errors.push(refuse(
                    line(at),
                    format!("unknown key {}; there are {}", Outside::new(&name), known.join(", ")),
                ));
            }
            Ok(text) => drop(values.insert(name, (text, Origin::File(path.to_owned(), line(at))))),
            Err(reason) => errors.push(refuse(line(at), format!("{name}: {reason}"))),
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
