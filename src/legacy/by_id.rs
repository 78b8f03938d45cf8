//! One job by its id: `GET /history/{id}`, `GET /api/history_v2/{id}` and `GET /api/job/{id}/status`.

use super::{
    Legacy, LegacyError,
    answer::{Cached, Inquiry, LegacyAnswer},
    cached_entry::{CachedEntry, FoundEntry},
    entries::LookupOutcome,
    names::ServerId,
    variant::Variant,
};
use crate::{
    auth::scope::Scope,
    http::encoding::{AcceptedEncodings, Encoding, NOT_WORTH_IT},
    jobs_api::{Caller, DialectKind, JobsSession},
    mapping::{View, dialect::State},
    routes::LegacyRoute,
};
use bytes::Bytes;
use http::HeaderMap;
use std::{borrow::Cow, sync::Arc};

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
    found: FoundEntry,
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
        let is_lost = self.kept.as_ref().is_some_and(|kept| kept.is_lost(scope, id));
        if is_lost && cached == Cached::Hit {
            return None;
        }
        let variant = Variant::plain(view, inquiry.origin());
        let good = |kept: &CachedEntry| kept.newest && (!kept.stale || cached == Cached::Stale);
        let recall = |variant: &Variant| self.recall(scope, id, variant).filter(good);
        // A status is too short to be compressed.
        let accepted = match view {
            View::JobStatus => AcceptedEncodings::default(),
            _ => inquiry.accepted,
        };
        let best = accepted.best(Encoding::Zstd);
        // Of two that the client takes alike, it gets what is at hand.
        let other = accepted.best(Encoding::Gzip).filter(|other| best != Some(*other));
        for encoding in [best, other].into_iter().flatten() {
            if let Some(kept) = recall(&variant.compressed(encoding)) {
                let answer = LegacyAnswer::kept_whole(self.table(view), &kept, cached, inquiry);
                return Some(Remembered::Answer(answer.encoded(encoding)));
            }
        }
        let kept = recall(&variant)?;
        if inquiry.knows(kept.entry.version) {
            let answer = LegacyAnswer::kept_whole(self.table(view), &kept, cached, inquiry);
            return Some(Remembered::Answer(answer));
        }
        let found = kept.found(&self.budget)?;
        Some(self.answer_one(found, id, variant, scope, cached, inquiry))
    }

    pub(super) async fn one(
        self: &Arc<Self>,
        id: &Arc<str>,
        view: View,
        inquiry: Inquiry<'_>,
        session: &JobsSession,
    ) -> Result<LegacyAnswer, LegacyError> {
        let (mut outcome, mut shared) = self.fetch(session, view, id, None).await?;
        let (scope, mut id) = (session.caller().scope, Cow::Borrowed(id));
        if let LookupOutcome::Absent(_) | LookupOutcome::NoSuchPath(..) = outcome
            && session.kind() != DialectKind::V2
            && let ServerId::UuidIfThere(uuid) = self.names.at_server(scope, &id)
        {
            // It may have been submitted under a UUID before a restart.
            let uuid = uuid.into();
            let named = Box::pin(self.fetch(session, view, &uuid, None)).await?;
            if matches!(named.0, LookupOutcome::Shown { .. } | LookupOutcome::Elsewhere(..)) {
                self.learn_name(scope, &id);
                (outcome, shared) = named;
                id = Cow::Owned(uuid);
            }
        }
        let id: &Arc<str> = &id;
        Ok(match outcome {
            LookupOutcome::Shown {
                state: State::Finished,
                found,
                ..
            } if self.hidden.is_hidden(scope, id, found.kept.run.told.created()) => {
                self.none(view, found.kept.headers, None)
            }
            LookupOutcome::Shown { found, stored, .. } => {
                let variant = Variant::plain(view, session.caller().origin());
                let cached = Cached::Miss { shared, stored };
                let answer = self.answer_one(*found, id, variant, scope, cached, inquiry);
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
        found: FoundEntry,
        id: &Arc<str>,
        variant: Variant,
        scope: Scope,
        cached: Cached,
        inquiry: Inquiry<'_>,
    ) -> Remembered {
        let table = self.table(variant.view);
        let FoundEntry { plain, kept } = &found;
        let answer = match variant.view {
            View::JobStatus => LegacyAnswer::kept(table, kept, plain.item(1).collect(), cached, inquiry),
            _ => LegacyAnswer::kept_whole(table, kept, cached, inquiry),
        };
        let worth_it = variant.view != View::JobStatus && plain.text().len() > NOT_WORTH_IT;
        let best = inquiry.best_encoding();
        let Some(encoding) = best.filter(|_| worth_it && answer.status.is_success()) else {
            return Remembered::Answer(answer);
        };
        // The head is one of a text that is sent as it is.
        let answer = LegacyAnswer { head: None, ..answer };
        Remembered::Plain(Box::new(Plain {
            answer,
            found,
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
            found,
            id,
            variant,
            scope,
            encoding,
        } = match remembered {
            Remembered::Answer(answer) => return answer,
            Remembered::Plain(plain) => *plain,
        };
        match self.compressed(&found, &id, &variant, scope, encoding).await {
            Some(entry) => answer.with_text(&entry).encoded(encoding),
            None => answer,
        }
    }
}
