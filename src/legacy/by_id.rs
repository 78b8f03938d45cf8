//! One job by its id: `GET /history/{id}`, `GET /api/history_v2/{id}` and `GET /api/job/{id}/status`.

use super::{
    Legacy, LegacyError,
    answer::{Cached, Inquiry, LegacyAnswer},
    cached_entry::CachedEntry,
    entries::LookupOutcome,
    entry::Entry,
    variant::Variant,
};
use crate::{
    auth::scope::Scope,
    http::encoding::{Encoding, NOT_WORTH_IT},
    jobs_api::{Caller, JobsSession},
    mapping::{View, dialect::State},
    routes::LegacyRoute,
};
use bytes::Bytes;
use http::HeaderMap;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Texts over this many bytes are compressed beside the requests, not among them.
const LONG: usize = 64 << 10;

/// What the memory has for a request.
pub enum Remembered {
    /// The answer.
    Answer(LegacyAnswer),
    /// The answer, still to be [compressed](Legacy::compressed).
    Plain(Box<Plain>),
}

/// An answer whose text is not remembered yet as it is to be sent.
pub struct Plain {
    answer: LegacyAnswer,
    kept: CachedEntry,
    id: Arc<str>,
    variant: Variant,
    scope: Scope,
    encoding: Encoding,
}

impl Legacy {
    /// The answer from memory, if there is one; nobody is asked. Only for a request that the upstream itself would not
    /// refuse.
    pub fn remembered(&self, route: &LegacyRoute, inquiry: Inquiry<'_>, scope: Scope) -> Option<Remembered> {
        self.in_memory(route, inquiry, scope, Cached::Hit)
    }

    /// The same when the upstream cannot be asked: as old as `cache.max_stale` allows.
    pub(super) async fn remembered_stale(
        &self,
        route: &LegacyRoute,
        inquiry: Inquiry<'_>,
        caller: &Caller,
    ) -> Option<LegacyAnswer> {
        if caller.is_foreign() {
            return None;
        }
        let remembered = self.in_memory(route, inquiry, caller.scope, Cached::Stale)?;
        Some(self.finished(remembered).await)
    }

    fn in_memory(&self, route: &LegacyRoute, inquiry: Inquiry<'_>, scope: Scope, cached: Cached) -> Option<Remembered> {
        let (id, view) = (route.id()?, View::of_route(route, false));
        let variant = Variant::plain(view, inquiry.origin());
        let good = |kept: &CachedEntry| kept.newest && (!kept.stale || cached == Cached::Stale);
        let recall = |variant: &Variant| self.recall(scope, id, variant).filter(good);
        // A status is too short to be compressed.
        if let Some(encoding) = inquiry.encoding.filter(|_| view != View::JobStatus)
            && let Some(kept) = recall(&variant.compressed(encoding))
        {
            let answer = LegacyAnswer::kept_whole(self.table(view), &kept, cached, inquiry);
            return Some(Remembered::Answer(answer.encoded(encoding)));
        }
        let kept = recall(&variant)?;
        Some(self.answer_one(kept, id, variant, scope, cached, inquiry))
    }

    pub(super) async fn one(
        self: &Arc<Self>,
        id: &Arc<str>,
        view: View,
        inquiry: Inquiry<'_>,
        session: &JobsSession,
    ) -> Result<LegacyAnswer, LegacyError> {
        let (outcome, shared) = self.fetch(session, view, id, None).await?;
        Ok(match outcome {
            LookupOutcome::Shown {
                state: State::Finished,
                kept,
                ..
            } if self.hidden.is_hidden(session.caller().scope, id, kept.run.created()) => {
                self.none(view, kept.headers, None)
            }
            LookupOutcome::Shown { kept, stored, .. } => {
                let variant = Variant::plain(view, session.caller().origin());
                let cached = Cached::Miss { shared, stored };
                let answer = self.answer_one(*kept, id, variant, session.caller().scope, cached, inquiry);
                Box::pin(self.finished(answer)).await
            }
            LookupOutcome::Elsewhere(headers, state) => self.none(view, headers, Some(state)),
            LookupOutcome::Absent(Some(headers)) | LookupOutcome::NoSuchPath(headers, _) => {
                self.none(view, headers, None)
            }
            LookupOutcome::Absent(None) => LegacyAnswer {
                asked: false,
                ..self.none(view, Arc::default(), None)
            },
        })
    }

    /// There is no such job, or it is not finished, and stands at `state`.
    fn none(&self, view: View, headers: Arc<HeaderMap>, state: Option<State>) -> LegacyAnswer {
        let table = self.table(view);
        match view {
            View::History => LegacyAnswer {
                empty_for: Some(state),
                ..LegacyAnswer::whole(table, vec![Bytes::from_static(b"{}")], headers)
            },
            View::JobStatus => LegacyAnswer::not_found(&self.tables.answers.job_status, headers),
            _ => LegacyAnswer::not_found(&self.tables.answers.history_v2_detail, headers),
        }
    }

    fn answer_one(
        &self,
        kept: CachedEntry,
        id: &Arc<str>,
        variant: Variant,
        scope: Scope,
        cached: Cached,
        inquiry: Inquiry<'_>,
    ) -> Remembered {
        let table = self.table(variant.view);
        let answer = match variant.view {
            View::JobStatus => LegacyAnswer::kept(table, &kept, kept.entry.item(1).collect(), cached, inquiry),
            _ => LegacyAnswer::kept_whole(table, &kept, cached, inquiry),
        };
        let worth_it = variant.view != View::JobStatus && kept.entry.length() > NOT_WORTH_IT;
        let Some(encoding) = inquiry.encoding.filter(|_| worth_it && answer.status.is_success()) else {
            return Remembered::Answer(answer);
        };
        // The head is one of a text that is sent as it is.
        let answer = LegacyAnswer { head: None, ..answer };
        Remembered::Plain(Box::new(Plain {
            answer,
            kept,
            id: Arc::clone(id),
            variant,
            scope,
            encoding,
        }))
    }

    /// The answer as it is to be sent. The compressed form of a remembered text is remembered with it; where nothing is
    /// remembered, a text is compressed as it is sent.
    pub async fn finished(&self, remembered: Remembered) -> LegacyAnswer {
        let Plain {
            answer,
            kept,
            id,
            variant,
            scope,
            encoding,
        } = match remembered {
            Remembered::Answer(answer) => return answer,
            Remembered::Plain(plain) => *plain,
        };
        match self.compressed(kept, &id, variant, scope, encoding).await {
            Some(entry) => answer.with_text(&entry).encoded(encoding),
            None => answer,
        }
    }

    async fn compressed(
        &self,
        kept: CachedEntry,
        id: &Arc<str>,
        variant: Variant,
        scope: Scope,
        encoding: Encoding,
    ) -> Option<Entry> {
        let asked = self.memory.now(id);
        let known = self.memory.get(scope, id, &variant)?;
        if known.entry.version != kept.entry.version {
            return None;
        }
        let text = kept.entry.whole();
        let compressed = match text.len() > LONG {
            true => spawn_blocking(move || encoding.whole(&text)).await.ok()?,
            false => encoding.whole(&text),
        };
        let entry = kept.entry.compressed(compressed.ok()?);
        let ended = true;
        let kept = CachedEntry {
            entry: entry.clone(),
            ..kept
        };
        self.memory
            .keep(scope, id, ended, variant.compressed(encoding), kept, asked);
        Some(entry)
    }
}
