//! All tests against real sockets, in one program: one file a concern.

mod cloud;
mod commands;
mod config;
mod corpus;
mod doctor;
mod door;
mod failures;
mod hidden;
mod mistakes;
mod modes;
mod origin;
mod passthrough;
mod prompt;
mod readme;
mod reference;
mod scanner;
mod secrets;
mod secure;
mod session;
mod smuggling;
mod smuggling_http2;
mod support;
mod surfaces;
mod tables;
mod targets;
mod writes;
