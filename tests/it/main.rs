//! All tests against real sockets, in one program: one file a concern.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::unreachable,
    clippy::large_futures,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that panics fails, and nothing is outside of it"
)]
#![cfg_attr(
    not(target_os = "linux"),
    allow(
        dead_code,
        unused_imports,
        reason = "signals, shells and /proc are not to be had everywhere"
    )
)]

mod admin;
mod auth;
mod cli;
mod config;
mod demo;
mod deploy;
mod documents;
mod examples;
mod http;
mod jobs_api;
mod layers;
mod legacy;
mod mapping;
mod migration;
mod pins;
mod proxy;
mod server;
mod store;
mod support;
mod telemetry;
mod upstream;
