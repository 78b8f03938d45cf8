//! An entry as it is kept, its version, and whether a list confirms them.

use super::{entry::Entry, runs::IdGeneration};
use crate::{http::entity_tag::Version, jobs_api::Run};
use http::HeaderMap;
use std::{sync::Arc, time::Instant};

/// A remembered text, and what the answer that carries it needs besides.
#[derive(Clone, Debug)]
pub(super) struct CachedEntry {
    /// As it is, or compressed.
    pub entry: Entry,
    /// The CORS headers that the upstream sent with the job.
    pub headers: Arc<HeaderMap>,
    /// Which run of its id it is.
    pub run: Run,
    /// The same, as the list told of it for which it was asked: lists and details may tell of an end by different members.
    pub listed: Option<Run>,
    /// No later run of the id is known to have been submitted: until one is, this is all there is to say of the id.
    pub newest: bool,
    /// It shows a queued job without its prompt, which nobody tells.
    pub hollow: bool,
    /// It is older than `cache.ttl`: good only while the upstream cannot be asked.
    pub stale: bool,
    /// It is old enough for a list that tells of it to renew it.
    pub renewable: bool,
}

/// What is known of a text that may have been driven out.
#[derive(Clone, Copy, Debug)]
pub(super) struct KnownVersion {
    /// Its version.
    pub version: Version,
    /// Which run of the id it is of.
    pub run: Run,
    pub(super) listed: Option<Run>,
    pub(super) since: Instant,
    pub(super) generation: IdGeneration,
}

impl CachedEntry {
    /// Whether a list that tells of `run` certainly tells of this.
    pub(super) fn is_confirmed_by(&self, run: &Run) -> bool {
        self.run.is_same(run) && self.listed.unwrap_or(self.run).is_certainly(run)
    }
}

impl KnownVersion {
    /// The same of a version.
    pub(super) fn is_confirmed_by(&self, run: &Run) -> bool {
        self.run.is_same(run) && self.listed.unwrap_or(self.run).is_certainly(run)
    }
}
