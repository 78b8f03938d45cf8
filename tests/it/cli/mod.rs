//! Tests of `cli`.

mod commands;
mod doctor;
