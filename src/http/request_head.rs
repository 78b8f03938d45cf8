//! The head of a request, together with which of the headers that decide something it has.

use super::{header_flags::HeaderFlags, idle_timeout::BodyProgress};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, request::Parts};
use std::sync::LazyLock;

/// The head of a request. Its flags were read from its own headers when it came, so the two cannot be mixed up.
#[derive(Clone)]
pub struct RequestHead {
    parts: Parts,
    flags: HeaderFlags,
    /// Of the body that follows.
    progress: Option<BodyProgress>,
}

impl RequestHead {
    /// Reads the flags, before anything is changed.
    pub fn new(parts: Parts) -> Self {
        Self {
            flags: HeaderFlags::of(&parts.headers),
            parts,
            progress: None,
        }
    }

    /// Whether it came with such a header.
    pub fn has(&self, flag: HeaderFlags) -> bool {
        self.flags.has(flag)
    }

    /// As the client sent it.
    pub fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The target.
    pub fn uri(&self) -> &Uri {
        &self.parts.uri
    }

    /// The query, without its question mark.
    pub fn query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    /// All headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The same, to look for those that have a flag.
    pub fn flagged(&self) -> FlaggedHeaders<'_> {
        FlaggedHeaders {
            headers: &self.parts.headers,
            flags: self.flags,
        }
    }

    /// All headers, to change them. The flags stay: what is added later has none.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.parts.headers
    }

    /// The whole head.
    pub fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The whole head, to change it.
    pub fn parts_mut(&mut self) -> &mut Parts {
        &mut self.parts
    }

    /// Whether the body that follows moves, while it still comes.
    pub fn progress(&self) -> Option<&BodyProgress> {
        self.progress.as_ref()
    }

    /// Notes where the progress of the body is told.
    pub fn set_progress(&mut self, progress: BodyProgress) {
        self.progress = Some(progress);
    }

    /// What is sent on.
    pub fn into_parts(self) -> Parts {
        self.parts
    }
}

#[cfg(test)]
impl RequestHead {
    /// A request for `target` with these headers.
    pub fn with(headers: HeaderMap, target: &str) -> Self {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.uri = target.parse().expect("a target");
        parts.headers = headers;
        Self::new(parts)
    }
}

/// Headers with their flags.
#[derive(Clone, Copy, Debug)]
pub struct FlaggedHeaders<'a> {
    headers: &'a HeaderMap,
    flags: HeaderFlags,
}

impl<'a> FlaggedHeaders<'a> {
    /// Reads the flags of headers that did not come with a request of their own.
    pub fn scan(headers: &'a HeaderMap) -> Self {
        Self {
            flags: HeaderFlags::of(headers),
            headers,
        }
    }

    /// No headers at all.
    pub fn none() -> FlaggedHeaders<'static> {
        static NONE: LazyLock<HeaderMap> = LazyLock::new(HeaderMap::new);
        FlaggedHeaders::scan(&NONE)
    }

    /// Whether there is such a header.
    pub fn has(&self, flag: HeaderFlags) -> bool {
        self.flags.has(flag)
    }

    /// A header that has this flag.
    pub fn get(&self, flag: HeaderFlags, name: &HeaderName) -> Option<&'a HeaderValue> {
        self.has(flag).then(|| self.headers.get(name)).flatten()
    }

    /// All headers.
    pub fn all(&self) -> &'a HeaderMap {
        self.headers
    }
}
