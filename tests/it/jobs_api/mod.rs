//! Tests of `jobs_api`.

mod probing;
