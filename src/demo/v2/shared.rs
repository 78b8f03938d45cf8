//! What the connections of a simulated server share with who steers it.

use super::{
    options::{Call, Fault, Options},
    submit::State,
    wire::Writer,
};
use crate::demo::Seen;
use parking_lot::Mutex;
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, atomic::AtomicUsize},
};
use tokio::sync::watch;
use twox_hash::XxHash3_128;

/// How many requests are remembered, and the longest body of one.
const MAX_SEEN: usize = 10_000;
const MAX_SEEN_BODY: usize = 1 << 20;

/// What arrived.
#[derive(Default)]
pub(super) struct Arrived {
    pub latest: VecDeque<(Call, Seen)>,
    pub counts: BTreeMap<Call, usize>,
}

/// What will go wrong, how often, and with which requests.
pub(super) struct Planned {
    pub call: Option<Call>,
    pub times: usize,
    pub fault: Fault,
}

pub(super) struct Shared {
    pub options: Options,
    /// Where signed URLs lead.
    pub storage: SocketAddr,
    pub state: Mutex<State>,
    /// Tells event streams that something happened, and how often all of them were cut.
    pub cuts: watch::Sender<u64>,
    pub streams: Arc<AtomicUsize>,
    pub arrived: Mutex<Arrived>,
    pub planned: Mutex<Vec<Planned>>,
    pub secret: i64,
}

/// The time in µs.
pub(super) fn now() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

impl Shared {
    pub(super) fn new(options: Options, storage: SocketAddr) -> Self {
        let secret = now().wrapping_mul(i64::from(storage.port()) + 1);
        Self {
            options,
            storage,
            state: Mutex::new(State::new(secret)),
            cuts: watch::Sender::default(),
            streams: Arc::default(),
            arrived: Mutex::default(),
            planned: Mutex::default(),
            secret,
        }
    }

    /// Remembers a request.
    pub(super) fn note(&self, call: Call, mut seen: Seen) {
        let mut arrived = self.arrived.lock();
        *arrived.counts.entry(call).or_default() += 1;
        if seen.body.len() > MAX_SEEN_BODY {
            seen.body.clear();
        }
        if arrived.latest.len() >= MAX_SEEN {
            arrived.latest.pop_front();
        }
        arrived.latest.push_back((call, seen));
    }

    /// What goes wrong with this request, if anything; the fault that was planned first comes first.
    pub(super) fn fault(&self, call: Call) -> Option<Fault> {
        let mut planned = self.planned.lock();
        let place = planned.iter().position(|one| one.call.is_none_or(|of| of == call))?;
        let one = planned.get_mut(place)?;
        one.times -= 1;
        let fault = one.fault;
        if one.times == 0 {
            planned.remove(place);
        }
        Some(fault)
    }

    /// What is due by the clock happens, and streams hear of it.
    pub(super) fn tick(&self) {
        if self.state.lock().jobs.tick(&self.options, now()) {
            self.tell();
        }
    }

    /// Streams look again.
    pub(super) fn tell(&self) {
        self.cuts.send_modify(|_| {});
    }

    /// Lends what answers are written by, for a client that knows the server under `base`.
    pub(super) fn with_writer<T>(&self, base: &str, write: impl FnOnce(&Writer<'_>) -> T) -> T {
        let signed = |asset: &str, until: i64| self.signed_url(asset, until);
        write(&Writer {
            options: &self.options,
            base,
            now: now(),
            signed: self.options.redirect.then_some(&signed),
        })
    }

    fn signed_url(&self, asset: &str, until: i64) -> String {
        let signature = self.signature(asset, until);
        format!(
            "http://{}/blobs/{asset}?expires={until}&signature={signature}",
            self.storage
        )
    }

    pub(super) fn signature(&self, asset: &str, until: i64) -> String {
        let signed = format!("{} {asset} {until}", self.secret);
        format!("{:032x}", XxHash3_128::oneshot(signed.as_bytes()))
    }
}
