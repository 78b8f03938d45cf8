//! jobshim: a reverse proxy that answers ComfyUI's legacy history and queue endpoints from the Jobs API.
//!
//! Every folder is a layer, and imports only layers below it. From top to bottom:

pub mod admin;
pub mod auth;
pub mod cli;
pub mod config;
pub mod demo;
pub mod http;
pub mod jobs_api;
pub mod legacy;
pub mod mapping;
pub mod migration;
pub mod proxy;
pub mod routes;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod upstream;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock. What it guards stays whole when a holder panics: no change is made in more than one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
