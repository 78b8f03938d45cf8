//! What comparisons found and what happened, of all jobshims that share a store: each tells its own, and shows all.

use super::{
    clock::now_ms,
    differing::{DifferingAnswer, MOST as MOST_ANSWERS},
    events::{Event, ShownEvent},
    found::Found,
    labels::Compared,
};
use crate::routes::Endpoint;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    time::Duration,
};

/// How long what a jobshim has told counts. Each says all of it again within an hour.
pub const OBSERVED_FOR: Duration = Duration::from_secs(86_400);
/// So many jobshims are told apart; those that have told nothing for longest make room.
const MOST: usize = 32;

/// What one jobshim tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// When it was told, in ms since 1970.
    pub(super) told_ms: u64,
    /// By which tables and settings it compares: what was found by others says nothing.
    pub(super) compared_by: u64,
    /// What comparisons found, by the name of the route.
    pub(super) found: BTreeMap<String, Found>,
    /// The last answers that differed.
    pub(super) differing: Vec<DifferingAnswer>,
    /// What happened to it alone.
    pub(super) events: Vec<Event>,
}

/// What others have told, by the name of each.
#[derive(Debug, Default)]
pub(super) struct Others(Mutex<HashMap<String, Observed>>);

impl Observed {
    /// Whether there is anything in it.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty() && self.differing.is_empty() && self.events.is_empty()
    }

    /// Whether it says what `before` did not, and not only more of the same.
    pub(super) fn has_news_since(&self, before: &Self) -> bool {
        let known = |observed: &Self| -> Vec<(String, Vec<Compared>, Vec<String>)> {
            let routes = observed.found.iter();
            let known = routes.map(|(route, found)| {
                let (outcomes, fields) = (found.compared.keys(), found.fields.keys());
                (route.clone(), outcomes.copied().collect(), fields.cloned().collect())
            });
            known.collect()
        };
        self.events != before.events || self.compared_by != before.compared_by || known(self) != known(before)
    }

    fn counts_at(&self, now_ms: u64) -> bool {
        let time = u64::try_from(OBSERVED_FOR.as_millis()).unwrap_or(u64::MAX);
        now_ms < self.told_ms.saturating_add(time)
    }
}

impl Others {
    /// This is all that one of them has to tell.
    pub(super) fn hear(&self, name: String, observed: Observed) {
        let mut all = self.0.lock();
        let longest = all.iter().min_by_key(|(_, told)| told.told_ms);
        if all.len() >= MOST
            && !all.contains_key(&name)
            && let Some(name) = longest.map(|(name, _)| name.clone())
        {
            all.remove(&name);
        }
        all.insert(name, observed);
    }

    /// Those that count, with the names of who has told them.
    fn told(&self) -> MutexGuard<'_, HashMap<String, Observed>> {
        let mut all = self.0.lock();
        let now = now_ms();
        all.retain(|_, told| told.counts_at(now));
        all
    }

    /// These are all who have told anything.
    pub(super) fn only(&self, names: &[String]) {
        self.0.lock().retain(|name, _| names.contains(name));
    }

    /// `own`, and what others have found that compare by the same.
    pub(super) fn found(&self, by: u64, mut own: BTreeMap<Endpoint, Found>) -> BTreeMap<Endpoint, Found> {
        for told in self.told().values().filter(|told| told.compared_by == by) {
            let routes = Endpoint::ALL.into_iter();
            for (route, found) in routes.filter_map(|route| Some((route, told.found.get(route.name())?))) {
                own.entry(route).or_default().add(found);
            }
        }
        own
    }

    /// `own`, and those of others that compare by the same; the latest first, and no more than one has.
    pub(super) fn differing(&self, by: u64, mut own: Vec<DifferingAnswer>) -> Vec<DifferingAnswer> {
        for told in self.told().values().filter(|told| told.compared_by == by) {
            own.extend_from_slice(&told.differing);
        }
        own.sort_by_key(|answer| Reverse(answer.at_ms));
        own.truncate(MOST_ANSWERS);
        own
    }

    /// `own`, and what happened to others, with their names; the latest first.
    pub(super) fn events(&self, own: Vec<Event>) -> Vec<ShownEvent> {
        let of = |name: Option<&String>, event: Event| ShownEvent {
            jobshim: name.cloned(),
            event,
        };
        let mut all: Vec<ShownEvent> = own.into_iter().map(|event| of(None, event)).collect();
        for (name, told) in &*self.told() {
            all.extend(told.events.iter().map(|event| of(Some(name), event.clone())));
        }
        all.sort_by_key(|shown| Reverse(shown.event.at_ms));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{
        Comparison, Findings,
        events::{EventKind, Events},
    };

    fn observed(times: usize) -> Observed {
        let (findings, events) = (Findings::default(), Events::default());
        for _ in 0..times {
            findings.note(Endpoint::History, &Comparison::default(), "curl");
        }
        events.tell(EventKind::Reloaded, "legacy.mode");
        Observed {
            told_ms: now_ms(),
            compared_by: 1,
            found: findings.told(),
            differing: Vec::new(),
            events: events.told(),
        }
    }

    fn count(others: &Others, by: u64) -> u64 {
        let found = others.found(by, BTreeMap::new());
        found
            .get(&Endpoint::History)
            .map_or(0, |found| found.count(Compared::Empty))
    }

    #[test]
    fn what_several_have_found_is_one_and_each_event_names_its_jobshim() {
        let others = Others::default();
        others.hear("a".to_owned(), observed(1));
        others.hear("a".to_owned(), observed(2));
        others.hear("b".to_owned(), observed(3));
        assert_eq!(count(&others, 1), 5);
        let names = others.events(Vec::new()).into_iter().map(|event| event.jobshim);
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        assert_eq!(names, [Some("a".to_owned()), Some("b".to_owned())]);
        others.only(&["b".to_owned()]);
        assert_eq!(others.events(Vec::new()).len(), 1);
    }

    #[test]
    fn what_was_found_by_other_tables_or_long_ago_does_not_count() {
        let others = Others::default();
        others.hear("other tables".to_owned(), observed(1));
        let long_ago = Observed {
            told_ms: now_ms() - u64::try_from(OBSERVED_FOR.as_millis()).expect("a number"),
            ..observed(7)
        };
        others.hear("gone".to_owned(), long_ago);
        assert_eq!((count(&others, 1), count(&others, 2)), (1, 0));
        assert_eq!(others.0.lock().len(), 1);
    }

    #[test]
    fn more_of_the_same_is_no_news() {
        let (before, mut now) = (observed(1), observed(2));
        now.events.clone_from(&before.events);
        assert!(!now.has_news_since(&before));
        let found = now.found.get_mut("history").expect("a route");
        found.compared.insert(Compared::Different, 1);
        assert!(now.has_news_since(&before));
    }

    #[test]
    fn jobshims_without_end_take_no_more_room() {
        let others = Others::default();
        for nth in 0..10 * MOST {
            others.hear(nth.to_string(), observed(1));
        }
        assert_eq!(others.0.lock().len(), MOST);
    }

    #[test]
    fn it_is_told_whole() {
        let told = observed(2);
        let text = serde_json::to_string(&told).expect("JSON");
        assert_eq!(serde_json::from_str::<Observed>(&text).expect("what was told"), told);
    }
}
