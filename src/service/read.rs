//! A legacy read: from memory, from the Jobs API, or from the server's own endpoint.

use super::{Service, passage::refused};
use crate::{
    compare::{Reread, Shadowed},
    encoding::Encoding,
    forward::target,
    jobs::{Caller, JobsError},
    legacy::{Cached, Inquiry, LegacyError},
    modes::Decision,
    observe::{CacheResult, Exchange, Source},
    route::LegacyRoute,
    upstream::{Body, full},
};
use http::{Method, Response, request::Parts};
use std::sync::Arc;

impl Service {
    pub(super) async fn read(
        &self,
        exchange: &Exchange,
        route: &LegacyRoute,
        head: Parts,
        body: Body,
    ) -> Response<Body> {
        let scope = self.scope(&head);
        let decision = self.decide(exchange, route.name(), &head, scope);
        if decision == Decision::Gone {
            let successor = route.successor(self.names());
            let caller = self.caller(exchange, scope, &head);
            return self.gone(&head, Some(&successor), &caller).await;
        }
        if !matches!(decision, Decision::Forward { .. }) {
            let encoding = Encoding::accepted(&head.headers).filter(|_| self.compress);
            let inquiry = Inquiry {
                query: head.uri.query().unwrap_or_default(),
                headers: &head.headers,
                encoding,
            };
            // From memory nobody is asked: it must not be a request that the upstream would refuse.
            let remembered = match exchange.foreign {
                true => None,
                false => self.legacy.remembered(route, inquiry, scope).await,
            };
            let outcome = match remembered {
                Some(answer) => Ok(answer),
                None => {
                    let Some(_turn) = self.turn().await else {
                        return self.too_busy(route.name());
                    };
                    let caller = self.caller(exchange, scope, &head);
                    Box::pin(self.legacy.answer(route, inquiry, &caller)).await
                }
            };
            let missing = matches!(outcome, Err(LegacyError::Jobs(JobsError::Missing { .. })));
            let there = outcome.as_ref().is_ok_and(|answer| answer.asked);
            if decision == Decision::TranslateIfThere && (missing || there) {
                self.modes.jobs_api.found(!missing);
            }
            if decision == Decision::Translate || !missing {
                exchange.source(Source::JobsApi);
                if let Ok(answer) = &outcome {
                    self.count_cached(exchange, answer.cached);
                }
                let response = self.answer(outcome, encoding, route, route.name()).await;
                return match head.method {
                    Method::HEAD => response.map(|_| full("")),
                    _ => response,
                };
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
