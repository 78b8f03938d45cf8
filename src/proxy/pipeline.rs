//! The steps of one request, from its head to its answer.

use super::{
    hints::{OriginHeaders, refusal},
    panics::contained,
    pass_through::refused,
    response::{LocalAnswer, forbidden, looped, not_admitted, refused_unread, say_whose},
    shared::Shared,
    shutdown::Shutdown,
};
use crate::{
    auth::{
        scope::{self, Scope},
        trusted_proxies,
    },
    http::{
        body::Body, header_flags::HeaderFlags, idle_timeout::IdleTimeoutBody, origin, peer::Peer,
        request_head::RequestHead, validate::validate,
    },
    jobs_api::{Caller, DialectKind},
    legacy::{Legacy, Remembered},
    mapping::dialect::Dialect,
    migration::{
        compare::Shadow,
        modes::{Decision, Modes},
        notices::Notices,
    },
    routes::{LegacyRoute, Route, route},
    telemetry::{Observer, RecordedBody, RequestRecord, RequestStats},
    upstream::Upstream,
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, Ready, ready},
};
use http::{Request, Response};
use hyper::body::{Body as _, Incoming};
use std::{iter, sync::Arc};

/// What answers requests: what stays for as long as the program runs, and what a reload replaces.
pub struct Pipeline {
    pub(super) shared: Arc<Shared>,
    /// Which one it is of those that were in force one after the other.
    pub(super) number: u64,
    pub(super) legacy: Arc<Legacy>,
    pub(super) modes: Arc<Modes>,
    pub(super) shadow: Shadow,
    pub(super) notices: Notices,
}

impl Pipeline {
    /// What has been seen so far.
    pub fn observer(&self) -> &Arc<Observer> {
        &self.shared.observer
    }

    /// The upstream client.
    pub fn upstream(&self) -> &Upstream {
        &self.shared.upstream
    }

    /// The legacy surface.
    pub fn legacy(&self) -> &Legacy {
        &self.legacy
    }

    /// The modes in force.
    pub fn modes(&self) -> &Modes {
        &self.modes
    }

