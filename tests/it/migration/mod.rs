//! Tests of `migration`.

mod compare;
mod equal;
mod faults;
mod modes;
mod notices;
mod rollback;
mod verdicts;
