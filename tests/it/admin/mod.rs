//! Tests of `admin`.

mod listener;
mod overview;
mod page;
mod page_told;
mod readiness;
