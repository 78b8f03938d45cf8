//! What is counted, under which names. The hot path adds to atomics that it finds by number; names and labels are made
//! once, when a series first counts, so that only series that happened are shown.

use super::{
    findings::Findings,
    histogram::Histogram,
    labels::{CacheResult, Call, Failure, Mode, Source, StatusClass},
};
use crate::routes::Endpoint;
use parking_lot::Mutex;
use prometheus_client::{
    encoding::prometheus_text,
    metrics::{counter::Counter, family::Family, gauge::Gauge, info::Info},
    registry::{Registry, Unit},
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, OnceLock},
};

/// A label: its name and its word.
type Label = (&'static str, &'static str);

/// The series of one metric, found by number.
#[derive(Debug)]
pub struct Cells<M> {
    family: Family<Vec<Label>, M>,
    cells: Box<[OnceLock<M>]>,
}

impl<M: Clone + Default + fmt::Debug> Cells<M> {
    fn new(count: usize) -> Self {
        Self {
            family: Family::default(),
            cells: std::iter::repeat_with(OnceLock::new).take(count).collect(),
        }
    }

    /// The series `number`; `labels` names it, the first time.
    fn with<R>(&self, number: usize, labels: impl FnOnce() -> Vec<Label>, count: impl FnOnce(&M) -> R) {
        if let Some(cell) = self.cells.get(number) {
            count(cell.get_or_init(|| self.family.get_or_create_owned(&labels())));
        }
    }

    /// The series that have counted, with their numbers.
    pub fn known(&self) -> impl Iterator<Item = (usize, &M)> {
        let cells = self.cells.iter().enumerate();
        cells.filter_map(|(number, cell)| Some((number, cell.get()?)))
    }
}

/// What one request is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestKind {
    /// Its endpoint.
    pub route: Endpoint,
    /// Its mode.
    pub mode: Mode,
    /// Where its answer came from.
    pub source: Source,
    /// What the answer was.
    pub status: StatusClass,
}

impl RequestKind {
    const COUNT: usize = Endpoint::ALL.len() * Mode::ALL.len() * Source::ALL.len() * StatusClass::ALL.len();

    fn number(self) -> usize {
        let number = self.route as usize;
        let number = number * Mode::ALL.len() + self.mode as usize;
        let number = number * Source::ALL.len() + self.source as usize;
        number * StatusClass::ALL.len() + self.status as usize
    }

    /// The kind with this number.
    pub fn numbered(number: usize) -> Option<Self> {
        let (rest, status) = (number / StatusClass::ALL.len(), number % StatusClass::ALL.len());
        let (rest, source) = (rest / Source::ALL.len(), rest % Source::ALL.len());
        let (rest, mode) = (rest / Mode::ALL.len(), rest % Mode::ALL.len());
        Some(Self {
            route: *Endpoint::ALL.get(rest)?,
            mode: *Mode::ALL.get(mode)?,
            source: *Source::ALL.get(source)?,
            status: *StatusClass::ALL.get(status)?,
        })
    }
}

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Requests, by [`RequestKind`].
    pub requests: Cells<Counter>,
    /// How long they took, by route and source.
    pub durations: Cells<Histogram>,
    /// Requests that have no answer yet, or not all of it.
    pub in_flight: Gauge,
    /// Requests that could not be answered for a mistake in jobshim.
    pub panics: Counter,
    received: Cells<Counter>,
    sent: Cells<Counter>,
    calls: Cells<Counter>,
    call_durations: Cells<Histogram>,
    failures: Cells<Counter>,
    lookups: Cells<Counter>,
    shadow_durations: Cells<Histogram>,
    /// Bytes of bodies held in memory.
    buffered: Gauge,
    /// Answers kept in memory.
    cache_entries: Gauge,
    /// What they take.
    cache_bytes: Gauge,
    /// Connections accepted from clients.
    pub connections: Counter,
    /// Those that are open.
    pub connections_open: Gauge,
    /// Upgraded connections that are open.
    pub tunnels_open: Gauge,
    tunnel_bytes: Cells<Counter>,
    /// 1 while the upstream answers.
    pub upstream_up: Gauge,
    rolled_back: Family<Vec<Label>, Gauge>,
    verdicts: Family<Vec<Label>, Gauge>,
    /// The verdict that is shown of each route.
    shown_verdicts: Mutex<BTreeMap<&'static str, &'static str>>,
}

