//! The compiled plan: literals and fields in writing order, and where the values are that the fields need.

use super::{
    classes::Classes,
    derive::{Context, Derivation, DerivationInput},
    json::{Found, Group, GroupSlot, PathSet, ScanError, Slot, quoted, spelt, string_value},
};
use std::borrow::Cow;

/// A job, or the body of a request: what a table makes an entry of.
#[derive(Clone, Copy, Debug)]
pub struct Job;

/// What was observed of a job when it was submitted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observed;

/// Why a job cannot be written in a legacy shape.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RenderError {
    /// The job's bytes are not JSON.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// The job has no value for a field that has no default.
    #[error("the job has no value for the legacy field {0}")]
    Missing(String),
}

/// A compiled table. Its slots are in the paths that it was compiled with.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub observed: PathSet<Observed>,
    /// Each may use those before it.
    pub parts: Vec<Vec<Step>>,
    pub entry: Vec<Step>,
}

/// The slot of a value, in the document that has it.
#[derive(Clone, Copy, Debug)]
pub(super) enum PlaceSlot {
    Job(Slot<Job>),
    Observed(Slot<Observed>),
}

/// Where a value is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub slot: PlaceSlot,
    /// Whether a null is a value. Absent fields are left out by the Jobs API, never null: else a null says no more than
    /// nothing.
    pub takes_null: bool,
}

impl Place {
    pub(super) fn is_observed(self) -> bool {
        matches!(self.slot, PlaceSlot::Observed(_))
    }
}

/// Where a group is.
#[derive(Clone, Copy, Debug)]
pub(super) enum GroupPlace {
    Job(GroupSlot<Job>),
    Observed(GroupSlot<Observed>),
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Literal(Vec<u8>),
    Field {
        /// What stands before the value, and goes with it when the field is optional.
        lead: Vec<u8>,
        to: String,
        sources: Vec<Source>,
        /// A value is written as a string that holds it as JSON text.
        as_text: bool,
        absent: Absent,
    },
}

#[derive(Clone, Debug)]
pub(super) enum Absent {
    Default(Vec<u8>),
    Omit,
    Fail,
}

#[derive(Clone, Debug)]
pub(super) enum Source {
    Path(Place),
    Derived(Derivation, InputPlaces),
    /// A part; with a place, only where the string there is one of these.
    Part(usize, Option<(Place, Vec<String>)>),
}

/// Where what a derivation needs is.
#[derive(Clone, Debug)]
pub(super) struct InputPlaces {
    /// Of [`Derivation::paths`].
    pub places: Vec<Place>,
    /// Of [`Derivation::touches`].
    pub touched: Vec<Place>,
    /// Of [`Derivation::each`]: the slot of a group.
    pub group: Option<GroupPlace>,
}

/// A job's bytes, and those of what was observed of it, after one pass each, with the plan that they were read by: an entry
/// that can be written.
pub struct PreparedEntry<'a> {
    plan: &'a Plan,
    job: (&'a [u8], Cow<'a, Found<Job>>),
    observed: Option<(&'a [u8], Found<Observed>)>,
}

impl Plan {
    /// Reads what was observed of a job in which `found` was found by the paths of this plan.
    pub(super) fn prepare<'a>(
        &'a self,
        job: &'a [u8],
        found: Cow<'a, Found<Job>>,
        observed: Option<&'a [u8]>,
    ) -> Result<PreparedEntry<'a>, ScanError> {
        let observed = match observed {
            Some(text) => Some((text, self.observed.find(text)?)),
            None => None,
        };
        Ok(PreparedEntry {
            plan: self,
            job: (job, found),
            observed,
        })
    }

    fn steps(&self) -> impl Iterator<Item = &Step> {
        self.parts.iter().flatten().chain(&self.entry)
    }
}

