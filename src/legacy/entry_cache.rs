//! What is remembered: entries of finished jobs and items of queued ones, as bytes ready to send.
//!
//! What never changes is kept, what changes never is: which jobs exist, and what state they are in, is asked each time.
//! One cache entry is one job of one scope with all its forms, so that whoever touches a job drops all of it at once.
//! Versions are kept beside, as small as they are: a poller with more history than fits still hears "not modified".

use super::{
    cached_entry::{CachedEntry, CachedRun, KnownVersion},
    cached_job::{CachedJob, JobKey},
    last_lists::{LastLists, fingerprint},
    variant::Variant,
};
use crate::{
    auth::scope::Scope,
    config::CacheConfig,
    http::encoding::Encoding,
    jobs_api::Listed,
    legacy::runs::{IdGeneration, Runs},
    mapping::{View, dialect::State},
};
use moka::{
    Entry as MokaEntry,
    ops::compute::{CompResult, Op},
    policy::EvictionPolicy,
    sync::Cache,
};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

impl View {
    /// Whether it shows jobs that have ended, and no others.
    pub fn is_of_ended(self) -> bool {
        matches!(self, Self::History | Self::HistoryV2 | Self::HistoryV2Detail)
    }

    /// Whether its texts are answers as they are.
    pub fn is_sent_whole(self) -> bool {
        matches!(self, Self::History | Self::HistoryV2Detail)
    }

    /// Whether it shows jobs that have not ended.
    pub fn is_of_queued(self) -> bool {
        matches!(self, Self::Queue | Self::QueueCloud)
    }
}

/// A generation of what is known of an id, for [`EntryCache::keep`]: what was asked before something was dropped may be untrue
/// after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Generation {
    drops: u64,
    generation: IdGeneration,
}

/// What an entry may do to others where there is no room for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It takes the place of those that nobody has asked for the longest.
    DrivesOut,
    /// None is kept of it. Of a list that does not fit, each poll would miss the part that it has itself just driven out.
    IfRoom,
}

/// The cache.
pub(super) struct EntryCache {
    jobs: Cache<JobKey, Arc<CachedJob>>,
    versions: Cache<(JobKey, View), KnownVersion>,
    lists: LastLists,
    largest: usize,
    /// How many bytes jobs may take.
    capacity: u64,
    ttl: Duration,
    runs: Arc<Runs>,
    drops: AtomicU64,
    /// Bytes that were put in since the cache last drove out what was too much.
    unsettled: AtomicUsize,
}

/// What a version costs, in bytes: hash, key, and the cache's own bookkeeping.
const VERSION_COST: u32 = 384;
/// Which part of the budget versions may take.
const VERSIONS_PART: u64 = 16;
/// How often an entry is renewed within `cache.ttl` at most.
const RENEWALS: u32 = 8;
/// For how many times `cache.ttl` it is: what does not depend on the job alone, such as the server's CORS headers, may change.
const LONGEST_LIFE: u32 = 144;
/// Which part of the budget the last lists may take.
const LISTS_PART: u64 = 64;
/// Which part of what jobs may take is filled with plain texts: those that come after are packed, some ten times as many.
const ROOMY_PART: u64 = 2;
/// An entry over this part of the budget is not kept: it would drive everything else out.
const LARGEST_PART: usize = 8;

impl EntryCache {
    /// An empty one. What it holds of an id ends with that one's generation in `runs`.
    pub(super) fn new(config: &CacheConfig, runs: Arc<Runs>) -> Self {
        let budget = config.max_bytes as u64;
        let (versions, lists) = (budget / VERSIONS_PART, budget / LISTS_PART);
        let jobs = budget - versions - lists;
        let longest = config.ttl.saturating_add(config.max_stale);
        Self {
            jobs: Cache::builder()
                .max_capacity(jobs)
                .eviction_policy(EvictionPolicy::lru())
                .weigher(|key: &JobKey, job: &Arc<CachedJob>| {
                    u32::try_from(key.id.len().saturating_add(job.weight())).unwrap_or(u32::MAX)
                })
                .time_to_live(longest)
                .build(),
            versions: Cache::builder()
                .max_capacity(versions)
                .weigher(|_, _| VERSION_COST)
                .time_to_live(config.ttl)
                .build(),
            lists: LastLists::new(lists, config.ttl),
            largest: config.max_bytes / LARGEST_PART,
            capacity: jobs,
            ttl: config.ttl,
            runs,
            drops: AtomicU64::new(0),
            unsettled: AtomicUsize::new(0),
        }
    }

