//! What is counted, and how: the hot path adds to atomics. Under which names it is shown is in `registration`.

mod cells;
mod process;
mod registration;
mod request_kind;

pub use request_kind::RequestKind;

use super::{
    clock::now_ms,
    findings::Findings,
    histogram::Histogram,
    labels::{CacheResult, Call, Failure, Source, StatusClass},
};
use crate::routes::Endpoint;
use cells::{Cells, Label};
use parking_lot::Mutex;
use prometheus_client::{
    encoding::prometheus_text,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};
use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, atomic::AtomicU64},
};

/// All metrics.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// What the system says of this process: names without `jobshim_`.
    process: Registry,
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
    state_stale: Gauge<f64, AtomicU64>,
    /// Jobs that stay answerable.
    kept_jobs: Gauge,
    /// What they take in the store.
    kept_bytes: Gauge,
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
    /// 1 unless the last reload was refused.
    config_taken: Gauge,
    /// When a configuration was last put in force, in seconds since 1970.
    config_taken_at: Gauge<f64, AtomicU64>,
    rolled_back: Family<Vec<Label>, Gauge>,
    verdicts: Family<Vec<Label>, Gauge>,
    /// The verdict that is shown of each route.
    shown_verdicts: Mutex<BTreeMap<&'static str, &'static str>>,
}

impl Metrics {
    /// Nothing is counted yet; `findings` counts for itself.
    pub fn new(findings: Arc<Findings>) -> Self {
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
            state_stale: Gauge::default(),
            kept_jobs: Gauge::default(),
            kept_bytes: Gauge::default(),
            cache_entries: Gauge::default(),
            cache_bytes: Gauge::default(),
            connections: Counter::default(),
            connections_open: Gauge::default(),
            tunnels_open: Gauge::default(),
            tunnel_bytes: Cells::new(2),
            upstream_up: Gauge::default(),
            config_taken: Gauge::default(),
            config_taken_at: Gauge::default(),
            rolled_back: Family::default(),
            verdicts: Family::default(),
            shown_verdicts: Mutex::default(),
            registry: Registry::default(),
            process: Registry::default(),
        };
        // The program would not run, had its first configuration been refused.
        metrics.configured(true);
        let mut process = Registry::default();
        process.register_collector(Box::new(process::Process));
        Self {
            registry: metrics.registry(findings),
            process,
            ..metrics
        }
    }

    /// A configuration was read: it is in force, or refused.
    pub fn configured(&self, taken: bool) {
        self.config_taken.set(i64::from(taken));
        if taken {
            self.config_taken_at.set(now_ms() as f64 / 1_000.0);
        }
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
        for registry in [&self.registry, &self.process] {
            prometheus_text::encode(&mut text, registry)?;
        }
        Ok(text)
    }

    /// What is held in memory now: so many jobs of so many bytes, and so many bytes of bodies.
    pub fn memory(&self, jobs: u64, job_bytes: u64, body_bytes: usize) {
        let signed = |number| i64::try_from(number).unwrap_or(i64::MAX);
        self.cache_entries.set(signed(jobs));
        self.cache_bytes.set(signed(job_bytes));
        self.buffered.set(i64::try_from(body_bytes).unwrap_or(i64::MAX));
    }

    /// The store that others share has not answered for so long.
    pub fn state_stale(&self, time: std::time::Duration) {
        self.state_stale.set(time.as_secs_f64());
    }

    /// So many jobs are kept, and take so many bytes in the store.
    pub fn kept(&self, jobs: usize, bytes: u64) {
        self.kept_jobs.set(i64::try_from(jobs).unwrap_or(i64::MAX));
        self.kept_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
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
