//! Tests of `upstream`.

mod answers;
mod bombs;
mod timeouts;
mod tls;
