//! Why the Jobs API gave no answer.

use crate::{
    http::outside::Outside,
    upstream::{Answer, UpstreamError},
};
use http::StatusCode;

/// Why the Jobs API could not be asked, or what it said instead of an answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JobsError {
    /// Not reached, too slow, broken off.
    #[error(transparent)]
    Upstream(#[from] UpstreamError),
    /// A redirect, 401, 402, 403, 429 or 5xx: the client gets it as it is (docs/contract.md section 4).
    #[error("the upstream answered {} to {}", .answer.status, Outside::new(.call))]
    Refused {
        /// Such as `GET /api/jobs`.
        call: String,
        /// What it said.
        answer: Box<Answer>,
    },
    /// The server has a job that it cannot list, and fails with it at every list of such jobs (docs/contract.md section 6).
    #[error(
        "the upstream fails (500) at {} because of one of its {states} jobs, and lists the others: ComfyUI cannot list \
         some jobs, such as one that was sent with {members} and no object there",
        Outside::new(.call)
    )]
    Unlistable {
        /// Such as `GET /api/jobs`.
        call: String,
        /// Among which jobs it is.
        states: String,
        /// What of a prompt makes such a job.
        members: String,
    },
    /// The endpoint is not there.
    #[error(
        "the upstream answered {status} to {}: it has no Jobs API there (ComfyUI has it since 0.6.0)",
        Outside::new(.call)
    )]
    Missing {
        /// Such as `GET /api/jobs`.
        call: String,
        /// What it said.
        status: StatusCode,
    },
    /// It goes on beyond what the configuration allows.
    #[error("the list that the upstream answers to {} has more than the {most} {of} that {limit} allows", Outside::new(.call))]
    TooLong {
        /// Such as `GET /api/jobs`.
        call: String,
        /// The most that are read.
        most: usize,
        /// Of what.
        of: &'static str,
        /// The setting.
        limit: &'static str,
    },
    /// Another status, or a body that is not what the call answers.
    #[error(
        "the upstream's answer to {} is not what the Jobs API says: {}",
        Outside::new(.call),
        Outside::new(.reason)
    )]
    Shape {
        /// Such as `GET /api/jobs`.
        call: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl JobsError {
    /// Whether anybody who asks would be told so, not only this caller.
    pub(super) fn is_for_anybody(&self) -> bool {
        match self {
            Self::Upstream(error) => error.is_unreachable(),
            Self::Refused { answer, .. } => answer.status.is_server_error(),
            Self::Missing { .. } | Self::Shape { .. } | Self::Unlistable { .. } => true,
            Self::TooLong { .. } => false,
        }
    }

    /// Whether another server may be behind than the one that is known: a limit of jobshim's own says nothing of that.
    pub(super) fn casts_doubt(&self) -> bool {
        match self {
            Self::Upstream(error) => error.is_unreachable(),
            Self::Missing { .. } | Self::Shape { .. } => true,
            Self::Refused { .. } | Self::TooLong { .. } | Self::Unlistable { .. } => false,
        }
    }
}
