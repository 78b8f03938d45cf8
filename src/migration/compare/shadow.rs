//! Making the translated answer beside a forwarded one, and telling a difference from a moment that passed.

use super::{
    answer::{Taken, table_and_envelope},
    difference::{Rules, Unpaired},
    noise::Noise,
    tee::tee,
};
use crate::{
    config::{ShadowConfig, field_path::FieldPath},
    http::{
        body::{Body, BoxError, full},
        buffered::BufferBudget,
        request_head::FlaggedHeaders,
        segments::is_plain,
    },
    jobs_api::{Caller, DialectKind},
    legacy::{Inquiry, Legacy, LegacyError, Naming},
    mapping::View,
    migration::modes::Modes,
    routes::LegacyRoute,
    telemetry::{Compared, Comparison, Finding, Kind, News, Observer, REQUEST_ID, now_ms, of_this_request},
    upstream::{Upstream, UpstreamError},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Response,
    header::{CONTENT_ENCODING, USER_AGENT},
};
use http_body_util::BodyExt;
use std::{sync::Arc, time::Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The largest answer, in bytes, that is kept for a comparison.
const MAX_KEPT: usize = 16 << 20;

/// The comparisons that may go on at the same time.
pub struct Shadow {
    config: ShadowConfig,
    free: Arc<Semaphore>,
    observer: Arc<Observer>,
    budget: BufferBudget,
}

/// How the legacy endpoint is read once more, without the client.
pub struct Reread {
    /// Whom it asks.
    pub upstream: Arc<Upstream>,
    /// As the client asked: of a HEAD there is only a head to compare.
    pub method: Method,
    /// Path and query.
    pub target: String,
    /// The client's own headers.
    pub headers: HeaderMap,
}

impl Reread {
    /// The answer, as the client knows its jobs.
    async fn take(&self, naming: Naming) -> Result<Taken, UpstreamError> {
        let (method, headers) = (self.method.clone(), self.headers.clone());
        let answer = self.upstream.call(method, &self.target, headers, Bytes::new()).await?;
        if !self.has_body() {
            return Ok(Taken::of(answer.status.as_u16(), &answer.headers, None));
        }
        let mut response = Response::new(full(answer.body));
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        let broken = |error: BoxError| self.upstream.broken_off(&*error);
        let (head, body) = naming.applied(response).await.map_err(broken)?.into_parts();
        let body = body.collect().await.map_err(broken)?.to_bytes();
        Ok(Taken::of(head.status.as_u16(), &head.headers, Some(body)))
    }

    fn has_body(&self) -> bool {
        self.method != Method::HEAD
    }
}

impl Shadowed {
    /// What the legacy endpoint says now.
    async fn taken_again(&self) -> Result<Taken, UpstreamError> {
        self.reread.take(Naming::new(&self.legacy, &self.caller)).await
    }
}

/// One request whose two answers are compared.
pub struct Shadowed {
    /// What was asked.
    pub route: LegacyRoute,
    /// Its query.
    pub query: String,
    /// Who asks.
    pub caller: Arc<Caller>,
    /// Makes the translated answer.
    pub legacy: Arc<Legacy>,
    /// Hears of what was found.
    pub modes: Arc<Modes>,
    /// For another look at the legacy endpoint.
    pub reread: Reread,
    /// The request's, by [`Modes::request_number`].
    pub number: u64,
}

impl Shadow {
    /// What is found goes to `observer`.
    pub fn new(config: &ShadowConfig, observer: Arc<Observer>, budget: &BufferBudget) -> Self {
        Self {
            free: Arc::new(Semaphore::new(config.max_in_flight)),
            config: config.clone(),
            observer,
            budget: budget.clone(),
        }
    }

    /// By another configuration.
    pub fn reloaded(&self, config: &ShadowConfig) -> Self {
        Self::new(config, Arc::clone(&self.observer), &self.budget)
    }

    /// Compares `response`, a forwarded answer on its way to the client, with what translation makes of the same request
    /// from now on. The response is the same, and waits for nothing.
    pub fn compare(&self, shadowed: Shadowed, response: Response<Body>) -> Response<Body> {
        if !matches!(response.status().as_u16(), 200 | 404) || !self.config.sample.has(shadowed.modes.draw()) {
            return response;
        }
        if Taken::of(response.status().as_u16(), response.headers(), None).is_of_no_path(&shadowed.route) {
            // What a router does not take for an id says nothing of the endpoint.
            if shadowed.route.id().is_none_or(|id| is_plain(id)) {
                self.note_absent(&shadowed);
            }
            return response;
        }
        let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else {
            let route = shadowed.route.endpoint();
            self.observer.findings().note_missing(route, Compared::Dropped);
            return response;
        };
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        let has_body = shadowed.reread.has_body();
        // What is compressed for the client is read once more as it is.
        let is_plain = !has_body || !head.headers.contains_key(CONTENT_ENCODING);
        let (body, whole) = match has_body {
            true => {
                let (body, whole) = tee(body, self.budget.buffer(MAX_KEPT));
                (body, Some(whole))
            }
            false => (body, None),
        };
        let headers = head.headers.clone();
        let (observer, ignored, budget) = (
            Arc::clone(&self.observer),
            self.config.ignore.clone(),
            self.budget.clone(),
        );
        tokio::spawn(of_this_request(async move {
            let run = ShadowRun {
                shadowed,
                observer,
                ignored,
                budget,
                _permit: permit,
            };
            let legacy = async {
                let body = match whole {
                    Some(whole) => Some(whole.await.map_err(|_: oneshot::error::RecvError| ())?),
                    None => None,
                };
                match is_plain {
                    true => Ok(Taken::of(status, &headers, body)),
                    false => run.shadowed.taken_again().await.map_err(drop),
                }
            };
            // Both at once: the two answers are to be from the same moment.
            let (legacy, translated) = tokio::join!(legacy, run.translate());
            run.judge(legacy, translated).await;
        }));
        Response::from_parts(head, body)
    }

    fn note_absent(&self, shadowed: &Shadowed) {
        let news = self
            .observer
            .findings()
            .note_missing(shadowed.route.endpoint(), Compared::Absent);
        if news.outcome {
            tracing::warn!(
                route = shadowed.route.name().as_str(),
                "the server has no legacy endpoint for this route, so clients get 404 and nothing is compared: mode \
                 translate answers them from the Jobs API"
            );
        }
    }
}

struct ShadowRun {
    shadowed: Shadowed,
    observer: Arc<Observer>,
    ignored: Vec<FieldPath>,
    budget: BufferBudget,
    _permit: OwnedSemaphorePermit,
}

impl ShadowRun {
    /// What translation makes of the request now; `None` if that is too long to be held.
    async fn translate(&self) -> Result<Option<Taken>, LegacyError> {
        let began = Instant::now();
        let translated = self.translate_by(&self.shadowed.legacy).await?;
        let route = self.shadowed.route.endpoint();
        self.observer.metrics().shadowed(route, began.elapsed());
        Ok(translated)
    }

    async fn translate_by(&self, legacy: &Arc<Legacy>) -> Result<Option<Taken>, LegacyError> {
        let Shadowed {
            route, query, caller, ..
        } = &self.shadowed;
        // As a client without a copy of its own would ask.
        let inquiry = Inquiry {
            query,
            headers: FlaggedHeaders::none(),
            accepted: Default::default(),
        };
        let answer = legacy.answer(route, inquiry, caller).await?;
        // The server's own answer cannot have what the server has lost.
        if answer.kept_for.is_some() {
            return Ok(None);
        }
        Taken::translated(answer, self.budget.buffer(MAX_KEPT)).await
    }

    /// How the answers of this route are compared, as the tables of `legacy` have them.
    fn rules<'a>(&'a self, legacy: &'a Legacy) -> Rules<'a> {
        let route = &self.shadowed.route;
        let (table, envelope) = table_and_envelope(route, legacy.tables(), self.has_cloud_items());
        Rules::new(table, envelope, &self.ignored, route.id().map(|id| &**id))
    }

    fn has_cloud_items(&self) -> bool {
        let legacy = &self.shadowed.legacy;
        let kind = legacy.jobs().known_dialect().unwrap_or(DialectKind::Comfyui);
        let api = matches!(self.shadowed.route, LegacyRoute::Queue { api: true });
        legacy.shows_cloud_items(api, kind)
    }

    fn differences(&self, legacy: &Taken, translated: &Taken) -> Result<Comparison, Unpaired> {
        self.rules(&self.shadowed.legacy).compare(legacy, translated)
    }

    async fn judge(self, legacy: Result<Taken, ()>, translated: Result<Option<Taken>, LegacyError>) {
        let name = self.shadowed.route.name();
        let outcome = match (legacy, translated) {
            (Err(()), _) | (_, Ok(None)) => Err(NotCompared::Dropped),
            (Ok(first), Ok(Some(translated))) => self.look(first, translated).await,
            (_, Err(error)) => Err(NotCompared::Failed(error)),
        };
        let route = self.shadowed.route.endpoint();
        let headers = &self.shadowed.reread.headers;
        let agent = headers.get(USER_AGENT).map_or(b"".as_slice(), HeaderValue::as_bytes);
        let findings = self.observer.findings();
        let news: News<'_> = match &outcome {
            Ok(comparison) => findings.note(route, comparison, &String::from_utf8_lossy(agent)),
            Err(NotCompared::Dropped) => findings.note_missing(route, Compared::Dropped),
            Err(NotCompared::Unpaired) => findings.note_missing(route, Compared::Unpaired),
            Err(NotCompared::Failed(_)) => findings.note_missing(route, Compared::Failed),
        };
        let request = self.shadowed.reread.headers.get(REQUEST_ID);
        let request_id = request.and_then(|id| id.to_str().ok()).unwrap_or_default();
        if let Ok(comparison) = &outcome
            && comparison.outcome() == Compared::Different
        {
            let differing = comparison.findings.iter();
            let differing = differing.filter(|finding| finding.kind == Kind::Difference);
            let differing = differing.map(|finding| &finding.sample);
            self.observer.differing().note(route, now_ms(), request_id, differing);
        }
        for finding in news.differing {
            tracing::warn!(
                route = name.as_str(),
                field = finding.field,
                sample = %finding.sample,
                "the translated answer differs from the legacy one"
            );
        }
        match &outcome {
            Ok(comparison) => self.shadowed.modes.compared(name, comparison),
            Err(NotCompared::Dropped) => {}
            Err(NotCompared::Unpaired) => {
                if news.outcome {
                    tracing::warn!(
                        route = name.as_str(),
                        "the entries of the legacy answer have no ids where the table says, so they are not compared: \
                         entry_id in the [answer] of the table names the place"
                    );
                }
            }
            Err(NotCompared::Failed(error)) => {
                if news.outcome {
                    tracing::warn!(
                        route = name.as_str(),
                        reason = %error,
                        "a translated answer that was to be compared is a failure"
                    );
                }
                self.shadowed.modes.failed(name, self.shadowed.number);
            }
        }
    }

    /// Where the two answers are not the same, and what that means.
    async fn look(&self, first: Taken, translated: Taken) -> Result<Comparison, NotCompared> {
        let found = self.differences(&first, &translated)?;
        if !has_differences(&found) {
            return self.told(found, &translated).await;
        }
        let Ok(second) = self.shadowed.taken_again().await else {
            return Err(NotCompared::Dropped);
        };
        let moved = self.differences(&first, &second)?;
        if !has_differences(&moved) {
            return self.told(found, &translated).await;
        }
        // The queue has moved on between the two: once more, with a look before and one after.
        let translated = self.translate().await?.ok_or(NotCompared::Dropped)?;
        let Ok(third) = self.shadowed.taken_again().await else {
            return Err(NotCompared::Dropped);
        };
        if !(second.is_comparable() && third.is_comparable()) {
            return Err(NotCompared::Dropped);
        }
        for legacy in [&second, &third] {
            let found = self.differences(legacy, &translated)?;
            if !has_differences(&found) {
                return self.told(found, &translated).await;
            }
        }
        let again = self.differences(&second, &third)?;
        let mut found = self.differences(&second, &translated)?;
        Noise::of(&moved, &again).mark(&mut found);
        self.told(found, &translated).await
    }

    /// The same, where a loss is one only if the built-in table, by what the server told of that job at the same time, has no
    /// more to say there than the one in force.
    async fn told(&self, mut found: Comparison, translated: &Taken) -> Result<Comparison, NotCompared> {
        let view = View::of_route(&self.shadowed.route, self.has_cloud_items());
        let legacy = &self.shadowed.legacy;
        let Some(contract) = legacy.contract(view).filter(|_| has_losses(&found)) else {
            return Ok(found);
        };
        // Without it, nobody knows what the loss is.
        let Ok(Some(by_contract)) = self.translate_by(contract).await else {
            return Err(NotCompared::Dropped);
        };
        // Once more: what both tell may have become known in between.
        let again = self.translate().await?.ok_or(NotCompared::Dropped)?;
        let rules = self.rules(legacy).strict();
        let [before, after] = [translated, &again].map(|one| rules.compare(&by_contract, one));
        let (before, after) = (before?, after?);
        let known = self.rules(contract);
        for finding in &mut found.findings {
            let is_same = |other: &Finding| (other.job, &other.field) == (finding.job, &finding.field);
            let is_told = [&before, &after].iter().all(|one| one.findings.iter().any(is_same));
            if finding.kind == Kind::Loss && is_told && known.covers(&finding.field) {
                finding.kind = Kind::Difference;
            }
        }
        Ok(found)
    }
}

/// Why two answers were not compared.
enum NotCompared {
    /// So as not to hurt, or the legacy endpoint could not be read again.
    Dropped,
    /// The entries of the legacy answer have no ids.
    Unpaired,
    /// There is no translated answer.
    Failed(LegacyError),
}

impl From<LegacyError> for NotCompared {
    fn from(error: LegacyError) -> Self {
        Self::Failed(error)
    }
}

impl From<Unpaired> for NotCompared {
    fn from(_: Unpaired) -> Self {
        Self::Unpaired
    }
}

fn has_differences(found: &Comparison) -> bool {
    found.outcome() == Compared::Different
}

fn has_losses(found: &Comparison) -> bool {
    found.findings.iter().any(|finding| finding.kind == Kind::Loss)
}
