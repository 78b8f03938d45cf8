//! A legacy read: from memory, from the Jobs API, or from the server's own endpoint.

use super::{Service, passage::refused, translation::is_gone};
use crate::{
    compare::{Reread, Shadowed},
    encoding::Encoding,
    forward::target,
    jobs::{Caller, JobsError},
    legacy::{Cached, Inquiry, LegacyAnswer, LegacyError, Remembered},
    marks::Marks,
    modes::Decision,
    observe::{CacheResult, Exchange, Source},
    response::{repeated, translated},
    route::LegacyRoute,
    scope::Scope,
    upstream::{Body, full},
};
use http::{Method, Response, request::Parts};
use std::sync::Arc;

impl Service {
    /// What of a read its answer depends on.
    pub(super) fn inquiry<'a>(&self, exchange: &Exchange, head: &'a Parts) -> Inquiry<'a> {
        let compresses = self.compress && exchange.marks.has(Marks::ACCEPT_ENCODING);
        Inquiry {
            query: head.uri.query().unwrap_or_default(),
            headers: &head.headers,
            marks: exchange.marks,
            encoding: compresses.then(|| Encoding::accepted(&head.headers)).flatten(),
        }
    }

    /// The response of an answer from memory, with the headers of the one before. Where there was none, `finish` adds what
    /// every answer gets.
    pub(super) fn remembered(
        &self,
        exchange: &Exchange,
        route: &LegacyRoute,
        method: &Method,
        encoding: Option<Encoding>,
        mut answer: LegacyAnswer,
        finish: impl FnOnce(Response<Body>) -> Response<Body>,
    ) -> Response<Body> {
        exchange.source(Source::JobsApi);
        self.count_cached(exchange, answer.cached);
        self.modes.translated(route.name(), false);
        let terms = (self.number, self.legacy.jobs().known_dialect());
        let head = answer.head.take();
        let response = match head.as_ref().and_then(|head| head.made_on(terms)) {
            Some(headers) => {
                let mut response = repeated(answer, headers);
                exchange.put_id(response.headers_mut());
                response
            }
            None => {
                let mut response = finish(translated(answer, encoding, self.compress));
                if let Some(head) = head {
                    // The next one writes its own in the place of this.
                    exchange.put_id(response.headers_mut());
                    head.keep(terms, response.headers().clone());
                }
                response
            }
        };
        for_method(method, response)
    }

    pub(super) async fn read(
        &self,
        exchange: &Exchange,
        route: &LegacyRoute,
        (decision, remembered): (Decision, Option<Remembered>),
        scope: Scope,
        head: Parts,
        body: Body,
    ) -> Response<Body> {
        if decision == Decision::Gone {
            let caller = self.caller(exchange, scope, &head);
            return self.gone(&head, Some(route.successor(self.names())), &caller).await;
        }
        if let Some(remembered) = remembered {
            let encoding = self.inquiry(exchange, &head).encoding;
            let answer = Box::pin(self.legacy.finished(remembered)).await;
            return self.remembered(exchange, route, &head.method, encoding, answer, |response| response);
        }
        if !matches!(decision, Decision::Forward { .. }) {
            let Some(turn) = self.turn().await else {
                return self.too_busy(route.name());
            };
            let inquiry = self.inquiry(exchange, &head);
            let caller = self.caller(exchange, scope, &head);
            let outcome = Box::pin(self.legacy.answer(route, inquiry, &caller)).await;
            // What goes on being asked for while it is sent is still one of the answers that are being made.
            let outcome = outcome.map(|answer| LegacyAnswer {
                body: answer.body.holding(turn),
                ..answer
            });
            let missing = matches!(outcome, Err(LegacyError::Jobs(JobsError::Missing { .. })));
            let there = outcome.as_ref().is_ok_and(|answer| answer.asked);
            if decision == Decision::TranslateIfThere && (missing || there) {
                self.modes.jobs_api.found(!missing);
            }
            let outcome = match outcome {
                Err(LegacyError::Jobs(error @ JobsError::Unlistable { .. })) => {
                    let method = head.method.clone();
                    let response = Box::pin(self.read_in_spite(exchange, route, error, head, body)).await;
                    return for_method(&method, response);
                }
                outcome => outcome,
            };
            if decision == Decision::Translate || !missing {
                exchange.source(Source::JobsApi);
                if let Ok(answer) = &outcome {
                    self.count_cached(exchange, answer.cached);
                }
                let response = self.answered(outcome, inquiry.encoding, route, route.name()).await;
                return for_method(&head.method, response);
            }
        }
        let compares = decision == Decision::Forward { compare: true };
        let shadowed = compares.then(|| self.shadowed(route, &head, self.caller_beside(exchange, scope, &head)));
        let forwarded = Box::pin(self.forward(exchange, head, body));
        let response = forwarded.await.unwrap_or_else(refused);
        match shadowed {
            Some(shadowed) => self.shadow.compare(shadowed, response),
            None => response,
        }
    }

    /// The answer of the server's own endpoint to what its Jobs API fails at because of one job, which that endpoint does
    /// not mind; the error where it is not there.
    async fn read_in_spite(
        &self,
        exchange: &Exchange,
        route: &LegacyRoute,
        error: JobsError,
        head: Parts,
        body: Body,
    ) -> Response<Body> {
        self.adviser.say(&error.to_string());
        match self.forward(exchange, head, body).await {
            Ok(response) if !is_gone(response.status()) => {
                // What the client was spared is a failure all the same.
                self.modes.translated(route.name(), true);
                response
            }
            _ => {
                exchange.source(Source::JobsApi);
                self.answered(Err(error.into()), None, route, route.name()).await
            }
        }
    }

    /// What is needed to compare a forwarded read.
    fn shadowed(&self, route: &LegacyRoute, head: &Parts, caller: Arc<Caller>) -> Shadowed {
        let jobs = self.legacy.jobs();
        let sent = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let method = head.method.clone();
        let reread = match &self.legacy_upstream {
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
                    target: target(&head.uri, &head.headers, jobs, &self.upstream, kind).into_owned(),
                    headers: caller.headers(jobs.host_for(kind)),
                    upstream: Arc::clone(&self.upstream),
                }
            }
        };
        Shadowed {
            route: route.clone(),
            query: head.uri.query().unwrap_or_default().to_owned(),
            caller,
            legacy: Arc::clone(&self.legacy),
            modes: Arc::clone(&self.modes),
            reread,
        }
    }

    /// What the memory had of an answer. Of a list, each entry counts.
    fn count_cached(&self, exchange: &Exchange, cached: Cached) {
        let (hits, misses) = match cached {
            Cached::No => (0, 0),
            Cached::Hit | Cached::Stale => (1, 0),
            Cached::Miss { .. } => (0, 1),
            Cached::Entries { kept, of } => (kept, of.saturating_sub(kept)),
        };
        for (result, count) in [(CacheResult::Hit, hits), (CacheResult::Miss, misses)] {
            if count > 0 {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                self.observer.cache(&exchange.tally, result, count);
            }
        }
    }
}

/// The response without its body, where that is all that is asked for.
fn for_method(method: &Method, response: Response<Body>) -> Response<Body> {
    match *method {
        Method::HEAD => response.map(|_| full("")),
        _ => response,
    }
}
