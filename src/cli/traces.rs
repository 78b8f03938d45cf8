//! Where traces go: by OTLP over HTTP to the collector that the environment names, as OpenTelemetry has it for every
//! program. Where it names none, nothing is made and nothing is sent.

use crate::{
    config::{Config, UpstreamConfig},
    http::buffered::BufferBudget,
    telemetry::Observer,
    upstream::{SetupError, Upstream},
};
use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response, Uri};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithHttpConfig};
use opentelemetry_sdk::{Resource, trace::SdkTracerProvider};
use std::{
    env, fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, task::spawn_blocking};

/// How long the collector may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long the last spans may take at the program's end.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why traces cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// The address of the collector cannot be used. It is not shown: it may carry a key.
    #[error("{0} is no http or https address of a collector, without a user and a password in it")]
    Endpoint(&'static str),
    /// What else the environment says of the export cannot be used.
    #[error("traces cannot be sent as the environment says: {0}")]
    Export(#[from] ExporterBuildError),
    /// The client cannot be built.
    #[error(transparent)]
    Client(#[from] SetupError),
}

/// Traces on their way.
pub struct Traces(SdkTracerProvider);

/// Sends what `observer` sees from now on, if the environment names a collector. To be called where tokio runs.
pub fn begin(config: &Config, observer: &Observer) -> Result<Option<Traces>, TracesError> {
    let Some((variable, endpoint)) = endpoint() else {
        return Ok(None);
    };
    let endpoint: Uri = endpoint.parse().map_err(|_| TracesError::Endpoint(variable))?;
    let authority = endpoint
        .authority()
        .filter(|authority| !authority.as_str().contains('@'));
    let authority = authority.filter(|_| matches!(endpoint.scheme_str(), Some("http" | "https")));
    let authority = authority.ok_or(TracesError::Endpoint(variable))?.to_string();
    let root = Uri::builder()
        .scheme(endpoint.scheme_str().unwrap_or_default())
        .authority(authority.as_str())
        .path_and_query("/")
        .build()
        .map_err(|_| TracesError::Endpoint(variable))?;
    let collector = UpstreamConfig {
        answer_timeout: PATIENCE,
        ..config.upstream.clone()
    };
    let sender = Sender {
        collector: Arc::new(Upstream::elsewhere(
            &collector,
            &root,
            &BufferBudget::new(collector.max_answer_bytes),
        )?),
        runtime: Handle::current(),
        failing: AtomicBool::new(false),
    };
    let exporter = SpanExporter::builder().with_http().with_http_client(sender).build()?;
    let provider = SdkTracerProvider::builder()
        .with_resource(resource())
        .with_batch_exporter(exporter)
        .build();
    observer.traces().make_by(provider.tracer("jobshim"));
    tracing::info!(collector = authority, "traces are sent");
    Ok(Some(Traces(provider)))
}

impl Traces {
    /// Sends the last spans.
    pub async fn end(self) {
        let ending = spawn_blocking(move || self.0.shutdown_with_timeout(FAREWELL));
        if let Ok(Err(error)) = ending.await {
            tracing::warn!(%error, "the last traces may not have been sent");
        }
    }
}

/// Where spans go, and the variable that says so.
fn endpoint() -> Option<(&'static str, String)> {
    let value = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let off = value("OTEL_SDK_DISABLED").is_some_and(|off| off.eq_ignore_ascii_case("true"))
        || value("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter == "none");
    let variables = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];
    let mut named = variables.into_iter().filter(|_| !off);
    named.find_map(|name| Some((name, value(name)?)))
}

/// Who sends: by the environment, else jobshim.
fn resource() -> Resource {
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let named = Resource::builder().with_attribute(version.clone()).build();
    let name = named.get(&"service.name".into()).map(|name| name.to_string());
    match name {
        Some(name) if !name.starts_with("unknown_service") => named,
        _ => Resource::builder()
            .with_attribute(version)
            .with_service_name("jobshim")
            .build(),
    }
}

/// Sends batches by the same client that asks the server. The exporter's own thread knows nothing of tokio.
struct Sender {
    collector: Arc<Upstream>,
    runtime: Handle,
    failing: AtomicBool,
}

impl fmt::Debug for Sender {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Sender")
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let collector = Arc::clone(&self.collector);
        let sending = self.runtime.spawn(async move {
            let (head, body) = request.into_parts();
            let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
            collector.call(head.method, target, head.headers, body).await
        });
        let answer = sending.await?;
        let failure = match &answer {
            Ok(answer) if answer.status.is_success() => None,
            Ok(answer) => Some(format!("it answered {}", answer.status)),
            Err(error) => Some(error.to_string()),
        };
        match (failure, self.failing.load(Ordering::Relaxed)) {
            (Some(reason), false) => {
                self.failing.store(true, Ordering::Relaxed);
                tracing::warn!(
                    reason,
                    "traces cannot be sent to the collector; those of the meantime are lost"
                );
            }
            (None, true) => {
                self.failing.store(false, Ordering::Relaxed);
                tracing::info!("traces are sent to the collector again");
            }
            _ => {}
        }
        let answer = answer?;
        let mut response = Response::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}
