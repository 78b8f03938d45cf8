//! Given texts to typed values.

use super::{
    error::ConfigError,
    key::{Key, Kind},
    provenance::{GivenValue, Origin},
    values::{InvalidValue, Places},
};

/// Reads settings one by one, and keeps the complaints.
pub(super) struct Reader<'a> {
    given: &'a [GivenValue],
    places: Places<'a>,
    errors: &'a mut Vec<ConfigError>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(given: &'a [GivenValue], places: Places<'a>, errors: &'a mut Vec<ConfigError>) -> Self {
        Self { given, places, errors }
    }

    /// The value of `key`, as `parse` reads it; without one, there is a complaint.
    pub(super) fn read<T>(&mut self, key: &Key, parse: fn(&str, Places<'_>) -> Result<T, InvalidValue>) -> Option<T> {
        let given = self.given(key)?;
        let reason = match parse(&given.text, self.places) {
            Ok(value) => return Some(value),
            Err(reason) => reason,
        };
        // Each line of a table or a list is a complaint of its own, if it is wrong by itself.
        let of_lines = match key.kind {
            Kind::Table | Kind::Tables | Kind::List => given
                .lines()
                .filter_map(|line| Some((parse(&line.text, self.places).err()?, line)))
                .collect(),
            Kind::Value | Kind::Switch | Kind::Count => Vec::new(),
        };
        match of_lines.is_empty() {
            true => self.complain(given, reason),
            false => of_lines
                .into_iter()
                .for_each(|(reason, line)| self.complain(&line, reason)),
        }
        None
    }

    /// Whether `key` has any text.
    pub(super) fn is_given(&self, key: &Key) -> bool {
        self.given(key).is_some_and(|given| !given.text.is_empty())
    }

    /// Whether nobody has said anything of `key`.
    pub(super) fn is_default(&self, key: &Key) -> bool {
        self.given(key).is_none_or(|given| given.origin == Origin::Default)
    }

    /// Complains about the value of `key`.
    pub(super) fn refuse(&mut self, key: &Key, reason: impl Into<InvalidValue>) {
        if let Some(given) = self.given(key) {
            self.complain(given, reason.into());
        }
    }

    fn complain(&mut self, given: &GivenValue, reason: InvalidValue) {
        self.errors.push(ConfigError::Value {
            key: given.key.name.to_owned(),
            value: given.shown(),
            origin: given.origin_of(&reason),
            reason: reason.into_owned(),
        });
    }

    fn given(&self, key: &Key) -> Option<&'a GivenValue> {
        self.given.iter().find(|given| given.key.name == key.name)
    }
}
