//! Who calls the legacy surface: by client, route, how often, first and last. A client is what can be told of it without
//! knowing it: its user agent, the block of its address, and a short keyed hash of its credential.

use super::{
    health::now_ms,
    labels::{Route, Source},
};
use crate::{forward::Peer, headers::write_address, scope::Scope};
use http::{header::USER_AGENT, request::Parts};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Clients told apart; all further ones are one.
const MOST_CLIENTS: usize = 500;
/// Characters kept of a user agent.
const LONGEST_AGENT: usize = 120;
/// How long a client is remembered that calls no more.
const REMEMBERED: Duration = Duration::from_secs(400 * 86_400);

/// A client, as far as it can be told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Who {
    /// Its user agent; empty when it sends none.
    pub agent: String,
    /// The block of its address: /24 or /48; `unix` for a Unix socket.
    pub addresses: String,
    /// A short keyed hash of its credential, if it has one.
    pub credential: Option<String>,
}

impl Who {
    /// Whoever sent the request of `head`; `scope` if it carries a credential.
    pub fn of(head: &Parts, scope: Option<Scope>, peer: &Peer) -> Self {
        let agent = head.headers.get(USER_AGENT);
        let agent = String::from_utf8_lossy(agent.map_or(b"", |agent| agent.as_bytes()));
        Self {
            // It is shown on terminals and pages.
            agent: agent
                .chars()
                .filter(|letter| !letter.is_control())
                .take(LONGEST_AGENT)
                .collect(),
            addresses: if peer.unix {
                "unix".to_owned()
            } else {
                block(peer.client)
            },
            credential: scope.map(|Scope([a, b, c, d, ..])| format!("{a:02x}{b:02x}{c:02x}{d:02x}")),
        }
    }

    /// Everyone who came when there were [`MOST_CLIENTS`] already.
    fn others() -> Self {
        Self {
            agent: "(all others)".to_owned(),
            addresses: "any".to_owned(),
            credential: None,
        }
    }
}

/// The addresses that belong together: most networks are a /24, most sites a /48.
fn block(address: IpAddr) -> String {
    let (network, bits): (IpAddr, _) = match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            ([a, b, c, 0].into(), "/24")
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            ([a, b, c, 0, 0, 0, 0, 0].into(), "/48")
        }
    };
    let mut block = String::with_capacity(24);
    write_address(network, &mut block);
    block.push_str(bits);
    block
}

/// How one client uses one route. Times in ms since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// Requests.
    pub count: u64,
    /// Those that were answered from the Jobs API.
    pub translated: u64,
    /// The first one.
    pub first_seen_ms: u64,
    /// The last one.
    pub last_seen_ms: u64,
}

/// One client and its routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Who it is.
    #[serde(flatten)]
    pub who: Who,
    /// By route.
    pub routes: BTreeMap<String, Use>,
}

/// All clients, as they are shown and stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clients {
    /// Since when clients have been noted, in ms since 1970.
    pub since_ms: u64,
    /// Those that called last come first.
    pub clients: Vec<Client>,
}

/// Who calls the legacy surface.
#[derive(Debug)]
pub struct Usage(Mutex<Ledger>);

#[derive(Debug)]
struct Ledger {
    since_ms: u64,
    clients: HashMap<Who, [Option<Use>; Route::LEGACY]>,
    changed: bool,
}

impl Default for Usage {
    fn default() -> Self {
        Self::from(Clients {
            since_ms: now_ms(),
            clients: Vec::new(),
        })
    }
}

impl From<Clients> for Usage {
    fn from(stored: Clients) -> Self {
        let legacy = Route::ALL.iter().take(Route::LEGACY);
        let clients = stored.clients.into_iter().map(|client| {
            let mut routes: [Option<Use>; Route::LEGACY] = Default::default();
            for (place, route) in routes.iter_mut().zip(legacy.clone()) {
                *place = client.routes.get(route.name()).cloned();
            }
            (client.who, routes)
        });
        Self(Mutex::new(Ledger {
            since_ms: stored.since_ms,
            clients: clients.collect(),
            changed: false,
        }))
    }
}

