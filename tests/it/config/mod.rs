//! Tests of `config`.

mod faults;
mod secret_pipes;
mod secrets;
mod settings;
