//! The compiled plan: literals and fields in writing order, and the paths that the fields need.

use super::{
    context::Context,
    derive::{Derivation, Given},
    json::{Found, Group, ParsedJob, Paths, ScanError, quoted, spelt, string_value},
};
use std::{borrow::Cow, sync::Arc};

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

/// A job's bytes, and those of what was observed of it, after one pass each: where each field that the plan needs is.
pub struct Reading<'a> {
    job: (&'a [u8], Cow<'a, Found>),
    observed: (&'a [u8], Cow<'a, Found>),
}

/// A compiled table.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Those of all tables and dialects that read the same jobs: what one search found does for every plan.
    pub(super) job: Arc<Paths>,
    pub(super) observed: Paths,
    pub(super) shapes: Vec<Vec<Step>>,
}

/// Where a value is: in which text, and the slot of its path there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    Job(usize),
    Observed(usize),
    /// As [`Place::Job`], where a null is a value.
    JobVerbatim(usize),
    /// As [`Place::Observed`], where a null is a value.
    ObservedVerbatim(usize),
}

impl Place {
    /// The same, where a null is a value.
    pub fn verbatim(self) -> Self {
        match self {
            Self::Job(slot) | Self::JobVerbatim(slot) => Self::JobVerbatim(slot),
            Self::Observed(slot) | Self::ObservedVerbatim(slot) => Self::ObservedVerbatim(slot),
        }
    }

    pub fn is_observed(self) -> bool {
        matches!(self, Self::Observed(_) | Self::ObservedVerbatim(_))
    }
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
    Derived(Derivation, Inputs),
    /// A part; with a place, only where the string there is one of these.
    Shape(usize, Option<(Place, Vec<String>)>),
}

/// Where what a derivation needs is.
#[derive(Clone, Debug, Default)]
pub(super) struct Inputs {
    /// Of [`Derivation::paths`].
    pub places: Vec<Place>,
    /// Of [`Derivation::touches`].
    pub touched: Vec<Place>,
    /// Of [`Derivation::each`]: the slot of a group.
    pub group: Option<Place>,
}

impl Plan {
    /// Passes once over a job's bytes, and over those of what was observed of it when it was submitted.
    pub fn read<'a>(&self, job: &'a [u8], observed: Option<&'a [u8]>) -> Result<Reading<'a>, ScanError> {
        self.reading(job, Cow::Owned(self.job.find_all(job)?), observed)
    }

    /// As [`Plan::read`], of a job that has been searched: if by a dialect that was loaded with this table, not again.
    pub fn read_searched<'a>(&self, job: &'a ParsedJob, observed: Option<&'a [u8]>) -> Result<Reading<'a>, ScanError> {
        match job.found_by(&self.job) {
            Some(found) => self.reading(&job.text, Cow::Borrowed(found), observed),
            None => self.read(&job.text, observed),
        }
    }

    /// What a job has to be searched for.
    pub fn paths(&self) -> Arc<Paths> {
        Arc::clone(&self.job)
    }

