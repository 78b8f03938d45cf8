//! Why the upstream could not be asked or set up, and how that is found in what the libraries say.

use super::Upstream;
use crate::{
    http::{
        body::BoxError,
        buffered::BufferError,
        idle_timeout::{HeaderTimeout, IdleTimeout},
        outside::Outside,
        system_error::without_number,
    },
    telemetry::Failure,
    upstream::{
        cause::Cause,
        error_chain::sources,
        pool::{ConnectionError, PoolError},
    },
};
use std::{error::Error, io, sync::Arc, time::Duration};

/// Why the upstream could not be asked. Section 4 of the contract maps these to 502 and 504.
#[derive(Clone, Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Refused, no such host, TLS failure.
    #[error("cannot connect to the upstream {upstream}: {}", Outside::new(.reason))]
    Connect {
        /// Its `host[:port]`.
        upstream: String,
        /// What the system says.
        reason: String,
        /// What that means.
        cause: Cause,
    },
    /// No answer within the time allowed, in ms.
    #[error("the upstream {upstream} did not answer within {after_ms} ms")]
    TimedOut {
        /// Its `host[:port]`.
        upstream: String,
        /// The time allowed.
        after_ms: u128,
    },
    /// Reset, cut short, or not HTTP.
    #[error("the upstream {upstream} broke off its answer: {}", Outside::new(.reason))]
    Interrupted {
        /// Its `host[:port]`.
        upstream: String,
        /// What the connection says.
        reason: String,
        /// What that means.
        cause: Cause,
    },
    /// The answer is larger than `upstream.max_answer_bytes`.
    #[error("the upstream {upstream} sent more than {limit} bytes")]
    TooLarge {
        /// Its `host[:port]`.
        upstream: String,
        /// The most bytes that are read.
        limit: usize,
    },
    /// Too many bodies are held already, of requests and of answers.
    #[error("as many bytes of bodies are held as server.max_buffered allows ({limit}; requests may take half of it)")]
    NoRoom {
        /// The most bytes that are held.
        limit: usize,
    },
    /// The client's own body did not come whole; the upstream was not asked.
    #[error("the request's body broke off: {}", Outside::new(.0))]
    Client(Arc<dyn Error + Send + Sync>),
    /// The path or query cannot be sent. It is not shown: it may carry a key.
    #[error("the request's target cannot be sent: {0}")]
    BadTarget(String),
}

impl UpstreamError {
    /// Whether nothing can be known of what the upstream would have said.
    pub fn is_unreachable(&self) -> bool {
        matches!(
            self,
            Self::Connect { .. } | Self::TimedOut { .. } | Self::Interrupted { .. }
        )
    }
}

impl From<&UpstreamError> for Failure {
    fn from(error: &UpstreamError) -> Self {
        match error {
            UpstreamError::Connect { .. } => Self::Connect,
            UpstreamError::TimedOut { .. } => Self::Timeout,
            UpstreamError::Interrupted { .. } => Self::Interrupted,
            UpstreamError::TooLarge { .. } => Self::TooLarge,
            UpstreamError::NoRoom { .. } => Self::NoRoom,
            UpstreamError::Client(_) | UpstreamError::BadTarget(_) => Self::Abandoned,
        }
    }
}

/// The upstream could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The extra CA file cannot be read or holds no certificate.
    #[error("upstream.ca_file {path}: {reason}")]
    CaFile {
        /// As configured.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The TLS library refuses its own defaults.
    #[error("TLS cannot be set up: {0}")]
    Tls(String),
}

impl Upstream {
    /// The error of an answer whose body ended before its time.
    pub fn broken_off(&self, error: &(dyn Error + 'static)) -> UpstreamError {
        if let Some(gap) = cause_in::<IdleTimeout>(error) {
            self.timed_out(gap.0)
        } else if let Some(BufferError::NoRoom(limit)) = cause_in(error) {
            UpstreamError::NoRoom { limit }
        } else {
            self.interrupted(innermost(error), Cause::of(error))
        }
    }

    /// The error of what took longer than `after`.
    pub fn timed_out(&self, after: Duration) -> UpstreamError {
        UpstreamError::TimedOut {
            upstream: self.name.clone(),
            after_ms: after.as_millis(),
        }
    }

    /// The error of what is longer than `upstream.max_answer_bytes`.
    pub fn too_large(&self) -> UpstreamError {
        UpstreamError::TooLarge {
            upstream: self.name.clone(),
            limit: self.max_answer_bytes,
        }
    }

    pub(super) fn interrupted(&self, reason: String, cause: Cause) -> UpstreamError {
        UpstreamError::Interrupted {
            upstream: self.name.clone(),
            reason,
            cause,
        }
    }

    pub(super) fn send_error(&self, error: PoolError) -> UpstreamError {
        let error = match error {
            PoolError::Send(ConnectionError::Body(error)) => {
                return UpstreamError::Client(if let Some(gap) = cause_in::<IdleTimeout>(&*error) {
                    Arc::new(gap)
                } else if let Some(unread) = cause_in::<BufferError>(&*error) {
                    Arc::new(unread)
                } else {
                    BoxError::from(innermost(&*error)).into()
                });
            }
            PoolError::Send(ConnectionError::HeaderTimeout(HeaderTimeout(limit))) => return self.timed_out(limit),
            PoolError::Send(error @ ConnectionError::BodyLength) => return UpstreamError::Client(Arc::new(error)),
            PoolError::Send(error) => return self.broken_off(&error),
            PoolError::Connect(error) => error,
        };
        let timed_out = sources(&*error)
            .filter_map(|source| source.downcast_ref::<io::Error>())
            .any(|error| error.kind() == io::ErrorKind::TimedOut);
        match timed_out {
            true => self.timed_out(self.connect_timeout),
            false => UpstreamError::Connect {
                upstream: self.name.clone(),
                reason: innermost(&*error),
                cause: Cause::of(&*error),
            },
        }
    }
}

/// The gap that ended a body, if that is what the error comes from.
fn cause_in<E: Error + Copy + 'static>(error: &(dyn Error + 'static)) -> Option<E> {
    sources(error).find_map(|source| source.downcast_ref::<E>()).copied()
}

/// What people can act on is said by the innermost error: `Connection refused`, not `client error (Connect)`.
fn innermost(error: &(dyn Error + 'static)) -> String {
    let words = sources(error).last().map(ToString::to_string).unwrap_or_default();
    without_number(&words).to_owned()
}
