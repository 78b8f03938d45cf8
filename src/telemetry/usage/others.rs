//! What other jobshims of the same store have noted, and one table of all.

use super::{Clients, MAX_CLIENTS};
use crate::{
    routes::Endpoint,
    telemetry::{
        client::ClientId,
        recent::{Counts, Recent, Span, Use},
    },
};
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

/// How long a jobshim may store nothing before it is taken for gone. One that lives stores something each ten minutes, and no
/// outage lasts so long: what is counted as gone must not come back.
const GONE: Duration = Duration::from_secs(7 * 86_400);

/// In place of a name, for all that are gone.
const OF_THE_GONE: &str = "";

/// What they have noted.
#[derive(Debug, Default)]
pub(super) struct Others {
    /// By the name of each jobshim.
    noted: Mutex<HashMap<String, Noted>>,
    lately: Mutex<Lately>,
}

/// What came of each client since this jobshim was started, and was noted by others.
type Lately = HashMap<ClientId, BTreeMap<&'static str, Recent>>;

#[derive(Debug)]
struct Noted {
    clients: Clients,
    heard: Instant,
}

impl Others {
    /// This is what one of them has noted; without anything, there is no such one any more. What of it came since it was heard
    /// of last is recent `now`, after so long a run; so is all of it if it `is_new`.
    pub(super) fn hear(&self, name: String, clients: Option<Clients>, is_new: bool, now: Duration) {
        let mut others = self.noted.lock();
        let Some(clients) = clients else {
            others.remove(&name);
            return;
        };
        let before = others.get(&name).map(|noted| &noted.clients);
        let nothing = Clients::default();
        // Those that are gone have noted what they have long ago.
        if let Some(before) = before.or(is_new.then_some(&nothing))
            && name != OF_THE_GONE
        {
            self.note(before, &clients, now);
        }
        let heard = Instant::now();
        others.insert(name, Noted { clients, heard });
    }

    /// What came of each client between `before` and `after`.
    fn note(&self, before: &Clients, after: &Clients, now: Duration) {
        let before: HashMap<_, _> = before
            .clients
            .iter()
            .map(|client| (&client.who, &client.routes))
            .collect();
        let mut lately = self.lately.lock();
        if lately.len() >= MAX_CLIENTS {
            forget_before_today(&mut lately, now);
        }
        for client in &after.clients {
            let known = before.get(&client.who);
            let legacy = Endpoint::ALL.iter().take(Endpoint::LEGACY);
            for (route, used) in legacy.filter_map(|route| Some((route.name(), client.routes.get(route.name())?))) {
                let known = known.and_then(|routes| routes.get(route));
                let counts = used.since(known.unwrap_or(&Use::default()));
                if counts.count == 0 {
                    continue;
                }
                let is_full = lately.len() >= MAX_CLIENTS && !lately.contains_key(&client.who);
                let who = if is_full {
                    ClientId::others()
                } else {
                    client.who.clone()
                };
                lately
                    .entry(who)
                    .or_default()
                    .entry(route)
                    .or_default()
                    .add(now, counts);
            }
        }
    }

    /// What each client did in the span that ends `now`; those that did nothing are left out.
    pub(super) fn within(&self, span: Span, now: Duration) -> HashMap<ClientId, BTreeMap<&'static str, Counts>> {
        let mut lately = self.lately.lock();
        forget_before_today(&mut lately, now);
        let within = |recent: &Recent| Some(recent.within(span, now)).filter(|counts| counts.count > 0);
        let clients = lately.iter().map(|(who, routes)| {
            let counts = routes
                .iter()
                .filter_map(|(route, recent)| Some((*route, within(recent)?)));
            (who.clone(), counts.collect::<BTreeMap<_, _>>())
        });
        clients.filter(|(_, routes)| !routes.is_empty()).collect()
    }

    /// The longest that any of them has watched, in ms.
    pub(super) fn watched_ms(&self) -> u64 {
        let others = self.noted.lock();
        others.values().map(|noted| noted.clients.watched_ms).max().unwrap_or(0)
    }

    /// `own`, and what all others have noted.
    pub(super) fn with(&self, own: Clients) -> Clients {
        let others = self.noted.lock();
        match others.is_empty() {
            true => own,
            false => merged(std::iter::once(&own).chain(others.values().map(|noted| &noted.clients))),
        }
    }

    /// Those of them that store nothing any more, and the sum of them and of those before them.
    pub(super) fn gone(&self) -> Option<(Vec<(String, Clients)>, Clients)> {
        let others = self.noted.lock();
        let gone: Vec<(String, Clients)> = others
            .iter()
            .filter(|(name, noted)| *name != OF_THE_GONE && noted.heard.elapsed() >= GONE)
            .map(|(name, noted)| (name.clone(), noted.clients.clone()))
            .collect();
        if gone.is_empty() {
            return None;
        }
        let before = others.get(OF_THE_GONE).map(|noted| &noted.clients);
        let all = merged(before.into_iter().chain(gone.iter().map(|(_, clients)| clients)));
        Some((gone, all))
    }
}

/// Those that did nothing for a day are forgotten.
fn forget_before_today(lately: &mut Lately, now: Duration) {
    lately.retain(|_, routes| {
        routes.retain(|_, recent| recent.within(Span::Day, now).count > 0);
        !routes.is_empty()
    });
}

