//! One request: which way it goes.

pub mod diagnosis;
pub mod forward;
mod gone;
pub mod greeting;
pub mod hints;
mod housekeeping;
mod keeping;
mod live_socket;
mod named;
pub mod panics;
mod pass_through;
mod read;
pub mod reload;
pub mod shared_jobs;
pub mod shutdown;
mod translation;
mod v2_calls;
mod v2_files;
mod v2_jobs;

mod write;
mod wrong_method;

mod answer;
mod failure;
mod pipeline;
mod refusal;
mod request;
mod shared;
mod translated;

pub use housekeeping::{STORE_EVERY, USAGE, housekeeping};
pub use pipeline::Pipeline;

use crate::{
    auth::access_token::Access,
    config::{Config, InForce},
    http::{buffered::BufferBudget, peer::Peer, validate::HeadLimits},
    legacy::{self, Legacy, live::LiveFeeds},
    migration::{
        compare::{Shadow, comparison_basis},
        modes::Modes,
        notices::Notices,
    },
    store::{Store, StoreError},
    telemetry::{Observer, RecordedBody},
    upstream::{SetupError, Upstream},
};
use arc_swap::ArcSwap;
use diagnosis::Diagnosis;
use http::{Request, Response};
use hyper::body::Incoming;
use shared::Shared;
use shutdown::{DrainStage, Shutdown};
use std::sync::Arc;
use tokio::sync::{Mutex, Semaphore, watch};

/// The proxy: the pipeline in force, which a reload replaces as a whole, and how far the program's end has come.
pub struct Proxy {
    shared: Arc<Shared>,
    pipeline: ArcSwap<Pipeline>,
    in_force: ArcSwap<InForce>,
    stages: watch::Sender<DrainStage>,
}

/// The proxy could not be set up.
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
        let store = Arc::new(Store::open(&config.state)?);
        let observer = Arc::new(Observer::new(housekeeping::stored_usage(&store)?, config.log.access));
        housekeeping::follow_others(&store, &observer)?;
        let legacy = Legacy::new(config, Arc::clone(&upstream), Arc::clone(&store), Arc::clone(&observer))?;
        let shared = Arc::new(Shared {
            access: Access::new(config.listen.access_token.clone()),
            legacy_upstream: legacy_upstream.transpose()?.map(Arc::new),
            compress: config.legacy.compress,
            max_noted: config.notes.max_body,
            trusted_proxies: config.listen.trusted_proxies.clone(),
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
            log_hint: hints::RateLimitedLog::default(),
            diagnosis: Diagnosis::new(&config.upstream, legacy.tables()),
            probing: Mutex::default(),
            sockets: Arc::default(),
            live: Arc::new(LiveFeeds::new(config.upstream.concurrency, budget.clone())),
            upstream,
            store,
            budget,
            observer,
        });
        let fingerprint = legacy.tables().fingerprint();
        let basis = comparison_basis(legacy.tables(), &config.shadow);
        shared.observer.compare_by(basis);
        let pipeline = Pipeline {
            number: 0,
            modes: Arc::new(Modes::new(&config.legacy, fingerprint, Arc::clone(&shared.store))?),
            legacy: Arc::new(legacy),
            shadow: Shadow::new(&config.shadow, Arc::clone(&shared.observer), &shared.budget),
            notices: Notices::new(&config.notices),
            shared: Arc::clone(&shared),
        };
        let (stages, _) = watch::channel(DrainStage::default());
        Ok(Self {
            shared,
            pipeline: ArcSwap::from_pointee(pipeline),
            in_force: ArcSwap::default(),
            stages,
        })
    }

    /// The pipeline in force now. A request keeps the one that it began with.
    pub fn pipeline(&self) -> Arc<Pipeline> {
        self.pipeline.load_full()
    }

    /// The configuration that led to it, for people.
    pub fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    /// Another configuration is in force.
    pub fn put_in_force(&self, in_force: InForce) {
        self.in_force.store(Arc::new(in_force));
    }

    /// What has been seen so far.
    pub fn observer(&self) -> &Arc<Observer> {
        &self.shared.observer
    }

    /// How many bytes of bodies are held now.
    pub fn buffered(&self) -> usize {
        self.shared.budget.held()
    }

    /// Answers one request by the pipeline in force. `shutdown` goes along with what does not end with its request, a
    /// tunnel or a write.
    pub fn handle(
        &self,
        request: Request<Incoming>,
        peer: Peer,
        shutdown: &Shutdown,
    ) -> impl Future<Output = Response<RecordedBody>> + Send + use<> {
        self.pipeline.load_full().handle(request, peer, shutdown)
    }

    /// Takes over from `config` what a running program can: modes and tables. All that was learnt so far is shared with
    /// what was in force, which goes on answering what it began. True when the tables are others.
    pub fn reload(&self, config: &Config) -> Result<bool, StartError> {
        let before = self.pipeline();
        let legacy = before.legacy.reloaded(config)?;
        let modes = before.modes.reloaded(&config.legacy, legacy.tables().fingerprint())?;
        let has_other_tables = legacy.tables().files != before.legacy.tables().files;
        self.pipeline.store(Arc::new(Pipeline {
            number: before.number + 1,
            legacy,
            modes: Arc::new(modes),
            shadow: before.shadow.reloaded(&config.shadow),
            notices: Notices::new(&config.notices),
            shared: Arc::clone(&self.shared),
        }));
        Ok(has_other_tables)
    }

    /// How far the program's end has come, for who has to know it in time.
    pub fn shutdown(&self) -> Shutdown {
        Shutdown::new(self.stages.subscribe())
    }

    /// The end has come as far as `stage`.
    pub fn drain(&self, stage: DrainStage) {
        self.stages.send_replace(stage);
    }

    /// Whether it has come that far.
    pub fn has_reached(&self, stage: DrainStage) -> bool {
        *self.stages.borrow() >= stage
    }

    /// Resolves when nobody has to know any more: all connections, tunnels and writes have ended.
    pub async fn drained(&self) {
        self.stages.closed().await;
    }

    /// How many have not ended.
    pub fn under_way(&self) -> usize {
        self.stages.receiver_count()
    }
}
