//! Who calls the legacy surface: by client, route, how often, first and last. A client is what can be told of it without
//! knowing it: its user agent, the block of its address, and a short keyed hash of its credential.

mod others;

use super::{
    client::{ClientFingerprint, ClientId},
    clock::now_ms,
    labels::{Source, StatusClass},
    recent::{Counts, Span, Tally, Use},
};
use crate::routes::Endpoint;
use others::Others;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// A day, in ms.
const DAY_MS: u64 = 86_400_000;
/// Clients told apart; all further ones are one.
const MAX_CLIENTS: usize = 500;
/// Clients found by their number.
const MAX_NUMBERS: usize = 4 * MAX_CLIENTS;
/// How long a client is remembered that calls no more, by [`Clients::watched_ms`].
const REMEMBERED: Duration = Duration::from_secs(400 * 86_400);

/// How long nobody may call before that is stored too.
const QUIET: Duration = Duration::from_secs(600);

/// One client and its routes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Who it is.
    #[serde(flatten)]
    pub who: ClientId,
    /// By route.
    pub routes: BTreeMap<String, Use>,
}

impl UsageTable {
    /// A client with this number comes for the first time, or for the first time in a while.
    fn meet(&mut self, number: u64, who: ClientId) -> &Routes {
        // Anybody can look like any number of clients.
        if self.numbers.len() >= MAX_NUMBERS {
            self.numbers.clear();
        }
        let is_full = self.clients.len() >= MAX_CLIENTS && !self.clients.contains_key(&who);
        let who = if is_full { ClientId::others() } else { who };
        let routes = self.clients.entry(who).or_default();
        self.numbers.entry(number).or_insert(Arc::clone(routes))
    }
}

/// All clients, as they are shown and stored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clients {
    /// Since when clients have been noted, in ms since 1970.
    pub since_ms: u64,
    /// How long jobshim has been there to note them, in ms: by a clock that nobody sets, and without the times when it did not
    /// run. What it says of a call is how long there was none that would have been seen.
    #[serde(default)]
    pub watched_ms: u64,
    /// Those that called last come first.
    pub clients: Vec<Client>,
}

impl Clients {
    /// The latest first; of the same moment always in the same order, so that a page does not jump.
    fn sort(&mut self) {
        self.clients.sort_by(|one, other| {
            let seen = other.last_seen_ms().cmp(&one.last_seen_ms());
            seen.then_with(|| one.who.cmp(&other.who))
        });
    }

    /// For how many days nobody has called `route`, of those that jobshim was there.
    pub fn quiet_days(&self, route: Endpoint) -> u64 {
        let uses = self.clients.iter().filter_map(|client| client.routes.get(route.name()));
        let last = uses.map(|used| used.last_watched_ms).max().unwrap_or(0);
        self.watched_ms.saturating_sub(last) / DAY_MS
    }
}

/// Who calls the legacy surface.
#[derive(Debug)]
pub struct Usage {
    table: Mutex<UsageTable>,
    /// For [`ClientFingerprint::number`].
    seed: u64,
    /// When this run began.
    began: Instant,
    /// How long it had been watched before, in ms.
    before: AtomicU64,
    others: Others,
}

#[derive(Debug)]
struct UsageTable {
    since_ms: u64,
    clients: HashMap<ClientId, Routes>,
    /// The same by number: who is known is found without being put into words.
    numbers: HashMap<u64, Routes>,
    changed: bool,
    /// What [`Clients::watched_ms`] was when it was last to be stored.
    stored_ms: u64,
}

/// How one client uses each route.
type Routes = Arc<Mutex<[Option<Tally>; Endpoint::LEGACY]>>;

impl Default for Usage {
    fn default() -> Self {
        Self::from(Clients {
            since_ms: now_ms(),
            ..Clients::default()
        })
    }
}

impl From<Clients> for Usage {
    fn from(stored: Clients) -> Self {
        let legacy = Endpoint::ALL.iter().take(Endpoint::LEGACY);
        let clients = stored.clients.into_iter().map(|client| {
            let mut routes: [Option<Tally>; Endpoint::LEGACY] = Default::default();
            for (place, route) in routes.iter_mut().zip(legacy.clone()) {
                *place = client.routes.get(route.name()).cloned().map(Tally::from);
            }
            (client.who, Arc::new(Mutex::new(routes)))
        });
        Self {
            table: Mutex::new(UsageTable {
                since_ms: stored.since_ms,
                clients: clients.collect(),
                numbers: HashMap::new(),
                changed: false,
                stored_ms: stored.watched_ms,
            }),
            seed: RandomState::new().build_hasher().finish(),
            began: Instant::now(),
            before: AtomicU64::new(stored.watched_ms),
            others: Others::default(),
        }
    }
}

impl Usage {
    /// How long this run has lasted.
    fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn watched_ms(&self) -> u64 {
        self.watched_ms_at(self.elapsed())
    }

