//! What is refused before anything else is done with a request: whatever two servers could read differently.
//!
//! hyper has parsed the head by then and refused what is not HTTP at all. What it reads more kindly than a proxy should,
//! or leaves to its caller, is looked at here. What it has made unambiguous itself is not seen any more and needs no look:
//! of `Content-Length` with `Transfer-Encoding` only the latter is left and the connection ends after the answer
//! (RFC 9112 section 6.3; haproxy does the same, nginx answers 400), of equal lengths only one, and a lone LF ends a
//! line (section 2.2). A length may begin with zeros (RFC 9110 section 8.6): the body is read by it in decimal, and goes on
//! with the plain number.

use crate::segments::climbs;
use http::{
    HeaderValue, Method, Uri, Version,
    header::{HOST, TRANSFER_ENCODING},
    request::Parts,
};

/// Why a request is refused. Its connection is closed, as its framing is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unclear {
    /// `CONNECT` asks for a tunnel to anywhere, and the upstream is fixed.
    #[error("CONNECT is not for this proxy")]
    Connect,
    /// Not exactly one `Host` (RFC 9112 section 3.2), or in HTTP/2 neither `Host` nor `:authority` (RFC 9113 section
    /// 8.3.1, RFC 9110 section 7.2).
    #[error("a request has exactly one Host")]
    Hosts,
    /// `Host` is not a name or address and a port.
    #[error("Host is not a host and a port")]
    Host,
    /// The target names another host than `Host` (RFC 9112 section 3.2.2, RFC 9113 section 8.3.1).
    #[error("the target and Host name different hosts")]
    TwoHosts,
    /// Not a path, and not `OPTIONS *`.
    #[error("the target is not a path")]
    Target,
    /// The path leads above the upstream's base path, by dots that somebody on the way would resolve.
    #[error("the path leads above its beginning")]
    Climbs,
    /// Another transfer coding than `chunked` alone, which could not be passed on (RFC 9112 section 6.1).
    #[error("the only Transfer-Encoding is chunked")]
    TransferEncoding,
    /// More headers than `server.max_headers`, or more bytes of them than `server.max_header_bytes`.
    #[error("the headers are too many or too long")]
    Headers,
    /// A path and query longer than `server.max_uri_bytes`.
    #[error("the target is too long")]
    Long,
}

/// How much a head may hold.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes of header names and values.
    pub header_bytes: usize,
    /// Headers.
    pub headers: usize,
    /// Bytes of path and query.
    pub uri_bytes: usize,
}

/// Whether everyone reads this head in the same way, and it is within bounds.
pub fn vet(head: &Parts, bounds: &Bounds) -> Result<(), Unclear> {
    if head.method == Method::CONNECT {
        return Err(Unclear::Connect);
    }
    if head
        .uri
        .path_and_query()
        .is_some_and(|target| target.as_str().len() > bounds.uri_bytes)
    {
        return Err(Unclear::Long);
    }
    let mut host = None;
    let (mut hosts, mut codings, mut bytes) = (0, 0, 0);
    for (name, value) in &head.headers {
        bytes += name.as_str().len() + value.len();
        if name == HOST {
            hosts += 1;
            host = Some(value);
        } else if name == TRANSFER_ENCODING {
            codings += 1;
            if codings > 1 || !value.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err(Unclear::TransferEncoding);
            }
        }
    }
    if bytes > bounds.header_bytes || head.headers.len() > bounds.headers {
        return Err(Unclear::Headers);
    }
    if let Some(host) = host
        && !is_host(host)
    {
        return Err(Unclear::Host);
    }
    let may_have_none = match head.version {
        Version::HTTP_11 => false,
        Version::HTTP_2 => head.uri.authority().is_some(),
        // HTTP/1.0 knows none.
        _ => true,
    };
    if hosts > 1 || (hosts == 0 && !may_have_none) {
        return Err(Unclear::Hosts);
    }
    target(&head.uri, &head.method, host)
}

fn is_host(value: &HeaderValue) -> bool {
    let is_stray =
        |byte: u8| !byte.is_ascii_graphic() || matches!(byte, b'/' | b'\\' | b'@' | b'?' | b'#' | b',' | b'"' | b'<');
    // Not `any`: without a way out in the middle, many bytes are looked at together.
    let strays = value
        .as_bytes()
        .iter()
        .fold(false, |stray, &byte| stray | is_stray(byte));
    !value.is_empty() && !strays
}

fn target(uri: &Uri, method: &Method, host: Option<&HeaderValue>) -> Result<(), Unclear> {
    if let Some(authority) = uri.authority() {
        let named = authority.as_str();
        if !matches!(uri.scheme_str(), Some("http" | "https")) || named.contains('@') {
            return Err(Unclear::Target);
        }
        if host.is_some_and(|host| !host.as_bytes().eq_ignore_ascii_case(named.as_bytes())) {
            return Err(Unclear::TwoHosts);
        }
    }
    let path = uri.path();
    if climbs(path) {
        return Err(Unclear::Climbs);
    }
    match path.starts_with('/') || (path == "*" && method == Method::OPTIONS) {
        true => Ok(()),
        false => Err(Unclear::Target),
    }
}
