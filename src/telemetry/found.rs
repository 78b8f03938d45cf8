//! What comparisons found on one route. Bounded: fields are rows of tables, and those beyond the bound are counted together.

use super::{client::LONGEST_AGENT, job_outcomes::JobOutcomes, labels::Compared};
use crate::http::outside::is_visible;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt};

/// Fields of a route told apart; all further ones are one.
pub(super) const MAX_FIELDS: usize = 40;
/// User agents of a route told apart; all further ones are one.
pub(super) const MAX_CLIENTS: usize = 20;
/// What all fields beyond the bound are called.
pub(super) const OTHER: &str = "(others)";

/// What two answers say in one place, shortened and without their texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// Where in the entry.
    pub path: String,
    /// What the legacy endpoint says.
    pub forwarded: String,
    /// What the translation says.
    pub translated: String,
}

impl fmt::Display for Sample {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {} became {}", self.path, self.forwarded, self.translated)
    }
}

/// What was found on one field: in how many answers, however many jobs in one of them show the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field {
    /// By [`Kind::Difference`](super::Kind::Difference).
    pub differences: u64,
    /// By [`Kind::Loss`](super::Kind::Loss).
    pub losses: u64,
    /// By [`Kind::Noise`](super::Kind::Noise).
    pub noise: u64,
    /// The last difference; as long as there is none, the last of the others.
    pub sample: Sample,
    /// When that was, in ms since 1970.
    pub last_ms: u64,
}

impl Field {
    /// What another jobshim found of it counts, too.
    fn add(&mut self, other: &Self) {
        let tells_more = (other.differences > 0, other.last_ms) > (self.differences > 0, self.last_ms);
        if tells_more {
            self.sample = other.sample.clone();
            self.last_ms = other.last_ms;
        }
        for (sum, count) in [
            (&mut self.differences, other.differences),
            (&mut self.losses, other.losses),
            (&mut self.noise, other.noise),
        ] {
            *sum = sum.saturating_add(count);
        }
    }
}

/// What was found on one route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// How many comparisons came out which way.
    pub compared: BTreeMap<Compared, u64>,
    /// How jobs came out.
    pub jobs: JobOutcomes,
    /// By row of the table.
    pub fields: BTreeMap<String, Field>,
    /// In how many answers that differ or lose something, by the user agent of who asked.
    pub clients: BTreeMap<String, u64>,
    /// How many requests in a row the server had no endpoint for, up to now.
    pub absent: u64,
    /// When the last of them came, or the last that ended them, in ms since 1970.
    pub(super) absent_ms: u64,
}

impl Found {
    /// How many comparisons came out this way.
    pub fn count(&self, outcome: Compared) -> u64 {
        self.compared.get(&outcome).copied().unwrap_or(0)
    }

    /// How many answers were compared in which something could differ.
    pub fn answers(&self) -> u64 {
        let outcomes = [Compared::Same, Compared::Noise, Compared::Lost, Compared::Different];
        outcomes.map(|outcome| self.count(outcome)).iter().sum()
    }

    /// What the page shows of it.
    pub fn shown(&self) -> Value {
        let jobs = Compared::ALL.iter().map(|&outcome| (outcome, self.jobs.count(outcome)));
        let jobs: BTreeMap<Compared, u64> = jobs.filter(|(_, count)| *count > 0).collect();
        json!({"compared": self.compared, "jobs": jobs, "fields": self.fields, "clients": self.clients})
    }

    /// What another jobshim found counts, too. Of whether the server has an endpoint the later word counts.
    pub(super) fn add(&mut self, other: &Self) {
        for (&outcome, count) in &other.compared {
            let sum = self.compared.entry(outcome).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.jobs.add(&other.jobs);
        for (name, found) in &other.fields {
            let name = self.field_name(name).to_owned();
            self.fields.entry(name).or_default().add(found);
        }
        for (agent, count) in &other.clients {
            self.note_client(agent, *count);
        }
        if other.absent_ms > self.absent_ms {
            (self.absent, self.absent_ms) = (other.absent, other.absent_ms);
        }
    }

    /// What a field is called, within the bound.
    pub(super) fn field_name<'a>(&self, field: &'a str) -> &'a str {
        match has_place(&self.fields, field, MAX_FIELDS) {
            true => field,
            false => OTHER,
        }
    }

    /// An answer came out so at this time, in ms since 1970.
    pub(super) fn note_absent(&mut self, outcome: Compared, at_ms: u64) {
        self.absent = match outcome {
            Compared::Absent => self.absent + 1,
            Compared::Failed | Compared::Dropped => return,
            _ => 0,
        };
        self.absent_ms = at_ms;
    }

    /// So many answers for who has this user agent differ or lose something.
    pub(super) fn note_client(&mut self, agent: &str, answers: u64) {
        let agent: String = agent
            .chars()
            .filter(|letter| is_visible(*letter))
            .take(LONGEST_AGENT)
            .collect();
        let agent = match has_place(&self.clients, &agent, MAX_CLIENTS) {
            true => agent,
            false => OTHER.to_owned(),
        };
        let sum = self.clients.entry(agent).or_default();
        *sum = sum.saturating_add(answers);
    }
}

/// Whether `name` is told apart, or may be: besides [`OTHER`] there are no more than `most`.
fn has_place<T>(all: &BTreeMap<String, T>, name: &str, most: usize) -> bool {
    all.contains_key(name) || all.len() - usize::from(all.contains_key(OTHER)) < most
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(differences: u64, losses: u64, last_ms: u64) -> Field {
        Field {
            differences,
            losses,
            sample: Sample {
                path: last_ms.to_string(),
                ..Sample::default()
            },
            last_ms,
            ..Field::default()
        }
    }

    #[test]
    fn the_last_difference_of_all_is_the_sample_and_a_loss_takes_no_place_of_it() {
        let mut sum = field(0, 2, 30);
        sum.add(&field(1, 0, 10));
        sum.add(&field(2, 0, 20));
        sum.add(&field(0, 5, 40));
        assert_eq!(
            sum,
            Field {
                losses: 7,
                ..field(3, 0, 20)
            }
        );
    }

    #[test]
    fn one_job_that_two_have_compared_is_one_and_the_later_word_on_the_endpoint_counts() {
        let found = |outcome: Compared, at_ms: u64| {
            let mut found = Found::default();
            found.jobs.note(1, outcome);
            found.compared.insert(outcome, 1);
            found.note_absent(outcome, at_ms);
            found
        };
        let mut sum = found(Compared::Same, 10);
        sum.add(&found(Compared::Different, 5));
        assert_eq!((sum.jobs.total(), sum.jobs.count(Compared::Different)), (1, 1));
        sum.add(&found(Compared::Absent, 7));
        assert_eq!(sum.absent, 0, "somebody had an answer later");
        sum.add(&found(Compared::Absent, 12));
        assert_eq!(sum.absent, 1);
    }

    #[test]
    fn fields_and_clients_of_many_are_bounded() {
        let mut sum = Found::default();
        for jobshim in 0..10 {
            let mut found = Found::default();
            for nth in 0..MAX_FIELDS {
                found.fields.insert(format!("{jobshim} {nth}"), field(1, 0, 1));
                found.note_client(&format!("{jobshim} {nth}"), 1);
            }
            sum.add(&found);
        }
        assert_eq!(sum.fields.len(), MAX_FIELDS + 1);
        assert_eq!(sum.clients.len(), MAX_CLIENTS + 1);
        assert_eq!(
            sum.fields.values().map(|field| field.differences).sum::<u64>(),
            10 * MAX_FIELDS as u64
        );
    }
}
