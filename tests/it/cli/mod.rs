//! Tests of `cli`.

mod arguments;
mod commands;
mod doctor;
mod warnings;
