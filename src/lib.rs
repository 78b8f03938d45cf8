//! jobshim: a reverse proxy that answers ComfyUI's legacy history and queue endpoints from the Jobs API.
//!
//! A request goes one way through the house: `server` -> `service` -> `route` -> `legacy` -> `jobs` -> `upstream`,
//! with `mapping` turning job bytes into legacy bytes; what is not a legacy route goes through `forward`.

mod accept;
pub mod access;
pub mod admin;
pub mod body_decoding;
pub mod buffered;
pub mod cli;
pub mod compare;
pub mod config;
pub(crate) mod connect;
pub mod demo;
pub mod diagnosis;
pub mod doctor;
pub mod encoding;
pub mod explain;
pub mod flights;
pub mod forward;
pub mod headers;
pub mod health;
mod hex;
pub mod hollow;
pub mod http1;
pub mod jobs;
pub mod legacy;
pub mod mapping;
pub mod marks;
pub mod mistakes;
pub mod modes;
pub mod notes;
pub mod notices;
pub mod observe;
pub mod origin;
pub mod outside;
pub mod pace;
pub mod panics;
mod pool;
pub(crate) mod proxy_status;
pub mod reload;
pub mod report;
pub(crate) mod response;
pub mod route;
pub mod runs;
pub mod scope;
pub mod segments;
pub mod server;
pub mod service;
pub mod state;
pub mod stop;
#[cfg(feature = "otel")]
pub mod traces;
pub mod trust;
pub mod upstream;
pub mod vet;
pub mod via;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a lock. What it guards stays whole when a holder panics: no change is made in more than one step.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
