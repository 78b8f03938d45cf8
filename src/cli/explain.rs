//! `jobshim explain`: which upstream calls a legacy request becomes, and where each field comes from.

use crate::{
    config::{Config, DialectChoice, Mode, Share},
    http::{buffered::BufferBudget, request_head::FlaggedHeaders},
    jobs_api::Caller,
    legacy::{self, Inquiry, JobsCall, Legacy, LegacyError},
    mapping::{
        Table, TableError, Tables, View,
        dialect::{Dialect, DialectNames, V2Instead, V2Names, V2Said},
        print::rows,
    },
    proxy::forward::in_dialect,
    routes::{Calls, Endpoint, LegacyRoute, Route, RouteName, route},
    store::{Store, StoreError},
    upstream::{SetupError, Upstream},
};
use bytes::Bytes;
use futures_util::TryStreamExt;
use http::{Method, Uri};
use std::{fmt::Write as _, sync::Arc};

/// Why a request cannot be explained.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// It is no HTTP method.
    #[error("{0:?} is no HTTP method")]
    Method(String),
    /// It is no target.
    #[error("{0:?} is no target: write a path such as /history/ID")]
    Target(String),
    /// A table is broken.
    #[error(transparent)]
    Table(#[from] TableError),
    /// The upstream client cannot be built.
    #[error(transparent)]
    Setup(#[from] SetupError),
    /// The legacy surface cannot be set up.
    #[error(transparent)]
    Legacy(#[from] legacy::SetupError),
    /// No key for scopes.
    #[error(transparent)]
    State(#[from] StoreError),
    /// The request was made and has no answer.
    #[error(transparent)]
    Answer(#[from] LegacyError),
}

/// Writes the explanation to `out`; `live` also makes the request and writes its answer.
pub async fn run(
    config: &Config,
    method: &str,
    target: &str,
    live: bool,
    out: &mut String,
) -> Result<(), ExplainError> {
    let parsed = Method::from_bytes(method.to_ascii_uppercase().as_bytes());
    let method = parsed.map_err(|_| ExplainError::Method(method.to_owned()))?;
    let uri: Uri = match target.parse() {
        Ok(uri) if target.starts_with('/') => uri,
        _ => return Err(ExplainError::Target(target.to_owned())),
    };
    let tables = Tables::load(config.mappings_dir.as_deref())?;
    let dialect = match config.upstream.dialect {
        DialectChoice::Cloud => &tables.cloud,
        DialectChoice::V2 => &tables.v2,
        DialectChoice::Comfyui | DialectChoice::Auto => &tables.comfyui,
    };
    let there = in_dialect(&uri, dialect, &[&tables.comfyui, &tables.cloud, &tables.v2], None);
    let goes_to = match there == target {
        true => format!("passes through unchanged to {}", config.upstream.name()),
        false => format!("passes through to {} as {there}", config.upstream.name()),
    };
    let route = match route(&method, uri.path()) {
        Route::Prompt if dialect.names.v2.is_some() => {
            let _ = writeln!(
                out,
                "{method} {target} becomes POST {} by table {:?}; tables {:?} and {:?} make the answer",
                dialect.names.list.path,
                tables.of_v2.submit.name,
                tables.of_v2.submitted.name,
                tables.of_v2.refused.name
            );
            return Ok(());
        }
        Route::Prompt => {
            let _ = writeln!(
                out,
                "{method} {target} {goes_to}; table {:?} says what is noted of it on the way, for legacy \
                 answers about that job, and what is taken out",
                tables.prompt.table.name
            );
            return Ok(());
        }
        Route::Write(write) => {
            write_mode(out, config, write.name());
            let done = done_by(config, write.name(), false);
            let _ = writeln!(out, "{method} {target} {done} ({}):\n", dialect.names.about);
            for call in calls(write.endpoint(), write.id().map(AsRef::as_ref), dialect, &there) {
                let _ = writeln!(out, "  {call}");
            }
            if live {
                let _ = writeln!(out, "\nexplain makes no writes");
            }
            return Ok(());
        }
        Route::PassThrough => {
            let v2 = dialect.names.v2.as_ref();
            let is_served = v2.is_some() && JobsCall::of(&method, uri.path(), &tables.comfyui).is_some();
            let instead = v2.filter(|_| !is_served).and_then(|v2| v2.instead(uri.path()));
            let _ = match instead {
                _ if is_served => writeln!(out, "{method} {target} is answered by jobshim itself"),
                Some(V2Instead::Said(V2Said::Use(advice))) => writeln!(out, "{method} {target} is a 501: {advice}"),
                Some(V2Instead::Upload) => writeln!(out, "{method} {target} becomes an asset of the server"),
                Some(V2Instead::View) => writeln!(out, "{method} {target} shows the asset of that name"),
                Some(_) => writeln!(out, "{method} {target} is answered by jobshim itself"),
                None => writeln!(out, "{method} {target} {goes_to}"),
            };
            return Ok(());
        }
        Route::WrongMethod(wrong) => {
            let path = uri.path();
            write_mode(out, config, wrong.route);
            let _ = writeln!(
                out,
                "{method} {target} is answered by the server where its legacy endpoint is asked, else"
            );
            let _ = match wrong.allow {
                Some(allow) => writeln!(out, "  405: {path} allows {allow}"),
                None => writeln!(out, "  404: there is nothing to {method} at {path}"),
            };
            return Ok(());
        }
        Route::Legacy(route) => route,
    };
    write_mode(out, config, route.name());
    let table = table(&route, &tables, config);
    let numbers = match route {
        LegacyRoute::History => Some(&tables.answers.history.pagination),
        LegacyRoute::HistoryV2 => Some(&tables.answers.history_v2.pagination),
        _ => None,
    };
    if let Some(names) = numbers {
        legacy::check_numbers(uri.query().unwrap_or_default(), names)?;
    }
    let done = done_by(config, route.name(), true);
    let _ = writeln!(out, "{method} {target} {done} ({}):\n", dialect.names.about);
    for call in calls(route.endpoint(), route.id().map(AsRef::as_ref), dialect, &there) {
        let _ = writeln!(out, "  {call}");
    }
    let _ = writeln!(out, "\n{} Table {:?}:\n", table.about, table.name);
    let _ = writeln!(out, "  {:<26} {:<8} from", "field", "fidelity");
    for row in rows(table) {
        let _ = writeln!(out, "  {:<26} {:<8} {}", row.to, row.fidelity, row.from);
        if !row.note.is_empty() {
            let _ = writeln!(out, "  {:<26} {:<8} {}", "", "", row.note);
        }
    }
    if live {
        show(config, &route, &uri, out).await
    } else {
        Ok(())
    }
}

fn write_mode(out: &mut String, config: &Config, route: RouteName) {
    let policy = config.legacy.policy(route);
    let meaning = policy.meaning(route, config.legacy_url());
    let _ = writeln!(out, "Route {} is in mode {policy}: {meaning}.\n", route.as_str());
}

/// Who answers a call to `route`, as far as the Jobs API goes.
fn done_by(config: &Config, route: RouteName, reads: bool) -> &'static str {
    let policy = config.legacy.policy(route);
    let some_are = match policy.mode {
        Mode::Translate | Mode::Canary | Mode::Auto => true,
        Mode::Gone => policy.percent != Share::ALL,
        Mode::Forward | Mode::Shadow => false,
    };
    match (some_are, reads) {
        (true, true) => "is answered from the Jobs API",
        (true, false) => "is done through the Jobs API",
        (false, true) if policy.mode == Mode::Shadow => "is compared with what comes from the Jobs API",
        (false, true) => "is not answered from the Jobs API; in mode translate it would be",
        (false, false) => "is not done through the Jobs API; in mode translate it would be",
    }
}

fn table<'a>(route: &LegacyRoute, tables: &'a Tables, config: &Config) -> &'a Table {
    let is_cloud = config.upstream.dialect == DialectChoice::Cloud;
    let cloud_items = matches!(route, LegacyRoute::Queue { api: true }) && config.legacy.surface.is_cloud(is_cloud);
    tables.answers.table(View::of_route(route, cloud_items))
}

/// The calls that `endpoint` becomes, for the job `id` where one is asked for; `there` is where the server has it itself.
fn calls(endpoint: Endpoint, id: Option<&str>, dialect: &Dialect, there: &str) -> Vec<String> {
    let names = &dialect.names;
    let row = endpoint.row();
    let id = id.unwrap_or("{id}");
    if let Some(v2) = &names.v2 {
        return v2_calls(row.calls, id, names, v2);
    }
    let detail = format!("GET {}", names.detail.path.replace("{id}", id));
    let details = || format!("{detail}   for each job shown, side by side");
    let page = names.list.page.map(|page| format!("{}={page}", names.list.limit));
    let list = |queued: bool| {
        let filter = queued.then(|| dialect.queued_filter());
        let query: Vec<String> = filter
            .into_iter()
            .chain(page.clone())
            .filter(|part| !part.is_empty())
            .collect();
        match query.is_empty() {
            true => format!("GET {}", names.list.path),
            false => format!("GET {}?{}", names.list.path, query.join("&")),
        }
    };
    let queued = || {
        format!(
            "GET {}?{}   what is queued now",
            names.list.path,
            dialect.queued_filter()
        )
    };
    let cancel = || format!("POST {}", names.cancel.path.replace("{id}", id));
    let cancel_many = || {
        format!(
            "POST {}   those of them that are meant, at most {} a call",
            names.cancel.many, names.cancel.batch
        )
    };
    let fallback = || format!("POST {there}   as it came, where the server has no cancel call; 501 if it has neither");
    let mut calls = match row.calls {
        None => Vec::new(),
        Some(Calls::AllJobs) => vec![list(false), details()],
        Some(Calls::QueuedJobs) => vec![list(true), details()],
        Some(Calls::OneJob) => vec![detail],
        Some(Calls::CancelMany) => vec![queued(), cancel_many(), fallback()],
        Some(Calls::CancelRunning) => vec![queued(), cancel(), fallback()],
        Some(Calls::CancelOne) => vec![cancel(), fallback()],
        Some(Calls::Hide) => vec![
            format!("POST {there}   as it came, if the server still has it"),
            format!(
                "GET {}   else: which of the jobs have ended; these are hidden from now on",
                names.list.path
            ),
        ],
    };
    if row.classes {
        calls.push(format!(
            "GET {}   once for each node class, remembered",
            names.classes.path
        ));
    }
    calls
}

/// The same before a server of Comfy API v2.
fn v2_calls(calls: Option<Calls>, id: &str, names: &DialectNames, v2: &V2Names) -> Vec<String> {
    let of = |method: &str, path: &str| format!("{method} {}", path.replace("{id}", id));
    let (job, workflow) = (of("GET", &names.detail.path), of("GET", &v2.workflow));
    let known = format!("{job}   for each job that went through jobshim and has not ended, side by side");
    let others = format!("GET {}   others, where the server lists them", names.list.path);
    let cancel = of("POST", &names.cancel.path);
    match calls {
        None => Vec::new(),
        Some(Calls::AllJobs | Calls::QueuedJobs) => vec![known, others, format!("{workflow}   for each job shown")],
        Some(Calls::OneJob) => vec![job, workflow],
        Some(Calls::CancelMany | Calls::CancelRunning) => {
            vec![known, others, format!("{cancel}   for each of them that is meant")]
        }
        Some(Calls::CancelOne) => vec![cancel],
        Some(Calls::Hide) => vec![known, format!("{others}; those that have ended are hidden from now on")],
    }
}

async fn show(config: &Config, route: &LegacyRoute, uri: &Uri, out: &mut String) -> Result<(), ExplainError> {
    let upstream = Arc::new(Upstream::new(
        &config.upstream,
        &BufferBudget::new(config.server.max_buffered),
    )?);
    let legacy = Arc::new(Legacy::new(
        config,
        upstream,
        Arc::new(Store::in_memory()?),
        Arc::default(),
    )?);
    let inquiry = Inquiry {
        query: uri.query().unwrap_or_default(),
        headers: FlaggedHeaders::none(),
        accepted: Default::default(),
    };
    let answer = legacy.answer(route, inquiry, &Arc::new(Caller::default())).await?;
    let content_type = answer.content_type.as_ref().and_then(|value| value.to_str().ok());
    let _ = writeln!(
        out,
        "\nFrom the Jobs API of {}, {} {}:\n",
        config.upstream.name(),
        answer.status,
        content_type.unwrap_or_default()
    );
    let pieces: Vec<Bytes> = answer.body.stream().try_collect().await?;
    let _ = writeln!(out, "{}", String::from_utf8_lossy(&pieces.concat()));
    Ok(())
}
