//! What each legacy endpoint means, in terms of the Jobs API.
//!
//! One file a list, and `by_id` for a single job. `entries` has a job in its legacy form, from `entry_cache` or from the server;
//! `listing` puts many together; `pagination` is the arithmetic of counts and offsets. `writes` holds the writes, `write_body` what
//! their bodies ask for, and `hidden` the jobs that were deleted where the server cannot forget them. `names` has jobs that their
//! clients call by other ids than the server. `live` is what clients hear on `/ws` where the server has none.

mod answer;
mod by_id;
mod cached_entry;
mod cached_job;
mod cleared;
mod compressing;
mod entries;
mod entry;
mod entry_cache;
pub mod hidden;
mod hidden_copy;
mod history;
mod history_v2;
pub mod hollow;
mod invalidate;
pub mod kept;
mod kept_answers;
mod last_lists;
mod list_writer;
mod listing;
pub mod live;
mod named_answers;
mod named_orders;
pub mod names;
pub mod notes;
mod pagination;
mod passing;
mod queue;
mod replicas;
pub mod runs;
mod served_jobs;
mod v2_call;
mod variant;
mod write_body;
mod writes;

pub use crate::http::entity_tag::Version;
pub use answer::{Cached, Inquiry, LegacyAnswer, LegacyBody};
pub use by_id::Remembered;
pub use invalidate::{InvalidateOnDrop, PendingDelete};
pub use kept::{Kept, KeptError, Reach};
pub use kept_answers::{Keeping, KeptAnswer};
pub use named_answers::Naming;
pub use pagination::check_numbers;
pub use passing::{Hiding, JobsCall};
pub use replicas::Replicas;
pub use served_jobs::ServedAnswer;
pub use v2_call::V2Call;

use crate::{
    config::{CacheConfig, Config, Surface},
    http::{body_decoding::DecodeError, buffered::BufferBudget},
    jobs_api::{Caller, DialectKind, Jobs, JobsError, JobsSession, Known, List, ListLimits, coalescer::Coalescer},
    legacy::{hollow::Hollow, names::Names, notes::Notes, runs::Runs},
    mapping::{RenderError, TableError, Tables, View},
    routes::LegacyRoute,
    store::{Store, StoreError},
    telemetry::Observer,
    upstream::{Upstream, UpstreamError},
};
use entries::{Lookup, LookupOutcome};
use entry_cache::EntryCache;
use hidden::Hidden;
use std::{sync::Arc, time::Duration};

