//! Tests of `config`.

mod documents;
mod faults;
mod secrets;
mod settings;
