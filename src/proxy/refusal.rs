//! Why a request goes no further than jobshim.

use super::{
    answer::Answer,
    failure::{looped, not_admitted, refused_unread},
};
use crate::http::validate::InvalidRequest;

/// Why a request goes no further. The steps of the pipeline end with it, and it becomes an answer in one place.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refusal {
    /// What is sent on could be read in two ways, or is over a limit.
    #[error(transparent)]
    Invalid(#[from] InvalidRequest),
    /// jobshim itself has sent it.
    #[error("a request came back here: upstream.url leads to jobshim itself, by another name")]
    Loop,
    /// The access token is missing or wrong.
    #[error("the access token is missing or wrong")]
    NotAdmitted,
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(invalid) => refused_unread(invalid),
            Refusal::Loop => looped(),
            Refusal::NotAdmitted => not_admitted(),
        }
    }
}
