//! From rows to a plan: every row is checked against all others, and the entry's shape becomes literals and fields.

use super::{
    derive::Derivation,
    json::{Paths, quoted},
    json_text::json_text,
    limits::Weights,
    plan::{Absent, Inputs, Place, Plan, Source, Step},
    table::Rows,
    table_error::{Complaint, TableError},
};
use serde::Deserialize;
use std::{borrow::Cow, collections::BTreeMap, sync::Arc};

/// Paths that begin so are in what was observed of a job when it was submitted, all others in the job.
const OBSERVED: &str = "observed.";

/// A source that is a part of the same file; with `of` and `is`, only where the string at that path is one of these.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PartSource {
    part: String,
    of: Option<String>,
    #[serde(default)]
    is: Vec<String>,
}

/// A source that is the value at a path, also where it is null.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerbatimSource {
    verbatim: String,
}

/// Checks rows and parts, and compiles them; the entry's own shape comes last. `job` are the paths that are searched for
/// anyway.
pub(super) fn compile(
    rows: &Rows,
    parts: &BTreeMap<String, Rows>,
    job: Arc<Paths>,
    complaint: &Complaint<'_>,
) -> Result<Plan, TableError> {
    let mut plan = Plan { job, ..Plan::default() };
    let mut known = BTreeMap::new();
    let mut weights = Weights::default();
    let mut weigh = |rows: &Rows, shape: &[Step]| {
        let at = rows.first().map_or(0, |row| row.span().start);
        weights.add(shape).map_err(|reason| complaint.at(at, reason))
    };
    for (name, rows) in parts {
        let shape = compile_shape(rows, &known, &mut plan, complaint)?;
        weigh(rows, &shape)?;
        known.insert(name.clone(), plan.shapes.len());
        plan.shapes.push(shape);
    }
    let shape = compile_shape(rows, &known, &mut plan, complaint)?;
    weigh(rows, &shape)?;
    plan.shapes.push(shape);
    Ok(plan)
}

/// The shape of an entry while it is put together.
enum Node {
    Field(usize),
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
}

/// One step of a target path.
#[derive(Clone, Debug, PartialEq)]
enum Segment {
    Name(String),
    Index(usize),
}

fn compile_shape(
    rows: &Rows,
    parts: &BTreeMap<String, usize>,
    plan: &mut Plan,
    complaint: &Complaint<'_>,
) -> Result<Vec<Step>, TableError> {
    let mut root: Option<Node> = None;
    let mut fields = Vec::new();
    for row in rows {
        let row = row.get_ref();
        let offset = row.to.span().start;
        let to = row.to.get_ref();
        let segments = target(to).ok_or_else(|| {
            complaint.at(
                offset,
                format!("{to:?} is no target: write it like prompt[4] or prompt.extra_data"),
            )
        })?;
        place(&mut root, &segments, fields.len())
            .map_err(|reason| complaint.at(offset, format!("{to:?}: {reason}")))?;
        let mut sources = Vec::new();
        for source in &row.from {
            let found =
                source_of(source.get_ref(), parts, plan).map_err(|reason| complaint.at(source.span().start, reason))?;
            sources.push(found);
        }
        let as_text = row.text;
        let absent = match (&row.default, row.null, row.optional) {
            (Some(value), false, false) => Absent::Default(json_text(value).into_bytes()),
            (None, true, false) => Absent::Default(b"null".to_vec()),
            (None, false, true) => Absent::Omit,
            (None, false, false) if !sources.is_empty() => Absent::Fail,
            (None, false, false) => {
                return Err(complaint.at(offset, format!("{to:?} has neither a source nor a default")));
            }
            _ => {
                return Err(complaint.at(offset, format!("{to:?}: default, null and optional exclude each other")));
            }
        };
        fields.push((to.clone(), sources, as_text, absent, offset));
    }
    let Some(root) = root else {
        return Err(complaint.at(0, "there is no [[field]]"));
    };
    let mut steps = Vec::new();
    write_node(root, Vec::new(), true, &mut fields, complaint, &mut steps)?;
    Ok(merge_literals(steps))
}

