//! The Jobs API: list, detail, cancel, node classes, and which dialect of it the upstream speaks.
//!
//! Everything here is asked on behalf of a [`Caller`], with that caller's own credentials; nothing is remembered but
//! the dialect and what node classes there are.

mod asked_jobs;
mod caller;
mod cancel;
mod classes;
pub mod coalescer;
mod completed_list;
mod detail;
mod error;
mod files_at_hand;
mod known;
mod known_files;
mod known_jobs;
mod list;
mod live;
mod live_stream;
mod page;
mod probing;
mod run;
mod scope_listeners;
mod session;
mod unlistable;
mod v2;
mod v2_files;
mod v2_list;
mod v2_submit;

pub use crate::mapping::dialect::LiveState;
pub use crate::mapping::dialect::{Dialect, KeyNames, PathRules, SocketNames, State};
pub(crate) use caller::filling;
pub use caller::{Caller, CallerKey};
pub use classes::KnownClasses;
pub use completed_list::{EndedJob, ListQuery};
pub use detail::{Detail, Workflow, log_job};
pub use error::JobsError;
pub use files_at_hand::{ContentHash, KnownFile};
pub use known::Known;
pub use known_files::{Claim, KnownFiles};
pub use known_jobs::{HeardJob, KnownJob, KnownJobs};
pub use list::{List, ListFilter};
pub use live::Live;
pub use live_stream::{LiveError, LiveEvent, LiveOutput, LiveProgress, LiveStream};
pub use page::{JobKey, Listed, Page};
pub use run::Run;
pub use session::JobsSession;
pub use unlistable::Queue;
pub use v2_list::ListOfKnown;
pub use v2_submit::NewJob;

use list::PageCall;

use crate::{
    auth::scope::as_bearer,
    config::DialectChoice,
    jobs_api::coalescer::Coalescer,
    mapping::{Tables, V2Tables, json::ScanError},
    routes::shown_path,
    telemetry::{Call, Observer},
    upstream::{Answer, Upstream, UpstreamError},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, StatusCode, header::LOCATION};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use strum::IntoStaticStr;
use tokio::time::Instant;

/// How long a dialect that was found out is believed before the upstream is asked again: it may have been replaced.
const DIALECT_BELIEVED: Duration = Duration::from_secs(300);

/// How long a failure to find out is remembered where finding out only helps.
const FAILURE_REMEMBERED: Duration = Duration::from_secs(5);

/// Which dialect the upstream speaks.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Hash, IntoStaticStr, Serialize)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum DialectKind {
    /// Self-hosted.
    Comfyui,
    /// The cloud.
    Cloud,
    /// Whoever speaks Comfy API v2.
    V2,
}

impl DialectKind {
    /// As `upstream.dialect` calls it.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// How long a list may be.
#[derive(Clone, Copy, Debug)]
pub struct ListLimits {
    /// The most pages that one list is read from.
    pub pages: usize,
    /// The most jobs of one list.
    pub jobs: usize,
    /// How many jobs are asked for side by side, where the server lists none.
    pub side_by_side: usize,
}

/// The Jobs API of one upstream.
pub struct Jobs {
    upstream: Arc<Upstream>,
    observer: Arc<Observer>,
    comfyui: Dialect,
    cloud: Dialect,
    v2: Dialect,
    of_v2: Arc<V2Tables>,
    /// Of a server that lists none.
    known: Arc<KnownJobs>,
    /// What clients call files there.
    files: Arc<KnownFiles>,
    /// Since when such a server is known to have no list.
    without_list: Mutex<Option<Instant>>,
    /// How many jobs are asked for side by side.
    side_by_side: usize,
    choice: DialectChoice,
    limits: ListLimits,
    found: Mutex<Option<(DialectKind, Instant)>>,
    /// So that a burst of first requests asks once.
    probing: probing::Probing,
    /// When the dialect was last asked for in vain.
    failed: Mutex<Option<Instant>>,
    classes: classes::ClassMemory,
    /// Pages that are being asked for.
    pages: Coalescer<PageCall, Result<Arc<Page>, JobsError>>,
}

impl Jobs {
    /// Asks nothing yet. A list that is longer than `limits` is an error.
    pub fn new(
        upstream: Arc<Upstream>,
        tables: &Tables,
        choice: DialectChoice,
        limits: ListLimits,
        known: Known,
        observer: Arc<Observer>,
    ) -> Self {
        Self {
            upstream,
            observer,
            comfyui: tables.comfyui.clone(),
            cloud: tables.cloud.clone(),
            v2: tables.v2.clone(),
            of_v2: Arc::clone(&tables.of_v2),
            known: known.jobs,
            files: known.files,
            without_list: Mutex::default(),
            side_by_side: limits.side_by_side,
            choice,
            limits,
            found: Mutex::default(),
            probing: probing::Probing::default(),
            failed: Mutex::default(),
            classes: classes::ClassMemory::default(),
            pages: Coalescer::default(),
        }
    }

