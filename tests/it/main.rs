//! All tests against real sockets, in one program: one file a concern.

mod admin;
mod auth;
mod cli;
mod config;
mod deploy;
mod documents;
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
