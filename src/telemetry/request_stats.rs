//! What one request cost: bytes received, calls to the upstream, lookups in memory. It goes along with everything done
//! for the request, and so does its span.

use super::{labels::CacheResult, spans::Span};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// The counts of one request.
#[derive(Debug, Default)]
pub struct RequestStats {
    received: AtomicU64,
    calls: AtomicU32,
    hits: AtomicU32,
    misses: AtomicU32,
    span: Span,
}

impl RequestStats {
    /// Of a request with this span.
    pub(super) fn of(span: Span) -> Self {
        Self {
            span,
            ..Self::default()
        }
    }

    /// Other counts for what is done beside the same request, in the same trace.
    pub fn beside(&self) -> Self {
        Self::of(self.span.clone())
    }

    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    pub(super) fn receive(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Relaxed);
    }

    pub(super) fn call(&self) {
        self.calls.fetch_add(1, Relaxed);
    }

    pub(super) fn cache(&self, result: CacheResult, count: u32) {
        let counter = match result {
            CacheResult::Hit => &self.hits,
            CacheResult::Miss => &self.misses,
        };
        counter.fetch_add(count, Relaxed);
    }

    /// Bytes of the request's body so far.
    pub fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// Calls to the upstream so far.
    pub fn calls(&self) -> u32 {
        self.calls.load(Relaxed)
    }

    /// What the cache had of what was looked up: `hit` for all of it, `partial`, `miss` for nothing; `none` when nothing
    /// was looked up.
    pub fn cache_result(&self) -> &'static str {
        match (self.hits.load(Relaxed), self.misses.load(Relaxed)) {
            (0, 0) => "none",
            (_, 0) => "hit",
            (0, _) => "miss",
            _ => "partial",
        }
    }
}