impl Usage {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A legacy request of `who` was answered.
    pub fn note(&self, who: &Who, route: Route, source: Source) {
        let mut ledger = self.ledger();
        let full = ledger.clients.len() >= MOST_CLIENTS;
        ledger.changed = true;
        let routes = match ledger.clients.get_mut(who) {
            Some(routes) => routes,
            None => {
                let who = if full { Who::others() } else { who.clone() };
                ledger.clients.entry(who).or_default()
            }
        };
        let Some(place) = routes.get_mut(route as usize) else {
            return;
        };
        let now = now_ms();
        let used = place.get_or_insert_with(|| Use {
            first_seen_ms: now,
            ..Use::default()
        });
        used.count += 1;
        used.translated += u64::from(source == Source::JobsApi);
        used.last_seen_ms = now;
    }

    /// All clients.
    pub fn clients(&self) -> Clients {
        let ledger = self.ledger();
        let clients = ledger.clients.iter().map(|(who, routes)| {
            let used = Route::ALL.iter().zip(routes);
            let used = used.filter_map(|(route, used)| Some((route.name().to_owned(), used.clone()?)));
            Client {
                who: who.clone(),
                routes: used.collect(),
            }
        });
        let mut clients: Vec<Client> = clients.collect();
        // The latest first; of the same moment always in the same order, so that a page does not jump.
        clients.sort_by(|one, other| {
            let seen = other.last_seen_ms().cmp(&one.last_seen_ms());
            seen.then_with(|| one.who.cmp(&other.who))
        });
        Clients {
            since_ms: ledger.since_ms,
            clients,
        }
    }

    /// All clients, if anything has changed since this was asked last; those that have not called for very long are
    /// forgotten.
    pub fn changes(&self) -> Option<Clients> {
        {
            let mut ledger = self.ledger();
            if !std::mem::take(&mut ledger.changed) {
                return None;
            }
            let remembered = u64::try_from(REMEMBERED.as_millis()).unwrap_or(u64::MAX);
            let oldest = now_ms().saturating_sub(remembered);
            ledger
                .clients
                .retain(|_, routes| routes.iter().flatten().any(|used| used.last_seen_ms >= oldest));
        }
        Some(self.clients())
    }

    /// What [`Usage::changes`] gave could not be stored.
    pub fn not_stored(&self) {
        self.ledger().changed = true;
    }
}

impl Client {
    /// Its last legacy request, in ms since 1970.
    pub fn last_seen_ms(&self) -> u64 {
        self.routes.values().map(|used| used.last_seen_ms).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(agent: &str) -> Who {
        Who {
            agent: agent.to_owned(),
            addresses: "192.0.2.0/24".to_owned(),
            credential: None,
        }
    }

    #[test]
    fn clients_are_counted_by_route_and_come_back_as_they_were_stored() {
        let usage = Usage::default();
        usage.note(&who("a"), Route::History, Source::JobsApi);
        usage.note(&who("a"), Route::History, Source::Upstream);
        usage.note(&who("a"), Route::JobCancel, Source::JobsApi);
        usage.note(&who("b"), Route::Queue, Source::JobsApi);
        let stored = usage.changes().expect("changes");
        assert_eq!(usage.changes(), None);
        let a = stored.clients.iter().find(|client| client.who.agent == "a").expect("a");
        let counts: Vec<_> = a
            .routes
            .iter()
            .map(|(route, used)| (route.as_str(), used.count, used.translated))
            .collect();
        assert_eq!(counts, [("history", 2, 1), ("job_cancel", 1, 1)]);
        let text = serde_json::to_string(&stored).expect("JSON");
        let again = Usage::from(serde_json::from_str::<Clients>(&text).expect("the same"));
        assert_eq!(again.clients(), stored);
    }

    #[test]
    fn beyond_the_bound_all_further_clients_are_one() {
        let usage = Usage::default();
        for number in 0..MOST_CLIENTS + 50 {
            usage.note(&who(&number.to_string()), Route::History, Source::JobsApi);
        }
        usage.note(&who("3"), Route::History, Source::JobsApi);
        let clients = usage.clients().clients;
        assert_eq!(clients.len(), MOST_CLIENTS + 1);
        let others = clients
            .iter()
            .find(|client| client.who == Who::others())
            .expect("others");
        assert_eq!(others.routes["history"].count, 50);
        let three = clients.iter().find(|client| client.who.agent == "3").expect("3");
        assert_eq!(three.routes["history"].count, 2);
    }

    #[test]
    fn addresses_are_shown_by_their_block() {
        for (address, shown) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ] {
            assert_eq!(block(address.parse().expect("an address")), shown);
        }
    }
}
