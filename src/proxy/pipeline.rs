//! The steps of one request, from its head to its answer.

use super::{
    answer::{Answer, Origin},
    failure::forbidden,
    failure::{passed, refused, state_failure},
    hints::{OriginHeaders, refusal},
    named::set_id,
    panics::contained,
    refusal::Refusal,
    request::{ArrivedRequest, ClientRequest, LegacyRequest},
    shared::Shared,
    shutdown::Shutdown,
};
use crate::{
    auth::{
        scope::{self, Scope},
        trusted_proxies,
    },
    config::Mode,
    http::{
        header_flags::HeaderFlags, idle_timeout::IdleTimeoutBody, origin, peer::Peer, proxy_status,
        request_head::RequestHead, validate::validate,
    },
    jobs_api::DialectKind,
    legacy::{Legacy, Remembered, V2Call},
    mapping::dialect::{Dialect, V2Instead},
    migration::{
        compare::Shadow,
        modes::{Decision, Modes},
        notices::Notices,
    },
    routes::{LegacyRoute, LegacyWrite, Route, route},
    store::Store,
    telemetry::{Observer, RecordedBody, RequestRecord},
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

    /// Where the state is.
    pub fn store(&self) -> &Store {
        &self.shared.store
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
    /// times. `shutdown` goes along with what does not end with its request, a tunnel or a write.
    pub fn handle(
        self: Arc<Self>,
        request: Request<Incoming>,
        peer: Peer,
        shutdown: &Shutdown,
    ) -> impl Future<Output = Response<RecordedBody>> + Send + use<> {
        let (head, body) = request.into_parts();
        let mut head = RequestHead::new(head);
        let route = route(head.method(), head.uri().path());
        let mut record = self.shared.observer.begin(&head, route.endpoint(), peer);
        let validated = validate(head.parts(), &self.shared.bounds);
        if validated.is_ok() {
            trusted_proxies::settle(&self.shared.trusted_proxies, &mut head, &mut record.peer);
            record.foreign = origin::refuses(head.flagged(), head.uri());
        }
        let may_outlive = head.has(HeaderFlags::UPGRADE) || matches!(route, Route::Write(_));
        let shutdown = may_outlive.then(|| shutdown.clone());
        let name = Arc::clone(&record.name);
        let answering = async move {
            let answer = match validated {
                Ok(()) => {
                    let request = ArrivedRequest {
                        record: &mut record,
                        head,
                        body,
                        shutdown,
                    };
                    let answering = || self.answer(route, request);
                    contained(&self.shared.observer, answering).await
                }
                Err(invalid) => {
                    tracing::debug!(unclear = %invalid, "a request was refused");
                    Refusal::from(invalid).into()
                }
            };
            let response = match self.would_refuse(&record, answer.origin) {
                true => forbidden(),
                false => answer.response,
            };
            record.watch(response)
        };
        name.around(answering)
    }

    /// The steps of a request that is valid. Each of the first three lets it on or answers it; its route says who does
    /// otherwise.
    fn answer<'a>(&'a self, route: Route, mut request: ArrivedRequest<'a>) -> Answering<'a> {
        let head = &mut request.head;
        let let_in = self.refuse_loop(head).and_then(|()| self.admit(head));
        if let Err(refusal) = let_in {
            return at_once(refusal.into());
        }
        self.settle_credentials(head);
        if !self.shared.store.is_current() && self.depends_on_state(&route, head) {
            return later(async move {
                let store = &self.shared.store;
                let confirmed = match route {
                    Route::Write(LegacyWrite::History) => store.confirm_for_write().await,
                    _ => store.confirm().await,
                };
                match confirmed {
                    Ok(()) => self.answer_route(route, request).await,
                    Err(error) => state_failure(&error),
                }
            });
        }
        self.answer_route(route, request)
    }

    /// Whether what is answered depends on what other jobshims of the same store may have done.
    fn depends_on_state(&self, route: &Route, head: &RequestHead) -> bool {
        let translates = |route| !matches!(self.modes.policy(route).mode, Mode::Forward | Mode::Shadow | Mode::Gone);
        match route {
            Route::Legacy(route) => translates(route.name()),
            Route::Write(write) => translates(write.name()),
            Route::PassThrough => {
                let call = self.legacy.v2_call(head);
                matches!(call, Some(V2Call::Jobs(_) | V2Call::Other(V2Instead::View))) || self.legacy.may_hide_in(head)
            }
            // Whether it does is known once the server is: an upload, or a prompt. It is asked for before that is sent.
            Route::Prompt | Route::WrongMethod(_) => false,
        }
    }

    /// The request goes to who answers its route.
    fn answer_route<'a>(&'a self, route: Route, request: ArrivedRequest<'a>) -> Answering<'a> {
        match self.must_know_dialect(&route, &request) {
            true => later(async move {
                self.learn_dialect(&request).await;
                self.answer_known(route, request).await
            }),
            false => self.answer_known(route, request),
        }
    }

    /// The same, once it is known what the server speaks, as far as it has to be.
    fn answer_known<'a>(&'a self, route: Route, request: ArrivedRequest<'a>) -> Answering<'a> {
        let asked = OriginHeaders::of(request.head.flagged());
        let is_v2 = self.legacy.jobs().known_dialect() == Some(DialectKind::V2);
        match route {
            Route::PassThrough => match self.legacy.v2_call(&request.head) {
                Some(call) if is_v2 => self.answer_v2_call(call, request, asked),
                Some(V2Call::Other(V2Instead::Said(said))) => later(async move {
                    let answer = self.said_if_missing(said, self.going_on(request)).await;
                    self.annotate(answer, &asked)
                }),
                _ => self.pass_through(request, asked),
            },
            // A server of Comfy API v2 knows no such rule of ComfyUI's.
            _ if is_v2 && request.record.foreign => at_once(Answer::local(forbidden())),
            Route::Prompt => {
                let passing = self.prompt(self.going_on(request));
                later(passing.map(move |outcome| self.annotate(outcome.unwrap_or_else(refused), &asked)))
            }
            Route::WrongMethod(wrong) => self.answer_wrong_method(wrong, request, asked),
            Route::Legacy(route) => self.answer_read(route, request, asked),
            Route::Write(write) => {
                let scope = self.scope(&request.head);
                let decision = self.decide(request.record, write.name(), &request.head, scope);
                let request = LegacyRequest {
                    request: self.going_on(request),
                    scope,
                    decision,
                };
                let names = self.names();
                later(async move {
                    let mut answer = self.write(&write, request).await;
                    self.notices
                        .put(answer.response.headers_mut(), || write.successor(names));
                    self.annotate(answer, &asked)
                })
            }
        }
    }

    /// A request that is none of a legacy endpoint.
    fn pass_through<'a>(&'a self, mut request: ArrivedRequest<'a>, asked: OriginHeaders) -> Answering<'a> {
        if let Some(call) = self.legacy.named_call(&request.head) {
            let passing = self.pass_named(call, self.going_on(request));
            return later(passing.map(move |outcome| self.annotate(passed(outcome), &asked)));
        }
        let hiding = self.legacy.hiding(&mut request.head, |head| self.scope(head));
        let passing = self.pass_hiding(self.going_on(request), hiding);
        later(passing.map(move |outcome| self.annotate(passed(outcome), &asked)))
    }

    /// A request that jobshim itself has sent goes no further. This comes before the access token, which such a request
    /// has lost on the way.
    fn refuse_loop(&self, head: &RequestHead) -> Result<(), Refusal> {
        let mut upstreams = iter::once(&self.shared.upstream).chain(&self.shared.legacy_upstream);
        if head.has(HeaderFlags::VIA) && upstreams.any(|upstream| upstream.has_sent(head.headers())) {
            self.shared.log_hint.say(&Refusal::Loop.to_string());
            return Err(Refusal::Loop);
        }
        Ok(())
    }

    /// Asks for the access token, and takes it out.
    fn admit(&self, head: &mut RequestHead) -> Result<(), Refusal> {
        let key = self.shared.store.scope_key();
        match self.shared.access.admits(head.parts_mut(), &key) {
            true => Ok(()),
            false => Err(Refusal::NotAdmitted),
        }
    }

    /// An empty credential is none, and a key has the header that the upstream has for keys.
    fn settle_credentials(&self, head: &mut RequestHead) {
        if !head.has(HeaderFlags::CREDENTIAL) {
            return;
        }
        scope::remove_empty(head.headers_mut());
        if let Some(key) = self.legacy.jobs().key_names() {
            scope::move_key(head.headers_mut(), &key.header, &key.begins);
        }
    }

    fn answer_read<'a>(
        &'a self,
        route: LegacyRoute,
        mut request: ArrivedRequest<'a>,
        asked: OriginHeaders,
    ) -> Answering<'a> {
        let scope = self.scope(&request.head);
        let decision = self.decide(request.record, route.name(), &request.head, scope);
        let uuid = route.id().and_then(|id| self.legacy.known_id_at_server(id, scope));
        let route = match uuid {
            None => route,
            Some(uuid) => {
                set_id(&mut request.head, &uuid, route.behind_id());
                route.of_job(uuid)
            }
        };
        let names = self.names();
        let finish = move |route: &LegacyRoute, mut answer: Answer| {
            self.notices
                .put(answer.response.headers_mut(), || Some(route.successor(names)));
            self.annotate(answer, &asked)
        };
        let remembered = match decision {
            // From memory nobody is asked: it must not be a request that the upstream would refuse.
            Decision::Translate | Decision::TranslateIfThere if !request.record.foreign => {
                let (record, head) = (&*request.record, &request.head);
                let inquiry = self.inquiry(head);
                match self.legacy.remembered(&route, inquiry, scope) {
                    Some(Remembered::Answer(answer)) => {
                        let finish = |answer| finish(&route, answer);
                        let encoding = inquiry.best_encoding();
                        return at_once(self.remembered(record, &route, head, encoding, answer, finish));
                    }
                    plain => plain,
                }
            }
            _ => None,
        };
        let request = LegacyRequest {
            request: self.going_on(request),
            scope,
            decision,
        };
        later(async move {
            let answer = self.read(&route, request, remembered).await;
            finish(&route, answer)
        })
    }

    /// A request that goes on: its head gets the request's id, and is told of the body's progress.
    pub(super) fn going_on<'a>(&self, request: ArrivedRequest<'a>) -> ClientRequest<'a> {
        let ArrivedRequest {
            record,
            mut head,
            body,
            shutdown,
        } = request;
        let record: &'a RequestRecord = record;
        record.put_name(head.headers_mut());
        let mut body = IdleTimeoutBody::new(body, self.shared.idle_timeout);
        if !body.is_end_stream() {
            head.set_progress(body.watched());
        }
        ClientRequest {
            record,
            head,
            body: record.receiving(body),
            shutdown,
        }
    }

    pub(super) fn scope(&self, head: &RequestHead) -> Scope {
        self.shared.store.scope_key().scope(head)
    }

    /// The Jobs API's names as far as is known.
    pub(super) fn names(&self) -> &Dialect {
        self.legacy.jobs().known_names()
    }

    /// Whether an answer of this origin was made without asking the upstream, and the upstream is, or may be, a server that
    /// refuses what a web page of another site asks.
    fn would_refuse(&self, record: &RequestRecord, origin: Origin) -> bool {
        record.foreign
            && origin == Origin::Jobshim { asked: false }
            && self.legacy.jobs().known_dialect() != Some(DialectKind::Cloud)
    }

    /// A client sees a status and whose it is; whoever runs jobshim also wants to know what to mend.
    pub(super) fn annotate(&self, mut answer: Answer, asked: &OriginHeaders) -> Answer {
        let status = answer.response.status();
        let is_error = status.is_client_error() || status.is_server_error();
        if !is_error || answer.origin != Origin::Upstream {
            return answer;
        }
        let cloud = self.legacy.jobs().known_dialect() == Some(DialectKind::Cloud);
        let advice = refusal(status, asked, cloud);
        proxy_status::received(answer.response.headers_mut(), status, advice.unwrap_or_default());
        if let Some(advice) = advice {
            self.shared
                .log_hint
                .say(&format!("the upstream answered {}: {advice}", status.as_u16()));
        }
        answer
    }
}

/// An answer, at hand or to come.
pub(super) type Answering<'a> = Either<Ready<Answer>, BoxFuture<'a, Answer>>;

pub(super) fn at_once<'a>(answer: Answer) -> Answering<'a> {
    Either::Left(ready(answer))
}

pub(super) fn later<'a>(answering: impl Future<Output = Answer> + Send + 'a) -> Answering<'a> {
    Either::Right(answering.boxed())
}
