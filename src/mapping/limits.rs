//! How large and how deep a table may be. Reading a job goes as deep into the stack as the longest path and the longest chain
//! of parts, and takes time and memory for every field that is written: a table that is too much is refused when it is loaded.

use super::{
    plan::{Source, Step},
    table_error::{Complaint, TableError},
};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

/// The most bytes of a table file.
pub(super) const BYTES: usize = 1 << 20;
/// The most segments of a path, such as 3 of `workflow.prompt.x`.
const SEGMENTS: usize = 32;
/// The most rows of a file, with those of its parts.
const ROWS: usize = 1_000;
/// How many parts may be within each other.
const PARTS_DEEP: usize = 8;
/// The most fields of an entry, with those of parts as often as they are used.
const FIELDS: usize = 10_000;

/// What is text for people or for clients, and no path.
const PROSE: [&str; 4] = ["about", "note", "default", "not_found"];

/// Checks the text of a table file. What is no TOML is for its reader to refuse.
pub(crate) fn check(complaint: &Complaint<'_>) -> Result<(), TableError> {
    if complaint.source.len() > BYTES {
        return Err(complaint.at(0, format!("the file is longer than {BYTES} bytes")));
    }
    match DeTable::parse(complaint.source) {
        Ok(table) => table_of(table.get_ref(), complaint),
        Err(_) => Ok(()),
    }
}

fn table_of(table: &DeTable<'_>, complaint: &Complaint<'_>) -> Result<(), TableError> {
    for (key, value) in table {
        if !PROSE.contains(&&**key.get_ref()) {
            value_of(value, complaint)?;
        }
    }
    Ok(())
}

// As deep as the file's tables and arrays, which its parser bounds.
fn value_of(value: &Spanned<DeValue<'_>>, complaint: &Complaint<'_>) -> Result<(), TableError> {
    match value.get_ref() {
        DeValue::Table(table) => table_of(table, complaint),
        DeValue::Array(items) => items.iter().try_for_each(|item| value_of(item, complaint)),
        DeValue::String(text) => {
            let segments = text.split(['.', '[']).count();
            match segments > SEGMENTS {
                true => Err(complaint.at(
                    value.span().start,
                    format!("this path has {segments} segments, and {SEGMENTS} are the most"),
                )),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

/// What has been compiled of a file.
#[derive(Default)]
pub(super) struct Weights {
    rows: usize,
    /// By shape.
    shapes: Vec<Weight>,
}

struct Weight {
    fields: usize,
    deep: usize,
}

impl Weights {
    /// Takes in the next shape; the error is what is too much.
    pub(super) fn add(&mut self, shape: &[Step]) -> Result<(), String> {
        let mut weight = Weight { fields: 0, deep: 0 };
        for step in shape {
            let Step::Field { sources, .. } = step else {
                continue;
            };
            self.rows += 1;
            weight.fields += 1;
            let parts = sources.iter().filter_map(|source| match source {
                Source::Part(part, _) => self.shapes.get(*part),
                _ => None,
            });
            for part in parts {
                weight.fields = weight.fields.saturating_add(part.fields);
                weight.deep = weight.deep.max(part.deep + 1);
            }
        }
        let (rows, deep, fields) = (self.rows, weight.deep, weight.fields);
        self.shapes.push(weight);
        if rows > ROWS {
            return Err(format!("the file has more than {ROWS} rows"));
        }
        if deep > PARTS_DEEP {
            return Err(format!("more than {PARTS_DEEP} parts are within each other here"));
        }
        if fields > FIELDS {
            return Err(format!("with its parts, this has more than {FIELDS} fields"));
        }
        Ok(())
    }
}
