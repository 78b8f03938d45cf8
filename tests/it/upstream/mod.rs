//! Tests of `upstream`.

mod answers;
mod bombs;
mod timeouts;
mod tiny_chunks;
mod tls;
