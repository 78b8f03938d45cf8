//! What happened over time, for the page: the counters are looked at every few seconds, and what has changed is kept for
//! an hour in small steps and for a day in large ones. What other jobshims of the same store count is counted with it.

mod counters;
mod others;

pub use others::Counted;

use super::{
    clock::now_ms,
    histogram::quantile,
    labels::{Mode, Source, StatusClass},
    metrics::{Metrics, RequestKind},
    recent::{Counts, Span},
};
use crate::routes::Endpoint;
use counters::{Counters, SOURCES};
use others::Others;
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

/// How often the counters are looked at.
pub const STEP: Duration = Duration::from_secs(5);
/// So many of the latest steps are recent: five minutes.
const RECENT: usize = 60;

/// How often others are told what was counted where nothing was, in time for them to know that this jobshim is there.
const TELL: Duration = Duration::from_secs(60);

/// So many failures are more than a mishap.
const A_FEW: u64 = 3;

/// What became of the latest calls of a route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecentCalls {
    /// All of them.
    pub calls: u64,
    /// Answered with 5xx.
    pub failed: u64,
    /// Answered from the Jobs API, not with 5xx.
    pub translated: u64,
}

impl RecentCalls {
    /// Whether more than half of them failed, where there were a few.
    pub fn mostly_fails(self) -> bool {
        self.failed > self.calls / 2 && self.failed >= A_FEW
    }
}

/// How much of the past a track keeps.
struct Resolution {
    /// Steps kept.
    steps: usize,
    /// How many looks make one.
    looks: u32,
}

const HOUR: Resolution = Resolution { steps: 720, looks: 1 };
const DAY: Resolution = Resolution { steps: 288, looks: 60 };

/// The hour and the day.
#[derive(Debug)]
pub struct Series {
    tracks: Mutex<[Track; 2]>,
    others: Mutex<Others>,
    /// What they were told last, and when.
    told: Mutex<Option<(Counters, Instant)>>,
}

impl Default for Series {
    fn default() -> Self {
        Self {
            tracks: Mutex::new([Track::new(HOUR), Track::new(DAY)]),
            others: Mutex::default(),
            told: Mutex::default(),
        }
    }
}

#[derive(Debug)]
struct Track {
    length: usize,
    looks: u32,
    looked: u32,
    before: Counters,
    steps: VecDeque<Step>,
}

/// What has changed between two looks.
#[derive(Debug)]
struct Step {
    at_ms: u64,
    requests: Box<[KindCount]>,
    hits: u32,
    misses: u32,
    /// Of answers from the Jobs API, and of those of the upstream.
    latency: [Option<Latency>; 2],
}

/// How many requests of one kind came in a step.
#[derive(Debug)]
struct KindCount {
    /// The kind's number: thousands of steps are kept.
    kind: u16,
    count: u32,
}

/// How long answers took in a step, in ms.
#[derive(Clone, Copy, Debug)]
struct Latency {
    p50: f32,
    p95: f32,
}

impl Step {
    /// What was counted in it.
    fn of(counted: &Counters) -> Self {
        let small = |count: u64| u32::try_from(count).unwrap_or(u32::MAX);
        let requests = counted.requests.iter().filter_map(|(&number, &count)| {
            let kind = u16::try_from(number).ok()?;
            let count = small(count);
            Some(KindCount { kind, count })
        });
        let latency = counted.durations.each_ref().map(|counts| {
            let ms = |q| quantile(counts, q).map(|seconds| (seconds * 1000.0) as f32);
            Some(Latency {
                p50: ms(0.5)?,
                p95: ms(0.95)?,
            })
        });
        Self {
            at_ms: now_ms(),
            requests: requests.collect(),
            hits: small(counted.hits),
            misses: small(counted.misses),
            latency,
        }
    }
}

impl Track {
    fn new(resolution: Resolution) -> Self {
        Self {
            length: resolution.steps,
            looks: resolution.looks,
            looked: 0,
            before: Counters::default(),
            steps: VecDeque::new(),
        }
    }

