//! The commands as clap sees them.
