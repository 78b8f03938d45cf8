//! Tests of `config`.

mod faults;
mod secrets;
mod settings;