    fn watched_ms_at(&self, elapsed: Duration) -> u64 {
        let before = self.before.load(Relaxed);
        before.saturating_add(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX))
    }

    fn table(&self) -> MutexGuard<'_, UsageTable> {
        self.table.lock()
    }

    /// A legacy request of whoever has `shown` this was answered.
    pub fn note(&self, shown: &ClientFingerprint, route: Endpoint, source: Source, status: StatusClass) {
        let number = shown.number(self.seed);
        let mut table = self.table();
        table.changed = true;
        let routes = match table.numbers.get(&number) {
            Some(routes) => routes,
            None => table.meet(number, shown.who()),
        };
        let mut routes = routes.lock();
        let Some(place) = routes.get_mut(route as usize) else {
            return;
        };
        let now = now_ms();
        let Tally { used, recent } = place.get_or_insert_with(|| {
            Tally::from(Use {
                first_seen_ms: now,
                ..Use::default()
            })
        });
        let failed = status == StatusClass::ServerError;
        let translated = source == Source::JobsApi && !failed;
        let elapsed = self.elapsed();
        let counts = Counts {
            count: 1,
            translated: u64::from(translated),
            failed: u64::from(failed),
        };
        recent.add(elapsed, counts);
        used.count += counts.count;
        used.translated += counts.translated;
        used.failed += counts.failed;
        used.last_seen_ms = now;
        used.last_watched_ms = self.watched_ms_at(elapsed);
    }

    /// What another jobshim of the same store has noted; without anything, there is no such one any more. Where one is heard of
    /// for the first time, all that it has noted is recent if it `is_new`.
    pub fn hear(&self, name: String, clients: Option<Clients>, is_new: bool) {
        self.others.hear(name, clients, is_new, self.elapsed());
        let elapsed = u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX);
        // All count the time in which any of them was there.
        self.before
            .fetch_max(self.others.watched_ms().saturating_sub(elapsed), Relaxed);
    }

    /// What jobshims have noted that store nothing any more, by name, and the sum that takes its place, under no name.
    pub fn gone(&self) -> Option<(Vec<(String, Clients)>, Clients)> {
        self.others.gone()
    }

    /// All clients, whichever jobshim of the same store has noted them.
    pub fn clients(&self) -> Clients {
        self.others.with(self.own())
    }

    /// Those that this one has noted.
    fn own(&self) -> Clients {
        let table = self.table();
        let clients = table.clients.iter().map(|(who, routes)| {
            let routes = routes.lock();
            let used = Endpoint::ALL.iter().zip(&*routes);
            let used = used.filter_map(|(route, tally)| Some((route.name().to_owned(), tally.as_ref()?.used.clone())));
            Client {
                who: who.clone(),
                routes: used.collect(),
            }
        });
        let mut own = Clients {
            since_ms: table.since_ms,
            watched_ms: self.watched_ms(),
            clients: clients.collect(),
        };
        own.sort();
        own
    }

    /// What each client did in `span`, by client and route, whichever jobshim of the same store has noted it since this one was
    /// started; those that did nothing are left out.
    pub fn within(&self, span: Span) -> HashMap<ClientId, BTreeMap<&'static str, Counts>> {
        let now = self.elapsed();
        let mut all = self.others.within(span, now);
        for (who, routes) in &self.table().clients {
            let routes = routes.lock();
            for (route, tally) in Endpoint::ALL.iter().zip(&*routes) {
                let counts = tally.as_ref().map(|tally| tally.recent.within(span, now));
                if let Some(counts) = counts.filter(|counts| counts.count > 0) {
                    let sum = all.entry(who.clone()).or_default().entry(route.name()).or_default();
                    *sum = sum.plus(counts);
                }
            }
        }
        all
    }

    /// What this one has noted, if anything has changed since this was asked last; those that have not called for very long are
    /// forgotten.
    pub fn changes(&self) -> Option<Clients> {
        {
            let mut table = self.table();
            let watched = self.watched_ms();
            let has_passed = Duration::from_millis(watched.saturating_sub(table.stored_ms)) >= QUIET;
            if !std::mem::take(&mut table.changed) && !has_passed {
                return None;
            }
            table.stored_ms = watched;
            let remembered = u64::try_from(REMEMBERED.as_millis()).unwrap_or(u64::MAX);
            let oldest = watched.saturating_sub(remembered);
            let is_recent = |tally: &Tally| tally.used.last_watched_ms >= oldest;
            table
                .clients
                .retain(|_, routes| routes.lock().iter().flatten().any(is_recent));
            // There may be a place now for who had none.
            table.numbers.clear();
        }
        Some(self.own())
    }

    /// What [`Usage::changes`] gave could not be stored.
    pub fn not_stored(&self) {
        self.table().changed = true;
    }
}

impl Client {
    /// Its last legacy request, in ms since 1970.
    pub fn last_seen_ms(&self) -> u64 {
        self.routes.values().map(|used| used.last_seen_ms).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
