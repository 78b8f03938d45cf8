//! On whose behalf the Jobs API is asked: what of a client's request goes along with the calls made for it.

use crate::http::request_head::FlaggedHeaders;
use crate::{
    auth::scope::{Scope, tokens},
    http::{
        headers::{Trailers, add_forwarded, complete_for_http1, remove_hop_by_hop, set_host},
        origin::{self, SEC_FETCH_SITE},
    },
    telemetry::RequestStats,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{
        ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, IF_MATCH,
        IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, ORIGIN, RANGE, SEC_WEBSOCKET_EXTENSIONS,
        SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION,
    },
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::{
    borrow::Cow,
    hash::{Hash, Hasher},
    net::IpAddr,
    sync::Arc,
};

/// What a path segment or a query value may hold as it is (RFC 3986 section 2.3).
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Headers about the body, about a stored copy of the legacy answer, or about the client's WebSocket: not about the calls made
/// for it.
const NOT_FOR_CALLS: [HeaderName; 15] = [
    ACCEPT_ENCODING,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    EXPECT,
    IF_MATCH,
    IF_MODIFIED_SINCE,
    IF_NONE_MATCH,
    IF_RANGE,
    IF_UNMODIFIED_SINCE,
    RANGE,
    SEC_WEBSOCKET_EXTENSIONS,
    SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION,
];

/// A client's headers and `token`, which the upstream sees on every call made for that client: credentials, `Host`,
/// `Origin` and `Sec-Fetch-Site` decide there whether it may ask.
#[derive(Clone, Debug, Default)]
pub struct Caller {
    headers: HeaderMap,
    token: Option<String>,
    /// What keeps this client's jobs apart from those of others.
    pub scope: Scope,
    /// Counts what is done for the request.
    pub stats: Arc<RequestStats>,
}

/// All of a caller that the server's answer can depend on: who asks, and what decides whether it may
/// (docs/contract.md section 6). Callers of one key share calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerKey {
    scope: Scope,
    decisive: [Option<HeaderValue>; 3],
}

impl Hash for CallerKey {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        // Those of one scope seldom differ in the rest.
        self.scope.hash(hasher);
    }
}

impl Caller {
    /// Takes what goes along from the request of a client at `address`.
    pub fn new(headers: &HeaderMap, uri: &Uri, address: IpAddr, scope: Scope, stats: Arc<RequestStats>) -> Self {
        let mut headers = headers.clone();
        complete_for_http1(&mut headers, uri);
        remove_hop_by_hop(&mut headers, Trailers::Dropped);
        // Most requests have few of them, and that is cheaper to see in one pass.
        let needless: Vec<HeaderName> = headers
            .keys()
            .filter(|name| NOT_FOR_CALLS.contains(name))
            .cloned()
            .collect();
        for name in needless {
            headers.remove(name);
        }
        add_forwarded(&mut headers, address);
        Self {
            headers,
            token: tokens(uri).next().map(str::to_owned),
            scope,
            stats,
        }
    }

    /// The same, for work that no request counts.
    pub(super) fn beside(&self) -> Self {
        Self {
            stats: Arc::default(),
            ..self.clone()
        }
    }

    /// What the server's answer can depend on.
    pub fn caller_key(&self) -> CallerKey {
        let value = |name: &HeaderName| self.headers.get(name).cloned();
        CallerKey {
            scope: self.scope,
            decisive: [&HOST, &ORIGIN, &SEC_FETCH_SITE].map(value),
        }
    }

    /// Whether a self-hosted server would refuse it as another site's.
    pub fn is_foreign(&self) -> bool {
        origin::refuses(FlaggedHeaders::scan(&self.headers), &Uri::default())
    }

    /// `Origin`, by which CORS headers may differ.
    pub fn origin(&self) -> Option<&HeaderValue> {
        self.headers.get(ORIGIN)
    }

    /// Whether the client says who it is in a way that the cloud would ask for.
    pub(super) fn has_key(&self) -> bool {
        self.token.is_some() || self.headers.contains_key(AUTHORIZATION) || self.headers.contains_key("x-api-key")
    }

    /// The headers of a call; `own_host` replaces the client's `Host`.
    pub(crate) fn headers(&self, own_host: Option<&str>) -> HeaderMap {
        let mut headers = self.headers.clone();
        if let Some(own_host) = own_host {
            set_host(&mut headers, own_host);
        }
        headers
    }

    /// The target of a call.
    pub(super) fn target(&self, path: &str, query: &str) -> String {
        let parameters = [Some(query).filter(|query| !query.is_empty()), self.token.as_deref()];
        let query: Vec<&str> = parameters.into_iter().flatten().collect();
        match query.is_empty() {
            true => path.to_owned(),
            false => format!("{path}?{}", query.join("&")),
        }
    }
}

/// `text` as one path segment or query value.
pub(crate) fn encode(text: &str) -> Cow<'_, str> {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    // Not `all`: without a way out in the middle, many bytes are looked at together.
    match text.bytes().fold(true, |plain, byte| plain & is_unreserved(byte)) {
        // Nearly every id.
        true => text.into(),
        false => utf8_percent_encode(text, UNRESERVED).into(),
    }
}

/// A table's path with `value`, encoded, where it says `{id}` or `{class}`.
pub(crate) fn filled(path: &str, value: &str) -> String {
    filling(path, value).concat()
}

/// The same, in pieces.
pub(crate) fn filling<'a>(path: &'a str, value: &'a str) -> [Cow<'a, str>; 3] {
    let around = || {
        let (before, rest) = path.split_once('{')?;
        let (_name, after) = rest.split_once('}')?;
        Some((before, after))
    };
    match around() {
        Some((before, after)) => [before.into(), encode(value), after.into()],
        None => [path.into(), "".into(), "".into()],
    }
}
