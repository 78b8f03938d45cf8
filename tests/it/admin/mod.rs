//! Tests of `admin`.

mod listener;
mod page;
mod readiness;
