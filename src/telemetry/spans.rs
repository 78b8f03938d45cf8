//! Traces: one span for each request and one for each call made for it, named by OpenTelemetry's conventions for HTTP. A
//! span tells the route and never the path, as that holds ids, nor a query, which holds keys.

use super::labels::{Call, Failure};
use crate::routes::Endpoint;
use http::{HeaderMap, Method, StatusCode, header::HOST, request::Parts, uri::Authority};
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator,
    trace::{SpanKind, Status, TraceContextExt, Tracer},
};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracer};
use std::sync::OnceLock;

/// Makes spans, once there is somewhere to send them.
#[derive(Debug, Default)]
pub struct Traces(OnceLock<SdkTracer>);

/// A span; none while spans are sent nowhere. It ends once, and what is said of it afterwards is lost.
#[derive(Clone, Debug, Default)]
pub(super) struct Span(Option<Context>);

impl Traces {
    /// From now on, spans are made by `tracer`.
    pub fn make_by(&self, tracer: SdkTracer) {
        let _ = self.0.set(tracer);
    }

    /// The span of a request for `route`: below the span that its `traceparent` names, if it does.
    pub(super) fn of_request(&self, head: &Parts, route: Endpoint, secure: bool) -> Span {
        let Some(tracer) = self.0.get() else {
            return Span(None);
        };
        let parent =
            TraceContextPropagator::new().extract_with_context(&Context::new(), &HeaderExtractor(&head.headers));
        let method = known(&head.method);
        let template = route.template();
        let name = match template {
            Some(template) => format!("{} {template}", method.unwrap_or("HTTP")),
            None => method.unwrap_or("HTTP").to_owned(),
        };
        let scheme = if secure { "https" } else { "http" };
        let attributes = [
            Some(KeyValue::new("http.request.method", method.unwrap_or("_OTHER"))),
            Some(KeyValue::new("url.scheme", scheme)),
            template.map(|template| KeyValue::new("http.route", template)),
            host(head).map(|host| KeyValue::new("server.address", host)),
        ];
        let span = tracer
            .span_builder(name)
            .with_kind(SpanKind::Server)
            .with_attributes(attributes.into_iter().flatten())
            .start_with_context(tracer, &parent);
        Span(Some(parent.with_span(span)))
    }

    /// The span of a call to the server at `authority`, below that of the request that it is made for.
    pub(super) fn of_call(&self, call: Call, request: &Span, method: &Method, authority: &str) -> Span {
        let (Some(tracer), Span(Some(parent))) = (self.0.get(), request) else {
            return Span(None);
        };
        let method = known(method);
        let authority = authority.parse::<Authority>().ok();
        let attributes = [
            Some(KeyValue::new("http.request.method", method.unwrap_or("_OTHER"))),
            Some(KeyValue::new("jobshim.call", call.name())),
            authority
                .as_ref()
                .map(|at| KeyValue::new("server.address", at.host().to_owned())),
            authority
                .as_ref()
                .and_then(|at| Some(KeyValue::new("server.port", i64::from(at.port_u16()?)))),
        ];
        let span = tracer
            .span_builder(format!("{} {}", method.unwrap_or("HTTP"), call.name()))
            .with_kind(SpanKind::Client)
            .with_attributes(attributes.into_iter().flatten())
            .start_with_context(tracer, parent);
        Span(Some(parent.with_span(span)))
    }
}

impl Span {
    /// Makes it the parent of what is done by whoever gets these headers.
    pub(super) fn put(&self, headers: &mut HeaderMap) {
        if let Self(Some(context)) = self {
            TraceContextPropagator::new().inject_context(context, &mut HeaderInjector(headers));
        }
    }

    /// Says something about it.
    pub(super) fn note(&self, name: &'static str, value: &'static str) {
        if let Self(Some(context)) = self {
            context.span().set_attribute(KeyValue::new(name, value));
        }
    }

    /// A request has ended: with this status, or without an answer, as its client had gone.
    pub(super) fn answered(&self, status: Option<StatusCode>) {
        let Self(Some(context)) = self else {
            return;
        };
        match status {
            Some(status) => self.status(status, status.is_server_error()),
            None => self.note("error.type", "abandoned"),
        }
        context.span().end();
    }

    /// A call has ended.
    pub(super) fn ended(&self, outcome: Result<StatusCode, Failure>) {
        let Self(Some(context)) = self else {
            return;
        };
        match outcome {
            Ok(status) => self.status(status, status.is_client_error() || status.is_server_error()),
            Err(failure) => {
                self.note("error.type", failure.name());
                context.span().set_status(Status::error(failure.name()));
            }
        }
        context.span().end();
    }

    fn status(&self, status: StatusCode, is_error: bool) {
        let Self(Some(context)) = self else {
            return;
        };
        let span = context.span();
        let code = i64::from(status.as_u16());
        span.set_attribute(KeyValue::new("http.response.status_code", code));
        if is_error {
            span.set_attribute(KeyValue::new("error.type", status.as_str().to_owned()));
            span.set_status(Status::error(""));
        }
    }
}

/// The method, if it is one that is known: others are whatever clients write.
fn known(method: &Method) -> Option<&'static str> {
    let methods = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE",
    ];
    methods.into_iter().find(|known| *known == method.as_str())
}

/// The name by which the client asked, without its port.
fn host(head: &Parts) -> Option<String> {
    if let Some(host) = head.uri.host() {
        return Some(host.to_owned());
    }
    let host = head.headers.get(HOST)?.to_str().ok()?;
    Some(host.parse::<Authority>().ok()?.host().to_owned())
}
