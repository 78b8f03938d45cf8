//! `jobshim doctor`: asks the upstream what it can do, and prints what that means for each legacy route.
//!
//! It changes nothing there: it cancels a job that does not exist, and deletes no job from history and queue.

mod outcomes;

use crate::{
    config::{Config, Mode},
    http::buffered::BufferBudget,
    jobs_api::{Caller, Detail, DialectKind, Jobs, JobsError, Known, ListFilter, ListLimits},
    mapping::{
        TableError, Tables,
        dialect::{Dialect, State},
        json::find,
    },
    proxy::{
        diagnosis::Diagnosis,
        greeting::{has_legacy_endpoints, outlook},
        hints::{OriginHeaders, refusal},
        shared_jobs::{KNOWS_NO_JOB, shares_jobs},
    },
    store::{Store, StoreError},
    upstream::{Answer, SetupError, Upstream, UpstreamError},
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use outcomes::{Outcome, routes};
use std::{
    fmt::{self, Write as _},
    sync::Arc,
};

/// A job that no server has.
const NO_JOB: &str = "d0c70000-0000-4000-8000-000000000000";
/// A node class that every server has.
const COMMON_CLASS: &str = "SaveImage";

/// Why the upstream cannot be examined at all.
#[derive(Debug, thiserror::Error)]
pub enum DoctorError {
    /// A table is broken.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The upstream client cannot be built.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// There is no place for what is found out.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Whether the upstream has something.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Yes,
    No(StatusCode),
    /// It does not say without a valid key, say.
    Refused(StatusCode),
    Unclear(String),
}

impl Found {
    /// By the answer to a question about what does not exist: an object says that the endpoint was understood.
    fn by(answer: Result<Answer, UpstreamError>) -> Self {
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Self::Unclear(error.to_string()),
        };
        let object = answer.body.trim_ascii_start().starts_with(b"{");
        match answer.status.as_u16() {
            200..=299 => Self::Yes,
            400 | 404 if object => Self::Yes,
            404 | 405 | 410 | 501 => Self::No(answer.status),
            401..=403 | 429 => Self::Refused(answer.status),
            _ => Self::Unclear(format!("status {}", answer.status)),
        }
    }

    fn is_there(&self) -> bool {
        *self == Self::Yes
    }
}

impl fmt::Display for Found {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Yes => write!(out, "yes"),
            Self::No(status) => write!(out, "no ({})", status.as_u16()),
            Self::Refused(status) => write!(out, "refused ({})", status.as_u16()),
            Self::Unclear(reason) => write!(out, "unclear: {reason}"),
        }
    }
}

/// Whether a queued job's detail has its prompt.
enum Queued {
    Told,
    NotTold,
    Empty,
    Unclear(String),
}

impl fmt::Display for Queued {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told => write!(out, "with their prompts"),
            Self::NotTold => write!(out, "without their prompts"),
            Self::Empty => write!(out, "none is queued now: ask again while one is"),
            Self::Unclear(reason) => write!(out, "unclear: {reason}"),
        }
    }
}

/// What was found out.
struct Examination {
    version: Option<String>,
    list: Found,
    detail: Found,
    cancel: Found,
    cancel_many: Found,
    classes: Found,
    own_reads: Option<bool>,
    own_queue: Found,
    own_history: Found,
    queued: Queued,
    refuses_cross_site: bool,
}

