//! The series of a metric. The hot path finds them by number; names and labels are made once, when a series first counts, so
//! that only series that happened are shown.

use prometheus_client::metrics::family::Family;
use std::{fmt, sync::OnceLock};

/// A label: its name and its word.
pub(super) type Label = (&'static str, &'static str);

/// The series of one metric, found by number.
#[derive(Debug)]
pub struct Cells<M> {
    pub(super) family: Family<Vec<Label>, M>,
    cells: Box<[OnceLock<M>]>,
}

impl<M: Clone + Default + fmt::Debug> Cells<M> {
    /// Of `count` series, none of which has counted.
    pub(super) fn new(count: usize) -> Self {
        Self {
            family: Family::default(),
            cells: std::iter::repeat_with(OnceLock::new).take(count).collect(),
        }
    }

    /// The series `number`; `labels` names it, the first time.
    pub(super) fn with<R>(&self, number: usize, labels: impl FnOnce() -> Vec<Label>, count: impl FnOnce(&M) -> R) {
        if let Some(cell) = self.cells.get(number) {
            count(cell.get_or_init(|| self.family.get_or_create_owned(&labels())));
        }
    }

    /// The series that have counted, with their numbers.
    pub fn known(&self) -> impl Iterator<Item = (usize, &M)> {
        let cells = self.cells.iter().enumerate();
        cells.filter_map(|(number, cell)| Some((number, cell.get()?)))
    }
}
