//! Ids that are used again (docs/contract.md section 6): what was remembered of an id ends when `POST /prompt` is answered with it,
//! and what is shown of it after that may be an older run until the submitted one has ended.
//!
//! A server tells of an id its newest finished run, also while a later one waits. The number that `POST /prompt` is
//! answered with is in the job's detail, and says which of them that is.

use moka::{policy::EvictionPolicy, sync::Cache};
use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
};
use twox_hash::XxHash3_64;

/// How many generations are counted apart. Ids that share one are asked for once more than need be.
const GENERATIONS: usize = 1 << 16;
/// How many submitted ids are waited for. Of one that was dropped, an older run may be remembered as the newest until
/// `cache.ttl` is over.
const MAX_AWAITED: u64 = 1 << 14;

/// A generation of an id: what was asked in one is not good in the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdGeneration {
    place: usize,
    number: u32,
}

/// What was submitted, and is not known to have ended.
#[derive(Clone, Copy, Debug)]
struct Awaited {
    /// That of its run; `None` where it does not tell one run from another.
    number: Option<f64>,
}

/// The ids that were submitted here, whoever did.
pub struct Runs {
    generations: Box<[AtomicU32]>,
    /// Unknown outside, so that nobody can make ids share a generation.
    seed: u64,
    awaited: Cache<Arc<str>, Awaited>,
}

/// None submitted.
impl Default for Runs {
    fn default() -> Self {
        Self {
            generations: (0..GENERATIONS).map(|_| AtomicU32::new(0)).collect(),
            seed: RandomState::new().hash_one(GENERATIONS),
            awaited: Cache::builder()
                .max_capacity(MAX_AWAITED)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
        }
    }
}

impl Runs {
    /// A run of `id` was, or may have been, submitted. `number` is what the server gave it, not what the client chose.
    pub fn submitted(&self, id: &str, number: Option<f64>) {
        self.awaited.insert(id.into(), Awaited { number });
        self.end(id);
    }

    /// Whether a finished run of `id` with this number is the newest one, as far as is known.
    pub fn is_newest(&self, id: &Arc<str>, number: Option<f64>) -> bool {
        let Some(awaited) = self.awaited.get(id) else {
            return true;
        };
        // A server that numbers no job gives each an id of its own.
        let is_it = number.is_none_or(|number| awaited.number == Some(number));
        if is_it {
            self.awaited.invalidate(id);
        }
        is_it
    }

    /// Ends the generation of `id`.
    pub fn end(&self, id: &str) {
        if let Some(generation) = self.generations.get(self.place(id)) {
            generation.fetch_add(1, SeqCst);
        }
    }

    /// Ends the generations of all ids.
    pub fn end_all(&self) {
        for generation in &self.generations {
            generation.fetch_add(1, SeqCst);
        }
    }

    /// The generation of `id`.
    pub fn generation(&self, id: &str) -> IdGeneration {
        let place = self.place(id);
        let number = self.number(place);
        IdGeneration { place, number }
    }

    /// Whether nothing has ended it.
    pub fn is_current(&self, generation: IdGeneration) -> bool {
        self.number(generation.place) == generation.number
    }

    fn number(&self, place: usize) -> u32 {
        self.generations.get(place).map_or(0, |number| number.load(SeqCst))
    }

    fn place(&self, id: &str) -> usize {
        let hash = XxHash3_64::oneshot_with_seed(self.seed, id.as_bytes());
        (hash % GENERATIONS as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_the_newest_one_when_it_has_the_number_that_was_given_to_it() {
        let (runs, id) = (Runs::default(), Arc::from("x"));
        assert!(runs.is_newest(&id, Some(1.0)), "none was submitted here");
        runs.submitted("x", Some(2.0));
        assert!(!runs.is_newest(&id, Some(1.0)));
        assert!(runs.is_newest(&id, Some(2.0)));
        assert!(runs.is_newest(&id, Some(3.0)), "submitted past here, after that");
        runs.submitted("x", None);
        assert!(!runs.is_newest(&id, Some(3.0)));
    }

    #[test]
    fn as_many_ids_are_waited_for_as_there_is_room_for_and_the_latest_of_them() {
        let runs = Runs::default();
        let ids: Vec<Arc<str>> = (0..2 * MAX_AWAITED).map(|nth| nth.to_string().into()).collect();
        ids.iter().for_each(|id| runs.submitted(id, Some(1.0)));
        runs.awaited.run_pending_tasks();
        assert!(runs.awaited.entry_count() <= MAX_AWAITED);
        let last = ids.last().expect("an id");
        assert!(!runs.is_newest(last, Some(0.0)));
    }

    #[test]
    fn a_generation_ends_with_every_submission() {
        let runs = Runs::default();
        let before = runs.generation("x");
        assert!(runs.is_current(before));
        runs.submitted("x", None);
        assert!(!runs.is_current(before));
        assert!(runs.is_current(runs.generation("x")));
    }
}
