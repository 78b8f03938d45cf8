//! The tables as people read them: as files, or as the field-equivalence guide.

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
    table.rows.iter().map(|row| in_words(row.get_ref()))
}

fn in_words(line: &Line) -> Row {
    let mut sources: Vec<String> = line
        .from
        .iter()
        .map(|source| source_in_words(source.get_ref()))
        .map(|source| match line.text {
            true => format!("JSON text of {source}"),
            false => source,
        })
        .collect();
    sources.extend(line.default.as_ref().map(json_text));
    if line.null {
        sources.push("null".to_owned());
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

fn source_in_words(source: &toml::Value) -> String {
    let word = |key| source.get(key).and_then(toml::Value::as_str);
    match (
        source.as_str().or(word("verbatim")),
        word("derive"),
        word("of"),
        word("part"),
    ) {
        (Some(path), ..) => path.to_owned(),
        (_, Some(derivation), Some(path), _) => format!("{derivation}({path})"),
        (_, Some(derivation), None, _) => derivation.to_owned(),
        (.., Some(part)) => format!("built from other fields ({part})"),
        _ => source.to_string(),
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
    fn new(name: &str) -> Self {
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

/// The guide for people who migrate: a section a table, a row a field.
pub fn markdown(tables: &Tables, name: Option<&str>) -> Result<String, UnknownTable> {
    let mut out = String::from(
        "# Legacy fields and where they are in the Jobs API\n\n`observed.*` is what the client itself sent with `POST /prompt`.\n",
    );
    let shown: Vec<&Table> = match name {
        Some(name) => vec![
            tables
                .answers
                .all()
                .find(|table| table.name == name)
                .ok_or_else(|| UnknownTable::new(name))?,
        ],
        None => tables.answers.all().collect(),
    };
    for table in shown {
        out += &format!(
            "\n## {}\n\n{}\n\n| legacy field | Jobs API | fidelity | note |\n| --- | --- | --- | --- |\n",
            table.name, table.about
        );
        for row in rows(table) {
            out += &format!("| `{}` | `{}` | {} | {} |\n", row.to, row.from, row.fidelity, row.note);
        }
    }
    Ok(out)
}
