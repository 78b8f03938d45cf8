//! Tests of `jobs_api`.

mod list_limits;
mod odd_answers;
mod probing;
mod unlistable;
