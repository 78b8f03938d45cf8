//! Tests of `admin`.

mod listener;
mod overview;
mod page;
mod readiness;
