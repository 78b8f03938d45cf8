//! All tests against real sockets, in one program: one file a concern.

mod corpus;
mod failures;
mod scanner;
mod support;
mod surfaces;
mod tables;
