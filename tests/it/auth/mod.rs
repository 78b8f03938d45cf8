//! Tests of `auth`.

mod access_token;
