//! How the latest jobs came out that were compared, each counted once: a client may ask for one of them a thousand times.

use super::labels::Compared;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, VecDeque};

/// So many jobs count, the latest ones.
const WINDOW: usize = 1_000;

/// How jobs came out in comparisons.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, Compared)>", into = "Vec<(u64, Compared)>")]
pub struct JobOutcomes {
    /// In the order in which they came first.
    order: VecDeque<u64>,
    worst: HashMap<u64, Compared>,
}

impl JobOutcomes {
    /// A job came out so. What was found of it once is not undone by a later look: the two answers differed.
    pub fn note(&mut self, job: u64, outcome: Compared) {
        if let Some(worst) = self.worst.get_mut(&job) {
            *worst = (*worst).max(outcome);
            return;
        }
        if self.order.len() >= WINDOW
            && let Some(oldest) = self.order.pop_front()
        {
            self.worst.remove(&oldest);
        }
        self.push(job, outcome);
    }

    /// Each with how it came out, in the order in which they came first.
    pub(super) fn all(&self) -> impl Iterator<Item = (u64, Compared)> {
        self.order.iter().filter_map(|job| Some((*job, *self.worst.get(job)?)))
    }

    /// Those that another jobshim has compared count, too, and push none out: a sum of several has as many as each.
    pub(super) fn add(&mut self, other: &Self) {
        for (job, outcome) in other.all() {
            match self.worst.get_mut(&job) {
                Some(worst) => *worst = (*worst).max(outcome),
                None => self.push(job, outcome),
            }
        }
    }

    fn push(&mut self, job: u64, outcome: Compared) {
        self.order.push_back(job);
        self.worst.insert(job, outcome);
    }

    /// How many jobs there are.
    pub fn total(&self) -> u64 {
        self.order.len() as u64
    }

    /// How many came out so, at the worst.
    pub fn count(&self, outcome: Compared) -> u64 {
        self.worst.values().filter(|worst| **worst == outcome).count() as u64
    }
}

impl From<Vec<(u64, Compared)>> for JobOutcomes {
    fn from(all: Vec<(u64, Compared)>) -> Self {
        let mut outcomes = Self::default();
        all.into_iter().for_each(|(job, outcome)| outcomes.note(job, outcome));
        outcomes
    }
}

impl From<JobOutcomes> for Vec<(u64, Compared)> {
    fn from(outcomes: JobOutcomes) -> Self {
        outcomes.all().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_counts_once_by_the_worst_that_was_found_of_it() {
        let mut outcomes = JobOutcomes::default();
        for outcome in [Compared::Same, Compared::Lost, Compared::Different, Compared::Same] {
            outcomes.note(1, outcome);
        }
        outcomes.note(2, Compared::Lost);
        outcomes.note(2, Compared::Noise);
        outcomes.note(3, Compared::Same);
        let counts = [Compared::Different, Compared::Lost, Compared::Same, Compared::Noise];
        assert_eq!(outcomes.total(), 3);
        assert_eq!(counts.map(|outcome| outcomes.count(outcome)), [1, 1, 1, 0]);
    }

    #[test]
    fn what_one_has_found_is_not_pushed_out_by_what_many_others_have_not() {
        let all_of = |first: u64, outcome: Compared| {
            let mut outcomes = JobOutcomes::default();
            (first..first + WINDOW as u64).for_each(|job| outcomes.note(job, outcome));
            outcomes
        };
        let mut sum = all_of(0, Compared::Different);
        sum.add(&all_of(10_000, Compared::Same));
        sum.add(&all_of(20_000, Compared::Same));
        let counts = (sum.total(), sum.count(Compared::Different));
        assert_eq!(counts, (3 * WINDOW as u64, WINDOW as u64));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut outcomes = JobOutcomes::default();
        outcomes.note(0, Compared::Different);
        (1..=WINDOW as u64).for_each(|job| outcomes.note(job, Compared::Same));
        assert_eq!(
            (outcomes.total(), outcomes.count(Compared::Different)),
            (WINDOW as u64, 0)
        );
    }
}
