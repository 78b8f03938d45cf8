//! Tests of `jobs_api`.

mod odd_answers;
mod probing;
mod unlistable;
