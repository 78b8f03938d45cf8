//! An answer on its way to the client, and who made it.

use crate::http::body::Body;
use http::Response;

/// Who made an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The upstream; or it is a translation of what it said.
    Upstream,
    /// jobshim.
    Jobshim {
        /// Whether the upstream has let this client in: otherwise its rule for web pages of other sites is still to be
        /// applied (docs/contract.md section 6).
        asked: bool,
    },
}

/// An answer and its origin.
pub struct Answer {
    /// The answer.
    pub response: Response<Body>,
    /// Who made it.
    pub origin: Origin,
}

impl Answer {
    /// One that came from the upstream.
    pub fn upstream(response: Response<Body>) -> Self {
        Self {
            response,
            origin: Origin::Upstream,
        }
    }

    /// One that jobshim made by itself.
    pub fn local(response: Response<Body>) -> Self {
        Self {
            response,
            origin: Origin::Jobshim { asked: false },
        }
    }

    /// The same with another response.
    pub fn map(self, change: impl FnOnce(Response<Body>) -> Response<Body>) -> Self {
        Self {
            response: change(self.response),
            origin: self.origin,
        }
    }
}
