//! The commands, one file each.

pub mod admin_url;
pub mod arguments;
pub mod background;
pub mod check;
mod command_line;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod health;
pub mod log;
pub mod output;
pub mod report;
pub mod stopping;
#[cfg(feature = "otel")]
pub mod traces;
pub mod warnings;
