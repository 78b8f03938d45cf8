//! Tests of `migration`.

mod compare;
mod modes;
mod notices;
mod rollback;
mod verdicts;
