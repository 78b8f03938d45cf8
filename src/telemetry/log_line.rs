//! Log lines that belong to a request say to which one: its id, its method, and with `-v` its path. Who logs need not know it.
//!
//! It is no span of `tracing`: those are kept in a table that every request would enter and leave, for a few lines of a few
//! requests.

use crate::{http::outside::VisibleFields, routes::shown_path};
use futures_util::future::Either;
use http::{HeaderValue, Method, request::Parts, uri::PathAndQuery};
use std::{
    fmt::{self, Debug},
    sync::Arc,
};
use tokio::{task::futures::TaskLocalFuture, task_local};
use tracing::{
    Event, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FmtContext, FormatEvent, FormatFields,
        format::{Format, Json, Writer},
    },
    registry::LookupSpan,
};

task_local! {
    /// The request that is worked on.
    static REQUEST: Arc<RequestName>;
}

/// What log lines call a request.
#[derive(Debug)]
pub struct RequestName {
    pub(super) id: HeaderValue,
    pub(super) method: Method,
    /// Without what may be anybody's, and only where the log is to have it.
    pub(super) path: Option<String>,
}

impl RequestName {
    pub(super) fn new(id: HeaderValue, head: &Parts) -> Arc<Self> {
        let is_verbose = tracing::enabled!(target: "jobshim::access", tracing::Level::DEBUG);
        let target = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        Arc::new(Self {
            id,
            method: head.method.clone(),
            path: is_verbose.then(|| shown_path(target)),
        })
    }

    pub(super) fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    /// What is logged in `work` belongs to this request.
    pub fn around<F: Future>(self: Arc<Self>, work: F) -> TaskLocalFuture<Arc<Self>, F> {
        REQUEST.scope(self, work)
    }

    /// The same, of what is done at once.
    pub(super) fn around_now<T>(self: &Arc<Self>, work: impl FnOnce() -> T) -> T {
        REQUEST.sync_scope(Arc::clone(self), work)
    }

    /// Name and value of what a line says of it; texts are as they came.
    fn fields(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let path = self.path.as_deref().map(|path| ("path", path));
        [("request_id", self.id()), ("method", self.method.as_str())]
            .into_iter()
            .chain(path)
    }
}

/// Work for the request that is worked on now, to be done on a task of its own.
pub fn of_this_request<F: Future>(work: F) -> impl Future<Output = F::Output> + use<F> {
    match current() {
        Some(request) => Either::Left(REQUEST.scope(request, work)),
        None => Either::Right(work),
    }
}

fn current() -> Option<Arc<RequestName>> {
    REQUEST.try_with(Arc::clone).ok()
}

/// The fields of a line of text.
#[derive(Debug, Default)]
pub struct TextFields(VisibleFields);

impl<'writer> FormatFields<'writer> for TextFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut named = IsNamed(false);
        fields.record(&mut named);
        self.0.format_fields(writer.by_ref(), fields)?;
        let Some(request) = current().filter(|_| !named.0) else {
            return Ok(());
        };
        for (name, value) in request.fields() {
            match writer.has_ansi_escapes() {
                true => write!(writer, " \u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m{value:?}")?,
                false => write!(writer, " {name}={value:?}")?,
            }
        }
        Ok(())
    }
}

/// Whether a line says by itself to which request it belongs.
struct IsNamed(bool);

impl Visit for IsNamed {
    fn record_debug(&mut self, field: &Field, _: &dyn Debug) {
        self.0 |= field.name() == "request_id";
    }
}

/// Lines of JSON, one object each.
#[derive(Debug)]
pub struct JsonLines(Format<Json>);

impl JsonLines {
    /// With `format`'s members, and the request's.
    pub fn new(format: Format<Json>) -> Self {
        Self(format)
    }
}

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let is_named = event.metadata().fields().field("request_id").is_some();
        let Some(request) = current().filter(|_| !is_named) else {
            return self.0.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.0.format_event(context, Writer::new(&mut line), event)?;
        let Some(object) = line.trim_end().strip_suffix('}') else {
            return writer.write_str(&line);
        };
        writer.write_str(object)?;
        for (name, value) in request.fields() {
            write!(writer, ",\"{name}\":{}", serde_json::Value::from(value))?;
        }
        writer.write_str("}\n")
    }
}
