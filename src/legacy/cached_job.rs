//! One job of one scope as it is kept, with all its forms: what they cost, and which of them stand side by side.

use super::{
    cached_entry::{CachedEntry, CachedRun},
    last_lists::fingerprint,
    runs::IdGeneration,
    variant::Variant,
};
use crate::{auth::scope::Scope, http::encoding::Encoding};
use http::HeaderValue;
use std::{
    hash::{Hash, Hasher},
    sync::Arc,
    time::Instant,
};

/// What an entry costs besides its text at most, in bytes, where it is the only form of its job.
pub(super) const ENTRY_OVERHEAD: usize = OVERHEAD + FORM_OVERHEAD + HEAD_OVERHEAD;
/// What a job costs besides its texts, in bytes: key, lists, and the cache's own bookkeeping.
const OVERHEAD: usize = 512;
/// What a form costs besides its text, in bytes, without its headers.
const FORM_OVERHEAD: usize = 448;
/// What the [`Head`](super::entry::Head) of an answer costs, in bytes.
const HEAD_OVERHEAD: usize = 1024;
/// Forms of one job that are kept; there are as many as there are origins that ask.
const MAX_VARIANTS: usize = 16;

/// A job of a scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct JobKey {
    pub(super) scope: Scope,
    pub(super) id: Arc<str>,
}

/// Quicker than the standard library's way with texts, and as safe.
impl Hash for JobKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(fingerprint(self.scope, &self.id));
    }
}

impl JobKey {
    pub(super) fn of(scope: Scope, id: &Arc<str>) -> Self {
        let id = Arc::clone(id);
        Self { scope, id }
    }
}

/// What is kept of it.
#[derive(Clone, Debug)]
pub(super) struct CachedJob {
    /// When it was first kept, and when it was last known to be as it is.
    pub(super) first: Instant,
    pub(super) since: Instant,
    pub(super) ended: bool,
    pub(super) run: CachedRun,
    pub(super) generation: IdGeneration,
    variants: Vec<(Variant, CachedEntry)>,
}

impl CachedJob {
    /// Without any form yet.
    pub(super) fn new(ended: bool, run: CachedRun, generation: IdGeneration) -> Self {
        let now = Instant::now();
        Self {
            first: now,
            since: now,
            ended,
            run,
            generation,
            variants: Vec::new(),
        }
    }

    /// The same, as good as new.
    pub(super) fn renewed(&self) -> Self {
        Self {
            since: Instant::now(),
            ..self.clone()
        }
    }

    /// The form that is asked for. What is packed is kept for the plain text, too, where that is not kept.
    pub(super) fn find(&self, variant: &Variant) -> Option<&CachedEntry> {
        let exact = |wanted: &Variant| self.variants.iter().find(|(known, _)| known == wanted);
        let found = exact(variant).or_else(|| match variant.encoding {
            None => exact(&variant.compressed(Encoding::Gzip)),
            Some(_) => None,
        });
        found.map(|(_, kept)| kept)
    }

    /// Those with all of a text, plain or packed.
    pub(super) fn texts(&self) -> impl Iterator<Item = &(Variant, CachedEntry)> {
        let variants = self.variants.iter();
        variants.filter(|(variant, _)| variant.encoding != Some(Encoding::Zstd))
    }

    /// Puts a new text in the place of all that was made from the old one.
    pub(super) fn put_text(&mut self, variant: Variant, kept: CachedEntry) {
        self.variants
            .retain(|(known, _)| known.view != variant.view || known.origin != variant.origin);
        self.put(variant, kept);
    }

    /// Adds another form of a text; `alone`, it takes the place of the text itself.
    pub(super) fn put_form(&mut self, variant: Variant, kept: CachedEntry, alone: bool) {
        self.variants.retain(|(known, _)| {
            let is_other = known.view != variant.view || known.origin != variant.origin;
            is_other || (known.encoding != variant.encoding && !(alone && known.encoding.is_none()))
        });
        self.put(variant, kept);
    }

    fn put(&mut self, variant: Variant, kept: CachedEntry) {
        if self.variants.len() >= MAX_VARIANTS {
            self.variants.remove(0);
        }
        self.variants.push((variant, kept));
    }

    /// What it takes, in bytes.
    pub(super) fn cost(&self) -> usize {
        let variants = self.variants.iter().map(|(variant, kept)| {
            let headers = kept
                .headers
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len() + 64);
            let origin = variant.origin.as_ref().map_or(0, HeaderValue::len);
            kept.entry.length() + origin + headers.sum::<usize>() + FORM_OVERHEAD
        });
        variants.sum::<usize>() + OVERHEAD
    }

    /// The same, with what the heads of answers will take.
    pub(super) fn weight(&self) -> usize {
        self.cost() + self.heads()
    }

    fn heads(&self) -> usize {
        let with_head = self.variants.iter().filter(|(variant, _)| variant.view.is_sent_whole());
        with_head.count() * HEAD_OVERHEAD
    }
}
