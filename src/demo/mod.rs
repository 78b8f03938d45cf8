//! A small simulated upstream for `jobshim demo` and the tests.
