//! One job by its id: `GET /history/{id}`, `GET /api/history_v2/{id}` and `GET /api/job/{id}/status`.

use super::{
    Legacy, LegacyError,
    answer::{Cached, Inquiry, LegacyAnswer, LegacyBody},
    entries::Told,
    memory::{Form, Kept, Shape},
};
use crate::{
    encoding::{Encoding, NOT_WORTH_IT},
    jobs::{Caller, DialectKind, State},
    route::LegacyRoute,
    scope::Scope,
};
use bytes::Bytes;
use http::{HeaderMap, header::ORIGIN};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Texts over this many bytes are compressed beside the requests, not among them.
const LONG: usize = 64 << 10;

impl LegacyRoute {
    /// The job that it asks for by its id, and the table that shows it.
    fn one(&self) -> Option<(Arc<str>, Shape)> {
        match self {
            Self::HistoryOne(id) => Some((id.as_str().into(), Shape::History)),
            Self::HistoryV2One(id) => Some((id.as_str().into(), Shape::HistoryV2Detail)),
            Self::JobStatus(id) => Some((id.as_str().into(), Shape::JobStatus)),
            Self::History | Self::HistoryV2 | Self::Queue { .. } => None,
        }
    }
}

impl Legacy {
    /// The answer from memory, if there is one; nobody is asked. Only for a request that the upstream itself would not
    /// refuse.
    pub async fn remembered(&self, route: &LegacyRoute, inquiry: Inquiry<'_>, scope: Scope) -> Option<LegacyAnswer> {
        self.in_memory(route, inquiry, scope, Cached::Hit).await
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
        self.in_memory(route, inquiry, caller.scope, Cached::Stale).await
    }

    async fn in_memory(
        &self,
        route: &LegacyRoute,
        inquiry: Inquiry<'_>,
        scope: Scope,
        cached: Cached,
    ) -> Option<LegacyAnswer> {
        let (id, shape) = route.one()?;
        let form = Form::plain(shape, inquiry.headers.get(ORIGIN));
        let kept = self.recall(scope, &id, &form).await?;
        if kept.stale && cached != Cached::Stale {
            return None;
        }
        Some(self.answer_one(kept, &id, form, scope, cached, inquiry).await)
    }

    pub(super) async fn one(
        self: &Arc<Self>,
        id: &str,
        shape: Shape,
        inquiry: Inquiry<'_>,
        caller: &Arc<Caller>,
        kind: DialectKind,
    ) -> Result<LegacyAnswer, LegacyError> {
        let id = id.into();
        let (told, shared) = self.tell(caller, kind, shape, &id).await?;
        Ok(match told {
            Told::Shown {
                state: State::Finished,
                kept,
                ..
            } if self.hidden.is_hidden(caller.scope, &id, kept.created) => self.none(shape, kept.headers, None),
            Told::Shown { kept, stored, .. } => {
                let form = Form::plain(shape, caller.origin());
                let cached = Cached::Miss { shared, stored };
                self.answer_one(kept, &id, form, caller.scope, cached, inquiry).await
            }
            Told::Elsewhere(headers, state) => self.none(shape, headers, Some(state)),
            Told::Absent(Some(headers)) => self.none(shape, headers, None),
            Told::Absent(None) => LegacyAnswer {
                asked: false,
                ..self.none(shape, Arc::default(), None)
            },
        })
    }

    /// There is no such job, or it is not finished, and stands at `state`.
    fn none(&self, shape: Shape, headers: Arc<HeaderMap>, state: Option<State>) -> LegacyAnswer {
        let table = self.table(shape);
        match shape {
            Shape::History => LegacyAnswer {
                empty_for: Some(state),
                ..LegacyAnswer::whole(table, vec![Bytes::from_static(b"{}")], headers)
            },
            _ => LegacyAnswer::not_found(table, headers),
        }
    }

    async fn answer_one(
        &self,
        kept: Kept,
        id: &Arc<str>,
        form: Form,
        scope: Scope,
        cached: Cached,
        inquiry: Inquiry<'_>,
    ) -> LegacyAnswer {
        let table = self.table(form.shape);
        let body = match form.shape {
            Shape::JobStatus => kept.entry.item(1).collect(),
            _ => vec![kept.entry.whole()],
        };
        let answer = LegacyAnswer::kept(table, &kept, body, cached, inquiry);
        let worth_it = form.shape != Shape::JobStatus && kept.entry.length() > NOT_WORTH_IT;
        let encoding = inquiry.encoding.filter(|_| worth_it && answer.status.is_success());
        let Some(encoding) = encoding else {
            return answer;
        };
        match Box::pin(self.compressed(kept, id, form, scope, encoding)).await {
            Some(body) => LegacyAnswer {
                body: LegacyBody::Whole(vec![body]),
                encoding: Some(encoding),
                ..answer
            },
            None => answer,
        }
    }

    /// The compressed form of a remembered text, which is remembered with it. `None` where nothing is remembered: then
    /// it is compressed as it is sent.
    async fn compressed(
        &self,
        kept: Kept,
        id: &Arc<str>,
        form: Form,
        scope: Scope,
        encoding: Encoding,
    ) -> Option<Bytes> {
        let asked = self.memory.now();
        let known = self.memory.get(scope, id, &form).await?;
        if known.entry.version != kept.entry.version {
            return None;
        }
        let form = Form {
            encoding: Some(encoding),
            ..form
        };
        if let Some(known) = self.memory.get(scope, id, &form).await {
            return Some(known.entry.whole());
        }
        let text = kept.entry.whole();
        let compressed = match text.len() > LONG {
            true => spawn_blocking(move || encoding.whole(&text)).await.ok()?,
            false => encoding.whole(&text),
        };
        let text = compressed.ok()?;
        let entry = kept.entry.compressed(text.clone());
        let ended = true;
        self.memory
            .keep(scope, id, ended, form, Kept { entry, ..kept }, asked)
            .await;
        Some(text)
    }
}
