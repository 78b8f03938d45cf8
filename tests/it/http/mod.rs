//! Tests of `http`.

mod origin;
mod outside;
