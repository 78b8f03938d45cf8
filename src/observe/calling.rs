//! One call to the upstream, from its beginning to its answer, or to why there is none.

use super::{
    Observer,
    labels::{Call, Failure, StatusClass},
    spans::Span,
};
use crate::upstream::UpstreamError;
use http::StatusCode;
use std::time::Instant;

/// A call under way. If nobody says how it ended, it was abandoned.
pub struct Calling<'a> {
    pub(super) observer: &'a Observer,
    pub(super) call: Call,
    pub(super) span: Span,
    pub(super) started: Instant,
    pub(super) ended: Option<Result<StatusCode, Failure>>,
}

impl Calling<'_> {
    /// There is an answer.
    pub fn answered(mut self, status: StatusCode) {
        self.ended = Some(Ok(status));
        // A gateway that says so speaks for a server that is not there.
        match status.as_u16() {
            502..=504 => self.failed_because(format!("it answered {status}")),
            _ if self.call == Call::Elsewhere => {}
            _ => {
                self.observer.health.answered();
                self.observer.metrics.upstream_up.set(1);
            }
        }
    }

    /// There is none.
    pub fn failed(mut self, error: &UpstreamError) {
        let failure = match error {
            UpstreamError::Connect { .. } => Failure::Connect,
            UpstreamError::TimedOut { .. } => Failure::Timeout,
            UpstreamError::Interrupted { .. } => Failure::Interrupted,
            UpstreamError::TooLarge { .. } => Failure::TooLarge,
            UpstreamError::NoRoom { .. } => Failure::NoRoom,
            UpstreamError::Client(_) | UpstreamError::BadTarget(_) => Failure::Abandoned,
        };
        self.ended = Some(Err(failure));
        if matches!(failure, Failure::Connect | Failure::Timeout | Failure::Interrupted) {
            self.failed_because(error.to_string());
        }
    }

    fn failed_because(&self, reason: String) {
        // Health is that of the upstream, not of another server.
        if self.call == Call::Elsewhere {
            return;
        }
        self.observer.health.failed(reason);
        self.observer.metrics.upstream_up.set(0);
    }
}

impl Drop for Calling<'_> {
    fn drop(&mut self) {
        let ended = self.ended.unwrap_or(Err(Failure::Abandoned));
        let status = StatusClass::of(ended.ok());
        self.observer.metrics.call(self.call, status, self.started.elapsed());
        if let Err(failure) = ended {
            self.observer.metrics.failure(self.call, failure);
        }
        self.span.ended(ended);
    }
}
