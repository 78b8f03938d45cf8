//! Tests of `telemetry`.

#[cfg(feature = "otel")]
mod traces;
mod usage;
