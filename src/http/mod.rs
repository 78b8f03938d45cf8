//! Rules of HTTP, as functions of what is in a message: hop-by-hop headers, `Via`, `Origin`, validation, encodings, entity
//! tags. Nothing here asks or answers anybody.

pub mod base64;
pub mod body;
pub mod body_decoding;
pub mod buffered;
pub mod encoding;
pub mod entity_tag;
pub mod event_stream;
pub mod gzip;
pub mod header_flags;
pub mod headers;
pub mod hex;
pub mod idle_timeout;
pub mod multipart;
pub mod origin;
pub mod outside;
pub mod peer;
pub mod proxy_status;
pub mod query;
pub mod request_head;
pub mod segments;
pub mod system_error;
pub mod validate;
pub mod via;