impl<'a> PreparedEntry<'a> {
    /// The node classes that must be known to write it, each once.
    pub fn classes_needed(&self) -> Vec<String> {
        let mut needed = Vec::new();
        for source in self.chosen() {
            if let Source::Derived(_, InputPlaces { group: Some(group), .. }) = source
                && let Some((text, group)) = self.group(*group)
            {
                needed.extend(group.kinds.iter().filter_map(|class| string_value(class.of(text))));
            }
        }
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    /// Whether it takes anything from what was observed.
    pub fn uses_observed(&self) -> bool {
        let taken = |place: &Place| place.is_observed() && self.value(*place).is_some();
        self.chosen().any(|source| match source {
            Source::Path(place) => taken(place),
            Source::Derived(_, inputs) => inputs.places.iter().any(taken),
            Source::Part(..) => false,
        })
    }

    /// Whether no source of the field that is written to `to` has a value.
    pub fn lacks(&self, to: &str) -> bool {
        self.plan.steps().any(|step| match step {
            Step::Field { to: field, sources, .. } => {
                field == to && !sources.iter().any(|source| self.has_value(source))
            }
            Step::Literal(_) => false,
        })
    }

    /// Writes it at the end of `out`. Gives where in `out` its place in a list belongs, which is not written: an entry stays
    /// the same while it moves up.
    pub fn write(&self, classes: &dyn Classes, out: &mut Vec<u8>) -> Result<Option<usize>, RenderError> {
        let mut context = Context {
            position: None,
            classes,
        };
        self.write_steps(&self.plan.entry, &mut context, out)?;
        Ok(context.position)
    }

    // Recursion is as deep as parts are nested, and a part can only name parts compiled before it.
    fn write_steps(&self, steps: &[Step], context: &mut Context<'_>, out: &mut Vec<u8>) -> Result<(), RenderError> {
        for step in steps {
            match step {
                Step::Literal(text) => out.extend_from_slice(text),
                Step::Field {
                    lead,
                    to,
                    sources,
                    as_text,
                    absent,
                } => {
                    let start = out.len();
                    out.extend_from_slice(lead);
                    let value = out.len();
                    if self.write_first(sources, context, out)? {
                        if *as_text {
                            let text = String::from_utf8_lossy(&out.split_off(value)).into_owned();
                            out.extend_from_slice(quoted(&text).as_bytes());
                        }
                        continue;
                    }
                    match absent {
                        Absent::Default(text) => out.extend_from_slice(text),
                        Absent::Omit => out.truncate(start),
                        Absent::Fail => return Err(RenderError::Missing(to.clone())),
                    }
                }
            }
        }
        Ok(())
    }

    fn write_first(
        &self,
        sources: &[Source],
        context: &mut Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, RenderError> {
        for source in sources {
            let written = match source {
                Source::Path(place) => match self.value(*place) {
                    Some(value) => {
                        out.extend_from_slice(value);
                        true
                    }
                    None => false,
                },
                Source::Derived(derivation, inputs) => match self.given(inputs) {
                    Some(given) => derivation.write(&given, context, out)?,
                    None => false,
                },
                Source::Part(part, only) if self.is_one_of(only.as_ref()) => {
                    let steps = self.plan.parts.get(*part).map_or(&[][..], Vec::as_slice);
                    self.write_steps(steps, context, out)?;
                    true
                }
                Source::Part(..) => false,
            };
            if written {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// For each field the first source that has a value to work on.
    fn chosen(&self) -> impl Iterator<Item = &'a Source> {
        self.plan.steps().filter_map(|step| match step {
            Step::Literal(_) => None,
            Step::Field { sources, .. } => sources.iter().find(|source| self.has_value(source)),
        })
    }

    /// Whether a source has a value to work on.
    fn has_value(&self, source: &Source) -> bool {
        match source {
            Source::Path(place) => self.value(*place).is_some(),
            Source::Derived(_, inputs) => {
                let first = inputs.places.first();
                first.is_none_or(|place| self.value(*place).is_some())
            }
            Source::Part(_, only) => self.is_one_of(only.as_ref()),
        }
    }

    fn value(&self, place: Place) -> Option<&'a [u8]> {
        let value = match place.slot {
            PlaceSlot::Job(slot) => self.job.1.value(slot, self.job.0),
            PlaceSlot::Observed(slot) => {
                let (text, found) = self.observed.as_ref()?;
                found.value(slot, text)
            }
        };
        value.filter(|value| place.takes_null || *value != b"null")
    }

    fn is_touched(&self, place: Place) -> bool {
        match place.slot {
            PlaceSlot::Job(slot) => self.job.1.is_touched(slot),
            PlaceSlot::Observed(slot) => self.observed.as_ref().is_some_and(|(_, found)| found.is_touched(slot)),
        }
    }

    /// Whether the string at a place is one of those that are asked for, if any are.
    fn is_one_of(&self, only: Option<&(Place, Vec<String>)>) -> bool {
        only.is_none_or(|(place, words)| {
            let word = self.value(*place).and_then(spelt);
            word.is_some_and(|word| words.iter().any(|known| *known == *word))
        })
    }

    fn group(&self, place: GroupPlace) -> Option<(&'a [u8], &Group)> {
        match place {
            GroupPlace::Job(slot) => Some((self.job.0, self.job.1.group(slot)?)),
            GroupPlace::Observed(slot) => {
                let (text, found) = self.observed.as_ref()?;
                Some((text, found.group(slot)?))
            }
        }
    }

    /// What a derivation works on; `None` when the value that it works on first is absent.
    fn given(&self, inputs: &InputPlaces) -> Option<DerivationInput<'a, '_>> {
        let mut values = inputs.places.iter().map(|place| self.value(*place));
        let text = match values.next() {
            Some(first) => first?,
            None => b"",
        };
        Some(DerivationInput {
            text,
            more: values.collect(),
            touched: inputs.touched.iter().any(|place| self.is_touched(*place)),
            group: inputs.group.and_then(|group| self.group(group)),
        })
    }
}
