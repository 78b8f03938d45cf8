//! Seeing what jobshim does: each request is followed from its head to the last byte of its answer, each call to the
//! upstream to its outcome. What is counted is in `metrics`, under the words of `labels`; whether the upstream answers is
//! in `health`. It knows nothing of HTTP endpoints of its own: `admin` shows it.

mod client;
mod clock;
mod differing;
mod events;
mod findings;
mod found;
mod health;
mod histogram;
mod job_outcomes;
mod labels;
mod log_line;
mod metrics;
mod observed;
mod recent;
mod request_record;
mod request_stats;
mod series;
#[cfg(feature = "otel")]
mod spans;
#[cfg(not(feature = "otel"))]
#[path = "no_spans.rs"]
mod spans;
mod upstream_call;
mod usage;

pub use client::{ClientFingerprint, ClientId};
pub use clock::now_ms;
pub use differing::{Differing, DifferingAnswer};
pub use events::{Event, EventKind, Events, ShownEvent};
pub use findings::{Comparison, Finding, Findings, Kind, News};
pub use found::{Field, Found, Sample};
pub use health::{Health, Seen};
pub use job_outcomes::JobOutcomes;
pub use labels::{CacheResult, Call, Compared, Failure, Mode, Source, StatusClass};
pub use log_line::{JsonLines, RequestName, TextFields, of_this_request};
pub use metrics::{Metrics, RequestKind};
pub use observed::{OBSERVED_FOR, Observed};
pub use recent::{Counts, Span, Use};
pub use request_record::{REQUEST_ID, RecordedBody, RequestRecord};
pub use request_stats::RequestStats;
pub use series::{Counted, RecentCalls, STEP, Series, names};
pub use spans::Traces;
pub use upstream_call::UpstreamCall;
pub use usage::{Client, Clients, Usage};

use crate::http::request_head::{FlaggedHeaders, RequestHead};
use crate::http::{header_flags::HeaderFlags, hex::hex, peer::Peer};
use crate::routes::Endpoint;
use http::{HeaderMap, HeaderValue, Method};
use parking_lot::Mutex;
use prometheus_client::metrics::gauge::Gauge;
use ring::rand::{SecureRandom, SystemRandom};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

/// How long others wait for more of what they know, as it is told whole each time.
const OBSERVED_SLOWLY: Duration = Duration::from_secs(60);
/// How often others are told again what they know: after [`OBSERVED_FOR`] they forget it.
const OBSERVED_AGAIN: Duration = Duration::from_secs(3_600);
/// The longest request id that is taken from a client, in bytes.
const LONGEST_ID: usize = 128;

/// Everything seen.
pub struct Observer {
    metrics: Metrics,
    health: Health,
    series: Series,
    usage: Usage,
    findings: Arc<Findings>,
    differing: Differing,
    events: Arc<Events>,
    /// By which tables and settings answers are compared.
    compared_by: AtomicU64,
    /// What others of the same store have told.
    others: observed::Others,
    /// What they were told last, and when.
    told: Mutex<Option<(Observed, Instant)>>,
    traces: Traces,
    /// Whether each request is a line of the log.
    log_access: bool,
    /// Sets the ids made by this run apart from those of others.
    run: u32,
    made: AtomicU64,
}

impl Default for Observer {
    fn default() -> Self {
        let findings = Arc::<Findings>::default();
        let events = Arc::<Events>::default();
        let mut run = [0; 4];
        // Without random bytes, ids may repeat after a restart; the scopes' key has complained by then.
        let _ = SystemRandom::new().fill(&mut run);
        Self {
            metrics: Metrics::new(Arc::clone(&findings)),
            health: Health::new(Arc::clone(&events)),
            series: Series::default(),
            usage: Usage::default(),
            findings,
            differing: Differing::default(),
            events,
            compared_by: AtomicU64::new(0),
            others: observed::Others::default(),
            told: Mutex::default(),
            traces: Traces::default(),
            log_access: false,
            run: u32::from_ne_bytes(run),
            made: AtomicU64::new(0),
        }
    }
}

impl Observer {
    /// Goes on from what was stored. With `log_access` each request becomes a line of the log.
    pub fn new(stored: Option<Clients>, log_access: bool) -> Self {
        Self {
            usage: stored.map_or_else(Usage::default, Usage::from),
            log_access,
            ..Self::default()
        }
    }

    /// A request for `route` has come. Its id is the one that was sent, or made.
    pub fn begin(self: &Arc<Self>, head: &RequestHead, route: Endpoint, peer: Peer) -> RequestRecord {
        self.metrics.in_flight.inc();
        let span = self.traces.of_request(head.parts(), route, peer.secure);
        RequestRecord {
            observer: Arc::clone(self),
            stats: Arc::new(RequestStats::of(span)),
            name: RequestName::new(self.request_id(head.flagged()), head.parts()),
            started: Instant::now(),
            route,
            mode: AtomicU8::new(Mode::Pass as u8),
            source: AtomicU8::new(Source::Jobshim as u8),
            peer,
            foreign: false,
            status: None,
            sent: 0,
            complete: false,
            client: None,
        }
    }

