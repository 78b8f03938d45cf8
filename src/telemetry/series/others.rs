//! What other jobshims of the same store count, while this one looks.

use super::counters::Counters;
use crate::telemetry::clock::now_ms;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, time::Duration};

/// How long a jobshim that tells nothing is taken to be there: each tells what it has counted once a minute at least.
const THERE: Duration = Duration::from_secs(130);
/// So many jobshims are told apart; those that have told nothing for longest make room.
const MOST: usize = 100;

/// What one jobshim tells of its counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// When it tells this, in ms since 1970.
    pub(super) at_ms: u64,
    /// It is about to end.
    pub(super) ended: bool,
    /// What it has counted.
    pub(super) counters: Counters,
}

/// By the name of each.
#[derive(Debug, Default)]
pub(super) struct Others {
    known: HashMap<String, Counted>,
    /// What all of them have counted since they were heard of first.
    sum: Counters,
}

impl Others {
    /// This is what one of them has counted. What one had counted before it was heard of first is nobody's news, unless it
    /// `is_new`.
    pub(super) fn hear(&mut self, name: String, counted: Counted, is_new: bool) {
        match self.known.get_mut(&name) {
            Some(known) => {
                self.sum.add(&counted.counters.since(&known.counters));
                *known = counted;
            }
            None => {
                if is_new {
                    self.sum.add(&counted.counters);
                }
                let longest = self.known.iter().min_by_key(|(_, known)| known.at_ms);
                if self.known.len() >= MOST
                    && let Some(name) = longest.map(|(name, _)| name.clone())
                {
                    self.known.remove(&name);
                }
                self.known.insert(name, counted);
            }
        }
    }

    /// What all of them have counted since they were heard of first.
    pub(super) fn sum(&self) -> &Counters {
        &self.sum
    }

    /// How many of them are there.
    pub(super) fn there(&self) -> usize {
        let since = now_ms().saturating_sub(u64::try_from(THERE.as_millis()).unwrap_or(u64::MAX));
        let is_there = |counted: &&Counted| !counted.ended && counted.at_ms >= since;
        self.known.values().filter(is_there).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(hits: u64) -> Counted {
        Counted {
            at_ms: now_ms(),
            ended: false,
            counters: Counters {
                hits,
                ..Counters::default()
            },
        }
    }

    #[test]
    fn only_what_is_counted_after_a_jobshim_was_heard_of_counts() {
        let mut others = Others::default();
        others.hear("a".to_owned(), counted(100), false);
        others.hear("b".to_owned(), counted(0), false);
        assert_eq!((others.sum().hits, others.there()), (0, 2));
        others.hear("a".to_owned(), counted(103), false);
        others.hear("b".to_owned(), counted(5), false);
        others.hear("a".to_owned(), counted(103), false);
        assert_eq!(others.sum().hits, 8);
        let end = Counted {
            ended: true,
            ..counted(104)
        };
        others.hear("a".to_owned(), end, false);
        assert_eq!((others.sum().hits, others.there()), (9, 1));
        others.hear("younger".to_owned(), counted(20), true);
        assert_eq!((others.sum().hits, others.there()), (29, 2));
        let long_ago = Counted {
            at_ms: now_ms() - 200_000,
            ..counted(7)
        };
        others.hear("c".to_owned(), long_ago, false);
        assert_eq!((others.sum().hits, others.there()), (29, 2));
    }

    #[test]
    fn jobshims_without_end_take_no_more_room() {
        let mut others = Others::default();
        for nth in 0..10 * MOST {
            let at_ms = nth as u64;
            others.hear(nth.to_string(), Counted { at_ms, ..counted(1) }, false);
        }
        assert_eq!(others.known.len(), MOST);
        assert!(others.known.contains_key(&(10 * MOST - 1).to_string()));
    }
}
