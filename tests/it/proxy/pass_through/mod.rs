//! Everything that is not a legacy route goes through as it came, both ways.

mod answers;
mod connections;
mod headers;
mod large_bodies;
mod requests;
