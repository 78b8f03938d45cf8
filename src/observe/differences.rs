//! What shadow comparisons found: how many, and which fields differ, with one sample each. Bounded: fields beyond the
//! bound are counted together.

use super::labels::{Compared, Route};
use serde::Serialize;
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// Fields of a route told apart; all further ones are one.
const MOST_FIELDS: usize = 40;
/// Characters kept of a sample.
const LONGEST_SAMPLE: usize = 300;
/// What all fields beyond the bound are called.
pub const OTHER: &str = "(others)";

/// One field that differs.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// How often.
    pub count: u64,
    /// What the legacy endpoint said, the last time.
    pub forwarded: String,
    /// What the translation said.
    pub translated: String,
}

/// What was found on one route.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Found {
    /// How many comparisons came out which way.
    pub compared: BTreeMap<&'static str, u64>,
    /// By path.
    pub fields: BTreeMap<String, Difference>,
}

/// What was found, by route.
#[derive(Debug, Default)]
pub struct Differences(Mutex<BTreeMap<Route, Found>>);

impl Differences {
    /// A comparison came out so.
    pub fn compared(&self, route: Route, outcome: Compared) {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *found
            .entry(route)
            .or_default()
            .compared
            .entry(outcome.name())
            .or_default() += 1;
    }

    /// A field differs; gives the name under which it is counted.
    pub fn differs(&self, route: Route, field: &str, forwarded: &str, translated: &str) -> String {
        let mut found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fields = &mut found.entry(route).or_default().fields;
        let known = fields.contains_key(field) || fields.len() < MOST_FIELDS;
        let name = if known { field } else { OTHER };
        let difference = fields.entry(name.to_owned()).or_insert_with(|| Difference {
            count: 0,
            forwarded: String::new(),
            translated: String::new(),
        });
        difference.count += 1;
        let sample = |text: &str| text.chars().take(LONGEST_SAMPLE).collect();
        difference.forwarded = sample(forwarded);
        difference.translated = sample(translated);
        name.to_owned()
    }

    /// All of it, by the label of the route.
    pub fn found(&self) -> BTreeMap<&'static str, Found> {
        let found = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        found
            .iter()
            .map(|(route, found)| (route.name(), found.clone()))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_with_their_last_sample_and_are_bounded() {
        let differences = Differences::default();
        for number in 0..MOST_FIELDS + 10 {
            differences.differs(Route::History, &format!("field{number:03}"), "1", "2");
        }
        differences.differs(Route::History, "field000", "3", &"x".repeat(1000));
        differences.compared(Route::Queue, Compared::Same);
        let found = differences.found();
        let history = &found["history"].fields;
        assert_eq!(history.len(), MOST_FIELDS + 1);
        assert_eq!(history[OTHER].count, 10);
        assert_eq!(history["field000"].count, 2);
        assert_eq!(history["field000"].forwarded, "3");
        assert_eq!(history["field000"].translated.len(), LONGEST_SAMPLE);
        assert_eq!(found["queue"].compared["same"], 1);
    }
}
