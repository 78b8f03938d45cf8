//! An entry as it is kept, its version, and whether a list confirms them.

use super::{
    entry::{Entry, PlainEntry},
    runs::IdGeneration,
};
use crate::{
    http::{buffered::BufferBudget, entity_tag::Version},
    jobs_api::Run,
};
use http::HeaderMap;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

/// A remembered text, and what the answer that carries it needs besides.
#[derive(Clone, Debug)]
pub(super) struct CachedEntry {
    /// As it is, or compressed.
    pub entry: Entry,
    /// The CORS headers that the upstream sent with the job.
    pub headers: Arc<HeaderMap>,
    /// Which run of its id it is.
    pub run: CachedRun,
    /// No later run of the id is known to have been submitted: until one is, this is all there is to say of the id.
    pub newest: bool,
    /// It shows a queued job without its prompt, which nobody tells.
    pub hollow: bool,
    /// It is older than `cache.ttl`: good only while the upstream cannot be asked.
    pub stale: bool,
    /// It is old enough for a list that tells of it to renew it.
    pub renewable: bool,
    /// Its server has lost the job: for how long jobshim had kept it when this was written.
    pub kept_for: Option<Duration>,
}

/// An entry that is to be shown, with its text at hand.
#[derive(Clone, Debug)]
pub(super) struct FoundEntry {
    pub plain: PlainEntry,
    /// The same, and what the answer that carries it needs besides.
    pub kept: CachedEntry,
}

/// What is known of a text that may have been driven out.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownVersion {
    /// Its version.
    pub version: Version,
    /// How long it was as it was kept, in bytes.
    pub length: usize,
    /// Which run of the id it is of.
    pub run: CachedRun,
    pub(super) since: Instant,
    pub(super) generation: IdGeneration,
}

/// A run of an id, by its detail and by the list for which that was asked: the two may tell of an end by different members.
#[derive(Clone, Copy, Debug)]
pub(super) struct CachedRun {
    /// As the detail told of it.
    pub told: Run,
    /// As the list did, if there was one.
    pub listed: Option<Run>,
}

impl CachedEntry {
    /// With its text, which is held within `budget` where it is kept packed. `None` where it cannot be had.
    pub(super) fn found(self, budget: &BufferBudget) -> Option<FoundEntry> {
        let plain = self.entry.plain(budget)?;
        let entry = plain.entry().clone();
        Some(FoundEntry {
            plain,
            kept: Self { entry, ..self },
        })
    }
}

impl CachedRun {
    /// Whether a list that tells of `run` tells of this.
    pub(super) fn is_same(&self, run: &Run) -> bool {
        self.told.is_same(run)
    }

    /// Whether it certainly does.
    pub(super) fn is_confirmed_by(&self, run: &Run) -> bool {
        self.is_same(run) && self.listed.unwrap_or(self.told).is_certainly(run)
    }
}
