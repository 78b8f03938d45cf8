//! Tests of `config`.

mod documents;
mod faults;
mod secret_pipes;
mod secrets;
mod settings;