/// `prompt[1].id` as segments.
fn target(text: &str) -> Option<Vec<Segment>> {
    let mut segments = Vec::new();
    for (nth, dotted) in text.split('.').enumerate() {
        let (name, mut indices) = match dotted.find('[') {
            Some(at) => dotted.split_at(at),
            None => (dotted, ""),
        };
        if !name.is_empty() {
            segments.push(Segment::Name(name.to_owned()));
        } else if nth > 0 || indices.is_empty() {
            return None;
        }
        while !indices.is_empty() {
            let (index, rest) = indices.strip_prefix('[')?.split_once(']')?;
            segments.push(Segment::Index(index.parse().ok()?));
            indices = rest;
        }
    }
    Some(segments)
}

fn place(node: &mut Option<Node>, segments: &[Segment], field: usize) -> Result<(), String> {
    let Some((first, rest)) = segments.split_first() else {
        return match node.replace(Node::Field(field)) {
            None => Ok(()),
            Some(_) => Err("two rows have this target".to_owned()),
        };
    };
    match (node.get_or_insert_with(|| container(first)), first) {
        (Node::Object(members), Segment::Name(name)) => {
            if let Some((_, below)) = members.iter_mut().find(|(known, _)| known == name) {
                return place_below(below, rest, field);
            }
            let mut below = None;
            place(&mut below, rest, field)?;
            members.extend(below.map(|below| (name.clone(), below)));
            Ok(())
        }
        (Node::Array(items), Segment::Index(index)) => {
            if let Some(below) = items.get_mut(*index) {
                return place_below(below, rest, field);
            }
            if *index > items.len() {
                return Err(format!("the array has a hole: nothing is at [{}] yet", items.len()));
            }
            let mut below = None;
            place(&mut below, rest, field)?;
            items.extend(below);
            Ok(())
        }
        (Node::Field(_), _) => Err("another row has this target or one above it".to_owned()),
        (Node::Object(_), Segment::Index(_)) => Err("an index into what other rows make an object".to_owned()),
        (Node::Array(_), Segment::Name(_)) => Err("a name in what other rows make an array".to_owned()),
    }
}

fn place_below(node: &mut Node, rest: &[Segment], field: usize) -> Result<(), String> {
    let mut below = Some(std::mem::replace(node, Node::Field(field)));
    let outcome = match (rest.is_empty(), &below) {
        (true, _) => Err("two rows have this target, or one is above the other".to_owned()),
        (false, _) => place(&mut below, rest, field),
    };
    if let Some(below) = below {
        *node = below;
    }
    outcome
}

fn container(segment: &Segment) -> Node {
    match segment {
        Segment::Name(_) => Node::Object(Vec::new()),
        Segment::Index(_) => Node::Array(Vec::new()),
    }
}

fn place_of(path: &str, plan: &mut Plan) -> Result<Place, String> {
    if path.split('.').any(str::is_empty) {
        return Err(format!("{path:?} is no path: write it like workflow.prompt"));
    }
    Ok(match path.strip_prefix(OBSERVED) {
        Some(path) => Place::Observed(plan.observed.add(path)),
        None => Place::Job(Arc::make_mut(&mut plan.job).add(path)),
    })
}

fn source_of(value: &toml::Value, parts: &BTreeMap<String, usize>, plan: &mut Plan) -> Result<Source, String> {
    match value {
        toml::Value::String(path) => place_of(path, plan).map(Source::Path),
        toml::Value::Table(table) if table.contains_key("part") => {
            let PartSource { part, of, is } = value
                .clone()
                .try_into()
                .map_err(|error: toml::de::Error| error.message().to_owned())?;
            let only = match (of, is.is_empty()) {
                (Some(path), false) => Some((place_of(&path, plan)?, is)),
                (None, true) => None,
                _ => {
                    return Err(format!(
                        "{part:?}: of, the path of a string, and is, a list of words, go together"
                    ));
                }
            };
            match parts.get(&part) {
                Some(shape) => Ok(Source::Shape(*shape, only)),
                None => Err(format!(
                    "no [[part.{part}]] to use here (a part may use only parts whose names sort before its own)"
                )),
            }
        }
        toml::Value::Table(table) if table.contains_key("verbatim") => {
            let VerbatimSource { verbatim } = value
                .clone()
                .try_into()
                .map_err(|error: toml::de::Error| error.message().to_owned())?;
            Ok(Source::Path(place_of(&verbatim, plan)?.verbatim()))
        }
        toml::Value::Table(_) => {
            let derivation: Derivation = value
                .clone()
                .try_into()
                .map_err(|error: toml::de::Error| error.message().to_owned())?;
            let inputs = inputs_of(&derivation, plan)?;
            Ok(Source::Derived(derivation, inputs))
        }
        _ => Err("a source is a path (text) or a derivation (an inline table)".to_owned()),
    }
}