    fn request_id(&self, headers: FlaggedHeaders<'_>) -> HeaderValue {
        if let Some(sent) = headers.get(HeaderFlags::REQUEST_ID, &REQUEST_ID)
            && (1..=LONGEST_ID).contains(&sent.len())
            && sent.as_bytes().iter().all(u8::is_ascii_graphic)
        {
            return sent.clone();
        }
        let number = self.made.fetch_add(1, Relaxed);
        let mut made = *b"00000000-0000000000000000";
        hex(&mut made[..8], &self.run.to_be_bytes());
        hex(&mut made[9..], &number.to_be_bytes());
        HeaderValue::from_bytes(&made).unwrap_or(HeaderValue::from_static("0"))
    }

    /// A call to the server at `authority` begins, for the request that `stats` counts for. Its `headers` are told of the trace.
    pub fn calling(
        &self,
        call: Call,
        stats: &RequestStats,
        authority: &str,
        method: &Method,
        headers: &mut HeaderMap,
    ) -> UpstreamCall<'_> {
        stats.call();
        let span = self.traces.of_call(call, stats.span(), method, authority);
        span.put(headers);
        UpstreamCall {
            observer: self,
            call,
            span,
            started: Instant::now(),
            ended: None,
        }
    }

    /// A mistake in jobshim came to light in a request.
    pub fn panicked(&self) {
        self.metrics.panics.inc();
    }

    /// `count` jobs were looked up in memory for the request that `stats` counts for.
    pub fn cache(&self, stats: &RequestStats, result: CacheResult, count: u32) {
        stats.cache(result, count);
        self.metrics.cache(result, u64::from(count));
    }

    /// A client has connected; it is until the guard is dropped.
    pub fn connected(self: &Arc<Self>) -> Open {
        self.metrics.connections.inc();
        self.metrics.connections_open.inc();
        Open(Arc::clone(self), |metrics| &metrics.connections_open)
    }

    /// A connection became a tunnel; it is until the guard is dropped.
    pub fn tunnelled(self: &Arc<Self>) -> Open {
        self.metrics.tunnels_open.inc();
        Open(Arc::clone(self), |metrics| &metrics.tunnels_open)
    }

    /// A tunnel has carried these bytes.
    pub fn carried(&self, from_client: u64, to_client: u64) {
        self.metrics.tunnel(from_client, to_client);
    }

    /// Looks at the counters; to be called every [`STEP`].
    pub fn look(&self) {
        for (route, count) in self.series.look(&self.metrics) {
            self.events.gone(route, count);
        }
    }

    /// What happened over time.
    pub fn series(&self) -> &Series {
        &self.series
    }

    /// Who calls the legacy surface.
    pub fn usage(&self) -> &Usage {
        &self.usage
    }

    /// What comparisons found.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// The last answers that differed from their translation.
    pub fn differing(&self) -> &Differing {
        &self.differing
    }

    /// Answers are compared by these tables and settings from now on. What comparisons found says nothing of others: they
    /// begin anew.
    pub fn compare_by(&self, basis: u64) {
        if self.compared_by.swap(basis, Relaxed) != basis {
            self.findings.forget();
            self.differing.forget();
        }
    }

    /// What comparisons found, by route, whichever jobshim of the same store has made them.
    pub fn found(&self) -> BTreeMap<Endpoint, Found> {
        self.others
            .found(self.compared_by.load(Relaxed), self.findings.by_route())
    }

    /// The last answers that differed, whichever jobshim of the same store has compared them.
    pub fn latest_differing(&self) -> Vec<DifferingAnswer> {
        self.others
            .differing(self.compared_by.load(Relaxed), self.differing.latest())
    }

    /// What changed lately, here and on other jobshims of the same store.
    pub fn latest_events(&self) -> Vec<ShownEvent> {
        self.others.events(self.events.latest())
    }

    /// What others are to be told, if there is something that cannot wait, or if this jobshim `ends`.
    pub fn to_tell(&self, ends: bool) -> Option<Observed> {
        let now = Observed {
            told_ms: 0,
            compared_by: self.compared_by.load(Relaxed),
            found: self.findings.told(),
            differing: self.differing.latest(),
            events: self.events.told(),
        };
        let mut told = self.told.lock();
        let is_due = match &*told {
            None => !now.is_empty(),
            Some((before, at)) => {
                let pause = if now == *before {
                    OBSERVED_AGAIN
                } else {
                    OBSERVED_SLOWLY
                };
                now.has_news_since(before) || at.elapsed() >= pause || ends
            }
        };
        if !is_due {
            return None;
        }
        *told = Some((now.clone(), Instant::now()));
        Some(Observed {
            told_ms: now_ms(),
            ..now
        })
    }

    /// What [`Observer::to_tell`] gave has not reached them.
    pub fn not_told(&self) {
        *self.told.lock() = None;
    }

    /// This is what another jobshim of the same store has to tell.
    pub fn hear(&self, name: String, observed: Observed) {
        self.others.hear(name, observed);
    }

    /// Only these have anything to tell.
    pub fn hear_only(&self, names: &[String]) {
        self.others.only(names);
    }

    /// What changed while jobshim ran.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// Makes spans.
    pub fn traces(&self) -> &Traces {
        &self.traces
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Whether the upstream answers.
    pub fn health(&self) -> &Health {
        &self.health
    }
}

/// Something that is open.
pub struct Open(Arc<Observer>, fn(&Metrics) -> &Gauge);

impl Drop for Open {
    fn drop(&mut self) {
        self.1(&self.0.metrics).dec();
    }
}
