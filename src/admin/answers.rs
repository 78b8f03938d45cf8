//! What there is to see, by path.

use super::{documents, page};
use crate::routes::Endpoint;
use crate::{
    config::Mode,
    jobs_api::DialectKind,
    mapping::rfc3339_from_ms,
    migration::verdict::{Evidence, ShownVerdict, UNUSED_DAYS, Verdict},
    proxy::{Pipeline, Proxy, shutdown::DrainStage},
    routes::RouteName,
    store::Store,
    telemetry::{Clients, Seen, Span, names, now_ms},
};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, Uri, header::CONTENT_TYPE};
use http_body_util::Full;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    mem,
    num::ParseIntError,
    time::{SystemTime, UNIX_EPOCH},
};

/// The Prometheus text format.
const METRICS: &str = prometheus_client::encoding::prometheus_text::CONTENT_TYPE;

/// The answer to a request that may look.
pub(super) async fn answer(proxy: &Proxy, uri: &Uri) -> Response<Full<Bytes>> {
    let pipeline = &proxy.pipeline();
    match uri.path() {
        "/healthz" => text(StatusCode::OK, "alive\n"),
        "/readyz" => readiness(pipeline, proxy.has_reached(DrainStage::Announced)).await,
        "/metrics" => metrics(pipeline),
        "/usage" => match unused_days(uri) {
            Ok(days) => json(StatusCode::OK, &usage(pipeline, days)),
            Err(_) => text(
                StatusCode::BAD_REQUEST,
                "days is a whole number, such as /usage?days=7\n",
            ),
        },
        "/overview" => json(StatusCode::OK, &overview(pipeline, uri)),
        "/" => page::page(),
        "/config" => documents::config(&proxy.in_force()),
        "/guide" => documents::guide_page(pipeline.legacy().tables()),
        path => text(
            StatusCode::NOT_FOUND,
            format!("there is no {path} here; there are /, /config, /guide, /healthz, /readyz, /metrics and /usage\n"),
        ),
    }
}

/// Words for people.
pub(super) fn text(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    with_type(status, text, "text/plain; charset=utf-8")
}

