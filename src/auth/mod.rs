//! Who asks: whose credentials a request carries, the access token, and which proxies are believed about the client.

pub mod access_token;
pub mod scope;
pub mod trusted_proxies;
