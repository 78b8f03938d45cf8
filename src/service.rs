//! One request: which way it goes.

mod gone;
mod house;
mod passage;
mod read;
mod translation;
mod write;
mod wrong_method;

pub use house::{STORE, keep_house};

use crate::{
    access::Access,
    buffered::BufferBudget,
    compare::Shadow,
    config::Config,
    diagnosis::Diagnosis,
    forward::Peer,
    jobs::{Caller, Dialect, DialectKind},
    legacy::{self, Legacy, Remembered},
    marks::Marks,
    mistakes::{Adviser, Asked, refusal},
    modes::{Decision, Modes},
    notices::Notices,
    observe::{Exchange, Observer, Tally, Watched},
    origin,
    pace::Paced,
    panics::contained,
    response::{Unasked, forbidden, not_admitted, refused_unread, say_whose, went_round},
    route::{LegacyRoute, Way, route},
    scope::{self, Scope},
    state::{State, StateError},
    stop::Stop,
    trust::TrustedProxies,
    upstream::{Body, SetupError, Upstream},
    vet::{Bounds, vet},
};
use futures_util::{
    FutureExt,
    future::{BoxFuture, Either, Ready, ready},
};
use http::{Request, Response, request::Parts};
use hyper::body::{Body as _, Incoming};
use passage::refused;
use std::{iter, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// Everything a request needs; shared by all connections.
pub struct Service {
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
    state: Arc<State>,
    most_noted: usize,
    budget: BufferBudget,
    trusted_proxies: TrustedProxies,
    /// The largest body of a legacy write, in bytes.
    most_ordered: usize,
    bounds: Bounds,
    /// How long a client may send nothing of a body.
    idle_timeout: Duration,
    /// Turns to make an answer.
    turns: Arc<Semaphore>,
    adviser: Arc<Adviser>,
    diagnosis: Arc<Diagnosis>,
    observer: Arc<Observer>,
    /// Held while asking whether the upstream is there.
    knocking: Arc<tokio::sync::Mutex<()>>,
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
    State(#[from] StateError),
}

impl Service {
    /// Compiles the tables, builds the upstream client and opens what must survive a restart.
    pub fn new(config: &Config) -> Result<Self, StartError> {
        let budget = BufferBudget::new(config.server.max_buffered);
        let upstream = Arc::new(Upstream::new(&config.upstream, &budget)?);
        let elsewhere = config.legacy.upstream.as_ref();
        let legacy_upstream = elsewhere.map(|url| Upstream::elsewhere(&config.upstream, url, &budget));
        let state = Arc::new(State::open(config.state_dir.as_deref())?);
        let observer = Arc::new(Observer::new(state.usage()?, config.log.access));
        let legacy = Legacy::new(config, Arc::clone(&upstream), Arc::clone(&state), Arc::clone(&observer))?;
        Ok(Self {
            modes: Arc::new(Modes::new(
                &config.legacy,
                legacy.tables().fingerprint(),
                Arc::clone(&state),
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
            state,
            most_noted: config.notes.max_body,
            budget,
            trusted_proxies: config.door.trusted_proxies.clone(),
            most_ordered: config.legacy.max_body,
            bounds: Bounds {
                header_bytes: config.server.max_header_bytes,
                headers: config.server.max_headers,
                uri_bytes: config.server.max_uri_bytes,
            },
            idle_timeout: config.server.idle_timeout,
            turns: Arc::new(Semaphore::new(
                config.legacy.max_translations.min(Semaphore::MAX_PERMITS),
            )),
            adviser: Arc::default(),
            observer,
            knocking: Arc::default(),
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
            state: Arc::clone(&self.state),
            most_noted: self.most_noted,
            budget: self.budget.clone(),
            trusted_proxies: self.trusted_proxies.clone(),
            most_ordered: self.most_ordered,
            bounds: self.bounds,
            idle_timeout: self.idle_timeout,
            turns: Arc::clone(&self.turns),
            adviser: Arc::clone(&self.adviser),
            diagnosis: Arc::clone(&self.diagnosis),
            observer: Arc::clone(&self.observer),
            knocking: Arc::clone(&self.knocking),
        })
    }

    /// Whether both answer by the same tables.
    pub fn has_tables_of(&self, other: &Self) -> bool {
        self.legacy.tables().sources == other.legacy.tables().sources
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
        stop: &Stop,
    ) -> impl Future<Output = Response<Watched>> + Send + use<> {
        let (mut head, body) = request.into_parts();
        let marks = Marks::of(&head.headers);
        let way = route(&head.method, head.uri.path());
        let mut exchange = self.observer.begin(&head, marks, (&way).into(), peer);
        let vetted = vet(&head, &self.bounds);
        if vetted.is_ok() {
            self.trusted_proxies
                .settle(marks, &mut head.headers, &mut exchange.peer);
            exchange.foreign = origin::refuses(marks, &head.headers, &head.uri);
        }
        if marks.has(Marks::UPGRADE) || matches!(way, Way::Write(_)) {
            head.extensions.insert(stop.clone());
        }
        async move {
            let response = match vetted {
                Ok(()) => {
                    let answering = || self.answer(&mut exchange, way, head, body);
                    contained(&self.observer, answering).await
                }
                Err(unclear) => {
                    tracing::debug!(%unclear, "a request was refused");
                    refused_unread(unclear)
                }
            };
            let response = match self.would_refuse(&exchange, &response) {
                true => forbidden(),
                false => response,
            };
            exchange.watch(response)
        }
    }

    /// Whether `response` was made without asking the upstream, and the upstream is, or may be, a server that refuses what
    /// a web page of another site asks.
    fn would_refuse(&self, exchange: &Exchange, response: &Response<Body>) -> bool {
        exchange.foreign
            && self.legacy.jobs().known_dialect() != Some(DialectKind::Cloud)
            && response.extensions().get::<Unasked>().is_some()
    }

    /// The answer, if it is at hand, or the way to it.
    fn answer<'a>(&'a self, exchange: &'a mut Exchange, way: Way, mut head: Parts, body: Incoming) -> Answering<'a> {
        // Before the door: what came round has lost its token on the way.
        let mut upstreams = iter::once(&self.upstream).chain(&self.legacy_upstream);
        if exchange.marks.has(Marks::VIA) && upstreams.any(|upstream| upstream.has_sent(&head.headers)) {
            self.adviser
                .say("a request came back here: upstream.url leads to jobshim itself, by another name");
            return at_once(went_round());
        }
        if !self
            .access
            .admits(&mut head.headers, &mut head.uri, self.state.scope_key())
        {
            return at_once(not_admitted());
        }
        if exchange.marks.has(Marks::CREDENTIAL) {
            scope::remove_empty(&mut head.headers);
            if let Some(key) = self.legacy.jobs().key_names() {
                scope::move_key(&mut head.headers, &key.header, &key.begins);
            }
        }
        let asked = Asked::of(exchange.marks, &head.headers);
        match way {
            Way::PassThrough => {
                let body = self.named(exchange, &mut head, body);
                let hiding = self.legacy.hiding(&mut head, |head| self.scope(exchange, head));
                let passing = self.pass_hiding(exchange, head, body, hiding);
                later(passing.map(move |outcome| self.advised(outcome.unwrap_or_else(refused), &asked)))
            }
            Way::Prompt => {
                let body = self.named(exchange, &mut head, body);
                let passing = self.prompt(exchange, head, body);
                later(passing.map(move |outcome| self.advised(outcome.unwrap_or_else(refused), &asked)))
            }
            Way::WrongMethod(wrong) => self.answer_wrong_method(exchange, wrong, head, body),
            Way::Legacy(route) => self.answer_read(exchange, route, head, body, asked),
            Way::Write(write) => {
                let scope = self.scope(exchange, &head);
                let decision = self.decide(exchange, write.name(), &head, scope);
                let body = self.named(exchange, &mut head, body);
                let names = self.names();
                let writing = async move {
                    let mut response = self.write(exchange, (&write, decision), scope, head, body).await;
                    self.notices.put(response.headers_mut(), || write.successor(names));
                    self.advised(response, &asked)
                };
                later(writing)
            }
        }
    }

    fn answer_read<'a>(
        &'a self,
        exchange: &'a mut Exchange,
        route: LegacyRoute,
        mut head: Parts,
        body: Incoming,
        asked: Asked,
    ) -> Answering<'a> {
        let scope = self.scope(exchange, &head);
        let decision = self.decide(exchange, route.name(), &head, scope);
        let names = self.names();
        let finish = move |route: &LegacyRoute, mut response: Response<Body>| {
            self.notices
                .put(response.headers_mut(), || Some(route.successor(names)));
            self.advised(response, &asked)
        };
        let remembered = match decision {
            // From memory nobody is asked: it must not be a request that the upstream would refuse.
            Decision::Translate | Decision::TranslateIfThere if !exchange.foreign => {
                let inquiry = self.inquiry(exchange, &head);
                match self.legacy.remembered(&route, inquiry, scope) {
                    Some(Remembered::Answer(answer)) => {
                        let finish = |response| finish(&route, response);
                        let encoding = inquiry.encoding;
                        return at_once(self.remembered(exchange, &route, &head.method, encoding, answer, finish));
                    }
                    plain => plain,
                }
            }
            _ => None,
        };
        let body = self.named(exchange, &mut head, body);
        let reading = async move {
            let response = self
                .read(exchange, &route, (decision, remembered), scope, head, body)
                .await;
            finish(&route, response)
        };
        later(reading)
    }

    /// The body of a request that goes on, whose `head` gets the request's name, and is told of the body's moves.
    fn named(&self, exchange: &Exchange, head: &mut Parts, body: Incoming) -> Body {
        exchange.put_name(&mut head.headers);
        let mut body = Paced::new(body, self.idle_timeout);
        if !body.is_end_stream() {
            head.extensions.insert(body.watched());
        }
        exchange.receiving(body)
    }

    fn scope(&self, exchange: &Exchange, head: &Parts) -> Scope {
        self.state.scope_key().scope(exchange.marks, &head.headers, &head.uri)
    }

    fn caller(&self, exchange: &Exchange, scope: Scope, head: &Parts) -> Arc<Caller> {
        self.caller_counted_by(Arc::clone(&exchange.tally), exchange, scope, head)
    }

    /// As [`Service::caller`], where what is done is not what the request itself needs.
    fn caller_beside(&self, exchange: &Exchange, scope: Scope, head: &Parts) -> Arc<Caller> {
        self.caller_counted_by(Arc::new(exchange.tally.beside()), exchange, scope, head)
    }

    fn caller_counted_by(&self, tally: Arc<Tally>, exchange: &Exchange, scope: Scope, head: &Parts) -> Arc<Caller> {
        let address = exchange.peer.address.ip();
        Arc::new(Caller::new(&head.headers, &head.uri, address, scope, tally))
    }

    /// The Jobs API's names as far as is known.
    fn names(&self) -> &Dialect {
        self.legacy.jobs().known_names()
    }

    /// A client sees a status and whose it is; whoever runs jobshim also wants to know what to mend.
    fn advised(&self, mut response: Response<Body>, asked: &Asked) -> Response<Body> {
        let cloud = self.legacy.jobs().known_dialect() == Some(DialectKind::Cloud);
        let advice = refusal(response.status(), asked, cloud);
        if say_whose(&mut response, advice)
            && let Some(advice) = advice
        {
            self.adviser.say(&format!(
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