    fn look(&mut self, now: &Counters) -> Option<&Step> {
        self.looked += 1;
        if self.looked < self.looks {
            return None;
        }
        self.looked = 0;
        self.steps.push_back(Step::of(&now.since(&self.before)));
        self.before = now.clone();
        if self.steps.len() > self.length {
            self.steps.pop_front();
        }
        self.steps.back()
    }

    /// Columns for the page: one number a step. The totals also have what came since the last step, until `now`.
    fn columns(&self, now: &Counters) -> Value {
        let mut columns = Columns {
            length: self.steps.len(),
            named: BTreeMap::new(),
            routes: BTreeMap::new(),
        };
        for (place, step) in self.steps.iter().enumerate() {
            for requests in &step.requests {
                if let Some(kind) = RequestKind::numbered(usize::from(requests.kind)) {
                    columns.count(kind, place, requests.count);
                }
            }
        }
        let begun = Step::of(&now.since(&self.before));
        for requests in &begun.requests {
            if let Some(kind) = RequestKind::numbered(usize::from(requests.kind)) {
                columns.total(kind, requests.count);
            }
        }
        let cached = |number: fn(&Step) -> u32| -> u64 {
            let steps = self.steps.iter().chain([&begun]);
            steps.map(|step| u64::from(number(step))).sum()
        };
        let (hits, misses) = (cached(|step| step.hits), cached(|step| step.misses));
        let per_step = |value: fn(&Step) -> Value| -> Value { self.steps.iter().map(value).collect() };
        let quantiles = |source: usize, pick: fn(Latency) -> f32| -> Value {
            let at = |step: &Step| step.latency.get(source).copied().flatten().map(pick);
            self.steps.iter().map(|step| json!(at(step))).collect()
        };
        let totals = json!(columns.routes);
        let mut columns: Map<String, Value> = columns
            .named
            .into_iter()
            .map(|(group, named)| (group.to_owned(), json!(named)))
            .collect();
        columns.insert("totals".to_owned(), totals);
        columns.insert("cached".to_owned(), json!({"hits": hits, "misses": misses}));
        columns.insert("at".to_owned(), per_step(|step| json!(step.at_ms / 1000)));
        columns.insert("hits".to_owned(), per_step(|step| json!(step.hits)));
        columns.insert("misses".to_owned(), per_step(|step| json!(step.misses)));
        let latency = SOURCES.iter().enumerate().map(|(source, name)| {
            let both = json!({"p50": quantiles(source, |latency| latency.p50), "p95": quantiles(source, |latency| latency.p95)});
            (name.name().to_owned(), both)
        });
        columns.insert("latency".to_owned(), Value::Object(latency.collect()));
        columns.insert("step_s".to_owned(), json!(STEP.as_secs() * u64::from(self.looks)));
        Value::Object(columns)
    }
}

/// Requests by group and name, and those of each route in all.
struct Columns {
    length: usize,
    named: BTreeMap<&'static str, BTreeMap<&'static str, Vec<u32>>>,
    routes: BTreeMap<&'static str, Counts>,
}

impl Columns {
    fn total(&mut self, kind: RequestKind, count: u32) {
        let failed = kind.status == StatusClass::ServerError;
        let translated = kind.source == Source::JobsApi && !failed;
        let of = |counts: bool| u64::from(counts) * u64::from(count);
        let all = self.routes.entry(kind.route.name()).or_default();
        all.count += of(true);
        all.translated += of(translated);
        all.failed += of(failed);
    }

    fn count(&mut self, kind: RequestKind, place: usize, count: u32) {
        self.total(kind, count);
        let failed = kind.status == StatusClass::ServerError;
        let groups = [
            Some(("routes", kind.route.name())),
            kind.route.is_legacy().then(|| ("modes", kind.mode.name())),
            failed.then_some(("errors", if kind.route.is_legacy() { "legacy" } else { "passed" })),
        ];
        for (group, name) in groups.into_iter().flatten() {
            let column = self.named.entry(group).or_default().entry(name);
            let column = column.or_insert_with(|| vec![0; self.length]);
            if let Some(cell) = column.get_mut(place) {
                *cell = cell.saturating_add(count);
            }
        }
    }
}

