//! What `POST /prompt` taught: kept per scope and job until the job's own detail says it, bounded in bytes.

use crate::{
    mapping::{Classes, Context, Table},
    scope::Scope,
};
use bytes::Bytes;
use moka::{policy::EvictionPolicy, sync::Cache};
use std::{
    cell::Cell,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

/// What a note costs besides its text: its key, and the cache's own bookkeeping.
const OVERHEAD: usize = 256;

/// Notes by scope and job id; a clone is the same notes.
#[derive(Clone)]
pub struct Notes {
    kept: Cache<(Scope, Arc<str>), Bytes>,
    /// Something was noted once: where clients post no prompts through here, nothing need be looked for.
    any: Arc<AtomicBool>,
}

/// A note has no node classes in it.
struct NoClasses;

impl Classes for NoClasses {
    fn is_output(&self, _: &str) -> Option<bool> {
        None
    }
}

impl Notes {
    /// Keeps at most `max_bytes`, the oldest unused ones going first; 0 keeps none.
    pub fn new(max_bytes: u64) -> Self {
        let weigh = |key: &(Scope, Arc<str>), note: &Bytes| {
            let bytes = key.1.len().saturating_add(note.len()).saturating_add(OVERHEAD);
            u32::try_from(bytes).unwrap_or(u32::MAX)
        };
        Self {
            kept: Cache::builder()
                .max_capacity(max_bytes)
                .weigher(weigh)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            any: Arc::default(),
        }
    }

    /// The note on one job.
    pub fn get(&self, scope: Scope, id: &Arc<str>) -> Option<Bytes> {
        let any = self.any.load(Relaxed);
        any.then(|| self.kept.get(&(scope, Arc::clone(id)))).flatten()
    }

    /// Keeps a note, which [`note`] wrote.
    pub fn keep(&self, scope: Scope, id: String, note: Bytes) {
        self.any.store(true, Relaxed);
        self.kept.insert((scope, id.into()), note);
        // At once: a few notes more can be many megabytes.
        self.kept.run_pending_tasks();
    }

    /// Forgets one.
    pub fn forget(&self, scope: Scope, id: &Arc<str>) {
        self.kept.invalidate(&(scope, Arc::clone(id)));
    }
}

/// What table `prompt` keeps of a request's body, and of what was observed beside it; `None` when it is no JSON object or has
/// nothing to keep.
pub fn note(table: &Table, body: &[u8], observed: Option<&[u8]>) -> Option<Bytes> {
    let context = Context {
        place: Cell::default(),
        classes: &NoClasses,
    };
    let reading = table.plan.read(body, observed).ok()?;
    let mut out = Vec::new();
    table.plan.write(&reading, &context, &mut out).ok()?;
    Some(out.into())
}
