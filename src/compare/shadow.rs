//! Making the translated answer beside a forwarded one, and telling a difference from a moment that passed.

use super::{
    answer::{Taken, shape},
    difference::{Finding, Kind, Rules},
    found::Findings,
    tee::tee,
};
use crate::{
    config::ShadowConfig,
    jobs::{Caller, DialectKind},
    legacy::{Inquiry, Legacy, LegacyError},
    modes::Modes,
    observe::{Compared, Observer},
    route::LegacyRoute,
    upstream::{Body, Upstream, UpstreamError},
};
use bytes::Bytes;
use http::{HeaderMap, Method, Response, header::CONTENT_ENCODING};
use std::{collections::BTreeSet, sync::Arc};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// The largest answer, in bytes, that is kept for a comparison.
const MOST_KEPT: usize = 16 << 20;

/// The comparisons that may go on at the same time, and all that they have found.
pub struct Shadow {
    config: ShadowConfig,
    free: Arc<Semaphore>,
    findings: Arc<Findings>,
    observer: Arc<Observer>,
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
    async fn take(&self) -> Result<Taken, UpstreamError> {
        let (method, headers) = (self.method.clone(), self.headers.clone());
        let answer = self.upstream.call(method, &self.target, headers, Bytes::new()).await?;
        let body = self.has_body().then_some(answer.body);
        Ok(Taken::of(answer.status.as_u16(), &answer.headers, body))
    }

    fn has_body(&self) -> bool {
        self.method != Method::HEAD
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
}

impl Shadow {
    /// Nothing is found yet.
    pub fn new(config: &ShadowConfig, observer: Arc<Observer>) -> Self {
        Self {
            free: Arc::new(Semaphore::new(config.max_in_flight)),
            config: config.clone(),
            findings: Arc::default(),
            observer,
        }
    }

    /// By another configuration, with what was found so far.
    pub fn reloaded(&self, config: &ShadowConfig) -> Self {
        Self {
            findings: Arc::clone(&self.findings),
            ..Self::new(config, Arc::clone(&self.observer))
        }
    }

    /// What was found so far.
    pub fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Compares `response`, a forwarded answer on its way to the client, with what translation makes of the same request
    /// from now on. The response is the same, and waits for nothing.
    pub fn compare(&self, shadowed: Shadowed, response: Response<Body>) -> Response<Body> {
        let name = shadowed.route.name();
        if !matches!(response.status().as_u16(), 200 | 404) || !self.config.sample.has(shadowed.modes.draw()) {
            return response;
        }
        let Ok(permit) = Arc::clone(&self.free).try_acquire_owned() else {
            self.findings.dropped(name);
            self.observer.compared((&shadowed.route).into(), Compared::Dropped);
            return response;
        };
        let (head, body) = response.into_parts();
        let status = head.status.as_u16();
        let has_body = shadowed.reread.has_body();
        // What is compressed for the client is read once more as it is.
        let is_plain = !has_body || !head.headers.contains_key(CONTENT_ENCODING);
        let (body, whole) = match has_body {
            true => {
                let (body, whole) = tee(body, MOST_KEPT);
                (body, Some(whole))
            }
            false => (body, None),
        };
        let headers = head.headers.clone();
        let (findings, ignored) = (Arc::clone(&self.findings), self.config.ignore.clone());
        let observer = Arc::clone(&self.observer);
        tokio::spawn(async move {
            let comparison = Comparison {
                shadowed,
                findings,
                observer,
                ignored,
                _permit: permit,
            };
            let legacy = async {
                let body = match whole {
                    Some(whole) => Some(whole.await.map_err(|_: oneshot::error::RecvError| ())?),
                    None => None,
                };
                match is_plain {
                    true => Ok(Taken::of(status, &headers, body)),
                    false => comparison.shadowed.reread.take().await.map_err(drop),
                }
            };
            // Both at once: the two answers are to be from the same moment.
            let (legacy, translated) = tokio::join!(legacy, comparison.translate());
            comparison.judge(legacy, translated).await;
        });
        Response::from_parts(head, body)
    }
}

struct Comparison {
    shadowed: Shadowed,
    findings: Arc<Findings>,
    observer: Arc<Observer>,
    ignored: Vec<Vec<String>>,
    _permit: OwnedSemaphorePermit,
}

impl Comparison {
    async fn translate(&self) -> Result<Taken, LegacyError> {
        let Shadowed {
            route,
            query,
            caller,
            legacy,
            ..
        } = &self.shadowed;
        // As a client without a copy of its own would ask.
        let inquiry = Inquiry {
            query,
            headers: &HeaderMap::new(),
            encoding: None,
        };
        Taken::translated(legacy.answer(route, inquiry, caller).await?).await
    }