fn inputs_of(derivation: &Derivation, plan: &mut Plan) -> Result<Inputs, String> {
    let mut places = |paths: Vec<Cow<'_, str>>| {
        let places = paths.iter().map(|path| place_of(path, plan));
        places.collect::<Result<Vec<_>, String>>()
    };
    let (mut places, touched) = (places(derivation.paths())?, places(derivation.touches())?);
    if matches!(derivation, Derivation::Extend { .. }) {
        // A member that a client gave is set as it gave it, a null too.
        let values = places.iter_mut().skip(1).filter(|place| place.is_observed());
        values.for_each(|place| *place = place.verbatim());
    }
    let group = derivation
        .each()
        .map(|(path, member)| match path.strip_prefix(OBSERVED) {
            Some(path) => Place::Observed(plan.observed.add_each(path, member)),
            None => Place::Job(Arc::make_mut(&mut plan.job).add_each(path, member)),
        });
    Ok(Inputs { places, touched, group })
}

type Field = (String, Vec<Source>, bool, Absent, usize);

fn write_node(
    node: Node,
    lead: Vec<u8>,
    first: bool,
    fields: &mut Vec<Field>,
    complaint: &Complaint<'_>,
    steps: &mut Vec<Step>,
) -> Result<(), TableError> {
    let (open, close, children): (u8, u8, Vec<(Vec<u8>, Node)>) = match node {
        Node::Field(index) => {
            let Some((to, sources, as_text, absent, offset)) = fields.get(index).cloned() else {
                return Ok(());
            };
            if first && matches!(absent, Absent::Omit) {
                let reason = format!("{to:?}: an optional field cannot be the first member or an array item");
                return Err(complaint.at(offset, reason));
            }
            steps.push(Step::Field {
                lead,
                to,
                sources,
                as_text,
                absent,
            });
            return Ok(());
        }
        Node::Object(members) => {
            let members = members
                .into_iter()
                .map(|(name, node)| ((quoted(&name) + ": ").into_bytes(), node));
            (b'{', b'}', members.collect())
        }
        Node::Array(items) => (b'[', b']', items.into_iter().map(|node| (Vec::new(), node)).collect()),
    };
    let mut opening = lead;
    opening.push(open);
    steps.push(Step::Literal(opening));
    for (nth, (key, child)) in children.into_iter().enumerate() {
        let mut lead = if nth == 0 { Vec::new() } else { b", ".to_vec() };
        lead.extend_from_slice(&key);
        write_node(child, lead, nth == 0 || open == b'[', fields, complaint, steps)?;
    }
    steps.push(Step::Literal(vec![close]));
    Ok(())
}

/// Joins neighbouring literals, and moves what stands before a field that is always written into the literal.
fn merge_literals(steps: Vec<Step>) -> Vec<Step> {
    let mut merged: Vec<Step> = Vec::new();
    for mut step in steps {
        let text = match &mut step {
            Step::Literal(text) => std::mem::take(text),
            Step::Field {
                absent: Absent::Omit, ..
            } => Vec::new(),
            Step::Field { lead, .. } => std::mem::take(lead),
        };
        match merged.last_mut() {
            Some(Step::Literal(before)) => before.extend_from_slice(&text),
            _ if text.is_empty() => {}
            _ => merged.push(Step::Literal(text)),
        }
        if matches!(step, Step::Field { .. }) {
            merged.push(step);
        }
    }
    merged
}