    /// How many jobs it holds, and the bytes that they take.
    pub(super) fn holds(&self) -> (u64, u64) {
        // What was put in or has expired since is not counted otherwise, while nobody asks.
        self.jobs.run_pending_tasks();
        (self.jobs.entry_count(), self.jobs.weighted_size())
    }

    /// Whether anything is ever kept.
    pub(super) fn is_on(&self) -> bool {
        self.largest > 0
    }

    /// What is kept of a job in this form. What is kept packed alone is had for the plain text, too.
    pub(super) fn get(&self, scope: Scope, id: &Arc<str>, variant: &Variant) -> Option<CachedEntry> {
        if !self.is_on() {
            return None;
        }
        let job = self.jobs.get(&JobKey::of(scope, id))?;
        if !self.runs.is_current(job.generation) {
            return None;
        }
        let kept = job.find(variant)?;
        let age = job.since.elapsed();
        Some(CachedEntry {
            stale: age >= self.ttl,
            renewable: age >= self.ttl / RENEWALS && job.first.elapsed() < self.ttl * LONGEST_LIFE,
            ..kept.clone()
        })
    }

    /// The version that a job's text has or had: what never changes has it still.
    pub(super) fn version(&self, scope: Scope, id: &Arc<str>, view: View) -> Option<KnownVersion> {
        let known = self.versions.get(&(JobKey::of(scope, id), view))?;
        self.runs.is_current(known.generation).then_some(known)
    }

    /// A generation of what is known of `id`.
    pub(super) fn now(&self, id: &str) -> Generation {
        Generation {
            drops: self.drops.load(Ordering::SeqCst),
            generation: self.runs.generation(id),
        }
    }

    /// Whether nothing was dropped since then.
    fn is_still(&self, generation: Generation) -> bool {
        generation.drops == self.drops.load(Ordering::SeqCst) && self.runs.is_current(generation.generation)
    }

    /// Whether it has so much that texts are to be kept packed.
    pub(super) fn is_tight(&self) -> bool {
        self.jobs.weighted_size() > self.capacity / ROOMY_PART
    }

    /// Whether so many bytes more drive nothing out.
    fn has_room_for(&self, cost: usize) -> bool {
        let unsettled = self.unsettled.load(Ordering::Relaxed);
        self.jobs.weighted_size() + (unsettled + cost) as u64 <= self.capacity
    }

    /// Whether entries of so many bytes fit, all of them together.
    pub(super) fn fits(&self, bytes: u64) -> bool {
        bytes <= self.capacity
    }

    /// Whether an entry of so many bytes may be kept.
    pub(super) fn admits(&self, bytes: usize, admission: Admission) -> bool {
        admission == Admission::DrivesOut || self.has_room_for(bytes)
    }

    /// Keeps a text that was asked for at `asked`, plain or packed, unless something was dropped since then. Whether it is
    /// kept now.
    pub(super) fn keep(
        &self,
        key: JobKey,
        ended: bool,
        variant: Variant,
        kept: CachedEntry,
        asked: Generation,
        admission: Admission,
    ) -> bool {
        if kept.entry.text_length() > self.largest || !self.is_still(asked) {
            return false;
        }
        self.keep_version(key.clone(), variant.view, &kept, asked.generation);
        // A text that was asked for again makes all new.
        let known = self.known(&key, ended, &kept.run);
        let replaced = known.as_ref().map_or(0, CachedJob::weight);
        let known = known.filter(|job| job.since.elapsed() < self.ttl);
        let mut job = known.unwrap_or_else(|| CachedJob::new(ended, kept.run, asked.generation));
        job.put_text(variant, kept);
        self.admits(job.weight().saturating_sub(replaced), admission) && self.put(key, job, asked)
    }

    /// Keeps another form of a text that is kept.
    pub(super) fn keep_form(&self, key: JobKey, variant: Variant, kept: CachedEntry, asked: Generation) {
        // It is as old as what it was made from.
        let known = self.known(&key, true, &kept.run).filter(|_| self.is_still(asked));
        let is_made_from = |job: &CachedJob| {
            let text = Variant {
                encoding: None,
                ..variant.clone()
            };
            job.find(&text).map(|text| text.entry.version) == Some(kept.entry.version)
        };
        if let Some(mut job) = known.filter(is_made_from) {
            let alone = variant.encoding == Some(Encoding::Gzip) && self.is_tight();
            job.put_form(variant, kept, alone);
            self.put(key, job, asked);
        }
    }

    /// What is kept of this very run.
    fn known(&self, key: &JobKey, ended: bool, run: &CachedRun) -> Option<CachedJob> {
        let job = self.jobs.get(key)?;
        let is_it = job.ended == ended && job.run.is_same(&run.told) && self.runs.is_current(job.generation);
        is_it.then(|| CachedJob::clone(&job))
    }

