//! From rows to a plan: every row is checked against all others, and the entry's shape becomes literals and fields.

use super::{
    derive::Derivation,
    json::PathSet,
    json_text::json_text,
    limits::Weights,
    plan::{Absent, GroupPlace, InputPlaces, Job, Observed, Place, PlaceSlot, Plan, Source, Step},
    row::{Line, Rows},
    shape::{Field, Misfit, Node},
    source_path::SourcePath,
    table_error::{Complaint, TableError},
};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A source that is a part of the same file; with `of` and `is`, only where the string at that path is one of these.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartSource {
    part: String,
    of: Option<SourcePath>,
    #[serde(default)]
    is: Vec<String>,
}

/// A source that is the value at a path, also where it is null.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerbatimSource {
    verbatim: SourcePath,
}

/// Checks rows and parts, and compiles them. What they need of a job is added to `job`, whose slots the plan has.
pub(super) fn compile(
    rows: &Rows,
    parts: &BTreeMap<String, Rows>,
    job: &mut PathSet<Job>,
    complaint: &Complaint<'_>,
) -> Result<Plan, TableError> {
    let mut compiler = Compiler {
        complaint,
        job,
        observed: PathSet::default(),
        known: BTreeMap::new(),
        weights: Weights::default(),
    };
    let mut compiled = Vec::with_capacity(parts.len());
    for (name, rows) in parts {
        compiled.push(compiler.steps(rows)?);
        let nth = compiler.known.len();
        compiler.known.insert(name, nth);
    }
    let entry = compiler.steps(rows)?;
    Ok(Plan {
        observed: compiler.observed,
        parts: compiled,
        entry,
    })
}

/// What is known of a file while its parts are compiled one after the other.
struct Compiler<'a> {
    complaint: &'a Complaint<'a>,
    job: &'a mut PathSet<Job>,
    observed: PathSet<Observed>,
    /// The parts so far, by name.
    known: BTreeMap<&'a str, usize>,
    weights: Weights,
}

impl Compiler<'_> {
    fn steps(&mut self, rows: &Rows) -> Result<Vec<Step>, TableError> {
        let mut root: Option<Node> = None;
        let misfit = |misfit: Misfit| self.complaint.at(misfit.offset, misfit.reason);
        for row in rows {
            let line = row.get_ref();
            let (path, field) = (line.to.get_ref().path(), self.field(line)?);
            match &mut root {
                None => root = Some(Node::new(path, field).map_err(misfit)?),
                Some(root) => root.insert(path, field).map_err(misfit)?,
            }
        }
        let Some(root) = root else {
            return Err(self.complaint.at(0, "there is no [[field]]"));
        };
        let steps = root.into_steps().map_err(misfit)?;
        let at = rows.first().map_or(0, |row| row.span().start);
        let weighed = self.weights.add(&steps);
        weighed.map_err(|reason| self.complaint.at(at, reason))?;
        Ok(steps)
    }

    fn field(&mut self, line: &Line) -> Result<Field, TableError> {
        let (to, offset) = (line.to.get_ref().to_string(), line.to.span().start);
        let mut sources = Vec::new();
        for source in &line.from {
            let found = self.source(source.get_ref());
            sources.push(found.map_err(|reason| self.complaint.at(source.span().start, reason))?);
        }
        let absent = match (&line.default, line.null, line.optional) {
            (Some(value), false, false) => Absent::Default(json_text(value).into_bytes()),
            (None, true, false) => Absent::Default(b"null".to_vec()),
            (None, false, true) => Absent::Omit,
            (None, false, false) if !sources.is_empty() => Absent::Fail,
            (None, false, false) => {
                return Err(self
                    .complaint
                    .at(offset, format!("{to:?} has neither a source nor a default")));
            }
            _ => {
                return Err(self
                    .complaint
                    .at(offset, format!("{to:?}: default, null and optional exclude each other")));
            }
        };
        Ok(Field {
            to,
            sources,
            as_text: line.text,
            absent,
            offset,
        })
    }

    fn source(&mut self, value: &toml::Value) -> Result<Source, String> {
        match value {
            toml::Value::String(path) => {
                let path = SourcePath::parse(path).map_err(|error| error.to_string())?;
                Ok(Source::Path(self.place(&path)))
            }
            toml::Value::Table(table) if table.contains_key("part") => {
                let PartSource { part, of, is } = read(value)?;
                let only = match (of, is.is_empty()) {
                    (Some(path), false) => Some((self.place(&path), is)),
                    (None, true) => None,
                    _ => {
                        return Err(format!(
                            "{part:?}: of, the path of a string, and is, a list of words, go together"
                        ));
                    }
                };
                match self.known.get(part.as_str()) {
                    Some(nth) => Ok(Source::Part(*nth, only)),
                    None => Err(format!(
                        "no [[part.{part}]] to use here (a part may use only parts whose names sort before its own)"
                    )),
                }
            }
            toml::Value::Table(table) if table.contains_key("verbatim") => {
                let VerbatimSource { verbatim } = read(value)?;
                let place = self.place(&verbatim);
                Ok(Source::Path(Place {
                    takes_null: true,
                    ..place
                }))
            }
            toml::Value::Table(_) => {
                let derivation: Derivation = read(value)?;
                let inputs = self.inputs(&derivation);
                Ok(Source::Derived(derivation, inputs))
            }
            _ => Err("a source is a path (text) or a derivation (an inline table)".to_owned()),
        }
    }

    fn place(&mut self, path: &SourcePath) -> Place {
        Place {
            slot: match path {
                SourcePath::Job(path) => PlaceSlot::Job(self.job.add(path)),
                SourcePath::Observed(path) => PlaceSlot::Observed(self.observed.add(path)),
            },
            takes_null: false,
        }
    }

    fn inputs(&mut self, derivation: &Derivation) -> InputPlaces {
        // A member that a client gave is set as it gave it, a null too.
        let takes_null = |nth: usize, place: Place| {
            nth > 0 && matches!(derivation, Derivation::Extend { .. }) && place.is_observed()
        };
        let places = derivation.paths().into_iter().enumerate().map(|(nth, path)| {
            let place = self.place(path);
            Place {
                takes_null: takes_null(nth, place),
                ..place
            }
        });
        InputPlaces {
            places: places.collect(),
            touched: derivation.touches().iter().map(|path| self.place(path)).collect(),
            group: derivation.each().map(|(path, member)| match path {
                SourcePath::Job(path) => GroupPlace::Job(self.job.add_each(path, member)),
                SourcePath::Observed(path) => GroupPlace::Observed(self.observed.add_each(path, member)),
            }),
        }
    }
}

/// An inline table as what it says it is.
fn read<T: for<'de> Deserialize<'de>>(value: &toml::Value) -> Result<T, String> {
    let read = value.clone().try_into();
    read.map_err(|error: toml::de::Error| error.message().to_owned())
}
