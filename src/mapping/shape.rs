//! The shape of an entry: what the targets of its rows make of it, and its literals and fields in writing order.

use super::{
    json::quoted,
    plan::{Absent, Source, Step},
};
use crate::config::field_path::{FieldPath, Segment};

/// A row, as it is written at its target.
pub(super) struct Field {
    pub to: String,
    pub sources: Vec<Source>,
    pub as_text: bool,
    pub absent: Absent,
    /// Where in the table file the target stands.
    pub offset: usize,
}

/// What stands at one place of an entry.
pub(super) enum Node {
    Field(Box<Field>),
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
}

/// Why a row does not fit, and where in the table file it stands.
pub(super) struct Misfit {
    pub offset: usize,
    pub reason: String,
}

impl Node {
    /// What `field` alone makes of an entry.
    pub(super) fn new(path: &FieldPath, field: Field) -> Result<Self, Misfit> {
        Self::from_segments(path.segments(), field)
    }

    /// Adds `field`, with all that is on the way to it.
    pub(super) fn insert(&mut self, path: &FieldPath, field: Field) -> Result<(), Misfit> {
        self.insert_at(path.segments(), field)
    }

    fn from_segments(segments: &[Segment], field: Field) -> Result<Self, Misfit> {
        match segments.split_first() {
            None => Ok(Self::Field(Box::new(field))),
            Some((Segment::Name(name), rest)) => {
                let below = Self::from_segments(rest, field)?;
                Ok(Self::Object(vec![(name.clone(), below)]))
            }
            Some((Segment::Index(0), rest)) => Ok(Self::Array(vec![Self::from_segments(rest, field)?])),
            Some((Segment::Index(_), _)) => Err(field.misfit("the array has a hole: nothing is at [0] yet")),
        }
    }

    fn insert_at(&mut self, segments: &[Segment], field: Field) -> Result<(), Misfit> {
        let Some((first, rest)) = segments.split_first() else {
            return Err(field.misfit("two rows have this target, or one is above the other"));
        };
        match (self, first) {
            (Self::Object(members), Segment::Name(name)) => {
                match members.iter_mut().find(|(known, _)| known == name) {
                    Some((_, below)) => below.insert_at(rest, field)?,
                    None => members.push((name.clone(), Self::from_segments(rest, field)?)),
                }
                Ok(())
            }
            (Self::Array(items), Segment::Index(index)) => {
                let length = items.len();
                match items.get_mut(*index) {
                    Some(below) => below.insert_at(rest, field)?,
                    None if *index == length => items.push(Self::from_segments(rest, field)?),
                    None => return Err(field.misfit(&format!("the array has a hole: nothing is at [{length}] yet"))),
                }
                Ok(())
            }
            (Self::Field(_), _) => Err(field.misfit("another row has this target or one above it")),
            (Self::Object(_), Segment::Index(_)) => Err(field.misfit("an index into what other rows make an object")),
            (Self::Array(_), Segment::Name(_)) => Err(field.misfit("a name in what other rows make an array")),
        }
    }

    /// Its literals and fields, in writing order.
    pub(super) fn into_steps(self) -> Result<Vec<Step>, Misfit> {
        let mut steps = Vec::new();
        self.write_steps(Vec::new(), true, &mut steps)?;
        Ok(merge_literals(steps))
    }

    fn write_steps(self, lead: Vec<u8>, first: bool, steps: &mut Vec<Step>) -> Result<(), Misfit> {
        let (open, close, children): (u8, u8, Vec<(Vec<u8>, Self)>) = match self {
            Self::Field(field) => {
                if first && matches!(field.absent, Absent::Omit) {
                    return Err(field.misfit("an optional field cannot be the first member or an array item"));
                }
                let Field {
                    to,
                    sources,
                    as_text,
                    absent,
                    ..
                } = *field;
                steps.push(Step::Field {
                    lead,
                    to,
                    sources,
                    as_text,
                    absent,
                });
                return Ok(());
            }
            Self::Object(members) => {
                let members = members
                    .into_iter()
                    .map(|(name, node)| ((quoted(&name) + ": ").into_bytes(), node));
                (b'{', b'}', members.collect())
            }
            Self::Array(items) => (b'[', b']', items.into_iter().map(|node| (Vec::new(), node)).collect()),
        };
        let mut opening = lead;
        opening.push(open);
        steps.push(Step::Literal(opening));
        for (nth, (key, child)) in children.into_iter().enumerate() {
            let mut lead = if nth == 0 { Vec::new() } else { b", ".to_vec() };
            lead.extend_from_slice(&key);
            child.write_steps(lead, nth == 0 || open == b'[', steps)?;
        }
        steps.push(Step::Literal(vec![close]));
        Ok(())
    }
}

impl Field {
    fn misfit(&self, reason: &str) -> Misfit {
        Misfit {
            offset: self.offset,
            reason: format!("{:?}: {reason}", self.to),
        }
    }
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