    fn put(&self, key: JobKey, job: CachedJob, asked: Generation) -> bool {
        let JobKey { scope, id } = key.clone();
        let (cost, ended) = (job.cost(), job.ended);
        let is_kept = cost <= self.largest;
        if is_kept {
            self.jobs.insert(key, Arc::new(job));
            self.settle(cost);
            if ended {
                self.lists.note_kept(scope, &id);
            }
        }
        // Dropped in the meantime: what was just put in may be older than that.
        if !self.is_still(asked) {
            self.invalidate(scope, &id);
        }
        is_kept
    }

    fn keep_version(&self, key: JobKey, view: View, kept: &CachedEntry, generation: IdGeneration) {
        let known = KnownVersion {
            version: kept.entry.version,
            length: kept.entry.length(),
            run: kept.run,
            since: Instant::now(),
            generation,
        };
        self.versions.insert((key, view), known);
    }

    /// A list has just told of the same run as `kept`: what is kept of it is as good as new.
    pub(super) fn renew(&self, scope: Scope, id: &Arc<str>, kept: &CachedEntry) {
        let asked = self.now(id);
        let is_it =
            |job: &Arc<CachedJob>| job.ended && job.run.is_same(&kept.run.told) && job.generation == asked.generation;
        let renewed = self.jobs.entry(JobKey::of(scope, id)).and_compute_with(|known| {
            match known.map(MokaEntry::into_value).filter(is_it) {
                Some(job) => Op::Put(Arc::new(job.renewed())),
                None => Op::Nop,
            }
        });
        if let CompResult::ReplacedWith(renewed) = renewed {
            for (variant, kept) in renewed.into_value().texts() {
                self.keep_version(JobKey::of(scope, id), variant.view, kept, asked.generation);
            }
            self.lists.note_kept(scope, id);
        }
        // Dropped in the meantime.
        if !self.is_still(asked) {
            self.invalidate(scope, id);
        }
    }

    /// The same for a version alone, whose text was driven out.
    pub(super) fn renew_version(&self, scope: Scope, id: &Arc<str>, view: View, known: KnownVersion) {
        if known.since.elapsed() < self.ttl / RENEWALS {
            return;
        }
        let asked = self.now(id);
        let since = Instant::now();
        self.versions
            .insert((JobKey::of(scope, id), view), KnownVersion { since, ..known });
        if !self.is_still(asked) {
            self.invalidate(scope, id);
        }
    }

    /// Drops what is kept of ended jobs that `jobs`, all that there are for `scope`, do not have: they were deleted on the
    /// server itself.
    pub(super) fn retain_listed(&self, scope: Scope, jobs: &[Listed]) {
        if !self.is_on() {
            return;
        }
        let ended = jobs.iter().filter(|job| job.state == State::Finished);
        let listed: HashSet<u64> = ended.map(|job| fingerprint(scope, &job.id)).collect();
        if self.lists.may_have_others(scope, &listed) {
            let of_scope = self.jobs.iter().filter(|(key, job)| key.scope == scope && job.ended);
            let gone = of_scope.filter(|(key, _)| !listed.contains(&fingerprint(scope, &key.id)));
            gone.for_each(|(key, _)| self.invalidate(scope, &key.id));
        }
        self.lists.put(scope, listed);
    }

    /// The cache drives out what is too much from time to time; large entries do not wait for that.
    fn settle(&self, added: usize) {
        let unsettled = self.unsettled.fetch_add(added, Ordering::Relaxed) + added;
        if unsettled > self.largest / 4 {
            self.unsettled.store(0, Ordering::Relaxed);
            self.jobs.run_pending_tasks();
        }
    }

    /// Drops all of one job, in every scope: whoever asks may see what another one did to it. The room is free at once for
    /// `scope`.
    pub(super) fn forget(&self, scope: Scope, id: &Arc<str>) {
        self.runs.end(id);
        self.invalidate(scope, id);
    }

    fn invalidate(&self, scope: Scope, id: &Arc<str>) {
        self.jobs.invalidate(&JobKey::of(scope, id));
        for &view in View::ALL {
            self.versions.invalidate(&(JobKey::of(scope, id), view));
        }
    }

    /// Drops everything.
    pub(super) fn forget_all(&self) {
        self.drops.fetch_add(1, Ordering::SeqCst);
        self.jobs.invalidate_all();
        self.versions.invalidate_all();
        self.lists.clear();
    }
}
