//! Tests of `migration`.

mod modes;
mod notices;
mod rollback;
mod shadow;
mod verdicts;
