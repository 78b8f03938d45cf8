//! What each legacy endpoint means, in terms of the Jobs API.
//!
//! One file a read; `entries` fetches jobs side by side and writes them in their legacy shape, `window` is the
//! arithmetic of counts and offsets. `writes` holds the writes, `orders` what their bodies ask for, and `hidden` the jobs
//! that were deleted where the server cannot forget them.

mod entries;
pub mod hidden;
mod history;
mod history_v2;
mod job_status;
mod orders;
mod queue;
mod window;
mod writes;

use crate::{
    config::{Config, Surface},
    jobs::{Caller, DialectKind, Jobs, JobsError},
    mapping::{RenderError, Table, TableError, Tables},
    notes::Notes,
    route::LegacyRoute,
    state::{State, StateError},
    upstream::Upstream,
};
use bytes::Bytes;
use hidden::Hidden;
use http::{HeaderMap, StatusCode};
use std::sync::Arc;

/// Why a legacy request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum LegacyError {
    /// The Jobs API could not be asked.
    #[error(transparent)]
    Jobs(#[from] JobsError),
    /// A job does not fit its legacy shape.
    #[error("job {id} cannot be shown by table {table:?}: {reason}")]
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
    /// What was asked for could not be kept.
    #[error(transparent)]
    State(#[from] StateError),
    /// A query parameter is not a whole number.
    #[error("the query parameter {parameter}={value:?} is not a whole number")]
    Query {
        /// Its name.
        parameter: String,
        /// Its value, decoded.
        value: String,
    },
}

/// Why the legacy surface cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// A table is broken.
    #[error(transparent)]
    Table(#[from] TableError),
    /// What must survive a restart cannot be kept.
    #[error(transparent)]
    State(#[from] StateError),
}

/// A translated answer.
#[derive(Debug)]
pub struct LegacyAnswer {
    /// 200, or 404 where the endpoint has one.
    pub status: StatusCode,
    /// `Content-Type`.
    pub content_type: String,
    /// The body, in pieces.
    pub body: Vec<Bytes>,
    /// Headers of the upstream's answer that it was made from.
    pub upstream_headers: HeaderMap,
}

/// The legacy surface over one upstream.
pub struct Legacy {
    jobs: Jobs,
    tables: Tables,
    surface: Surface,
    concurrency: usize,
    hidden: Arc<Hidden>,
    notes: Notes,
}

impl Legacy {
    /// Compiles the tables and takes up what was stored.
    pub fn new(config: &Config, upstream: Arc<Upstream>, state: Arc<State>) -> Result<Self, SetupError> {
        let tables = Tables::load(config.mappings_dir.as_deref())?;
        Ok(Self {
            jobs: Jobs::new(upstream, &tables, config.upstream.dialect, config.legacy.max_pages),
            tables,
            surface: config.legacy.surface,
            concurrency: config.upstream.concurrency,
            hidden: Arc::new(Hidden::new(state)?),
            notes: Notes::new(config.notes.max_bytes as u64),
        })
    }

    /// With the tables as they are now and what else of `config` a running program takes over; itself when that is
    /// all as it was.
    pub fn reloaded(self: &Arc<Self>, config: &Config) -> Result<Arc<Self>, SetupError> {
        let tables = Tables::load(config.mappings_dir.as_deref())?;
        if tables.sources == self.tables.sources && config.legacy.surface == self.surface {
            return Ok(Arc::clone(self));
        }
        Ok(Arc::new(Self {
            jobs: self.jobs.reloaded(&tables),
            tables,
            surface: config.legacy.surface,
            concurrency: self.concurrency,
            hidden: Arc::clone(&self.hidden),
            notes: self.notes.clone(),
        }))
    }

    /// What `POST /prompt` taught.
    pub fn notes(&self) -> &Notes {
        &self.notes
    }

    /// The tables in force.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// The Jobs API behind.
    pub fn jobs(&self) -> &Jobs {
        &self.jobs
    }

    /// Answers one legacy request.
    pub async fn answer(&self, route: &LegacyRoute, query: &str, caller: &Caller) -> Result<LegacyAnswer, LegacyError> {
        let kind = self.jobs.dialect(caller).await?;
        let outcome = self.answer_over(kind, route, query, caller).await;
        if let Err(LegacyError::Jobs(JobsError::Shape { .. } | JobsError::Missing { .. })) = outcome {
            // The server behind may have been replaced: it is asked once what it is now.
            let now = self.jobs.dialect(caller).await?;
            if now != kind {
                return self.answer_over(now, route, query, caller).await;
            }
        }
        outcome
    }

    async fn answer_over(
        &self,
        kind: DialectKind,
        route: &LegacyRoute,
        query: &str,
        caller: &Caller,
    ) -> Result<LegacyAnswer, LegacyError> {
        match route {
            LegacyRoute::History => self.history(query, caller, kind).await,
            LegacyRoute::HistoryOne(id) => self.history_one(id, caller, kind).await,
            LegacyRoute::HistoryV2 => self.history_v2(query, caller, kind).await,
            LegacyRoute::HistoryV2One(id) => self.history_v2_one(id, caller, kind).await,
            LegacyRoute::Queue { api } => self.queue(*api, caller, kind).await,
            LegacyRoute::JobStatus(id) => self.job_status(id, caller, kind).await,
        }
    }

    /// Whether `/queue` or `/api/queue` shows cloud items (CONTRACT.md section 1).
    fn shows_cloud_items(&self, api: bool, kind: DialectKind) -> bool {
        api && match self.surface {
            Surface::Auto => kind == DialectKind::Cloud,
            Surface::Comfyui => false,
            Surface::Cloud => true,
        }
    }
}

fn answer(table: &Table, body: Vec<Bytes>, upstream_headers: HeaderMap) -> LegacyAnswer {
    LegacyAnswer {
        status: StatusCode::OK,
        content_type: table.answer.content_type.clone(),
        body,
        upstream_headers,
    }
}

fn not_found(table: &Table, upstream_headers: HeaderMap) -> LegacyAnswer {
    let body = table.answer.not_found.as_ref().map(crate::mapping::json_text);
    LegacyAnswer {
        status: StatusCode::NOT_FOUND,
        body: body.map(Bytes::from).into_iter().collect(),
        ..answer(table, Vec::new(), upstream_headers)
    }
}

/// `text` as a JSON string, with Python's escapes: the legacy server writes ASCII only.
fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    for unit in serde_json::Value::from(text).to_string().chars() {
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
