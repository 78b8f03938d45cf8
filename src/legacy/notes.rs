//! What `POST /prompt` taught: kept per scope and job until the job's own detail says it, bounded in bytes. An id that is
//! used again has a note for each run.
//!
//! Whoever the server tells of a job may see what is noted of it, whoever sent it: many servers show everybody the same
//! jobs, under whatever credentials. A note is only asked for with the server's own answer about the job at hand.

use crate::{
    auth::scope::Scope,
    mapping::{NoClasses, PromptTable},
    store::Table,
};
use bytes::Bytes;
use moka::{ops::compute::Op, policy::EvictionPolicy, sync::Cache};
use serde::{Deserialize, Serialize};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

/// What a note costs besides its text: its key, and the cache's own bookkeeping.
const OVERHEAD: usize = 256;
/// Runs of one id that are noted, the latest ones.
const MAX_RUNS: usize = 4;
/// Scopes that are found by an id besides the one that asks, the latest ones.
const MAX_SENDERS: usize = 4;

/// What is noted of the runs of one id, as the other jobshims of a shared store have it.
pub const NOTES: Table<(Scope, String), StoredNotes> =
    Table::new("notes", "a note of a prompt").expiring_after(Duration::from_secs(86_400), 64 << 20);

/// The number and the text of each run, the latest first.
#[derive(Debug, Deserialize, Serialize)]
pub struct StoredNotes(Vec<(Option<f64>, String)>);

/// What is noted of one run.
#[derive(Clone)]
pub(super) struct Note {
    /// What the server gave it; see [`crate::legacy::runs`].
    number: Option<f64>,
    text: Bytes,
}

impl Note {
    /// Whether it is of the run with this number for sure: what somebody else sent may be another job of the same id.
    fn is_surely_of(&self, number: Option<f64>) -> bool {
        self.number.is_some() && self.number == number
    }

    /// Whether it can be of the run with this number.
    fn is_of(&self, number: Option<f64>) -> bool {
        !matches!((self.number, number), (Some(one), Some(other)) if one != other)
    }
}

/// The notes on one id, the latest first.
pub(super) type Noted = Arc<[Note]>;

/// Notes by scope and job id; a clone is the same notes.
#[derive(Clone)]
pub struct Notes {
    kept: Cache<(Scope, Arc<str>), Noted>,
    /// Who sent prompts under an id, the latest first.
    senders: Cache<Arc<str>, Arc<[Scope]>>,
    /// Something was noted once: where clients post no prompts through here, nothing need be looked for.
    any: Arc<AtomicBool>,
}

impl Notes {
    /// Keeps at most `max_bytes`, the oldest unused ones going first; 0 keeps none.
    pub fn new(max_bytes: u64) -> Self {
        let weigh = |key: &(Scope, Arc<str>), noted: &Noted| {
            let texts = noted.iter().map(|note| note.text.len().saturating_add(OVERHEAD));
            let bytes = texts.fold(key.1.len(), usize::saturating_add);
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        let weigh_senders = |id: &Arc<str>, _: &Arc<[Scope]>| {
            let bytes = OVERHEAD.saturating_add(id.len());
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self {
            // Small beside the notes themselves.
            senders: Cache::builder()
                .max_capacity(max_bytes / 8)
                .weigher(weigh_senders)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            kept: Cache::builder()
                .max_capacity(max_bytes)
                .weigher(weigh)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            any: Arc::default(),
        }
    }

    /// The note on the run of `id` that has this number, of `scope` itself if there is one. The server has answered this
    /// scope about that job.
    pub fn get(&self, scope: Scope, id: &Arc<str>, number: Option<f64>) -> Option<Bytes> {
        if !self.any.load(Relaxed) {
            return None;
        }
        let of = |scope: Scope, is_meant: &dyn Fn(&Note) -> bool| {
            let noted = self.kept.get(&(scope, Arc::clone(id)))?;
            let note = noted.iter().find(|note| is_meant(note))?;
            Some(note.text.clone())
        };
        let of_others = || {
            let senders = self.senders.get(id)?;
            let mut senders = senders.iter();
            senders.find_map(|&sender| of(sender, &|note| note.is_surely_of(number)))
        };
        of(scope, &|note| note.is_of(number)).or_else(of_others)
    }

    /// What is noted of the runs of `id` that `scope` sent.
    pub(super) fn of(&self, scope: Scope, id: &str) -> Option<Noted> {
        self.kept.get(&(scope, id.into()))
    }

    /// Keeps a note, which [`note`] wrote, on the run of `id` that has this number.
    pub fn keep(&self, scope: Scope, id: &str, number: Option<f64>, text: Bytes) {
        self.any.store(true, Relaxed);
        let id: Arc<str> = id.into();
        self.senders.entry(Arc::clone(&id)).and_upsert_with(|before| {
            let before = before.map(|before| before.into_value());
            let others = before.iter().flat_map(|senders| senders.iter()).copied();
            let others = others.filter(|other| *other != scope);
            std::iter::once(scope).chain(others).take(MAX_SENDERS).collect()
        });
        let note = Note { number, text };
        self.kept.entry((scope, id)).and_upsert_with(|before| {
            let before = before.map(|before| before.into_value());
            let others = before
                .iter()
                .flat_map(|noted| noted.iter())
                .filter(|other| !other.is_of(number));
            std::iter::once(&note).chain(others).take(MAX_RUNS).cloned().collect()
        });
        // At once: a few notes more can be many megabytes.
        self.kept.run_pending_tasks();
    }

    /// Forgets the notes on the run of `id` that has this number: the server tells all of it by now.
    pub fn forget(&self, scope: Scope, id: &Arc<str>, number: Option<f64>) {
        let senders = self.senders.get(id);
        let senders = senders.iter().flat_map(|senders| senders.iter()).copied();
        for sender in senders.filter(|sender| *sender != scope) {
            self.forget_of(sender, id, |note| note.is_surely_of(number));
        }
        self.forget_of(scope, id, |note| note.is_of(number));
    }

    fn forget_of(&self, scope: Scope, id: &Arc<str>, is_meant: impl Fn(&Note) -> bool) {
        self.kept.entry((scope, Arc::clone(id))).and_compute_with(|before| {
            let others: Noted = match before {
                Some(before) => before.value().iter().filter(|note| !is_meant(note)).cloned().collect(),
                None => return Op::Nop,
            };
            if others.is_empty() { Op::Remove } else { Op::Put(others) }
        });
    }
}

impl StoredNotes {
    /// `None` where a text is none that can be stored.
    pub(super) fn of(noted: &Noted) -> Option<Self> {
        let text = |note: &Note| Some((note.number, str::from_utf8(&note.text).ok()?.to_owned()));
        noted.iter().map(text).collect::<Option<_>>().map(Self)
    }

    /// The number and the text of each, the earliest first.
    pub(super) fn into_notes(self) -> impl Iterator<Item = (Option<f64>, String)> {
        self.0.into_iter().rev()
    }
}

/// What table `prompt` keeps of a request's body, and of what was observed beside it; `None` when it is no JSON object or has
/// nothing to keep.
pub fn note(table: &PromptTable, body: &[u8], observed: Option<&[u8]>) -> Option<Bytes> {
    let prepared = table.table.prepare(body, observed).ok()?;
    let mut out = Vec::new();
    prepared.write(&NoClasses, &mut out).ok()?;
    Some(out.into())
}
