//! Tests of `server`.

mod floods;
mod limits;
mod listeners;
mod slow_clients;
mod steady;
mod timeouts;
mod tls;
