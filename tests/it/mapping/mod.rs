//! Tests of `mapping`.

mod limits;
mod node_meta;
mod scanner;
mod tables;
mod typed_inputs;
