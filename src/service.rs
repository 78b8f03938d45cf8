//! One request: which way it goes, and the one place where an error becomes a response.

use crate::{
    config::Config,
    forward::{Peer, forward},
    jobs::{Caller, Jobs},
    legacy::Legacy,
    mapping::{TableError, Tables},
    response::{legacy_failure, translated, upstream_failure, wrong_method},
    route::{LegacyRoute, Way, route},
    state::{State, StateError},
    upstream::{Body, SetupError, Upstream, full},
};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use std::sync::Arc;

/// Everything a request needs; shared by all connections.
pub struct Service {
    upstream: Arc<Upstream>,
    legacy: Legacy,
    state: Arc<State>,
}

/// The service could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A table is broken.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The upstream client cannot be built.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// What must survive a restart cannot be kept.
    #[error(transparent)]
    State(#[from] StateError),
}

impl Service {
    /// Compiles the tables and builds the upstream client.
    pub fn new(config: &Config) -> Result<Self, StartError> {
        let tables = Tables::load(config.mappings_dir.as_deref())?;
        let upstream = Arc::new(Upstream::new(&config.upstream)?);
        let jobs = Jobs::new(Arc::clone(&upstream), &tables, config.upstream.dialect);
        let legacy = Legacy::new(jobs, tables, config.legacy.surface, config.upstream.concurrency);
        let state = Arc::new(State::open(None)?);
        Ok(Self {
            upstream,
            legacy,
            state,
        })
    }

    /// Asks the upstream what it is, and logs the answer, or why there is none.
    pub async fn greet_upstream(&self) {
        if let Err(error) = self.legacy.jobs().dialect(&Caller::default()).await {
            tracing::warn!(reason = %error, "the upstream's dialect is not known yet; it is asked again with the first legacy request");
        }
    }

    /// Answers one request. Never fails: every failure is a response.
    pub async fn handle(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        match route(request.method(), request.uri().path()) {
            Way::PassThrough => {
                let own_host = self.legacy.jobs().host_for(self.legacy.jobs().known_dialect());
                forward(&self.upstream, request, peer, own_host)
                    .await
                    .unwrap_or_else(|error| {
                        tracing::warn!(%error, "a request could not be passed through");
                        upstream_failure(&error)
                    })
            }
            Way::WrongMethod(allow) => wrong_method(request.method(), allow),
            Way::Legacy(legacy_route) => self.translate(&legacy_route, &request, peer).await,
        }
    }

    async fn translate(&self, route: &LegacyRoute, request: &Request<Incoming>, peer: Peer) -> Response<Body> {
        let caller = Caller::new(
            request.headers(),
            request.uri(),
            peer.address.ip(),
            self.state.scope_key(),
        );
        let query = request.uri().query().unwrap_or_default();
        let response = match self.legacy.answer(route, query, &caller).await {
            Ok(answer) => translated(answer),
            Err(error) => {
                tracing::warn!(?route, %error, "a legacy request could not be answered");
                legacy_failure(error)
            }
        };
        match *request.method() {
            Method::HEAD => response.map(|_| full("")),
            _ => response,
        }
    }
}