impl Series {
    /// What this jobshim has counted, and the others since it knows of them.
    fn of_all(&self, metrics: &Metrics) -> Counters {
        let mut counted = Counters::at(metrics);
        counted.add(self.others.lock().sum());
        counted
    }

    /// What others are to be told, if there is something, or if this jobshim `ends`.
    pub fn to_tell(&self, metrics: &Metrics, ends: bool) -> Option<Counted> {
        let now = Counters::at(metrics);
        let mut told = self.told.lock();
        let is_known = |(before, at): &(Counters, Instant)| *before == now && at.elapsed() < TELL;
        if !ends && told.as_ref().is_some_and(is_known) {
            return None;
        }
        *told = Some((now.clone(), Instant::now()));
        Some(Counted {
            at_ms: now_ms(),
            ended: ends,
            counters: now,
        })
    }

    /// What [`Series::to_tell`] gave has not reached them.
    pub fn not_told(&self) {
        *self.told.lock() = None;
    }

    /// This is what another jobshim of the same store has counted. Where one is heard of for the first time, all of it counts if it
    /// `is_new`.
    pub fn hear(&self, name: String, counted: Counted, is_new: bool) {
        self.others.lock().hear(name, counted, is_new);
    }

    /// How many jobshims share the store, this one with them.
    pub fn jobshims(&self) -> usize {
        1 + self.others.lock().there()
    }

    /// Looks at the counters; to be called every [`STEP`]. Gives how many calls of which routes were answered since with
    /// 410, as their mode is `gone`.
    pub fn look(&self, metrics: &Metrics) -> Vec<(Endpoint, u64)> {
        let now = self.of_all(metrics);
        let mut tracks = self.tracks.lock();
        let [hour, day] = &mut *tracks;
        day.look(&now);
        let gone = |requests: &KindCount| {
            let kind = RequestKind::numbered(usize::from(requests.kind))?;
            let refused = kind.mode == Mode::Gone && kind.source == Source::Jobshim;
            let gone = refused && kind.status == StatusClass::ClientError && kind.route.is_legacy();
            gone.then_some((kind.route, u64::from(requests.count)))
        };
        let step = hour.look(&now);
        step.map_or_else(Vec::new, |step| step.requests.iter().filter_map(gone).collect())
    }

    /// What became of the calls of each route in the last five minutes.
    pub fn recent(&self) -> BTreeMap<Endpoint, RecentCalls> {
        let tracks = self.tracks.lock();
        let [hour, _] = &*tracks;
        let mut recent = BTreeMap::<Endpoint, RecentCalls>::new();
        let counts = hour.steps.iter().rev().take(RECENT).flat_map(|step| &step.requests);
        for requests in counts {
            let Some(kind) = RequestKind::numbered(usize::from(requests.kind)) else {
                continue;
            };
            let route = recent.entry(kind.route).or_default();
            let count = u64::from(requests.count);
            route.calls += count;
            if kind.status == StatusClass::ServerError {
                route.failed += count;
            } else if kind.source == Source::JobsApi {
                route.translated += count;
            }
        }
        recent
    }

    /// What happened in the last hour or day, in columns.
    pub fn columns(&self, span: Span, metrics: &Metrics) -> Value {
        let now = self.of_all(metrics);
        let tracks = self.tracks.lock();
        let [hour, day] = &*tracks;
        match span {
            Span::Hour => hour.columns(&now),
            Span::Day => day.columns(&now),
        }
    }
}

/// The names of routes and modes for people.
pub fn names() -> Value {
    let routes: Map<String, Value> = Endpoint::ALL
        .iter()
        .map(|route| (route.name().to_owned(), json!(route.shown())))
        .collect();
    let modes: Vec<_> = Mode::ALL.iter().map(|mode| mode.name()).collect();
    json!({"routes": routes, "modes": modes})
}

#[cfg(test)]
mod tests;