/// One table of several.
fn merged<'a>(all: impl Iterator<Item = &'a Clients>) -> Clients {
    let mut sum = Clients {
        since_ms: u64::MAX,
        ..Clients::default()
    };
    let mut clients: HashMap<&ClientId, BTreeMap<String, Use>> = HashMap::new();
    for one in all {
        sum.since_ms = sum.since_ms.min(one.since_ms);
        sum.watched_ms = sum.watched_ms.max(one.watched_ms);
        for client in &one.clients {
            let routes = clients.entry(&client.who).or_default();
            for (route, used) in &client.routes {
                match routes.get_mut(route) {
                    Some(before) => add(before, used),
                    None => drop(routes.insert(route.clone(), used.clone())),
                }
            }
        }
    }
    sum.clients = clients
        .into_iter()
        .map(|(who, routes)| super::Client {
            who: who.clone(),
            routes,
        })
        .collect();
    sum.sort();
    sum.clients.truncate(MAX_CLIENTS);
    sum
}

fn add(sum: &mut Use, used: &Use) {
    for (sum, count) in [
        (&mut sum.count, used.count),
        (&mut sum.translated, used.translated),
        (&mut sum.failed, used.failed),
    ] {
        *sum = sum.saturating_add(count);
    }
    sum.first_seen_ms = sum.first_seen_ms.min(used.first_seen_ms);
    sum.last_seen_ms = sum.last_seen_ms.max(used.last_seen_ms);
    sum.last_watched_ms = sum.last_watched_ms.max(used.last_watched_ms);
}

#[cfg(test)]
mod tests {
    use super::{super::Client, *};

    /// How long this jobshim has run.
    const NOW: Duration = Duration::from_secs(1);

    fn clients(agent: &str, count: u64, last: u64) -> Clients {
        let used = Use {
            count,
            translated: count / 2,
            failed: 0,
            first_seen_ms: last - count,
            last_seen_ms: last,
            last_watched_ms: last,
        };
        Clients {
            since_ms: last - 10,
            watched_ms: last,
            clients: vec![Client {
                who: ClientId {
                    agent: agent.to_owned(),
                    ..ClientId::others()
                },
                routes: [("history".to_owned(), used)].into(),
            }],
        }
    }

    #[test]
    fn the_same_client_is_one_whoever_has_noted_it() {
        let others = Others::default();
        others.hear("b".to_owned(), Some(clients("x", 4, 100)), true, NOW);
        others.hear("c".to_owned(), Some(clients("y", 1, 300)), true, NOW);
        let all = others.with(clients("x", 6, 200));
        assert_eq!((all.since_ms, all.watched_ms), (90, 300));
        let shown: Vec<_> = all
            .clients
            .iter()
            .map(|client| {
                (
                    client.who.agent.as_str(),
                    client.routes["history"].count,
                    client.last_seen_ms(),
                )
            })
            .collect();
        assert_eq!(shown, [("y", 1, 300), ("x", 10, 200)]);
        others.hear("b".to_owned(), None, true, NOW);
        assert_eq!(others.with(clients("x", 6, 200)).clients.len(), 2);
    }

    #[test]
    fn what_another_tells_cannot_make_a_sum_overflow() {
        let others = Others::default();
        let mut most = clients("x", 4, 100);
        let used = most.clients[0].routes.get_mut("history").expect("a route");
        (used.count, used.translated, used.failed) = (u64::MAX, u64::MAX, u64::MAX);
        others.hear("b".to_owned(), Some(most), true, NOW);
        let all = others.with(clients("x", 6, 200));
        assert_eq!(all.clients[0].routes["history"].count, u64::MAX);
    }

    #[test]
    fn there_is_an_end_to_the_clients_of_all() {
        let others = Others::default();
        for nth in 0..2 * MAX_CLIENTS {
            let nth = nth as u64;
            let noted = Some(clients(&nth.to_string(), 1, 1_000 + nth));
            others.hear(nth.to_string(), noted, true, NOW);
        }
        assert_eq!(others.with(Clients::default()).clients.len(), MAX_CLIENTS);
        assert_eq!(others.within(Span::Hour, NOW).len(), MAX_CLIENTS + 1);
        assert!(others.within(Span::Hour, 30 * 3_600 * NOW).is_empty());
        assert!(others.lately.lock().is_empty(), "after a day");
    }

    #[test]
    fn recent_is_what_came_after_a_jobshim_was_heard_of_or_all_of_a_new_one() {
        let others = Others::default();
        let count = || -> u64 {
            let within = others.within(Span::Hour, NOW);
            within
                .values()
                .flat_map(BTreeMap::values)
                .map(|counts| counts.count)
                .sum()
        };
        others.hear("known".to_owned(), Some(clients("x", 40, 100)), false, NOW);
        others.hear(OF_THE_GONE.to_owned(), Some(clients("x", 7, 100)), true, NOW);
        assert_eq!(count(), 0);
        others.hear("known".to_owned(), Some(clients("x", 42, 100)), false, NOW);
        others.hear("new".to_owned(), Some(clients("x", 5, 100)), true, NOW);
        others.hear(OF_THE_GONE.to_owned(), Some(clients("x", 70, 100)), true, NOW);
        assert_eq!(count(), 7);
    }
}
