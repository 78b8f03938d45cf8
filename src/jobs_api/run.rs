//! Which run of an id a job is: an id may be used again, and then stands for another job (docs/contract.md section 6).

use serde::{Deserialize, Serialize};

/// What tells the runs of one id apart, as far as the server told it.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct Run {
    created: Option<f64>,
    number: Option<f64>,
    /// By which of the table's members it ended, and when: another member's time says nothing of this one's.
    ended: Option<(usize, f64)>,
}

impl Run {
    /// Created and ended in ms; a creation at 0 is none.
    pub(super) fn new(created: f64, number: Option<f64>, ended: Option<(usize, f64)>) -> Self {
        Self {
            created: Some(created).filter(|created| *created > 0.0),
            number,
            ended,
        }
    }

    /// When the job was created, in ms; 0 where that is not known.
    pub fn created(&self) -> f64 {
        self.created.unwrap_or(0.0)
    }

    /// Its place in the queue, where the dialect has one.
    pub fn number(&self) -> Option<f64> {
        self.number
    }

    /// Whether all of its numbers are finite.
    pub(super) fn is_finite(&self) -> bool {
        let ended = self.ended.map(|(_, ended)| ended);
        let numbers = [self.created, self.number, ended];
        numbers.into_iter().flatten().all(f64::is_finite)
    }

    /// Whether both can be one run: what only one of them tells is no difference.
    pub fn is_same(&self, other: &Self) -> bool {
        let differ =
            |one: Option<f64>, other: Option<f64>| matches!((one, other), (Some(one), Some(other)) if one != other);
        let ends_differ = match (self.ended, other.ended) {
            (Some((member, one)), Some((known, other))) => member == known && one != other,
            _ => false,
        };
        !differ(self.created, other.created) && !differ(self.number, other.number) && !ends_differ
    }

    /// Whether both are certainly one run that has ended: both tell when it was created and when it ended.
    pub fn is_certainly(&self, other: &Self) -> bool {
        let is_told = self.created.is_some() && self.ended.is_some();
        is_told && self.created == other.created && self.ended == other.ended && self.is_same(other)
    }

    /// What stays of it from its submission to its end, as a key.
    pub fn key(&self) -> (u64, Option<u64>) {
        (self.created().to_bits(), self.number.map(f64::to_bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_differ_by_what_both_tell() {
        let run = Run::new(5.0, Some(1.0), Some((0, 9.0)));
        assert!(run.is_same(&run));
        assert!(!run.is_same(&Run::new(6.0, Some(1.0), Some((0, 9.0)))));
        assert!(!run.is_same(&Run::new(5.0, Some(2.0), Some((0, 9.0)))));
        assert!(!run.is_same(&Run::new(5.0, Some(1.0), Some((0, 8.0)))));
        assert!(run.is_same(&Run::new(0.0, None, None)), "told by one alone");
        assert!(
            run.is_same(&Run::new(5.0, None, Some((1, 8.0)))),
            "another member's time"
        );
    }

    #[test]
    fn a_run_is_certain_where_both_tell_all_of_it() {
        let run = Run::new(5.0, Some(1.0), Some((0, 9.0)));
        assert!(run.is_certainly(&run) && run.is_certainly(&Run::new(5.0, None, Some((0, 9.0)))));
        for other in [
            Run::new(0.0, Some(1.0), Some((0, 9.0))),
            Run::new(5.0, Some(1.0), None),
            Run::new(5.0, Some(1.0), Some((1, 9.0))),
            Run::new(5.0, Some(2.0), Some((0, 9.0))),
        ] {
            assert!(!run.is_certainly(&other) && !other.is_certainly(&run), "{other:?}");
        }
        let untold = Run::new(0.0, None, None);
        assert!(!untold.is_certainly(&untold));
    }
}
