//! Compressed forms of entries: made where they are needed first, and kept.

use super::{
    Legacy,
    cached_entry::{CachedEntry, FoundEntry},
    cached_job::JobKey,
    entry::{Entry, PlainEntry},
    entry_cache::Admission,
    variant::Variant,
};
use crate::{
    auth::scope::Scope,
    http::encoding::{Encoding, NOT_WORTH_IT},
};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Texts over this many bytes are compressed beside the requests, not among them.
const LONG: usize = 64 << 10;
/// Texts of fewer bytes are not packed: what is kept besides a text would hardly get less.
pub(super) const WORTH_PACKING: usize = 4 * NOT_WORTH_IT;
/// By how much a text shrinks at best that is worth the try.
const PACKED_AT_BEST: usize = 32;

impl PlainEntry {
    /// The same entry, compressed. `None` if that fails.
    pub(super) async fn compressed_aside(&self, encoding: Encoding) -> Option<Entry> {
        if self.text().len() <= LONG {
            return self.compressed(encoding);
        }
        let plain = self.clone();
        spawn_blocking(move || plain.compressed(encoding)).await.ok()?
    }
}

impl Legacy {
    /// A compressed form of `found`. It is remembered if that is. `None` where nothing is, or something else.
    pub(super) async fn compressed(
        &self,
        found: &FoundEntry,
        id: &Arc<str>,
        variant: &Variant,
        scope: Scope,
        encoding: Encoding,
    ) -> Option<Entry> {
        let asked = self.memory.now(id);
        let known = self.memory.get(scope, id, variant)?;
        if known.entry.version != found.kept.entry.version {
            return None;
        }
        if encoding == Encoding::Gzip && known.entry.packed().is_some() {
            return Some(known.entry);
        }
        let entry = found.plain.compressed_aside(encoding).await?;
        let kept = CachedEntry {
            entry: entry.clone(),
            ..found.kept.clone()
        };
        let key = JobKey::of(scope, id);
        self.memory.keep_form(key, variant.compressed(encoding), kept, asked);
        Some(entry)
    }

    /// The form in which a new text is kept: packed where the memory is filled so far that it counts. `None` if there is no room
    /// for it, however short it is when it is packed.
    pub(super) async fn form_to_keep(
        &self,
        plain: &PlainEntry,
        variant: Variant,
        admission: Admission,
    ) -> Option<(Variant, Entry)> {
        let length = plain.text().len();
        let packs = variant.view.is_of_ended() && length >= WORTH_PACKING && self.memory.is_tight();
        if !packs {
            return Some((variant, plain.entry().clone()));
        }
        if !self.memory.admits(length / PACKED_AT_BEST, admission) {
            return None;
        }
        let packed = plain.compressed_aside(Encoding::Gzip).await;
        Some(match packed {
            Some(packed) => (variant.compressed(Encoding::Gzip), packed),
            None => (variant, plain.entry().clone()),
        })
    }
}
