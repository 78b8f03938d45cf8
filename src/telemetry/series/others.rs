//! What other jobshims of the same store count, while this one looks.

use super::counters::Counters;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How long a jobshim that tells nothing is taken to be there: each tells what it has counted once a minute at least.
const THERE: Duration = Duration::from_secs(130);
/// So many jobshims are told apart; those that have told nothing for longest make room.
const MOST: usize = 100;

/// By the name of each.
#[derive(Debug, Default)]
pub(super) struct Others {
    known: HashMap<String, Told>,
    /// What all of them have counted since they were heard of first.
    sum: Counters,
}

#[derive(Debug)]
struct Told {
    counters: Counters,
    at: Instant,
}

impl Others {
    /// This is what one of them has counted. What it had counted before it was heard of first is nobody's news.
    pub(super) fn hear(&mut self, name: String, counters: Counters) {
        let at = Instant::now();
        match self.known.get_mut(&name) {
            Some(told) => {
                self.sum.add(&counters.since(&told.counters));
                *told = Told { counters, at };
            }
            None => {
                let longest = self.known.iter().min_by_key(|(_, told)| told.at);
                if self.known.len() >= MOST
                    && let Some(name) = longest.map(|(name, _)| name.clone())
                {
                    self.known.remove(&name);
                }
                self.known.insert(name, Told { counters, at });
            }
        }
    }

    /// It has ended.
    pub(super) fn gone(&mut self, name: &str) {
        self.known.remove(name);
    }

    /// What all of them have counted since they were heard of first.
    pub(super) fn sum(&self) -> &Counters {
        &self.sum
    }

    /// How many of them are there.
    pub(super) fn there(&self) -> usize {
        self.known.values().filter(|told| told.at.elapsed() < THERE).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(hits: u64) -> Counters {
        Counters {
            hits,
            ..Counters::default()
        }
    }

    #[test]
    fn only_what_is_counted_after_a_jobshim_was_heard_of_counts() {
        let mut others = Others::default();
        others.hear("a".to_owned(), counted(100));
        others.hear("b".to_owned(), counted(0));
        assert_eq!((others.sum().hits, others.there()), (0, 2));
        others.hear("a".to_owned(), counted(103));
        others.hear("b".to_owned(), counted(5));
        others.hear("a".to_owned(), counted(103));
        assert_eq!(others.sum().hits, 8);
        others.gone("a");
        assert_eq!((others.sum().hits, others.there()), (8, 1));
    }

    #[test]
    fn jobshims_without_end_take_no_more_room() {
        let mut others = Others::default();
        for nth in 0..10 * MOST {
            others.hear(nth.to_string(), counted(1));
        }
        assert_eq!(others.known.len(), MOST);
        assert!(others.known.contains_key(&(10 * MOST - 1).to_string()));
    }
}