/// Examines the upstream and writes what was found to `out`; true when every legacy route has an answer.
pub async fn run(config: &Config, out: &mut String) -> Result<bool, DoctorError> {
    let tables = Tables::load(config.mappings_dir.as_deref())?;
    let upstream = Arc::new(Upstream::new(
        &config.upstream,
        &BufferBudget::new(config.server.max_buffered),
    )?);
    let diagnosis = Diagnosis::new(&config.upstream, &tables);
    let jobs = Arc::new(Jobs::new(
        Arc::clone(&upstream),
        &tables,
        config.upstream.dialect,
        ListLimits {
            pages: config.legacy.max_pages,
            jobs: config.legacy.max_jobs,
            side_by_side: config.upstream.concurrency,
        },
        Known::new(&Arc::new(Store::in_memory()?))?,
        Arc::default(),
    ));
    let _ = writeln!(out, "{}\n", config.upstream.name());
    let asked = jobs.dialect(&Caller::default()).await;
    let kind = match asked {
        Ok(kind) => kind,
        Err(error) => {
            row(out, "upstream", &error);
            row(out, "cause", &diagnosis.cause(&error).await);
            let is_missing = matches!(error, JobsError::Missing { .. });
            let legacy = legacy_upstream(config, &upstream)?;
            let own_endpoints = is_missing && has_legacy_endpoints(&legacy).await == Some(true);
            return Ok(without_jobs_api(out, config, own_endpoints));
        }
    };
    let dialect = jobs.names(kind);
    let legacy = legacy_upstream(config, &upstream)?;
    // The cloud's own are answered by its website, which says nothing of them.
    let own_reads = match (kind, &config.legacy.upstream) {
        (DialectKind::Cloud, None) => None,
        (DialectKind::V2, None) => Some(false),
        _ => has_legacy_endpoints(&legacy).await,
    };
    let examination = examine(&upstream, &jobs, kind, &tables, &diagnosis, own_reads).await;
    print(out, dialect, kind, &examination);
    let has_both = kind == DialectKind::Comfyui && examination.own_reads == Some(true);
    row(out, "legacy calls are", &outlook(config, has_both));
    if config.legacy.upstream.is_some() {
        let session = jobs.on_behalf_of(&Arc::default(), kind);
        match shares_jobs(&session, &legacy).await {
            Some(true) => row(out, "legacy.upstream", &"knows the upstream's jobs"),
            Some(false) => row(out, "legacy.upstream", &KNOWS_NO_JOB),
            None => row(
                out,
                "legacy.upstream",
                &"cannot be compared: one of both lists no finished job, or does not answer",
            ),
        }
    }
    if let Found::Refused(status) = examination.list {
        let advice = refusal(status, &OriginHeaders::default(), kind == DialectKind::Cloud);
        row(out, "cause", &advice.unwrap_or("the server refuses to answer"));
        let _ = writeln!(out, "\nNo legacy route can be answered.");
        return Ok(false);
    }
    out.push('\n');
    let routes = routes(config, dialect, kind, &examination);
    for (route, outcome) in &routes {
        let _ = writeln!(out, "  {route:<38} {outcome}");
    }
    let _ = writeln!(out, "  {:<38} passes through as it is", "everything else");
    let good = !routes.iter().any(|(_, outcome)| matches!(outcome, Outcome::None(_)));
    let gone = routes.iter().any(|(_, outcome)| matches!(outcome, Outcome::Gone(_)));
    let _ = writeln!(
        out,
        "\n{}",
        match (good, gone) {
            (false, _) => "Some legacy routes have no answer.",
            (true, true) => "Legacy routes in mode gone are answered with 410; each other one has an answer.",
            (true, false) => "Every legacy route has an answer.",
        }
    );
    Ok(good)
}

/// Where forwarded calls go.
fn legacy_upstream(config: &Config, upstream: &Arc<Upstream>) -> Result<Arc<Upstream>, SetupError> {
    match &config.legacy.upstream {
        Some(url) => {
            let budget = BufferBudget::new(config.server.max_buffered);
            Upstream::elsewhere(&config.upstream, url, &budget).map(Arc::new)
        }
        None => Ok(Arc::clone(upstream)),
    }
}

/// Writes what becomes of legacy routes without the Jobs API; true when each has an answer.
fn without_jobs_api(out: &mut String, config: &Config, own_endpoints: bool) -> bool {
    if !own_endpoints {
        let _ = writeln!(out, "\nNo legacy route can be answered.");
        return false;
    }
    row(out, "its own legacy endpoints", &Found::Yes);
    let forwards = config
        .legacy
        .modes()
        .all(|mode| matches!(mode, Mode::Auto | Mode::Forward | Mode::Shadow));
    let _ = writeln!(
        out,
        "\n{}",
        match forwards {
            true => "Every legacy route is answered by the server's own legacy endpoints.",
            false =>
                "Not every legacy route can be answered. With --mode auto each can, by the server's own legacy endpoints.",
        }
    );
    forwards
}

fn row(out: &mut String, name: &str, value: &dyn fmt::Display) {
    let _ = writeln!(out, "  {name:<38} {value}");
}

/// What is found where it is asked for, which a server of Comfy API v2 is not.
async fn unless(is_v2: bool, asking: impl Future<Output = Found>) -> Found {
    match is_v2 {
        true => Found::No(StatusCode::NOT_FOUND),
        false => asking.await,
    }
}