/// Why a legacy request has no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LegacyError {
    /// The Jobs API could not be asked.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// A job does not fit its legacy shape. The log names no job: its client is told which.
    #[error("a job cannot be shown by table {table:?}: {reason}")]
    Render {
        /// The job's id.
        id: String,
        /// The table's name.
        table: String,
        /// What is wrong.
        reason: RenderError,
    },
    /// The body of a write is not what the endpoint takes.
    #[error("the body is not what the endpoint takes: {reason}")]
    Order {
        /// What is wrong with it.
        reason: String,
    },
    /// The id of a waiting job is also that of the running one, which a cancel call would stop in its place.
    #[error("job {id} waits and runs at once, and a cancel call would stop the running one")]
    Twin {
        /// The job's id.
        id: String,
    },
    /// Jobs are to be deleted that the client was shown without their prompts. The log names no job: its client is told which.
    #[error("jobs were shown with an empty prompt, which cannot be sent back, and would be lost")]
    Hollow {
        /// Their ids.
        ids: Vec<String>,
    },
    /// The body of a write cannot be read.
    #[error("the body cannot be read: {0}")]
    Body(#[from] DecodeError),
    /// What was asked for could not be kept.
    #[error(transparent)]
    State(#[from] StoreError),
    /// A list is asked for by what lists do not know.
    #[error("the query is none for a list of jobs: {reason}")]
    List {
        /// What is wrong with it.
        reason: String,
    },
    /// A query parameter is not a whole number. Its value is not shown: it may be a key that was put there by mistake.
    #[error("the query parameter {parameter} is not a whole number")]
    Query {
        /// Its name, as the table has it.
        parameter: String,
    },
}

impl From<KeptError> for LegacyError {
    fn from(error: KeptError) -> Self {
        match error {
            KeptError::Store(error) => error.into(),
            KeptError::NoRoom(limit) => JobsError::from(UpstreamError::NoRoom { limit }).into(),
        }
    }
}

/// Why the legacy surface cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A table is broken.
    #[error(transparent)]
    Table(#[from] TableError),
    /// What must survive a restart cannot be kept.
    #[error(transparent)]
    State(#[from] StoreError),
}

/// The legacy surface over one upstream.
pub struct Legacy {
    jobs: Arc<Jobs>,
    tables: Tables,
    surface: Surface,
    concurrency: usize,
    hidden: Arc<Hidden>,
    hides_in_jobs_api: bool,
    notes: Notes,
    kept: Option<Arc<Kept>>,
    names: Arc<Names>,
    runs: Arc<Runs>,
    hollow: Arc<Hollow>,
    replicas: Arc<Replicas>,
    memory: EntryCache,
    /// For what is unpacked.
    budget: BufferBudget,
    /// Entries that are being asked for.
    lookups: Coalescer<Lookup, Result<LookupOutcome, LegacyError>>,
    longest_job_ms: f64,
    /// The same by the built-in tables, where others are in force.
    contract: Option<Arc<Self>>,
    /// Whether it is that.
    is_contract: bool,
}

/// The most memory, in bytes, for entries as the built-in tables make them, where others are in force.
const MOST_OF_CONTRACT: usize = 16 << 20;

impl Legacy {
    /// Compiles the tables and takes up what was stored.
    pub fn new(
        config: &Config,
        upstream: Arc<Upstream>,
        store: Arc<Store>,
        observer: Arc<Observer>,
    ) -> Result<Self, SetupError> {
        let tables = Tables::load(config.mappings_dir.as_deref())?;
        let (runs, hollow): (Arc<Runs>, Arc<Hollow>) = Default::default();
        let notes = Notes::new(config.notes.max_bytes as u64);
        let names = Arc::new(Names::new(config.legacy.ids, Arc::clone(&store)));
        let budget = upstream.budget().clone();
        let mut legacy = Self {
            jobs: Arc::new(Jobs::new(
                upstream,
                &tables,
                config.upstream.dialect,
                ListLimits {
                    pages: config.legacy.max_pages,
                    jobs: config.legacy.max_jobs,
                    side_by_side: config.upstream.concurrency,
                },
                Known::new(&store)?,
                observer,
            )),
            tables,
            surface: config.legacy.surface,
            concurrency: config.upstream.concurrency,
            hidden: Arc::new(Hidden::new(Arc::clone(&store), config.history.max_hidden)?),
            hides_in_jobs_api: config.history.hide_in_jobs_api,
            kept: Kept::new(&config.history, &store)?,
            replicas: Arc::new(Replicas::new(store, &runs, &notes, &names, &hollow)?),
            notes,
            names,
            memory: EntryCache::new(&config.cache, Arc::clone(&runs)),
            budget,
            runs,
            hollow,
            lookups: Coalescer::default(),
            longest_job_ms: config.history.longest_job.as_secs_f64() * 1000.0,
            contract: None,
            is_contract: false,
        };
        legacy.contract = legacy.by_built_in_tables(config)?;
        Ok(legacy)
    }

    /// With the tables as they are now and what else of `config` a running program takes over; itself when that is
    /// all as it was.
    pub fn reloaded(self: &Arc<Self>, config: &Config) -> Result<Arc<Self>, SetupError> {
        let tables = Tables::load(config.mappings_dir.as_deref())?;
        if tables.files == self.tables.files && config.legacy.surface == self.surface {
            return Ok(Arc::clone(self));
        }
        let mut legacy = self.with(tables, config.legacy.surface, &config.cache);
        legacy.contract = legacy.by_built_in_tables(config)?;
        Ok(Arc::new(legacy))
    }

    /// By other tables.
    fn with(&self, tables: Tables, surface: Surface, cache: &CacheConfig) -> Self {
        Self {
            jobs: Arc::new(self.jobs.reloaded(&tables)),
            tables,
            surface,
            concurrency: self.concurrency,
            hidden: Arc::clone(&self.hidden),
            hides_in_jobs_api: self.hides_in_jobs_api,
            notes: self.notes.clone(),
            kept: self.kept.clone(),
            names: Arc::clone(&self.names),
            runs: Arc::clone(&self.runs),
            hollow: Arc::clone(&self.hollow),
            replicas: Arc::clone(&self.replicas),
            // What is remembered was written by the old tables.
            memory: EntryCache::new(cache, Arc::clone(&self.runs)),
            budget: self.budget.clone(),
            lookups: Coalescer::default(),
            longest_job_ms: self.longest_job_ms,
            contract: None,
            is_contract: false,
        }
    }

    fn by_built_in_tables(&self, config: &Config) -> Result<Option<Arc<Self>>, TableError> {
        let Some(tables) = self.tables.with_built_in_answers()? else {
            return Ok(None);
        };
        let cache = CacheConfig {
            max_bytes: config.cache.max_bytes.min(MOST_OF_CONTRACT),
            ..config.cache.clone()
        };
        Ok(Some(Arc::new(Self {
            hollow: Arc::default(),
            is_contract: true,
            ..self.with(tables, self.surface, &cache)
        })))
    }

    /// What answers by the built-in table of a view, where another one is in force: what the Jobs API carries is told by
    /// that, whatever became of it in a table of somebody's own.
    pub fn contract(&self, view: View) -> Option<&Arc<Self>> {
        let contract = self.contract.as_ref()?;
        (!self.tables.is_built_in(&self.table(view).name)).then_some(contract)
    }

    /// How many jobs the memory holds, and the bytes that they take.
    pub fn remembers(&self) -> (u64, u64) {
        self.memory.holds()
    }

    /// What `POST /prompt` taught.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// The jobs that stay answerable, if any do.
    pub fn kept(&self) -> Option<&Arc<Kept>> {
        self.kept.as_ref()
    }

    /// The names that clients gave their jobs.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// What was submitted, and is waited for.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// The other jobshims of the same store.
    pub fn replicas(&self) -> &Arc<Replicas> {
        &self.replicas
    }

    /// Who was shown queued jobs without their prompts.
    pub fn hollow(&self) -> &Hollow {
        &self.hollow
    }

    /// The tables in force.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The Jobs API behind.
    pub fn jobs(&self) -> &Arc<Jobs> {
        &self.jobs
    }

    /// Answers one legacy request.
    pub async fn answer(
        self: &Arc<Self>,
        route: &LegacyRoute,
        inquiry: Inquiry<'_>,
        caller: &Arc<Caller>,
    ) -> Result<LegacyAnswer, LegacyError> {
        let outcome = self.answer_over_any(route, inquiry, caller).await;
        if let Err(LegacyError::Jobs(JobsError::Upstream(error))) = &outcome
            && error.is_unreachable()
            && let Some(stale) = self.remembered_stale(route, inquiry, caller).await
        {
            tracing::warn!(%error, route = route.name().as_str(), "answered from memory, as cache.max_stale allows");
            return Ok(stale);
        }
        outcome
    }

    async fn answer_over_any(
        self: &Arc<Self>,
        route: &LegacyRoute,
        inquiry: Inquiry<'_>,
        caller: &Arc<Caller>,
    ) -> Result<LegacyAnswer, LegacyError> {
        let kind = self.jobs.dialect(caller).await?;
        let session = self.jobs.on_behalf_of(caller, kind);
        if let Some(kept) = &self.kept {
            kept.adopt(&session);
        }
        let outcome = self.answer_over(&session, route, inquiry).await;
        if let Err(LegacyError::Jobs(JobsError::Shape { .. } | JobsError::Missing { .. })) = outcome {
            // The server behind may have been replaced: it is asked once what it is now.
            let now = self.jobs.dialect(caller).await?;
            if now != kind {
                let session = self.jobs.on_behalf_of(caller, now);
                return self.answer_over(&session, route, inquiry).await;
            }
        }
        outcome
    }

    async fn answer_over(
        self: &Arc<Self>,
        session: &JobsSession,
        route: &LegacyRoute,
        inquiry: Inquiry<'_>,
    ) -> Result<LegacyAnswer, LegacyError> {
        match route {
            LegacyRoute::History => self.history(inquiry, session).await,
            LegacyRoute::HistoryV2 => self.history_v2(inquiry, session).await,
            LegacyRoute::Queue { api } => self.queue(*api, inquiry, session).await,
            LegacyRoute::HistoryOne(id) => self.one(id, View::History, inquiry, session).await,
            LegacyRoute::HistoryV2One(id) => self.one(id, View::HistoryV2Detail, inquiry, session).await,
            LegacyRoute::JobStatus(id) => self.one(id, View::JobStatus, inquiry, session).await,
        }
    }

    /// Adds kept jobs to a list; for how long the longest kept one has been kept, where the server has lost some.
    fn with_kept(&self, session: &JobsSession, list: &mut List) -> Result<Option<Duration>, LegacyError> {
        match &self.kept {
            Some(kept) => Ok(kept.complete(session.caller().scope, list, &self.budget)?),
            None => Ok(None),
        }
    }

    /// Whether `/queue` or `/api/queue` shows cloud items (docs/contract.md section 1).
    pub fn shows_cloud_items(&self, api: bool, kind: DialectKind) -> bool {
        api && self.surface.is_cloud(kind == DialectKind::Cloud)
    }
}

/// `text` as a JSON string, with Python's escapes: the legacy server writes ASCII only.
fn json_string(text: &str) -> String {
    // No text fails to be written.
    let quoted = serde_json::to_string(text).unwrap_or_default();
    if quoted.is_ascii() {
        return quoted;
    }
    let mut out = String::with_capacity(quoted.len());
    for unit in quoted.chars() {
        if unit.is_ascii() {
            out.push(unit);
        } else {
            let mut units = [0; 2];
            for unit in unit.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}