impl Metrics {
    /// Nothing is counted yet; `findings` counts for itself.
    pub fn new(findings: Arc<Findings>) -> Self {
        let mut registry = Registry::with_prefix("jobshim");
        let metrics = Self {
            requests: Cells::new(RequestKind::COUNT),
            durations: Cells::new(Endpoint::ALL.len() * Source::ALL.len()),
            in_flight: Gauge::default(),
            panics: Counter::default(),
            received: Cells::new(Endpoint::ALL.len()),
            sent: Cells::new(Endpoint::ALL.len()),
            calls: Cells::new(Call::ALL.len() * StatusClass::ALL.len()),
            call_durations: Cells::new(Call::ALL.len()),
            failures: Cells::new(Call::ALL.len() * Failure::ALL.len()),
            lookups: Cells::new(CacheResult::ALL.len()),
            shadow_durations: Cells::new(Endpoint::ALL.len()),
            buffered: Gauge::default(),
            cache_entries: Gauge::default(),
            cache_bytes: Gauge::default(),
            connections: Counter::default(),
            connections_open: Gauge::default(),
            tunnels_open: Gauge::default(),
            tunnel_bytes: Cells::new(2),
            upstream_up: Gauge::default(),
            rolled_back: Family::default(),
            verdicts: Family::default(),
            shown_verdicts: Mutex::default(),
            registry: Registry::default(),
        };
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which jobshim this is", build);
        metrics.name_requests(&mut registry);
        metrics.name_upstream(&mut registry);
        metrics.name_cache(&mut registry);
        registry.register_collector(Box::new(findings));
        registry.register_with_unit(
            "shadow_translation_duration",
            "How long it took to make a translation that was compared; its client did not wait for it",
            Unit::Seconds,
            metrics.shadow_durations.family.clone(),
        );
        registry.register(
            "canary_rolled_back",
            "By route in mode canary: 1 when it has gone back to forwarding by itself, 0 while it goes on",
            metrics.rolled_back.clone(),
        );
        registry.register(
            "verdict",
            "1 for the verdict on each legacy route, as the page and the report have it in words",
            metrics.verdicts.clone(),
        );
        Self { registry, ..metrics }
    }

    fn name_requests(&self, registry: &mut Registry) {
        registry.register(
            "requests",
            "Requests by route, mode, where the answer came from and class of its status; none: the client left first",
            self.requests.family.clone(),
        );
        registry.register_with_unit(
            "request_duration",
            "From the head of a request to the last byte of its answer",
            Unit::Seconds,
            self.durations.family.clone(),
        );
        registry.register(
            "requests_in_flight",
            "Requests whose answer is not complete",
            self.in_flight.clone(),
        );
        registry.register(
            "panics",
            "Requests that failed for a mistake in jobshim; the log has more",
            self.panics.clone(),
        );
        registry.register_with_unit(
            "request",
            "Bytes of request bodies",
            Unit::Bytes,
            self.received.family.clone(),
        );
        registry.register_with_unit(
            "response",
            "Bytes of answer bodies",
            Unit::Bytes,
            self.sent.family.clone(),
        );
        registry.register(
            "connections",
            "Connections accepted from clients",
            self.connections.clone(),
        );
        registry.register(
            "connections_open",
            "Connections of clients that are open, upgraded ones included",
            self.connections_open.clone(),
        );
        registry.register(
            "tunnels_open",
            "Upgraded connections, such as WebSockets, that are open",
            self.tunnels_open.clone(),
        );
        registry.register_with_unit(
            "tunnel",
            "Bytes through upgraded connections, counted as they end",
            Unit::Bytes,
            self.tunnel_bytes.family.clone(),
        );
    }

    fn name_upstream(&self, registry: &mut Registry) {
        registry.register(
            "upstream_calls",
            "Calls to the upstream by what was asked and class of the answer's status; none: there was no answer",
            self.calls.family.clone(),
        );
        registry.register_with_unit(
            "upstream_call_duration",
            "How long a call took: what is passed on to the head of its answer, others to the last byte",
            Unit::Seconds,
            self.call_durations.family.clone(),
        );
        registry.register(
            "upstream_failures",
            "Calls to the upstream that have no answer, by what was asked and why",
            self.failures.family.clone(),
        );
        registry.register(
            "upstream_up",
            "1 when the last call to the upstream was answered, 0 when it was not or none was made",
            self.upstream_up.clone(),
        );
    }

    fn name_cache(&self, registry: &mut Registry) {
        registry.register(
            "cache_lookups",
            "Jobs looked up in memory, by whether they were there",
            self.lookups.family.clone(),
        );
        registry.register_with_unit(
            "buffered",
            "Bodies held in memory, and what is kept of lists while they are read, of server.max_buffered",
            Unit::Bytes,
            self.buffered.clone(),
        );
        registry.register("cache_entries", "Jobs kept in memory", self.cache_entries.clone());
        registry.register_with_unit(
            "cache",
            "What the jobs kept in memory take",
            Unit::Bytes,
            self.cache_bytes.clone(),
        );
    }

