//! No traces: what stands for them in a build without the feature `otel`. It does nothing and takes no room.

use super::labels::{Call, Failure};
use crate::routes::Endpoint;
use http::{HeaderMap, Method, StatusCode, request::Parts};

/// Makes no spans.
#[derive(Debug, Default)]
pub struct Traces(());

/// No span.
#[derive(Clone, Debug, Default)]
pub(super) struct Span;

impl Traces {
    pub(super) fn of_request(&self, _: &Parts, _: Endpoint, _: bool) -> Span {
        Span
    }

    pub(super) fn of_call(&self, _: Call, _: &Span, _: &Method, _: &str) -> Span {
        Span
    }
}

impl Span {
    pub(super) fn put(&self, _: &mut HeaderMap) {}

    pub(super) fn note(&self, _: &'static str, _: &'static str) {}

    pub(super) fn answered(&self, _: Option<StatusCode>) {}

    pub(super) fn ended(&self, _: Result<StatusCode, Failure>) {}
}
