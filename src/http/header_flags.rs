//! Which of the headers that decide something a request has, found in one pass over its names: hardly any request has one
//! of them, and each would otherwise be looked for by itself.
//!
//! A flag never stands for a header: where there is one, the header itself is looked at. Where there is none the header
//! did not come, and jobshim writes none of these into a request before it has looked at it. So the pass is made when a
//! request comes, before anything is changed, and `request_head` keeps its flags with it.

use http::{
    HeaderMap, HeaderName,
    header::{AUTHORIZATION, COOKIE},
};

/// The header for keys.
pub const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The headers that carry a credential (docs/contract.md section 6).
pub const CREDENTIALS: [HeaderName; 4] = [AUTHORIZATION, COOKIE, API_KEY, HeaderName::from_static("comfy-user")];

/// Whether it is a header by which proxies say whom a request comes from.
pub fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-forwarded-") || matches!(name, "forwarded" | "x-real-ip")
}

/// The flags of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderFlags(u16);

impl HeaderFlags {
    /// It has a header that carries a credential.
    pub const CREDENTIAL: Self = Self(1);
    /// `Origin`
    pub const ORIGIN: Self = Self(1 << 1);
    /// `Sec-Fetch-Site`
    pub const FETCH_SITE: Self = Self(1 << 2);
    /// What proxies say of the client.
    pub const CLAIM: Self = Self(1 << 3);
    /// `Via`
    pub const VIA: Self = Self(1 << 4);
    /// `X-Request-Id`
    pub const REQUEST_ID: Self = Self(1 << 5);
    /// `If-None-Match`
    pub const IF_NONE_MATCH: Self = Self(1 << 6);
    /// `Accept-Encoding`
    pub const ACCEPT_ENCODING: Self = Self(1 << 7);
    /// `Upgrade`
    pub const UPGRADE: Self = Self(1 << 8);

    /// Those of a request with these headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        Self(headers.keys().fold(0, |flags, name| flags | Self::one(name).0))
    }

    fn one(name: &HeaderName) -> Self {
        match name.as_str() {
            "origin" => Self::ORIGIN,
            "sec-fetch-site" => Self::FETCH_SITE,
            "via" => Self::VIA,
            "x-request-id" => Self::REQUEST_ID,
            "if-none-match" => Self::IF_NONE_MATCH,
            "accept-encoding" => Self::ACCEPT_ENCODING,
            "upgrade" => Self::UPGRADE,
            _ if CREDENTIALS.contains(name) => Self::CREDENTIAL,
            _ if is_claim(name) => Self::CLAIM,
            _ => Self::default(),
        }
    }

    /// Whether one of `flags` is among them.
    pub fn has(self, flags: Self) -> bool {
        self.0 & flags.0 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{http::origin::SEC_FETCH_SITE, telemetry::REQUEST_ID};
    use http::{
        HeaderValue,
        header::{ACCEPT_ENCODING, IF_NONE_MATCH, ORIGIN, UPGRADE, VIA},
    };
    use std::slice::from_ref;

    fn of(names: &[HeaderName]) -> HeaderFlags {
        let one = |name: &HeaderName| (name.clone(), HeaderValue::from_static("x"));
        HeaderFlags::of(&names.iter().map(one).collect())
    }

    #[test]
    fn every_header_that_decides_something_has_its_flag() {
        for (name, flag) in [
            (ORIGIN, HeaderFlags::ORIGIN),
            (SEC_FETCH_SITE, HeaderFlags::FETCH_SITE),
            (VIA, HeaderFlags::VIA),
            (REQUEST_ID, HeaderFlags::REQUEST_ID),
            (IF_NONE_MATCH, HeaderFlags::IF_NONE_MATCH),
            (ACCEPT_ENCODING, HeaderFlags::ACCEPT_ENCODING),
            (UPGRADE, HeaderFlags::UPGRADE),
            (HeaderName::from_static("forwarded"), HeaderFlags::CLAIM),
            (HeaderName::from_static("x-real-ip"), HeaderFlags::CLAIM),
            (HeaderName::from_static("x-forwarded-for"), HeaderFlags::CLAIM),
            (HeaderName::from_static("x-forwarded-anything"), HeaderFlags::CLAIM),
        ] {
            assert!(of(from_ref(&name)).has(flag), "{name}");
        }
        for name in CREDENTIALS {
            assert!(of(from_ref(&name)).has(HeaderFlags::CREDENTIAL), "{name}");
        }
        let others = ["host", "user-agent", "accept", "x-forward", "te"].map(HeaderName::from_static);
        assert_eq!(of(&others), HeaderFlags::default());
        assert!(!of(&[SEC_FETCH_SITE]).has(HeaderFlags::ORIGIN));
        let both = of(&[VIA, CREDENTIALS[0].clone()]);
        assert!(both.has(HeaderFlags::VIA) && both.has(HeaderFlags::CREDENTIAL) && !both.has(HeaderFlags::UPGRADE));
    }
}