    /// The same server spoken to by other tables; nothing is known of it.
    pub fn reloaded(&self, tables: &Tables) -> Self {
        Self::new(
            Arc::clone(&self.upstream),
            tables,
            self.choice,
            self.limits,
            Known {
                jobs: Arc::clone(&self.known),
                files: Arc::clone(&self.files),
            },
            Arc::clone(&self.observer),
        )
    }

    /// All dialects.
    pub fn dialects(&self) -> [&Dialect; 3] {
        [&self.comfyui, &self.cloud, &self.v2]
    }

    /// The names that a dialect uses.
    pub fn names(&self, kind: DialectKind) -> &Dialect {
        match kind {
            DialectKind::Comfyui => &self.comfyui,
            DialectKind::Cloud => &self.cloud,
            DialectKind::V2 => &self.v2,
        }
    }

    /// The names that the server uses as far as is known.
    pub fn known_names(&self) -> &Dialect {
        self.names(self.known_dialect().unwrap_or(DialectKind::Comfyui))
    }

    /// The dialect for a request that passes through: known, or asked for once when the client has a key that only the
    /// cloud wants, or when it `must` be known. A failure is remembered for a moment, as the request itself will tell the
    /// client.
    pub async fn dialect_to_pass(&self, caller: &Caller, must: bool) -> Option<DialectKind> {
        if let Some(kind) = self.known_dialect() {
            return Some(kind);
        }
        let lately = |failed: &mut Option<Instant>| failed.is_some_and(|at| at.elapsed() < FAILURE_REMEMBERED);
        let has_key = caller.has_key() || self.upstream.has_headers();
        if !(has_key || must) || lately(&mut self.failed.lock()) {
            return None;
        }
        let kind = as_refused(self.dialect(caller).await);
        if kind.is_none() {
            *self.failed.lock() = Some(Instant::now());
        }
        kind
    }

    /// The dialect of the server that answered a request, sent at `sent`, as if it were another than the one that is
    /// known: it may have been replaced.
    pub async fn dialect_after(&self, sent: Instant, caller: &Caller) -> Option<DialectKind> {
        as_refused(self.dialect_learnt_since(sent, caller).await)
    }

    /// Whether the dialect is found out, and may be another one tomorrow.
    pub fn may_change(&self) -> bool {
        self.configured().is_none()
    }

    /// What a key looks like, unless the server is known to have none.
    pub fn key_names(&self) -> Option<&KeyNames> {
        match self.known_dialect() {
            Some(kind) => self.names(kind).names.key.as_ref(),
            None => self
                .dialects()
                .into_iter()
                .find_map(|dialect| dialect.names.key.as_ref()),
        }
    }

    /// What is known without asking, however long ago it was learnt.
    pub fn known_dialect(&self) -> Option<DialectKind> {
        self.configured()
            .or_else(|| self.found(|found| found.map(|(kind, _)| kind)))
    }

    /// The name that `Host` must carry instead of the client's. The cloud is found by its own name; so is an upstream
    /// behind https while nothing else is known of it, or it speaks Comfy API v2.
    pub fn host_for(&self, kind: Option<DialectKind>) -> Option<&str> {
        let own = match kind {
            Some(DialectKind::Cloud) => true,
            Some(DialectKind::Comfyui) => false,
            Some(DialectKind::V2) | None => self.upstream.is_https(),
        };
        own.then(|| self.upstream.authority())
    }

    fn configured(&self) -> Option<DialectKind> {
        match self.choice {
            DialectChoice::Comfyui => Some(DialectKind::Comfyui),
            DialectChoice::Cloud => Some(DialectKind::Cloud),
            DialectChoice::V2 => Some(DialectKind::V2),
            DialectChoice::Auto => None,
        }
    }

    fn believed(&self, since: Option<Instant>) -> Option<DialectKind> {
        let (kind, learnt) = self.found(|found| *found)?;
        let counts = learnt.elapsed() < DIALECT_BELIEVED && since.is_none_or(|since| learnt > since);
        counts.then_some(kind)
    }