    /// A translation was made to be compared.
    pub fn shadowed(&self, route: Endpoint, duration: std::time::Duration) {
        let labels = || vec![("route", route.name())];
        self.shadow_durations
            .with(route as usize, labels, |histogram| histogram.observe(duration));
    }

    /// Whether the canary of a route has gone back; `None` for a route that is in another mode.
    pub fn canary(&self, route: &'static str, rolled_back: Option<bool>) {
        let labels = vec![("route", route)];
        match rolled_back {
            Some(back) => drop(self.rolled_back.get_or_create(&labels).set(i64::from(back))),
            None => drop(self.rolled_back.remove(&labels)),
        }
    }

    /// The verdicts on all routes.
    pub fn verdicts(&self, verdicts: impl Iterator<Item = [&'static str; 2]>) {
        let mut shown = self.shown_verdicts.lock();
        for [route, verdict] in verdicts {
            let labels = |verdict| vec![("route", route), ("verdict", verdict)];
            let before = shown.insert(route, verdict);
            if let Some(before) = before.filter(|before| *before != verdict) {
                self.verdicts.remove(&labels(before));
            }
            self.verdicts.get_or_create(&labels(verdict)).set(1);
        }
    }

    /// The Prometheus text format, version 0.0.4.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        prometheus_text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// What is held in memory now: so many jobs of so many bytes, and so many bytes of bodies.
    pub fn memory(&self, jobs: u64, job_bytes: u64, body_bytes: usize) {
        let signed = |number| i64::try_from(number).unwrap_or(i64::MAX);
        self.cache_entries.set(signed(jobs));
        self.cache_bytes.set(signed(job_bytes));
        self.buffered.set(i64::try_from(body_bytes).unwrap_or(i64::MAX));
    }

    /// A request has ended.
    pub fn request(&self, kind: RequestKind, duration: std::time::Duration, received: u64, sent: u64) {
        let RequestKind {
            route,
            mode,
            source,
            status,
        } = kind;
        let labels = || {
            vec![
                ("route", route.name()),
                ("mode", mode.name()),
                ("source", source.name()),
                ("status", status.name()),
            ]
        };
        self.requests.with(kind.number(), labels, |counter| counter.inc());
        let number = route as usize * Source::ALL.len() + source as usize;
        let labels = || vec![("route", route.name()), ("source", source.name())];
        self.durations
            .with(number, labels, |histogram| histogram.observe(duration));
        let labels = || vec![("route", route.name())];
        if received > 0 {
            self.received
                .with(route as usize, labels, |counter| counter.inc_by(received));
        }
        if sent > 0 {
            self.sent.with(route as usize, labels, |counter| counter.inc_by(sent));
        }
    }

    /// A call to the upstream has ended.
    pub fn call(&self, call: Call, status: StatusClass, duration: std::time::Duration) {
        let labels = || vec![("call", call.name()), ("status", status.name())];
        let number = call as usize * StatusClass::ALL.len() + status as usize;
        self.calls.with(number, labels, |counter| counter.inc());
        let labels = || vec![("call", call.name())];
        self.call_durations
            .with(call as usize, labels, |histogram| histogram.observe(duration));
    }

    /// A call to the upstream had no answer.
    pub fn failure(&self, call: Call, failure: Failure) {
        let labels = || vec![("call", call.name()), ("reason", failure.name())];
        let number = call as usize * Failure::ALL.len() + failure as usize;
        self.failures.with(number, labels, |counter| counter.inc());
    }

    /// `count` jobs were looked up in memory.
    pub fn cache(&self, result: CacheResult, count: u64) {
        let labels = || vec![("result", result.name())];
        self.lookups
            .with(result as usize, labels, |counter| counter.inc_by(count));
    }

    /// How many lookups have had this result.
    pub fn cached(&self, result: CacheResult) -> u64 {
        let known = self.lookups.known().find(|(number, _)| *number == result as usize);
        known.map_or(0, |(_, counter)| counter.get())
    }

    /// A tunnel has ended.
    pub fn tunnel(&self, from_client: u64, to_client: u64) {
        let directions = [("received", from_client), ("sent", to_client)];
        for (number, (direction, bytes)) in directions.into_iter().enumerate() {
            self.tunnel_bytes.with(
                number,
                || vec![("direction", direction)],
                |counter| {
                    counter.inc_by(bytes);
                },
            );
        }
    }
}
