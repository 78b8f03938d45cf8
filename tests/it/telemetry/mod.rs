//! Tests of `telemetry`.

mod log_lines;
#[cfg(target_os = "linux")]
mod process;
#[cfg(feature = "otel")]
mod traces;
mod usage;
