//! What other jobshims of the same store have noted, and one table of all.

use super::{Clients, MAX_CLIENTS};
use crate::telemetry::{client::ClientId, recent::Use};
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

/// By the name of each jobshim.
#[derive(Debug, Default)]
pub(super) struct Others(Mutex<HashMap<String, Noted>>);

#[derive(Debug)]
struct Noted {
    clients: Clients,
    heard: Instant,
}

impl Others {
    /// This is what one of them has noted; without anything, there is no such one any more.
    pub(super) fn hear(&self, name: String, clients: Option<Clients>) {
        let mut others = self.0.lock();
        match clients {
            Some(clients) => drop(others.insert(
                name,
                Noted {
                    clients,
                    heard: Instant::now(),
                },
            )),
            None => drop(others.remove(&name)),
        }
    }

    /// The longest that any of them has watched, in ms.
    pub(super) fn watched_ms(&self) -> u64 {
        let others = self.0.lock();
        others.values().map(|noted| noted.clients.watched_ms).max().unwrap_or(0)
    }

    /// `own`, and what all others have noted.
    pub(super) fn with(&self, own: Clients) -> Clients {
        let others = self.0.lock();
        match others.is_empty() {
            true => own,
            false => merged(std::iter::once(&own).chain(others.values().map(|noted| &noted.clients))),
        }
    }

    /// Those of them that store nothing any more, and the sum of them and of those before them.
    pub(super) fn gone(&self) -> Option<(Vec<(String, Clients)>, Clients)> {
        let others = self.0.lock();
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
    sum.count += used.count;
    sum.translated += used.translated;
    sum.first_seen_ms = sum.first_seen_ms.min(used.first_seen_ms);
    sum.last_seen_ms = sum.last_seen_ms.max(used.last_seen_ms);
    sum.last_watched_ms = sum.last_watched_ms.max(used.last_watched_ms);
}

#[cfg(test)]
mod tests {
    use super::{super::Client, *};

    fn clients(agent: &str, count: u64, last: u64) -> Clients {
        let used = Use {
            count,
            translated: count / 2,
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
        others.hear("b".to_owned(), Some(clients("x", 4, 100)));
        others.hear("c".to_owned(), Some(clients("y", 1, 300)));
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
        others.hear("b".to_owned(), None);
        assert_eq!(others.with(clients("x", 6, 200)).clients.len(), 2);
    }

    #[test]
    fn there_is_an_end_to_the_clients_of_all() {
        let others = Others::default();
        for nth in 0..2 * MAX_CLIENTS {
            let nth = nth as u64;
            others.hear(nth.to_string(), Some(clients(&nth.to_string(), 1, 1_000 + nth)));
        }
        assert_eq!(others.with(Clients::default()).clients.len(), MAX_CLIENTS);
    }
}
