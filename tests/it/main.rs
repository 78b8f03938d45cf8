//! All tests against real sockets, in one program: one file a concern.

mod corpus;
mod scanner;
mod support;
mod surfaces;
mod tables;
