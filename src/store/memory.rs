//! A store that ends with the process.

use super::{
    StoreError,
    backend::{Backend, Follower, Followers, News, Row},
    change::{Action, Step},
};
use parking_lot::Mutex;
use std::{collections::BTreeMap, sync::Arc};

/// Rows by table and key.
#[derive(Default)]
pub(super) struct Memory(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    rows: BTreeMap<(&'static str, Vec<u8>), Vec<u8>>,
    followers: Followers,
}

impl Kept {
    fn rows(&self, table: &'static str) -> Vec<Row> {
        let of_table = self.rows.range((table, Vec::new())..);
        let of_table = of_table.take_while(|((of, _), _)| *of == table);
        of_table.map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }

    fn is_as_expected(&self, step: &Step) -> bool {
        match &step.action {
            Action::Expect(value) => self.rows.get(&(step.table, step.key.clone())) == value.as_ref(),
            _ => true,
        }
    }

    fn take(&mut self, step: Step) -> Result<(), StoreError> {
        let Step { table, key, action } = step;
        let place = (table, key);
        match action {
            Action::Put(value) => drop(self.rows.insert(place.clone(), value)),
            Action::PutNew(value) => drop(self.rows.entry(place.clone()).or_insert(value)),
            Action::Remove => drop(self.rows.remove(&place)),
            Action::RemoveIf(value) if self.rows.get(&place) == Some(&value) => drop(self.rows.remove(&place)),
            Action::RemoveIf(_) | Action::PutFor(..) | Action::Tell => {}
            // It was looked at before, and nothing has changed.
            Action::Expect(_) => return Ok(()),
        }
        let now = self.rows.get(&place).map(Vec::as_slice);
        let told = self.followers.tell(table, News::One(&place.1, now));
        told.map_err(|error| StoreError::damaged("in memory", error))
    }
}

impl Backend for Memory {
    fn place(&self) -> String {
        "in memory".to_owned()
    }

    fn rows(&self, table: &'static str) -> Result<Vec<Row>, StoreError> {
        Ok(self.0.lock().rows(table))
    }

    fn row(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().rows.get(&(table, key.to_vec())).cloned())
    }

    fn commit(&self, steps: Vec<Step>) -> Result<(), StoreError> {
        let mut kept = self.0.lock();
        match steps.iter().all(|step| kept.is_as_expected(step)) {
            true => steps.into_iter().try_for_each(|step| kept.take(step)),
            false => Err(StoreError::Changed),
        }
    }

    fn follow(&self, table: &'static str, follower: Arc<dyn Follower>) -> Result<(), StoreError> {
        let mut kept = self.0.lock();
        let rows = kept.rows(table);
        follower
            .hear(News::All(&rows))
            .map_err(|error| StoreError::damaged("in memory", error))?;
        kept.followers.add(table, follower);
        Ok(())
    }
}
