//! The rows of a table as they are written.

use crate::config::field_path::FieldPath;
use serde::Deserialize;
use std::fmt;
use toml::Spanned;

/// How true a legacy field is to what the legacy server would have said.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Fidelity {
    /// The same value, byte for byte.
    Exact,
    /// Worked out from other fields; the same in all ordinary cases.
    Derived,
    /// The Jobs API does not carry it.
    Lost,
}

/// What is no difference when a comparison finds it in a field.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Allowance {
    /// The items of a list stand in another order: the legacy server's own is arbitrary.
    Order,
    /// A list has further items.
    More,
    /// A list or an object has only some of its items: the job did not tell.
    Fewer,
    /// `null` items of lists are gone.
    Nulls,
}

/// Where a row's value goes in the entry.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub struct Target(FieldPath);

impl Target {
    /// The path into the entry.
    pub fn path(&self) -> &FieldPath {
        &self.0
    }
}

impl TryFrom<String> for Target {
    type Error = InvalidTarget;

    fn try_from(text: String) -> Result<Self, InvalidTarget> {
        FieldPath::parse(&text).map(Self).map_err(|_| InvalidTarget(text))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is no target.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no target: write it like prompt[4] or prompt.extra_data")]
pub struct InvalidTarget(String);

/// One row as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Where in the entry, such as `prompt[4]` or `prompt.extra_data`.
    pub to: Spanned<Target>,
    /// Sources, tried in order: a path into the job, or a derivation.
    #[serde(default)]
    pub from: Vec<Spanned<toml::Value>>,
    /// Used when no source has a value.
    pub default: Option<toml::Value>,
    /// `null` is used when no source has a value.
    #[serde(default)]
    pub null: bool,
    /// The field is left out when no source has a value.
    #[serde(default)]
    pub optional: bool,
    /// The value is written as JSON text in a string, as servers do that keep records as text.
    #[serde(default)]
    pub text: bool,
    /// It is told of one job by itself, and not in a list.
    #[serde(default)]
    pub detail: bool,
    /// How true the field is.
    pub fidelity: Fidelity,
    /// What a comparison with the legacy endpoint does not count as a difference.
    #[serde(default)]
    pub allow: Vec<Allowance>,
    /// For the reader of the field-equivalence guide.
    pub note: Option<String>,
}

/// Rows of one entry or part, in the order in which they are written out.
pub type Rows = Vec<Spanned<Line>>;
