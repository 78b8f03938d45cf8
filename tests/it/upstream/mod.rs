//! Tests of `upstream`.

mod answers;
mod bombs;
mod late_bytes;
mod timeouts;
mod tiny_chunks;
mod tls;
