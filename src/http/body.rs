//! The one body type that answers and upstream requests share.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};

/// What any body error is on its way to hyper.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The one body type that answers and upstream requests share.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body that is there already.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}
