//! One request: which way it goes.

use crate::{
    access::Access,
    compare::{Reread, RouteFindings, Shadow, Shadowed},
    config::Config,
    diagnosis::Diagnosis,
    encoding::Encoding,
    forward::{Lesson, Passage, Peer, target},
    jobs::{Caller, Dialect, DialectKind, JobsError},
    legacy::{self, Inquiry, Legacy, LegacyAnswer, LegacyError},
    mistakes::{Adviser, Asked, refusal},
    modes::{Decision, Modes},
    notices::Notices,
    origin,
    pace::Paced,
    panics::contained,
    response::{
        Unasked, busy, forbidden, gone, legacy_failure, not_admitted, not_implemented, refused_unread, say_whose,
        too_large, translated, upstream_failure, went_round, wrong_method,
    },
    route::{LegacyRoute, LegacyWrite, RouteName, Way, route},
    scope::Scope,
    state::{State, StateError},
    trust::TrustedProxies,
    upstream::{Body, SetupError, Upstream, UpstreamError, full},
    vet::{Bounds, vet},
};
use bytes::Bytes;
use http::{Method, Request, Response, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body as _, Incoming};
use std::{collections::BTreeMap, fmt::Debug, iter, sync::Arc, time::Duration};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

/// How long a request may wait for its turn to be translated.
const TURN: Duration = Duration::from_secs(2);

