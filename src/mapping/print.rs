//! The tables as people read them: as files, or row by row in words.

use super::{Fidelity, Table, Tables, json_text::json_text, names, row::Line};

/// One row in words: the field, where it comes from, how faithful it is, and a note.
pub struct Row {
    /// Such as `prompt[4]`.
    pub to: String,
    /// Such as `workflow.prompt, else {}`.
    pub from: String,
    /// Such as `exact`.
    pub fidelity: &'static str,
    /// May be empty.
    pub note: String,
}

/// The rows of a table, in words.
pub fn rows(table: &Table) -> impl Iterator<Item = Row> {
    table.rows.iter().map(|row| in_words(row.get_ref(), str::to_owned))
}

/// The same, with paths and values marked as Markdown has it.
pub(super) fn quoted_rows(table: &Table) -> impl Iterator<Item = Row> {
    let quote = |text: &str| format!("`{text}`");
    table.rows.iter().map(move |row| in_words(row.get_ref(), quote))
}

/// How a path or a value stands in a sentence.
type Quote = fn(&str) -> String;

fn in_words(line: &Line, quote: Quote) -> Row {
    let mut sources: Vec<String> = line
        .from
        .iter()
        .map(|source| source_in_words(source.get_ref(), quote))
        .map(|source| match line.text {
            true => format!("JSON text of {source}"),
            false => source,
        })
        .collect();
    sources.extend(line.default.as_ref().map(|value| quote(&json_text(value))));
    if line.null {
        sources.push(quote("null"));
    }
    if line.optional {
        sources.push("left out".to_owned());
    }
    Row {
        to: line.to.get_ref().to_string(),
        from: sources.join(", else "),
        fidelity: match line.fidelity {
            Fidelity::Exact => "exact",
            Fidelity::Derived => "derived",
            Fidelity::Lost => "lost",
        },
        note: line.note.clone().unwrap_or_default(),
    }
}

fn source_in_words(source: &toml::Value, quote: Quote) -> String {
    let word = |key| source.get(key).and_then(toml::Value::as_str);
    if let Some(path) = source.as_str().or(word("verbatim")) {
        return quote(path);
    }
    if word("part").is_some() {
        return "an object made of other fields".to_owned();
    }
    let of = quote(word("of").unwrap_or_default());
    let names = |key| {
        let named = source.get(key).and_then(toml::Value::as_table);
        named
            .into_iter()
            .flatten()
            .map(|(name, _)| quote(name))
            .collect::<Vec<_>>()
    };
    match word("derive") {
        Some("ms_from_rfc3339") => format!("{of} (RFC 3339) in milliseconds"),
        Some("lines") => format!("the lines of {of}"),
        Some("only") => format!("some members of {of}"),
        Some("unless") => of,
        Some("files_by_node") => format!("{of}, by node and kind"),
        Some("ms") => format!("{of} in milliseconds"),
        Some("rfc3339") => format!("{of} as text (RFC 3339)"),
        Some("map") => {
            let values = source.get("values").and_then(toml::Value::as_table);
            let pairs = values.into_iter().flatten();
            let pairs: Vec<_> = pairs
                .map(|(from, to)| format!("{} for {}", quote(&json_text(to)), quote(from)))
                .collect();
            format!("by {of}: {}", pairs.join(", "))
        }
        Some("drop") => {
            let members = source.get("members").and_then(toml::Value::as_array);
            let member = |member: &toml::Value| {
                let path = quote(member.get("path")?.as_str()?);
                Some(match member.get("is").and_then(toml::Value::as_str) {
                    Some(value) => format!("{path} where that is {}", quote(value)),
                    None => path,
                })
            };
            let members: Vec<String> = members.into_iter().flatten().filter_map(member).collect();
            let without = members.join(" and without ");
            match word("put") {
                Some(put) => format!("{of} without {without}, and with {}", quote(put)),
                None => format!("{of} without {without}"),
            }
        }
        Some("extend") => {
            let with = [names("with"), names("add")].concat();
            format!("{of} with {}", with.join(", "))
        }
        Some("kind") => {
            let kind = word("is").unwrap_or_default();
            let article = if kind.starts_with(['a', 'e', 'i', 'o', 'u']) {
                "an"
            } else {
                "a"
            };
            format!("{of} where it is {article} {kind}")
        }
        Some("keys") => format!("the keys of {of}"),
        Some("position") => "the place in the list, from 1".to_owned(),
        Some("output_nodes") => format!("the output nodes of {of}"),
        Some("typed_inputs") => format!("{of} with its inputs as the server converts them"),
        Some("unwrap_items") => format!("{of}, with items that were a plain name as that name"),
        Some("node_meta") => format!("for each node of {of}, which node of the prompt it comes from"),
        Some(other) => format!("{other} of {of}"),
        None => source.to_string(),
    }
}

/// There is no table of that name.
#[derive(Debug, thiserror::Error)]
#[error("there is no table {name:?}; there are {}", .known.join(", "))]
pub struct UnknownTable {
    name: String,
    known: Vec<&'static str>,
}

impl UnknownTable {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            known: names().collect(),
        }
    }
}

/// The files: one, or all behind each other.
pub fn toml(tables: &Tables, name: Option<&str>) -> Result<String, UnknownTable> {
    if let Some(name) = name {
        let source = tables.files.iter().find(|file| file.name == name);
        return source
            .map(|file| file.text.clone())
            .ok_or_else(|| UnknownTable::new(name));
    }
    let files = tables
        .files
        .iter()
        .map(|file| format!("# ==== {}.toml ====\n\n{}\n", file.name, file.text));
    Ok(files.collect())
}