    fn differences(&self, legacy: &Taken, translated: &Taken) -> Vec<Finding> {
        let surface = &self.shadowed.legacy;
        let kind = surface.jobs().known_dialect().unwrap_or(DialectKind::Comfyui);
        let api = matches!(self.shadowed.route, LegacyRoute::Queue { api: true });
        let tables = surface.tables();
        let (table, envelope) = shape(&self.shadowed.route, tables, surface.shows_cloud_items(api, kind));
        let id = table.id_path(surface.jobs().names(kind).id_name());
        Rules::new(table, envelope, id.as_deref(), &self.ignored).compare(legacy, translated)
    }

    async fn judge(self, legacy: Result<Taken, ()>, translated: Result<Taken, LegacyError>) {
        let name = self.shadowed.route.name();
        let outcome = match (legacy, translated) {
            (Err(()), _) => Ok(None),
            (Ok(first), Ok(translated)) => self.look(first, translated).await,
            (_, Err(error)) => Err(error),
        };
        let outcome = match outcome {
            Ok(Some((found, noisy))) => {
                let differs = self.findings.compared(name, &found, &noisy);
                self.shadowed.modes.compared(name, differs);
                self.show(&found, &noisy);
                match (differs, noisy.is_empty()) {
                    (true, _) => Compared::Different,
                    (false, false) => Compared::Noise,
                    (false, true) => Compared::Same,
                }
            }
            Ok(None) => {
                self.findings.dropped(name);
                Compared::Dropped
            }
            Err(error) => {
                self.findings.failed(name, &error.to_string());
                self.shadowed.modes.translated(name, true);
                Compared::Failed
            }
        };
        self.observer.compared((&self.shadowed.route).into(), outcome);
    }

    /// Each field that differs, once for this answer.
    fn show(&self, found: &[Finding], noisy: &BTreeSet<String>) {
        let mut shown = BTreeSet::new();
        for finding in found {
            let differs = finding.kind == Kind::Difference && !noisy.contains(&finding.field);
            if differs && shown.insert(&finding.field) {
                let route = (&self.shadowed.route).into();
                self.observer
                    .differs(route, &finding.field, &finding.forwarded, &finding.translated);
            }
        }
    }

    /// What of the differences is real, and which fields are noise. `None` when the legacy endpoint cannot be read again.
    async fn look(
        &self,
        first: Taken,
        translated: Taken,
    ) -> Result<Option<(Vec<Finding>, BTreeSet<String>)>, LegacyError> {
        let found = self.differences(&first, &translated);
        if !has_differences(&found) {
            return Ok(Some((found, BTreeSet::new())));
        }
        let Ok(second) = self.shadowed.reread.take().await else {
            return Ok(None);
        };
        let moved = self.differences(&first, &second);
        if !has_differences(&moved) {
            return Ok(Some((found, BTreeSet::new())));
        }
        // The queue has moved on between the two: once more, with a look before and one after.
        let translated = self.translate().await?;
        let Ok(third) = self.shadowed.reread.take().await else {
            return Ok(None);
        };
        if !(second.is_comparable() && third.is_comparable()) {
            return Ok(None);
        }
        for legacy in [&second, &third] {
            let found = self.differences(legacy, &translated);
            if !has_differences(&found) {
                return Ok(Some((found, BTreeSet::new())));
            }
        }
        let again = self.differences(&second, &third);
        let noisy = moved.into_iter().chain(again).map(|finding| finding.field).collect();
        Ok(Some((self.differences(&second, &translated), noisy)))
    }
}

fn has_differences(found: &[Finding]) -> bool {
    found.iter().any(|finding| finding.kind == Kind::Difference)
}
