//! A legacy read: from memory, from the Jobs API, or from the server's own endpoint.

use super::{
    Pipeline,
    answer::Answer,
    failure::passed,
    request::{ClientRequest, LegacyRequest},
    translation::is_gone,
};
use crate::{
    auth::scope::Scope,
    http::{
        body::full,
        encoding::{AcceptedEncodings, Encoding},
        header_flags::HeaderFlags,
        request_head::RequestHead,
    },
    jobs_api::JobsError,
    legacy::{Cached, Inquiry, LegacyAnswer, LegacyError, Remembered},
    migration::{
        compare::{Reread, Shadowed},
        modes::Decision,
    },
    proxy::{
        forward::target,
        translated::{repeated, translated},
    },
    routes::LegacyRoute,
    telemetry::{CacheResult, RequestRecord, Source},
};
use http::Method;
use std::sync::Arc;

impl Pipeline {
    /// What of a read its answer depends on.
    pub(super) fn inquiry<'a>(&self, head: &'a RequestHead) -> Inquiry<'a> {
        let compresses = self.shared.compress && head.has(HeaderFlags::ACCEPT_ENCODING);
        Inquiry {
            query: head.query(),
            headers: head.flagged(),
            accepted: match compresses {
                true => AcceptedEncodings::of(head.headers()),
                false => AcceptedEncodings::default(),
            },
        }
    }

    /// The response of an answer from memory, with the headers of the one before. Where there was none, `finish` adds what
    /// every answer gets.
    pub(super) fn remembered(
        &self,
        record: &RequestRecord,
        route: &LegacyRoute,
        head: &RequestHead,
        encoding: Option<Encoding>,
        mut answer: LegacyAnswer,
        finish: impl FnOnce(Answer) -> Answer,
    ) -> Answer {
        record.source(Source::JobsApi);
        self.count_cached(record, answer.cached);
        let number = || self.read_number(route, record, head, self.scope(head));
        self.modes.succeeded(route.name(), number);
        let terms = (self.number, self.legacy.jobs().known_dialect());
        let written = answer.head.take();
        let answer = match written.as_ref().and_then(|head| head.made_on(terms)) {
            Some(headers) => {
                let mut answer = repeated(answer, headers);
                record.put_id(answer.response.headers_mut());
                answer
            }
            None => {
                let mut answer = finish(translated(answer, encoding, self.shared.compress));
                if let Some(written) = written {
                    // The next one writes its own in the place of this.
                    record.put_id(answer.response.headers_mut());
                    written.keep(terms, answer.response.headers().clone());
                }
                answer
            }
        };
        for_method(head.method(), answer)
    }

    /// Answers a read for which `remembered` is what the memory has of the answer.
    pub(super) async fn read(
        &self,
        route: &LegacyRoute,
        call: LegacyRequest<'_>,
        remembered: Option<Remembered>,
    ) -> Answer {
        let decision = call.decision;
        if decision == Decision::Gone {
            let caller = call.caller();
            let successor = Some(route.successor(self.names()));
            return self.gone(&call.request.head, successor, &caller).await;
        }
        if let Some(remembered) = remembered {
            let head = &call.request.head;
            let encoding = self.inquiry(head).best_encoding();
            let answer = Box::pin(self.legacy.finished(remembered)).await;
            return self.remembered(call.request.record, route, head, encoding, answer, |answer| answer);
        }
        if !matches!(decision, Decision::Forward { .. }) {
            let request = self.read_number(route, call.request.record, &call.request.head, call.scope);
            let Some(translation_permit) = self.translation_permit().await else {
                return self.too_busy(route.name(), request);
            };
            let inquiry = self.inquiry(&call.request.head);
            let outcome = Box::pin(self.legacy.answer(route, inquiry, &call.caller())).await;
            // What goes on being asked for while it is sent is still one of the answers that are being made.
            let outcome = outcome.map(|answer| LegacyAnswer {
                body: answer.body.holding(translation_permit),
                ..answer
            });
            let missing = matches!(outcome, Err(LegacyError::Jobs(JobsError::Missing { .. })));
            let there = outcome.as_ref().is_ok_and(|answer| answer.asked);
            if decision == Decision::TranslateIfThere && (missing || there) {
                self.modes.jobs_api.found(!missing);
            }
            let outcome = match outcome {
                Err(LegacyError::Jobs(error @ JobsError::Unlistable { .. })) => {
                    let method = call.request.head.method().clone();
                    let answer = Box::pin(self.read_in_spite(route, error, call.request, request)).await;
                    return for_method(&method, answer);
                }
                outcome => outcome,
            };
            if decision == Decision::Translate || !missing {
                let record = call.request.record;
                record.source(Source::JobsApi);
                if let Ok(answer) = &outcome {
                    self.count_cached(record, answer.cached);
                }
                let answer = self
                    .answered(outcome, inquiry.best_encoding(), route.name(), request)
                    .await;
                return for_method(call.request.head.method(), answer);
            }
        }
        let compares = decision == Decision::Forward { compare: true };
        let shadowed = compares.then(|| self.shadowed(route, &call));
        let answer = passed(Box::pin(self.forward_read(route, call.request)).await);
        match shadowed {
            Some(shadowed) => answer.map(|response| self.shadow.compare(shadowed, response)),
            None => answer,
        }
    }

    /// The answer of the server's own endpoint to what its Jobs API fails at because of one job, which that endpoint does
    /// not mind; the error where it is not there.
    async fn read_in_spite(
        &self,
        route: &LegacyRoute,
        error: JobsError,
        request: ClientRequest<'_>,
        number: u64,
    ) -> Answer {
        self.shared.log_hint.say(&error.to_string());
        let record = request.record;
        match self.forward(request, false).await {
            Ok(response) if !is_gone(response.status()) => {
                // What the client was spared is a failure all the same.
                self.modes.failed(route.name(), number);
                Answer::upstream(response)
            }
            _ => {
                record.source(Source::JobsApi);
                self.answered(Err(error.into()), None, route.name(), number).await
            }
        }
    }

    /// A read as a number, which is the same when its client asks the same again.
    fn read_number(&self, route: &LegacyRoute, record: &RequestRecord, head: &RequestHead, scope: Scope) -> u64 {
        let client = record.peer.client;
        self.modes.request_number(scope, client, (route, head.query()))
    }

    /// What is needed to compare a forwarded read.
    fn shadowed(&self, route: &LegacyRoute, call: &LegacyRequest<'_>) -> Shadowed {
        let (head, caller) = (&call.request.head, call.caller_beside());
        let jobs = self.legacy.jobs();
        let sent = head.uri().path_and_query().map_or("/", |target| target.as_str());
        let method = head.method().clone();
        let reread = match &self.shared.legacy_upstream {
            Some(upstream) => Reread {
                method,
                target: sent.to_owned(),
                headers: caller.headers(upstream.is_https().then(|| upstream.authority())),
                upstream: Arc::clone(upstream),
            },
            None => {
                let kind = jobs.known_dialect();
                Reread {
                    method,
                    target: target(head.uri(), head.headers(), jobs, &self.shared.upstream, kind).into_owned(),
                    headers: caller.headers(jobs.host_for(kind)),
                    upstream: Arc::clone(&self.shared.upstream),
                }
            }
        };
        Shadowed {
            route: route.clone(),
            query: head.query().to_owned(),
            caller,
            legacy: Arc::clone(&self.legacy),
            modes: Arc::clone(&self.modes),
            reread,
            number: self.read_number(route, call.request.record, head, call.scope),
        }
    }

    /// What the memory had of an answer. Of a list, each entry counts.
    fn count_cached(&self, record: &RequestRecord, cached: Cached) {
        let (hits, misses) = match cached {
            Cached::No => (0, 0),
            Cached::Hit | Cached::Stale => (1, 0),
            Cached::Miss { .. } => (0, 1),
            Cached::Entries { kept, of } => (kept, of.saturating_sub(kept)),
        };
        for (result, count) in [(CacheResult::Hit, hits), (CacheResult::Miss, misses)] {
            if count > 0 {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                self.shared.observer.cache(&record.stats, result, count);
            }
        }
    }
}

/// The response without its body, where that is all that is asked for.
fn for_method(method: &Method, answer: Answer) -> Answer {
    match *method {
        Method::HEAD => answer.map(|response| response.map(|_| full(""))),
        _ => answer,
    }
}
