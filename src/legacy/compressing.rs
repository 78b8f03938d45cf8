//! Compressed forms of entries: made where they are needed first, and kept.

use super::{
    Legacy,
    cached_entry::{CachedEntry, FoundEntry},
    entry::{Entry, PlainEntry},
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
        self.memory
            .keep_form(scope, id, variant.compressed(encoding), kept, asked);
        Some(entry)
    }

    /// The form in which a new text is kept: packed where the memory is filled so far that it counts.
    pub(super) async fn form_to_keep(&self, plain: &PlainEntry, variant: Variant) -> (Variant, Entry) {
        let packs = variant.view.is_of_ended() && plain.text().len() >= WORTH_PACKING && self.memory.is_tight();
        let packed = match packs {
            true => plain.compressed_aside(Encoding::Gzip).await,
            false => None,
        };
        match packed {
            Some(packed) => (variant.compressed(Encoding::Gzip), packed),
            None => (variant, plain.entry().clone()),
        }
    }
}
