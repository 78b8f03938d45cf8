//! What comparisons found and what happened, of all jobshims that share a store: each tells its own, and shows all.

use super::{
    differing::{DifferingAnswer, MOST as MOST_ANSWERS},
    events::{Event, ShownEvent},
    found::Found,
};
use crate::routes::Endpoint;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

/// How long what a jobshim has told counts after it has said anything. Each says all of it again within an hour.
pub const OBSERVED_FOR: Duration = Duration::from_secs(86_400);
/// So many jobshims are told apart; those that have told nothing for longest make room.
const MOST: usize = 32;

/// What one jobshim tells.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// What comparisons found, by the name of the route.
    pub(super) found: BTreeMap<String, Found>,
    /// The last answers that differed.
    pub(super) differing: Vec<DifferingAnswer>,
    /// What happened to it alone.
    pub(super) events: Vec<Event>,
}

/// What others have told, by the name of each.
#[derive(Debug, Default)]
pub(super) struct Others(Mutex<HashMap<String, Told>>);

#[derive(Debug)]
struct Told {
    observed: Observed,
    at: Instant,
}

impl Others {
    /// This is all that one of them has to tell.
    pub(super) fn hear(&self, name: String, observed: Observed) {
        let mut all = self.0.lock();
        all.retain(|_, told| told.at.elapsed() < OBSERVED_FOR);
        let longest = all.iter().min_by_key(|(_, told)| told.at);
        if all.len() >= MOST
            && !all.contains_key(&name)
            && let Some(name) = longest.map(|(name, _)| name.clone())
        {
            all.remove(&name);
        }
        let at = Instant::now();
        all.insert(name, Told { observed, at });
    }

    /// These are all who have told anything.
    pub(super) fn only(&self, names: &[String]) {
        self.0.lock().retain(|name, _| names.contains(name));
    }

    /// `own`, and what others have found.
    pub(super) fn found(&self, mut own: BTreeMap<Endpoint, Found>) -> BTreeMap<Endpoint, Found> {
        for told in self.0.lock().values() {
            let routes = Endpoint::ALL.into_iter();
            for (route, found) in routes.filter_map(|route| Some((route, told.observed.found.get(route.name())?))) {
                own.entry(route).or_default().add(found);
            }
        }
        own
    }

    /// `own`, and those of others; the latest first, and no more than one has.
    pub(super) fn differing(&self, mut own: Vec<DifferingAnswer>) -> Vec<DifferingAnswer> {
        for told in self.0.lock().values() {
            own.extend_from_slice(&told.observed.differing);
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
        for (name, told) in &*self.0.lock() {
            all.extend(told.observed.events.iter().map(|event| of(Some(name), event.clone())));
        }
        all.sort_by_key(|shown| Reverse(shown.event.at_ms));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::{
        Compared, Comparison, Findings,
        events::{EventKind, Events},
    };

    fn observed(route: Endpoint, times: usize) -> Observed {
        let (findings, events) = (Findings::default(), Events::default());
        for _ in 0..times {
            findings.note(route, &Comparison::default(), "curl");
        }
        events.tell(EventKind::Reloaded, "legacy.mode");
        Observed {
            found: findings.told(),
            differing: Vec::new(),
            events: events.told(),
        }
    }

    #[test]
    fn what_several_have_found_is_one_and_each_event_names_its_jobshim() {
        let others = Others::default();
        others.hear("a".to_owned(), observed(Endpoint::History, 1));
        others.hear("a".to_owned(), observed(Endpoint::History, 2));
        others.hear("b".to_owned(), observed(Endpoint::History, 3));
        let found = others.found(BTreeMap::new());
        assert_eq!(found[&Endpoint::History].count(Compared::Empty), 5);
        let mut names: Vec<_> = others
            .events(Vec::new())
            .into_iter()
            .map(|event| event.jobshim)
            .collect();
        names.sort_unstable();
        assert_eq!(names, [Some("a".to_owned()), Some("b".to_owned())]);
        others.only(&["b".to_owned()]);
        assert_eq!(others.events(Vec::new()).len(), 1);
    }

    #[test]
    fn jobshims_without_end_take_no_more_room() {
        let others = Others::default();
        for nth in 0..10 * MOST {
            others.hear(nth.to_string(), observed(Endpoint::Queue, 1));
        }
        assert_eq!(others.0.lock().len(), MOST);
    }

    #[test]
    fn it_is_told_whole() {
        let told = observed(Endpoint::Queue, 2);
        let text = serde_json::to_string(&told).expect("JSON");
        assert_eq!(serde_json::from_str::<Observed>(&text).expect("what was told"), told);
    }
}
