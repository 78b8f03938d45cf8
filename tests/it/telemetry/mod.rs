//! Tests of `telemetry`.

mod log_lines;
#[cfg(feature = "otel")]
mod traces;
mod usage;