    /// Answers one request, and watches the answer to its end. Never fails: every failure is a response. What can be done
    /// without waiting is done before there is a future, or before its ways part: hyper moves a future as it is, several
    /// times. `stop` goes along with what does not end with its request, a tunnel or a write.
    pub fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
        stop: &Shutdown,
    ) -> impl Future<Output = Response<RecordedBody>> + Send + use<> {
        let (head, body) = request.into_parts();
        let mut head = RequestHead::new(head);
        let way = route(head.method(), head.uri().path());
        let mut record = self.shared.observer.begin(&head, (&way).into(), peer);
        let validated = validate(head.parts(), &self.shared.bounds);
        if validated.is_ok() {
            trusted_proxies::settle(&self.shared.trusted_proxies, &mut head, &mut record.peer);
            record.foreign = origin::refuses(head.flagged(), head.uri());
        }
        if head.has(HeaderFlags::UPGRADE) || matches!(way, Route::Write(_)) {
            head.parts_mut().extensions.insert(stop.clone());
        }
        async move {
            let response = match validated {
                Ok(()) => {
                    let answering = || self.answer(&mut record, way, head, body);
                    contained(&self.shared.observer, answering).await
                }
                Err(unclear) => {
                    tracing::debug!(%unclear, "a request was refused");
                    refused_unread(unclear)
                }
            };
            let response = match self.would_refuse(&record, &response) {
                true => forbidden(),
                false => response,
            };
            record.watch(response)
        }
    }

    /// Whether `response` was made without asking the upstream, and the upstream is, or may be, a server that refuses what
    /// a web page of another site asks.
    fn would_refuse(&self, record: &RequestRecord, response: &Response<Body>) -> bool {
        record.foreign
            && self.legacy.jobs().known_dialect() != Some(DialectKind::Cloud)
            && response.extensions().get::<LocalAnswer>().is_some()
    }

    /// The answer, if it is at hand, or the way to it.
    fn answer<'a>(
        &'a self,
        record: &'a mut RequestRecord,
        way: Route,
        mut head: RequestHead,
        body: Incoming,
    ) -> Answering<'a> {
        // Before the door: what came round has lost its token on the way.
        let mut upstreams = iter::once(&self.shared.upstream).chain(&self.shared.legacy_upstream);
        if head.has(HeaderFlags::VIA) && upstreams.any(|upstream| upstream.has_sent(head.headers())) {
            self.shared
                .log_hint
                .say("a request came back here: upstream.url leads to jobshim itself, by another name");
            return at_once(looped());
        }
        if !self
            .shared
            .access
            .admits(head.parts_mut(), self.shared.store.scope_key())
        {
            return at_once(not_admitted());
        }
        if head.has(HeaderFlags::CREDENTIAL) {
            scope::remove_empty(head.headers_mut());
            if let Some(key) = self.legacy.jobs().key_names() {
                scope::move_key(head.headers_mut(), &key.header, &key.begins);
            }
        }
        let asked = OriginHeaders::of(head.flagged());
        match way {
            Route::PassThrough => {
                let body = self.named(record, &mut head, body);
                let hiding = self.legacy.hiding(&mut head, |head| self.scope(head));
                let passing = self.pass_hiding(record, head, body, hiding);
                later(passing.map(move |outcome| self.annotate(outcome.unwrap_or_else(refused), &asked)))
            }
            Route::Prompt => {
                let body = self.named(record, &mut head, body);
                let passing = self.prompt(record, head, body);
                later(passing.map(move |outcome| self.annotate(outcome.unwrap_or_else(refused), &asked)))
            }
            Route::WrongMethod(wrong) => self.answer_wrong_method(record, wrong, head, body),
            Route::Legacy(route) => self.answer_read(record, route, head, body, asked),
            Route::Write(write) => {
                let scope = self.scope(&head);
                let decision = self.decide(record, write.name(), &head, scope);
                let body = self.named(record, &mut head, body);
                let names = self.names();
                let writing = async move {
                    let mut response = self.write(record, (&write, decision), scope, head, body).await;
                    self.notices.put(response.headers_mut(), || write.successor(names));
                    self.annotate(response, &asked)
                };
                later(writing)
            }
        }
    }

    fn answer_read<'a>(
        &'a self,
        record: &'a mut RequestRecord,
        route: LegacyRoute,
        mut head: RequestHead,
        body: Incoming,
        asked: OriginHeaders,
    ) -> Answering<'a> {
        let scope = self.scope(&head);
        let decision = self.decide(record, route.name(), &head, scope);
        let names = self.names();
        let finish = move |route: &LegacyRoute, mut response: Response<Body>| {
            self.notices
                .put(response.headers_mut(), || Some(route.successor(names)));
            self.annotate(response, &asked)
        };
        let remembered = match decision {
            // From memory nobody is asked: it must not be a request that the upstream would refuse.
            Decision::Translate | Decision::TranslateIfThere if !record.foreign => {
                let inquiry = self.inquiry(&head);
                match self.legacy.remembered(&route, inquiry, scope) {
                    Some(Remembered::Answer(answer)) => {
                        let finish = |response| finish(&route, response);
                        let encoding = inquiry.encoding;
                        return at_once(self.remembered(record, &route, head.method(), encoding, answer, finish));
                    }
                    plain => plain,
                }
            }
            _ => None,
        };
        let body = self.named(record, &mut head, body);
        let reading = async move {
            let response = self
                .read(record, &route, (decision, remembered), scope, head, body)
                .await;
            finish(&route, response)
        };
        later(reading)
    }

    /// The body of a request that goes on, whose `head` gets the request's name, and is told of the body's moves.
    pub(super) fn named(&self, record: &RequestRecord, head: &mut RequestHead, body: Incoming) -> Body {
        record.put_name(head.headers_mut());
        let mut body = IdleTimeoutBody::new(body, self.shared.idle_timeout);
        if !body.is_end_stream() {
            head.parts_mut().extensions.insert(body.watched());
        }
        record.receiving(body)
    }

    pub(super) fn scope(&self, head: &RequestHead) -> Scope {
        self.shared.store.scope_key().scope(head)
    }

    pub(super) fn caller(&self, record: &RequestRecord, scope: Scope, head: &RequestHead) -> Arc<Caller> {
        self.caller_counted_by(Arc::clone(&record.stats), record, scope, head)
    }

    /// As [`Pipeline::caller`], where what is done is not what the request itself needs.
    pub(super) fn caller_beside(&self, record: &RequestRecord, scope: Scope, head: &RequestHead) -> Arc<Caller> {
        self.caller_counted_by(Arc::new(record.stats.beside()), record, scope, head)
    }

    fn caller_counted_by(
        &self,
        stats: Arc<RequestStats>,
        record: &RequestRecord,
        scope: Scope,
        head: &RequestHead,
    ) -> Arc<Caller> {
        let address = record.peer.address.ip();
        Arc::new(Caller::new(head.headers(), head.uri(), address, scope, stats))
    }

    /// The Jobs API's names as far as is known.
    pub(super) fn names(&self) -> &Dialect {
        self.legacy.jobs().known_names()
    }

    /// A client sees a status and whose it is; whoever runs jobshim also wants to know what to mend.
    pub(super) fn annotate(&self, mut response: Response<Body>, asked: &OriginHeaders) -> Response<Body> {
        let cloud = self.legacy.jobs().known_dialect() == Some(DialectKind::Cloud);
        let advice = refusal(response.status(), asked, cloud);
        if say_whose(&mut response, advice)
            && let Some(advice) = advice
        {
            self.shared.log_hint.say(&format!(
                "the upstream answered {}: {advice}",
                response.status().as_u16()
            ));
        }
        response
    }
}

/// An answer, at hand or to come.
pub(super) type Answering<'a> = Either<Ready<Response<Body>>, BoxFuture<'a, Response<Body>>>;

pub(super) fn at_once<'a>(response: Response<Body>) -> Answering<'a> {
    Either::Left(ready(response))
}

pub(super) fn later<'a>(answering: impl Future<Output = Response<Body>> + Send + 'a) -> Answering<'a> {
    Either::Right(answering.boxed())
}
