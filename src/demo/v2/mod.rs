//! A simulated server of Comfy API v2, for the tests and `jobshim demo`: jobs that wait, run and end, their event streams, and
//! assets. It has nothing else: no `/api/jobs`, no legacy endpoint.
//!
//! By [`Options`] it is a deployment by the published document, or comfy-api-proxy as it was recorded. Jobs move on by the
//! clock, or by [`Simulator::step`] and [`Simulator::finish`].

mod answers;
mod assets;
mod events;
mod job;
mod jobs;
mod multipart;
mod options;
mod script;
mod shared;
mod simulator;
mod submit;
mod wire;

pub use job::Status;
pub use options::{Call, Fault, Options, Variant};
pub use simulator::Simulator;
