//! Tests of `migration`.

mod compare;
mod faults;
mod modes;
mod notices;
mod rollback;
mod verdicts;