    fn reading<'a>(
        &self,
        job: &'a [u8],
        found: Cow<'a, Found>,
        observed: Option<&'a [u8]>,
    ) -> Result<Reading<'a>, ScanError> {
        let observed = match observed {
            Some(text) => (text, Cow::Owned(self.observed.find_all(text)?)),
            None => (&b""[..], Cow::Owned(Found::default())),
        };
        Ok(Reading {
            job: (job, found),
            observed,
        })
    }

    /// The node classes that must be known before [`Plan::write`], each once.
    pub fn classes_needed(&self, reading: &Reading<'_>) -> Vec<String> {
        let mut needed = Vec::new();
        for source in self.chosen(reading) {
            if let Source::Derived(_, Inputs { group: Some(group), .. }) = source
                && let Some((text, group)) = reading.group(*group)
            {
                needed.extend(group.kinds.iter().filter_map(|class| string_value(class.of(text))));
            }
        }
        needed.sort_unstable();
        needed.dedup();
        needed
    }

    /// Whether the entry takes anything from what was observed.
    pub fn uses_observed(&self, reading: &Reading<'_>) -> bool {
        let taken = |place: &Place| place.is_observed() && reading.value(*place).is_some();
        self.chosen(reading).any(|source| match source {
            Source::Path(place) => taken(place),
            Source::Derived(_, inputs) => inputs.places.iter().any(taken),
            Source::Shape(..) => false,
        })
    }

    /// Whether no source of the field that is written to `to` has a value.
    pub fn lacks(&self, reading: &Reading<'_>, to: &str) -> bool {
        self.shapes.iter().flatten().any(|step| match step {
            Step::Field { to: field, sources, .. } => {
                field == to && !sources.iter().any(|source| has_value(source, reading))
            }
            Step::Literal(_) => false,
        })
    }

    /// For each field the first source that has a value to work on.
    fn chosen<'p>(&'p self, reading: &Reading<'_>) -> impl Iterator<Item = &'p Source> {
        self.shapes.iter().flatten().filter_map(|step| match step {
            Step::Literal(_) => None,
            Step::Field { sources, .. } => sources.iter().find(|source| has_value(source, reading)),
        })
    }

    /// Writes the entry at the end of `out`.
    pub fn write(&self, reading: &Reading<'_>, context: &Context<'_>, out: &mut Vec<u8>) -> Result<(), RenderError> {
        self.write_shape(self.shapes.len().saturating_sub(1), reading, context, out)
    }

    // Recursion is as deep as parts are nested, and a part can only name parts compiled before it.
    fn write_shape(
        &self,
        shape: usize,
        reading: &Reading<'_>,
        context: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), RenderError> {
        for step in self.shapes.get(shape).into_iter().flatten() {
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
                    if self.write_first(sources, reading, context, out)? {
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
        reading: &Reading<'_>,
        context: &Context<'_>,
        out: &mut Vec<u8>,
    ) -> Result<bool, RenderError> {
        for source in sources {
            let written = match source {
                Source::Path(place) => match reading.value(*place) {
                    Some(value) => {
                        out.extend_from_slice(value);
                        true
                    }
                    None => false,
                },
                Source::Derived(derivation, inputs) => match reading.given(inputs) {
                    Some(given) => derivation.write(&given, context, out)?,
                    None => false,
                },
                Source::Shape(shape, only) if reading.is_one_of(only.as_ref()) => {
                    self.write_shape(*shape, reading, context, out)?;
                    true
                }
                Source::Shape(..) => false,
            };
            if written {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether a source has a value to work on.
fn has_value(source: &Source, reading: &Reading<'_>) -> bool {
    match source {
        Source::Path(place) => reading.value(*place).is_some(),
        Source::Derived(_, inputs) => {
            let first = inputs.places.first();
            first.is_none_or(|place| reading.value(*place).is_some())
        }
        Source::Shape(_, only) => reading.is_one_of(only.as_ref()),
    }
}

impl<'a> Reading<'a> {
    fn find(&self, place: Place) -> (&'a [u8], &Found, usize) {
        let ((text, found), slot) = match place {
            Place::Job(slot) | Place::JobVerbatim(slot) => (&self.job, slot),
            Place::Observed(slot) | Place::ObservedVerbatim(slot) => (&self.observed, slot),
        };
        (text, found, slot)
    }

    /// The text at a place. Absent fields are left out by the Jobs API, never null: a null says no more than nothing,
    /// but where it is asked for.
    fn value(&self, place: Place) -> Option<&'a [u8]> {
        let (text, found, slot) = self.find(place);
        let is_value = |value: &&[u8]| !matches!(place, Place::Job(_) | Place::Observed(_)) || *value != b"null";
        found.value(slot, text).filter(is_value)
    }

    /// Whether the string at a place is one of those that are asked for, if any are.
    fn is_one_of(&self, only: Option<&(Place, Vec<String>)>) -> bool {
        only.is_none_or(|(place, words)| {
            let word = self.value(*place).and_then(spelt);
            word.is_some_and(|word| words.iter().any(|known| *known == *word))
        })
    }

    fn group(&self, place: Place) -> Option<(&'a [u8], &Group)> {
        let (text, found, slot) = self.find(place);
        Some((text, found.group(slot)?))
    }

    /// What a derivation works on; `None` when the value that it works on first is absent.
    fn given(&self, inputs: &Inputs) -> Option<Given<'a, '_>> {
        let mut values = inputs.places.iter().map(|place| self.value(*place));
        let text = match values.next() {
            Some(first) => first?,
            None => b"",
        };
        let is_touched = |place: &Place| {
            let (_, found, slot) = self.find(*place);
            found.is_touched(slot)
        };
        Some(Given {
            text,
            more: values.collect(),
            touched: inputs.touched.iter().any(is_touched),
            group: inputs.group.and_then(|group| self.group(group)),
        })
    }
}