fn with_type(status: StatusCode, body: impl Into<Bytes>, content_type: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn json(status: StatusCode, value: &Value) -> Response<Full<Bytes>> {
    with_type(status, format!("{value}\n"), "application/json")
}

fn metrics(pipeline: &Pipeline) -> Response<Full<Bytes>> {
    let (metrics, modes) = (pipeline.metrics(), pipeline.modes());
    for &route in RouteName::ALL {
        let is_canary = modes.policy(route).mode == Mode::Canary;
        metrics.canary(route.as_str(), is_canary.then(|| modes.back(route).is_some()));
    }
    let verdicts = verdicts(pipeline, &pipeline.observer().usage().clients(), UNUSED_DAYS);
    metrics.verdicts(verdicts.iter().map(|verdict| [verdict.route, verdict.verdict]));
    match metrics.text() {
        Ok(metrics) => with_type(StatusCode::OK, metrics, METRICS),
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

async fn readiness(pipeline: &Pipeline, stopping: bool) -> Response<Full<Bytes>> {
    let seen = match stopping {
        true => pipeline.observer().health().seen(),
        false => pipeline.look_at_upstream().await,
    };
    let store = pipeline.store();
    let state = store.was_reached();
    let ready = !stopping && seen.up == Some(true) && pipeline.upstream().takes_connections() && state;
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    let upstream = upstream(pipeline, &seen);
    json(
        status,
        &json!({"ready": ready, "stopping": stopping, "upstream": upstream, "state": state_of(store)}),
    )
}

/// What is known of the store that others share; nothing of one that is this jobshim's own.
fn state_of(store: &Store) -> Value {
    match store.is_shared() {
        true => json!({
            "store": store.place(),
            "reached": store.was_reached(),
            "stale_s": store.stale_for().map(|time| time.as_secs_f64()),
        }),
        false => Value::Null,
    }
}

/// What is known of the upstream.
fn upstream(pipeline: &Pipeline, seen: &Seen) -> Value {
    let jobs = pipeline.legacy().jobs();
    let dialect = jobs.known_dialect();
    json!({
        "url": pipeline.upstream().url(),
        "dialect": dialect.map(DialectKind::name),
        "about": dialect.map(|kind| &jobs.names(kind).names.about),
        "answers": seen.up,
        "takes_connections": pipeline.upstream().takes_connections(),
        "since": seen.since.and_then(time),
        "last_answer": seen.answered.and_then(time),
        "last_failure": seen.failure.as_ref().map(|(at, reason)| json!({"at": time(*at), "reason": reason})),
    })
}

/// Who calls the legacy surface, and what there is to say of each route.
fn usage(pipeline: &Pipeline, unused_days: u64) -> Value {
    let clients = pipeline.observer().usage().clients();
    let mut shown = json!(clients);
    if let Value::Object(fields) = &mut shown {
        fields.insert("now_ms".to_owned(), json!(now_ms()));
        fields.insert("verdicts".to_owned(), json!(verdicts(pipeline, &clients, unused_days)));
    }
    shown
}

/// After how many days without a call a route is unused: `?days=`, as `jobshim report` asks.
fn unused_days(uri: &Uri) -> Result<u64, ParseIntError> {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    let days = pairs.find_map(|pair| pair.strip_prefix("days="));
    days.map_or(Ok(UNUSED_DAYS), str::parse)
}

/// The verdict on each legacy route.
fn verdicts(pipeline: &Pipeline, clients: &Clients, unused_days: u64) -> Vec<ShownVerdict> {
    let (observer, modes) = (pipeline.observer(), pipeline.modes());
    let (findings, recent) = (observer.found(), observer.series().recent());
    let legacy = Endpoint::ALL.into_iter();
    let legacy = legacy.filter_map(|route| Some((route, route.mode_of()?)));
    let verdicts = legacy.map(|(route, name)| {
        let evidence = Evidence {
            policy: modes.policy(name),
            is_read: route.is_read(),
            back: modes.back(name),
            found: findings.get(&route),
            recent: recent.get(&route).copied().unwrap_or_default(),
            quiet_days: clients.quiet_days(route),
            unused_days,
        };
        Verdict::of(&evidence).shown(route.name())
    });
    verdicts.collect()
}

/// All that the page shows.
fn overview(pipeline: &Pipeline, uri: &Uri) -> Value {
    let (observer, modes) = (pipeline.observer(), pipeline.modes());
    let span = match uri.query() {
        Some("span=day") => Span::Day,
        _ => Span::Hour,
    };
    let found = observer.found();
    let (mut usage, mut within) = (observer.usage().clients(), observer.usage().within(span));
    let verdicts = verdicts(pipeline, &usage, UNUSED_DAYS);
    let clients = mem::take(&mut usage.clients).into_iter().map(|client| {
        let mut shown = json!(client);
        if let Value::Object(fields) = &mut shown {
            let within = within.remove(&client.who).unwrap_or_default();
            fields.insert("within".to_owned(), json!(within));
        }
        shown
    });
    let clients: Vec<Value> = clients.collect();
    let legacy = Endpoint::ALL.into_iter();
    let legacy = legacy.filter_map(|route| Some(json!({"route": route.name(), "mode": route.mode_of()?.as_str()})));
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "now_ms": now_ms(),
        "jobshims": observer.series().jobshims(),
        "jobshim": pipeline.store().name(),
        "names": names(),
        "legacy": legacy.collect::<Vec<_>>(),
        "upstream": upstream(pipeline, &observer.health().seen()),
        "series": observer.series().columns(span, observer.metrics()),
        "usage": {"since_ms": usage.since_ms, "watched_ms": usage.watched_ms, "clients": clients},
        "verdicts": verdicts,
        "modes": RouteName::ALL.iter().map(|&route| json!({
            "route": route.as_str(),
            "mode": modes.policy(route).to_string(),
            "back": modes.back(route),
        })).collect::<Vec<_>>(),
        "findings": found.iter().map(|(route, found)| (route.name(), found.shown())).collect::<BTreeMap<_, _>>(),
        "differing": observer.latest_differing(),
        "events": observer.latest_events(),
    })
}

/// RFC 3339.
fn time(at: SystemTime) -> Option<String> {
    let since = at.duration_since(UNIX_EPOCH).ok()?;
    rfc3339_from_ms(since.as_millis() as f64)
}