    /// Forgets the dialect: an answer did not fit it, and the server behind may have been replaced.
    fn doubt_dialect(&self) {
        self.found(|found| *found = None);
        self.classes.forget();
        *self.without_list.lock() = None;
    }

    fn found<T>(&self, look: impl FnOnce(&mut Option<(DialectKind, Instant)>) -> T) -> T {
        look(&mut self.found.lock())
    }

    /// One GET on behalf of `caller`.
    async fn ask(
        &self,
        call: Call,
        caller: &Caller,
        kind: Option<DialectKind>,
        path: &str,
        query: &str,
    ) -> Result<Answer, JobsError> {
        let target = caller.target(path, query);
        let headers = self.headers(caller, kind);
        let answer = self
            .call(call, caller, Method::GET, &target, headers, Bytes::new())
            .await?;
        tracing::debug!(
            call = shown_path(path),
            status = answer.status.as_u16(),
            bytes = answer.body.len(),
            "asked the upstream"
        );
        Ok(answer)
    }

    /// The headers of a call on behalf of `caller`.
    fn headers(&self, caller: &Caller, kind: Option<DialectKind>) -> HeaderMap {
        let mut headers = caller.headers(self.host_for(kind));
        if let Some(header) = self.bearer_in(kind) {
            as_bearer(&mut headers, header);
        }
        headers
    }

    /// The header with the key of a client, where the server takes that as a bearer token.
    pub fn bearer_in(&self, kind: Option<DialectKind>) -> Option<&HeaderName> {
        let key = self.names(kind?).names.key.as_ref()?;
        key.bearer.then_some(&key.header)
    }

    /// One call on behalf of `caller`, observed.
    async fn call(
        &self,
        call: Call,
        caller: &Caller,
        method: Method,
        target: &str,
        mut headers: HeaderMap,
        body: Bytes,
    ) -> Result<Answer, UpstreamError> {
        let calling = self
            .observer
            .calling(call, &caller.stats, self.upstream.authority(), &method, &mut headers);
        let outcome = self.upstream.call(method, target, headers, body).await;
        match &outcome {
            Ok(answer) => calling.answered(answer.status),
            Err(error) => {
                if matches!(error, UpstreamError::Connect { .. }) {
                    // A server that starts again may have other nodes.
                    self.classes.forget();
                }
                calling.failed(error.into(), error);
            }
        }
        outcome
    }

    /// What the upstream answers to `caller` at all, found out by a call that costs it next to nothing.
    pub async fn ping(&self, caller: &Caller) -> Result<Answer, UpstreamError> {
        let names = &self.known_names().names;
        let target = caller.target(names.probe_path(), &names.probe.query);
        let headers = self.headers(caller, self.known_dialect());
        self.call(Call::Probe, caller, Method::GET, &target, headers, Bytes::new())
            .await
    }
}

/// Self-hosted servers have no credentials of their own (docs/contract.md section 2): who does not take the key is a cloud, and
/// says so to the request itself.
fn as_refused(found: Result<DialectKind, JobsError>) -> Option<DialectKind> {
    match found {
        Ok(kind) => Some(kind),
        Err(JobsError::Refused { answer, .. }) if answer.status == StatusCode::UNAUTHORIZED => Some(DialectKind::Cloud),
        Err(_) => None,
    }
}

/// A 200, or the error that another status is. 404 is for the caller to read first where it can mean an unknown job.
fn accept(method: &Method, path: &str, answer: Answer) -> Result<Answer, JobsError> {
    if answer.status == StatusCode::OK {
        return Ok(answer);
    }
    let call = format!("{method} {path}");
    match answer.status.as_u16() {
        // A redirect is most often a login page's, and for the client to follow.
        301..=303 | 307 | 308 if !answer.headers.contains_key(LOCATION) => Err(JobsError::Shape {
            call,
            reason: format!("status {} to nowhere", answer.status),
        }),
        301..=303 | 307 | 308 | 401..=403 | 429 | 500..=599 => Err(JobsError::Refused {
            call,
            answer: Box::new(answer),
        }),
        404 | 405 | 410 => Err(JobsError::Missing {
            call,
            status: answer.status,
        }),
        _ => Err(JobsError::Shape {
            call,
            reason: format!("status {}", answer.status),
        }),
    }
}

fn unreadable(path: &str, error: &ScanError) -> JobsError {
    JobsError::Shape {
        call: format!("GET {path}"),
        reason: error.to_string(),
    }
}