async fn examine(
    upstream: &Upstream,
    jobs: &Arc<Jobs>,
    kind: DialectKind,
    tables: &Tables,
    diagnosis: &Diagnosis,
    own_reads: Option<bool>,
) -> Examination {
    let names = &jobs.names(kind).names;
    let get = async |target: &str| Found::by(upstream.call(Method::GET, target, HeaderMap::new(), Bytes::new()).await);
    let post = async |target: &str, body: String| {
        let mut headers = HeaderMap::new();
        headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Found::by(upstream.call(Method::POST, target, headers, body.into()).await)
    };
    let none = serde_json::json!({ tables.writes.request.delete.to_string(): [] }).to_string();
    let ids = serde_json::json!({ &names.cancel.ids: [NO_JOB] }).to_string();
    let is_v2 = names.v2.is_some();
    let prefix = names.paths.as_ref().map_or("", |rules| rules.prefix.as_str());
    let one = format!("{}?{}=1", names.list.path, names.list.limit);
    let mut cross_site = HeaderMap::new();
    cross_site.insert("sec-fetch-site", HeaderValue::from_static("cross-site"));
    let asked_across = upstream.call(Method::GET, &one, cross_site, Bytes::new()).await;
    Examination {
        version: diagnosis.version(upstream).await,
        list: get(&one).await,
        detail: get(&names.detail.path.replace("{id}", NO_JOB)).await,
        cancel: post(&names.cancel.path.replace("{id}", NO_JOB), String::new()).await,
        // What v2 has there submits a job.
        cancel_many: unless(is_v2, post(&names.cancel.many, ids)).await,
        classes: unless(is_v2, get(&names.classes.path.replace("{class}", COMMON_CLASS))).await,
        own_reads,
        own_queue: unless(is_v2, post(&format!("{prefix}/queue"), none.clone())).await,
        own_history: unless(is_v2, post(&format!("{prefix}/history"), none)).await,
        queued: queued(jobs, kind).await,
        refuses_cross_site: asked_across.is_ok_and(|answer| answer.status == StatusCode::FORBIDDEN),
    }
}

async fn queued(jobs: &Arc<Jobs>, kind: DialectKind) -> Queued {
    let (dialect, session) = (jobs.names(kind), jobs.on_behalf_of(&Arc::default(), kind));
    let Some(prompt) = &dialect.names.detail.prompt else {
        return Queued::Unclear("the dialect's table does not say where a prompt is".to_owned());
    };
    let list = match session.list(ListFilter::Queued, |_| true).await {
        Ok(list) => list,
        Err(error) => return Queued::Unclear(error.to_string()),
    };
    for job in list.jobs {
        match session.detail(&job.id).await {
            Ok(Detail::Found { state, body, .. }) if state != State::Finished => {
                let told = find(body.text(), [prompt]).is_ok_and(|[told]| told.is_some());
                return if told { Queued::Told } else { Queued::NotTold };
            }
            // It ended meanwhile: another one may still be queued.
            Ok(_) => {}
            Err(error) => return Queued::Unclear(error.to_string()),
        }
    }
    Queued::Empty
}

fn print(out: &mut String, dialect: &Dialect, kind: DialectKind, found: &Examination) {
    let names = &dialect.names;
    let version = found
        .version
        .as_ref()
        .map_or(String::new(), |version| format!(", version {version}"));
    row(out, "upstream", &format!("answers{version}"));
    row(out, "dialect", &format!("{}: {}", kind.name(), names.about));
    for (call, found) in [
        (format!("GET {}", names.list.path), &found.list),
        (format!("GET {}", names.detail.path), &found.detail),
        (format!("POST {}", names.cancel.path), &found.cancel),
        (format!("POST {}", names.cancel.many), &found.cancel_many),
        (format!("GET {}", names.classes.path), &found.classes),
        ("its own POST /queue".to_owned(), &found.own_queue),
        ("its own POST /history".to_owned(), &found.own_history),
    ]
    .into_iter()
    .take(if names.v2.is_some() { 3 } else { usize::MAX })
    {
        row(out, &call, found);
    }
    row(out, "queued jobs are told", &found.queued);
    let rule = match found.refuses_cross_site {
        true => "requests that a browser marks as cross-site are refused (403)",
        false => "cross-site requests are let in",
    };
    row(out, "origin rule", &rule);
}
