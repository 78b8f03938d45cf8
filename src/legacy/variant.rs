//! The forms in which one job is kept.

use crate::{http::encoding::Encoding, mapping::View};
use http::HeaderValue;

/// In what form something is asked for: what its bytes and headers vary by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    /// Which table.
    pub view: View,
    /// The CORS headers may vary by it.
    pub origin: Option<HeaderValue>,
    /// How it is compressed, if it is.
    pub encoding: Option<Encoding>,
}

impl Variant {
    /// Uncompressed, for a request from `origin`.
    pub(super) fn plain(view: View, origin: Option<&HeaderValue>) -> Self {
        Self {
            view,
            origin: origin.cloned(),
            encoding: None,
        }
    }

    /// The same, compressed.
    pub(super) fn compressed(&self, encoding: Encoding) -> Self {
        Self {
            encoding: Some(encoding),
            ..self.clone()
        }
    }
}
