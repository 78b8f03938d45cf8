//! Tests of `demo`: what the simulated servers say is what real ones do.

mod v2;
