//! One request: which way it goes.

pub mod diagnosis;
pub mod forward;
mod gone;
pub mod hints;
mod housekeeping;
pub mod panics;
mod pass_through;
mod read;
pub mod reload;
pub mod response;
pub mod shutdown;
mod translation;
mod write;
mod wrong_method;

pub use housekeeping::{STORE_EVERY, USAGE, housekeeping};

use crate::http::request_head::RequestHead;
use crate::{
    auth::{
        access_token::Access,
        scope::{self, Scope},
        trusted_proxies,
    },
    config::{Config, trusted_proxies::TrustedProxies},
    http::{
        body::Body,
        buffered::BufferBudget,
        header_flags::HeaderFlags,
        idle_timeout::IdleTimeoutBody,
        origin,
        peer::Peer,
        validate::{HeadLimits, validate},
    },
    jobs_api::{Caller, DialectKind},
    legacy::{self, Legacy, Remembered},
    mapping::dialect::Dialect,
    migration::{
        compare::Shadow,
        modes::{Decision, Modes},
        notices::Notices,
    },
    proxy::{
        diagnosis::Diagnosis,
        hints::{OriginHeaders, RateLimitedLog, refusal},
        panics::contained,
        response::{LocalAnswer, forbidden, looped, not_admitted, refused_unread, say_whose},
        shutdown::Shutdown,
    },
    routes::{LegacyRoute, Route, route},
    store::{Store, StoreError},
    telemetry::{Observer, RecordedBody, RequestRecord, RequestStats},
    upstream::{SetupError, Upstream},
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, Ready, ready},
};
use http::{Request, Response};
use hyper::body::{Body as _, Incoming};
use pass_through::refused;
use std::{iter, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Everything a request needs; shared by all connections.
pub struct Proxy {
    /// Which one it is of those that were in force one after the other.
    number: u64,
    access: Access,
    upstream: Arc<Upstream>,
    /// Where forwarded legacy calls go, when it is another server.
    legacy_upstream: Option<Arc<Upstream>>,
    legacy: Arc<Legacy>,
    compress: bool,
    modes: Arc<Modes>,
    shadow: Shadow,
    notices: Notices,
    store: Arc<Store>,
    max_noted: usize,
    budget: BufferBudget,
    trusted_proxies: TrustedProxies,
    /// The largest body of a legacy write, in bytes.
    max_write_body: usize,
    bounds: HeadLimits,
    /// How long a client may send nothing of a body.
    idle_timeout: Duration,
    /// Turns to make an answer.
    translation_permits: Arc<Semaphore>,
    log_hint: Arc<RateLimitedLog>,
    diagnosis: Arc<Diagnosis>,
    observer: Arc<Observer>,
    /// Held while asking whether the upstream is there.
    probing: Arc<tokio::sync::Mutex<()>>,
}

/// The service could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The legacy surface cannot be set up.
    #[error(transparent)]
    Legacy(#[from] legacy::SetupError),
    /// The upstream client cannot be built.
    #[error(transparent)]
    Upstream(#[from] SetupError),
    /// What must survive a restart cannot be kept.
    #[error(transparent)]
    State(#[from] StoreError),
}

impl Proxy {
    /// Compiles the tables, builds the upstream client and opens what must survive a restart.
    pub fn new(config: &Config) -> Result<Self, StartError> {
        let budget = BufferBudget::new(config.server.max_buffered);
        let upstream = Arc::new(Upstream::new(&config.upstream, &budget)?);
        let elsewhere = config.legacy.upstream.as_ref();
        let legacy_upstream = elsewhere.map(|url| Upstream::elsewhere(&config.upstream, url, &budget));
        let store = Arc::new(Store::open(config.state_dir.as_deref())?);
        let observer = Arc::new(Observer::new(housekeeping::stored_usage(&store)?, config.log.access));
        let legacy = Legacy::new(config, Arc::clone(&upstream), Arc::clone(&store), Arc::clone(&observer))?;
        Ok(Self {
            modes: Arc::new(Modes::new(
                &config.legacy,
                legacy.tables().fingerprint(),
                Arc::clone(&store),
            )?),
            diagnosis: Arc::new(Diagnosis::new(&config.upstream, legacy.tables())),
            number: 0,
            access: Access::new(config.access_token.clone()),
            legacy: Arc::new(legacy),
            compress: config.legacy.compress,
            legacy_upstream: legacy_upstream.transpose()?.map(Arc::new),
            upstream,
            shadow: Shadow::new(&config.shadow, Arc::clone(&observer), &budget),
            notices: Notices::new(&config.notices),
            store,
            max_noted: config.notes.max_body,
            budget,
            trusted_proxies: config.door.trusted_proxies.clone(),
            max_write_body: config.legacy.max_body,
            bounds: HeadLimits {
                header_bytes: config.server.max_header_bytes,
                headers: config.server.max_headers,
                uri_bytes: config.server.max_uri_bytes,
            },
            idle_timeout: config.server.idle_timeout,
            translation_permits: Arc::new(Semaphore::new(
                config.legacy.max_translations.min(Semaphore::MAX_PERMITS),
            )),
            log_hint: Arc::default(),
            observer,
            probing: Arc::default(),
        })
    }

    /// What of `config` a running program can take over: modes and tables. All that was learnt so far is shared with
    /// this one, which goes on answering what it began.
    pub fn reloaded(&self, config: &Config) -> Result<Self, StartError> {
        let legacy = self.legacy.reloaded(config)?;
        let modes = self.modes.reloaded(&config.legacy, legacy.tables().fingerprint())?;
        Ok(Self {
            number: self.number + 1,
            access: self.access.clone(),
            upstream: Arc::clone(&self.upstream),
            legacy_upstream: self.legacy_upstream.clone(),
            legacy,
            compress: self.compress,
            modes: Arc::new(modes),
            shadow: self.shadow.reloaded(&config.shadow),
            notices: Notices::new(&config.notices),
            store: Arc::clone(&self.store),
            max_noted: self.max_noted,
            budget: self.budget.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            max_write_body: self.max_write_body,
            bounds: self.bounds,
            idle_timeout: self.idle_timeout,
            translation_permits: Arc::clone(&self.translation_permits),
            log_hint: Arc::clone(&self.log_hint),
            diagnosis: Arc::clone(&self.diagnosis),
            observer: Arc::clone(&self.observer),
            probing: Arc::clone(&self.probing),
        })
    }

    /// Whether both answer by the same tables.
    pub fn has_tables_of(&self, other: &Self) -> bool {
        self.legacy.tables().files == other.legacy.tables().files
    }

    /// What has been seen so far.
    pub fn observer(&self) -> &Arc<Observer> {
        &self.observer
    }

    /// The upstream client.
    pub fn upstream(&self) -> &Upstream {
        &self.upstream
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
        let mut record = self.observer.begin(&head, (&way).into(), peer);
        let validated = validate(head.parts(), &self.bounds);
        if validated.is_ok() {
            trusted_proxies::settle(&self.trusted_proxies, &mut head, &mut record.peer);
            record.foreign = origin::refuses(head.flagged(), head.uri());
        }
        if head.has(HeaderFlags::UPGRADE) || matches!(way, Route::Write(_)) {
            head.parts_mut().extensions.insert(stop.clone());
        }
        async move {
            let response = match validated {
                Ok(()) => {
                    let answering = || self.answer(&mut record, way, head, body);
                    contained(&self.observer, answering).await
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
        let mut upstreams = iter::once(&self.upstream).chain(&self.legacy_upstream);
        if head.has(HeaderFlags::VIA) && upstreams.any(|upstream| upstream.has_sent(head.headers())) {
            self.log_hint
                .say("a request came back here: upstream.url leads to jobshim itself, by another name");
            return at_once(looped());
        }
        if !self.access.admits(head.parts_mut(), self.store.scope_key()) {
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
    fn named(&self, record: &RequestRecord, head: &mut RequestHead, body: Incoming) -> Body {
        record.put_name(head.headers_mut());
        let mut body = IdleTimeoutBody::new(body, self.idle_timeout);
        if !body.is_end_stream() {
            head.parts_mut().extensions.insert(body.watched());
        }
        record.receiving(body)
    }

    fn scope(&self, head: &RequestHead) -> Scope {
        self.store.scope_key().scope(head)
    }

    fn caller(&self, record: &RequestRecord, scope: Scope, head: &RequestHead) -> Arc<Caller> {
        self.caller_counted_by(Arc::clone(&record.stats), record, scope, head)
    }

    /// As [`Proxy::caller`], where what is done is not what the request itself needs.
    fn caller_beside(&self, record: &RequestRecord, scope: Scope, head: &RequestHead) -> Arc<Caller> {
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
    fn names(&self) -> &Dialect {
        self.legacy.jobs().known_names()
    }

    /// A client sees a status and whose it is; whoever runs jobshim also wants to know what to mend.
    fn annotate(&self, mut response: Response<Body>, asked: &OriginHeaders) -> Response<Body> {
        let cloud = self.legacy.jobs().known_dialect() == Some(DialectKind::Cloud);
        let advice = refusal(response.status(), asked, cloud);
        if say_whose(&mut response, advice)
            && let Some(advice) = advice
        {
            self.log_hint.say(&format!(
                "the upstream answered {}: {advice}",
                response.status().as_u16()
            ));
        }
        response
    }
}

/// An answer, at hand or to come.
type Answering<'a> = Either<Ready<Response<Body>>, BoxFuture<'a, Response<Body>>>;

fn at_once<'a>(response: Response<Body>) -> Answering<'a> {
    Either::Left(ready(response))
}

fn later<'a>(answering: impl Future<Output = Response<Body>> + Send + 'a) -> Answering<'a> {
    Either::Right(answering.boxed())
}
