//! Given texts to typed values.

use super::{
    error::ConfigError,
    key::Key,
    provenance::GivenValue,
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
        let parsed = parse(&self.given(key)?.text, self.places);
        parsed.map_err(|reason| self.refuse(key, reason)).ok()
    }

    /// Whether `key` has any text.
    pub(super) fn is_given(&self, key: &Key) -> bool {
        self.given(key).is_some_and(|given| !given.text.is_empty())
    }

    /// Complains about the value of `key`.
    pub(super) fn refuse(&mut self, key: &Key, reason: impl Into<InvalidValue>) {
        let complaint = self.given(key).map(|given| ConfigError::Value {
            key: key.name.to_owned(),
            value: given.shown(),
            origin: given.origin.clone(),
            reason: reason.into().into_owned(),
        });
        self.errors.extend(complaint);
    }

    fn given(&self, key: &Key) -> Option<&'a GivenValue> {
        self.given.iter().find(|given| given.key.name == key.name)
    }
}