/// Everything a request needs; shared by all connections.
pub struct Service {
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
        let upstream = Arc::new(Upstream::new(&config.upstream)?);
        let elsewhere = config.legacy.upstream.as_ref();
        let legacy_upstream = elsewhere.map(|url| Upstream::elsewhere(&config.upstream, url));
        let state = Arc::new(State::open(config.state_dir.as_deref())?);
        let legacy = Legacy::new(config, Arc::clone(&upstream), Arc::clone(&state))?;
        Ok(Self {
            diagnosis: Arc::new(Diagnosis::new(&config.upstream, legacy.tables())),
            access: Access::new(config.access_token.clone()),
            legacy: Arc::new(legacy),
            compress: config.legacy.compress,
            legacy_upstream: legacy_upstream.transpose()?.map(Arc::new),
            upstream,
            modes: Arc::new(Modes::new(&config.legacy)),
            shadow: Shadow::new(&config.shadow),
            notices: Notices::new(&config.notices),
            state,
            most_noted: config.notes.max_body,
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
        })
    }

    /// What of `config` a running program can take over: modes and tables. All that was learnt so far is shared with
    /// this one, which goes on answering what it began.
    pub fn reloaded(&self, config: &Config) -> Result<Self, StartError> {
        Ok(Self {
            access: self.access.clone(),
            upstream: Arc::clone(&self.upstream),
            legacy_upstream: self.legacy_upstream.clone(),
            legacy: self.legacy.reloaded(config)?,
            compress: self.compress,
            modes: Arc::new(self.modes.reloaded(&config.legacy)),
            shadow: self.shadow.reloaded(&config.shadow),
            notices: Notices::new(&config.notices),
            state: Arc::clone(&self.state),
            most_noted: self.most_noted,
            trusted_proxies: self.trusted_proxies.clone(),
            most_ordered: self.most_ordered,
            bounds: self.bounds,
            idle_timeout: self.idle_timeout,
            turns: Arc::clone(&self.turns),
            adviser: Arc::clone(&self.adviser),
            diagnosis: Arc::clone(&self.diagnosis),
        })
    }

    /// Whether both answer by the same tables.
    pub fn has_tables_of(&self, other: &Self) -> bool {
        self.legacy.tables().sources == other.legacy.tables().sources
    }

    /// Asks the upstream what it is, and logs the answer, or why there is none.
    pub async fn greet_upstream(&self) {
        if let Err(error) = self.legacy.jobs().dialect(&Caller::default()).await {
            let cause = self.diagnosis.cause(&error).await;
            tracing::warn!(reason = %error, cause, "the upstream's dialect is not known yet; it is asked again with the first legacy request");
        }
    }

    /// Answers one request. Never fails: every failure is a response.
    pub async fn handle(&self, request: Request<Incoming>, mut peer: Peer) -> Response<Body> {
        let (mut head, body) = request.into_parts();
        if let Err(unclear) = vet(&head, &self.bounds) {
            tracing::debug!(%unclear, "a request was refused");
            return refused_unread(unclear);
        }
        self.trusted_proxies.settle(&mut head.headers, &mut peer);
        let mut body = Paced::new(body, self.idle_timeout);
        if !body.is_end_stream() {
            head.extensions.insert(body.watched());
        }
        let foreign = origin::refuses(&head.headers, &head.uri);
        let response = contained(self.answer_any(head, body, peer)).await;
        if foreign && self.has_origin_rule() && response.extensions().get::<Unasked>().is_some() {
            return forbidden();
        }
        response
    }

    /// Whether the upstream is, or may be, a server that refuses web pages of other sites.
    fn has_origin_rule(&self) -> bool {
        self.legacy.jobs().known_dialect() != Some(DialectKind::Cloud)
    }

    async fn answer_any(&self, mut head: Parts, body: Paced, peer: Peer) -> Response<Body> {
        // Before the door: what came round has lost its token on the way.
        let mut upstreams = iter::once(&self.upstream).chain(&self.legacy_upstream);
        if upstreams.any(|upstream| upstream.has_sent(&head.headers)) {
            self.adviser
                .say("a request came back here: upstream.url leads to jobshim itself, by another name");
            return went_round();
        }
        if !self
            .access
            .admits(&mut head.headers, &mut head.uri, self.state.scope_key())
        {
            return not_admitted();
        }
        let way = route(&head.method, head.uri.path());
        let asked = Asked::of(&head.headers);
        // What passes through shall not carry the large futures of the other ways along: hyper moves them as they are.
        let mut response = match way {
            Way::PassThrough => self.pass(head, body, peer).await.unwrap_or_else(refused),
            Way::Prompt => Box::pin(self.prompt(head, body, peer)).await.unwrap_or_else(refused),
            Way::WrongMethod(allow) => return wrong_method(&head.method, allow),
            Way::Legacy(route) => {
                let successor = route.successor(self.names());
                let mut response = Box::pin(self.read(&route, head, body, peer)).await;
                self.notices.put(response.headers_mut(), Some(&successor));
                response
            }
            Way::Write(write) => {
                let successor = write.successor(self.names());
                let mut response = Box::pin(self.write(&write, head, body, peer)).await;
                self.notices.put(response.headers_mut(), successor.as_deref());
                response
            }
        };
        self.advise(&mut response, &asked);
        response
    }

    fn scope(&self, head: &Parts) -> Scope {
        self.state.scope_key().scope(&head.headers, &head.uri)
    }

    fn caller(&self, scope: Scope, head: &Parts, peer: Peer) -> Arc<Caller> {
        Arc::new(Caller::new(&head.headers, &head.uri, peer.address.ip(), scope))
    }

    /// The Jobs API's names as far as is known.
    fn names(&self) -> &Dialect {
        let jobs = self.legacy.jobs();
        jobs.names(jobs.known_dialect().unwrap_or(DialectKind::Comfyui))
    }

    /// How the request of `head` reaches the upstream.
    async fn passage(&self, head: &Parts, peer: Peer) -> Result<Passage<'_>, UpstreamError> {
        let jobs = self.legacy.jobs();
        let kind = match jobs.known_dialect() {
            Some(kind) => Some(kind),
            None => Box::pin(jobs.dialect_to_pass(&self.caller(self.scope(head), head, peer))).await,
        };
        Ok(Passage {
            upstream: &self.upstream,
            peer,
            own_host: jobs.host_for(kind),
            uri: self
                .upstream
                .uri(&target(&head.uri, &head.headers, jobs, &self.upstream, kind))?,
        })
    }

    async fn pass(&self, head: Parts, body: Paced, peer: Peer) -> Result<Response<Body>, UpstreamError> {
        let passage = self.passage(&head, peer).await?;
        let body = body.boxed_unsync();
        passage.forward(Request::from_parts(head, body)).await
    }

    async fn prompt(&self, head: Parts, body: Paced, peer: Peer) -> Result<Response<Body>, UpstreamError> {
        let scope = self.scope(&head);
        let lesson = Lesson {
            notes: self.legacy.notes(),
            table: &self.legacy.tables().prompt,
            scope,
            max_body: self.most_noted,
        };
        let passage = self.passage(&head, peer).await?;
        passage.prompt(Request::from_parts(head, body), &lesson).await
    }

    fn decide(&self, route: RouteName, scope: Scope, peer: Peer) -> Decision {
        let client = || self.state.scope_key().client(&scope, peer.client);
        self.modes.decide(route, client)
    }

    /// A legacy call as it came, to the server's own endpoint.
    async fn forward(&self, head: Parts, body: Body, peer: Peer) -> Result<Response<Body>, UpstreamError> {
        let passage = match &self.legacy_upstream {
            None => self.passage(&head, peer).await?,
            Some(upstream) => Passage {
                upstream,
                peer,
                own_host: upstream.is_https().then(|| upstream.authority()),
                uri: upstream.uri(head.uri.path_and_query().map_or("/", |target| target.as_str()))?,
            },
        };
        passage.forward(Request::from_parts(head, body)).await
    }

    async fn read(&self, route: &LegacyRoute, head: Parts, body: Paced, peer: Peer) -> Response<Body> {
        let scope = self.scope(&head);
        let decision = self.decide(route.name(), scope, peer);
        if decision == Decision::Gone {
            let successor = route.successor(self.names());
            return gone(&call(&head), Some(&successor), self.notices.guide());
        }
        if !matches!(decision, Decision::Forward { .. }) {
            let encoding = Encoding::accepted(&head.headers).filter(|_| self.compress);
            let inquiry = Inquiry {
                query: head.uri.query().unwrap_or_default(),
                headers: &head.headers,
                encoding,
            };
            let outcome = match self.remembered(route, inquiry, &head, scope).await {
                Some(answer) => Ok(answer),
                None => {
                    let Some(_turn) = self.turn().await else {
                        return busy();
                    };
                    let caller = self.caller(scope, &head, peer);
                    self.legacy.answer(route, inquiry, &caller).await
                }
            };
            let missing = matches!(outcome, Err(LegacyError::Jobs(JobsError::Missing { .. })));
            let there = outcome.as_ref().is_ok_and(|answer| answer.asked);
            if decision == Decision::TranslateIfThere && (missing || there) {
                self.modes.jobs_api.found(!missing);
            }
            if decision == Decision::Translate || !missing {
                let response = self.answer(outcome, encoding, route).await;
                self.modes.translated(route.name(), response.status().is_server_error());
                return match head.method {
                    Method::HEAD => response.map(|_| full("")),
                    _ => response,
                };
            }
        }
        let compares = decision == Decision::Forward { compare: true } && head.method == Method::GET;
        let shadowed = compares.then(|| self.shadowed(route, &head, self.caller(scope, &head, peer)));
        let body = body.boxed_unsync();
        let response = self.forward(head, body, peer).await.unwrap_or_else(refused);
        match shadowed {
            Some(shadowed) => self.shadow.compare(shadowed, response),
            None => response,
        }
    }

    /// What is needed to compare a forwarded read.
    fn shadowed(&self, route: &LegacyRoute, head: &Parts, caller: Arc<Caller>) -> Shadowed {
        let jobs = self.legacy.jobs();
        let sent = head.uri.path_and_query().map_or("/", |target| target.as_str());
        let reread = match &self.legacy_upstream {
            Some(upstream) => Reread {
                target: sent.to_owned(),
                headers: caller.headers(upstream.is_https().then(|| upstream.authority())),
                upstream: Arc::clone(upstream),
            },
            None => {
                let kind = jobs.known_dialect();
                Reread {
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

    /// What comparisons have found so far.
    pub fn findings(&self) -> BTreeMap<RouteName, RouteFindings> {
        self.shadow.findings().report()
    }

    /// The answer from memory. Nobody is asked: it must not be a request that the upstream would refuse.
    async fn remembered(
        &self,
        route: &LegacyRoute,
        inquiry: Inquiry<'_>,
        head: &Parts,
        scope: Scope,
    ) -> Option<LegacyAnswer> {
        match origin::refuses(&head.headers, &head.uri) {
            true => None,
            false => self.legacy.remembered(route, inquiry, scope).await,
        }
    }

    /// A turn to make an answer. Most are made in a moment, so a burst waits in line; behind a server that hangs the line
    /// does not move, and nobody is kept for long.
    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let turn = timeout(TURN, self.turns.acquire()).await.ok()?;
        turn.ok()
    }

    /// A write goes one way, never both.
    async fn write(&self, write: &LegacyWrite, head: Parts, body: Paced, peer: Peer) -> Response<Body> {
        let caller = self.caller(self.scope(&head), &head, peer);
        let forwards = match self.decide(write.name(), caller.scope, peer) {
            Decision::Gone => {
                let successor = write.successor(self.names());
                return gone(&call(&head), successor.as_deref(), self.notices.guide());
            }
            Decision::Forward { .. } => true,
            Decision::Translate => false,
            Decision::TranslateIfThere => {
                let asked = self.legacy.jobs().dialect(&caller).await;
                let missing = matches!(asked, Err(JobsError::Missing { .. }));
                if missing || asked.is_ok() {
                    self.modes.jobs_api.found(!missing);
                }
                missing
            }
        };
        if forwards {
            let body = body.boxed_unsync();
            let response = self.forward(head, body, peer).await.unwrap_or_else(refused);
            self.legacy.touched(write, None, caller.scope).await;
            return response;
        }
        let body = match Limited::new(body, self.most_ordered).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return too_large(self.most_ordered),
            Err(error) => return upstream_failure(&UpstreamError::Client(error.into()), None),
        };
        let response = self.translate_write(write, head, &body, &caller, peer).await;
        self.legacy.touched(write, Some(&body), caller.scope).await;
        response
    }

    /// A write is done through the Jobs API. What that cannot do, the server's own legacy endpoint may still do; what
    /// neither can do is a failure that says so (CONTRACT.md section 5). History is the other way round: the Jobs API
    /// has nothing for it, so the server's endpoint comes first, and without one the jobs are hidden.
    async fn translate_write(
        &self,
        write: &LegacyWrite,
        head: Parts,
        body: &Bytes,
        caller: &Arc<Caller>,
        peer: Peer,
    ) -> Response<Body> {
        let method_and_path = call(&head);
        let Some(_turn) = self.turn().await else {
            return busy();
        };
        if *write == LegacyWrite::History {
            return match self.resend(head, body, peer).await {
                Ok(answer) if !matches!(answer.status().as_u16(), 404 | 405 | 410 | 501) => answer,
                Ok(_) => {
                    let outcome = self.legacy.write(write, body, caller).await;
                    self.answer(outcome, None, write).await
                }
                Err(error) => refused(error),
            };
        }
        match self.legacy.write(write, body, caller).await {
            Err(LegacyError::Jobs(JobsError::Missing { .. })) => match self.resend(head, body, peer).await {
                Ok(answer) if matches!(answer.status().as_u16(), 404 | 405 | 501) => not_implemented(&method_and_path),
                Ok(answer) => answer,
                Err(error) => refused(error),
            },
            outcome => self.answer(outcome, None, write).await,
        }
    }

    /// The legacy call as it came, to the server's own endpoint.
    async fn resend(&self, head: Parts, body: &Bytes, peer: Peer) -> Result<Response<Body>, UpstreamError> {
        let passage = self.passage(&head, peer).await?;
        passage.forward(Request::from_parts(head, full(body.clone()))).await
    }

    async fn answer(
        &self,
        outcome: Result<LegacyAnswer, LegacyError>,
        encoding: Option<Encoding>,
        asked: &(dyn Debug + Sync),
    ) -> Response<Body> {
        let error = match outcome {
            Ok(answer) => return translated(answer, encoding, self.compress),
            Err(error) => error,
        };
        let finding = match &error {
            LegacyError::Jobs(error) => self.diagnosis.of(error).await,
            _ => None,
        };
        let cause = finding.map(|finding| finding.to_string());
        tracing::warn!(?asked, %error, cause, "a legacy request could not be answered");
        legacy_failure(error, cause.as_deref())
    }

    /// A client sees a status and whose it is; whoever runs jobshim also wants to know what to mend.
    fn advise(&self, response: &mut Response<Body>, asked: &Asked) {
        let cloud = self.legacy.jobs().known_dialect() == Some(DialectKind::Cloud);
        let advice = refusal(response.status(), asked, cloud);
        if say_whose(response, advice)
            && let Some(advice) = advice
        {
            self.adviser.say(&format!(
                "the upstream answered {}: {advice}",
                response.status().as_u16()
            ));
        }
    }
}

/// Such as `POST /queue`.
fn call(head: &Parts) -> String {
    format!("{} {}", head.method, head.uri.path())
}

fn refused(error: UpstreamError) -> Response<Body> {
    tracing::warn!(%error, "a request could not be passed through");
    upstream_failure(&error, None)
}
