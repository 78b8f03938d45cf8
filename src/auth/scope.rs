//! Whose credentials a request carries: the key that keeps users apart.

use crate::http::{
    header_flags::{API_KEY, CREDENTIALS, HeaderFlags},
    request_head::RequestHead,
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{AUTHORIZATION, COOKIE},
};
use percent_encoding::percent_decode_str;
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize};
use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
};

/// The query parameter that carries a credential (docs/contract.md section 6).
const TOKEN: &str = "token";

const BEARER: &[u8] = b"Bearer";

/// Whether a request shows a credential of its own. A cookie is one, as it may be a session's, and nothing tells which.
/// `Comfy-User` is a name, which anybody may send, and opens nothing.
pub fn is_shown(headers: &HeaderMap, uri: &Uri) -> bool {
    let says_something = |value: &HeaderValue| !value.as_bytes().trim_ascii().is_empty();
    headers.contains_key(AUTHORIZATION)
        || headers.contains_key(API_KEY)
        || headers.get_all(COOKIE).iter().any(says_something)
        || tokens(uri).next().is_some()
}

/// Whether a configured header of this name is a key, rather than a user's name.
pub fn is_key(name: &HeaderName) -> bool {
    [AUTHORIZATION, COOKIE, API_KEY].contains(name)
}

/// Removes the headers that are there and say nothing: an empty key is none.
pub fn remove_empty(headers: &mut HeaderMap) {
    let is_empty = |value: &HeaderValue| value.as_bytes().trim_ascii().is_empty();
    let is_bare = |value: &HeaderValue| {
        let value = value.as_bytes().trim_ascii();
        value.is_empty() || value.eq_ignore_ascii_case(BEARER)
    };
    if headers.get(API_KEY).is_some_and(is_empty) && headers.get_all(API_KEY).iter().all(is_empty) {
        headers.remove(API_KEY);
    }
    if headers.get(AUTHORIZATION).is_some_and(is_bare) && headers.get_all(AUTHORIZATION).iter().all(is_bare) {
        headers.remove(AUTHORIZATION);
    }
}

/// Moves a key that was sent as a bearer token, which keys that begin with `begins` are, to the header that keys have. A
/// request that has such a header keeps both as they are.
pub fn move_key(headers: &mut HeaderMap, header: &HeaderName, begins: &str) {
    let key = headers.get(AUTHORIZATION).and_then(bearer);
    let key = key.filter(|key| key.starts_with(begins.as_bytes()));
    if let Some(key) = key.and_then(|key| HeaderValue::from_bytes(key).ok())
        && !headers.contains_key(header)
    {
        headers.remove(AUTHORIZATION);
        headers.insert(header.clone(), key);
    }
}

/// The other way round, for a server that takes keys as bearer tokens alone.
pub fn as_bearer(headers: &mut HeaderMap, header: &HeaderName) {
    if headers.contains_key(AUTHORIZATION) {
        return;
    }
    let Some(key) = headers.remove(header) else {
        return;
    };
    let value = HeaderValue::from_bytes(&[BEARER, b" ", key.as_bytes()].concat());
    match value {
        Ok(mut value) => {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Err(_) => drop(headers.insert(header.clone(), key)),
    }
}

/// What follows the scheme, whose case does not matter (RFC 9110 section 11.1).
pub fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(BEARER.len())?;
    let is_it = scheme.eq_ignore_ascii_case(BEARER) && token.starts_with(b" ");
    is_it.then_some(token.trim_ascii())
}

/// A keyed hash of all credentials of a request: it tells users apart and does not tell who they are.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Scope(pub [u8; Self::LENGTH]);

impl Scope {
    /// As many bytes as it has.
    pub const LENGTH: usize = 32;

    /// A part of it: as hard to foresee without the key, and as different from scope to scope.
    pub fn part(&self) -> u64 {
        u64::from_ne_bytes(self.0.first_chunk().copied().unwrap_or_default())
    }
}

impl Hash for Scope {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.part());
    }
}

/// The key of the hash.
pub struct ScopeKey {
    key: hmac::Key,
    /// The scope of whoever shows no credential: most servers know no others.
    nobody: Scope,
}

impl ScopeKey {
    /// As many bytes as a key has.
    pub const LENGTH: usize = 32;

    /// Random bytes for a key; `None` when the system has none.
    pub fn random() -> Option<[u8; Self::LENGTH]> {
        let mut bytes = [0; Self::LENGTH];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(bytes)
    }

    /// A key of these bytes.
    pub fn new(bytes: &[u8; Self::LENGTH]) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, bytes);
        let mut nobody = Scope::default();
        nobody.0.copy_from_slice(hmac::sign(&key, b"").as_ref());
        Self { key, nobody }
    }

    /// The scope of a request.
    pub fn scope(&self, head: &RequestHead) -> Scope {
        if !head.has(HeaderFlags::CREDENTIAL) && tokens(head.uri()).next().is_none() {
            return self.nobody;
        }
        let mut hash = hmac::Context::with_key(&self.key);
        // Each value with its kind and length in front: no two sets of credentials spell the same.
        let mut add = |kind: usize, value: &[u8]| {
            hash.update(&kind.to_le_bytes());
            hash.update(&value.len().to_le_bytes());
            hash.update(value);
        };
        for (kind, name) in CREDENTIALS.iter().enumerate() {
            for value in head.headers().get_all(name) {
                add(kind, value.as_bytes());
            }
        }
        for parameter in tokens(head.uri()) {
            add(CREDENTIALS.len(), parameter.as_bytes());
        }
        let mut scope = Scope::default();
        scope.0.copy_from_slice(hash.sign().as_ref());
        scope
    }

    /// The scope of those who show no credential.
    pub fn nobody(&self) -> Scope {
        self.nobody
    }

    /// Whether it is the scope of those who show no credential.
    pub fn is_nobody(&self, scope: &Scope) -> bool {
        *scope == self.nobody
    }

    /// A number for whoever sends a request, the same each time: by scope, else by address. Of an IPv6 address the
    /// network counts, as many clients change the rest from day to day.
    pub fn client(&self, scope: &Scope, address: IpAddr) -> u64 {
        let whole = match (self.is_nobody(scope), address.to_canonical()) {
            (false, _) => hmac::sign(&self.key, &scope.0),
            (true, IpAddr::V4(address)) => hmac::sign(&self.key, &address.octets()),
            (true, IpAddr::V6(address)) => hmac::sign(&self.key, &address.octets()[..8]),
        };
        let bytes = whole.as_ref().first_chunk().copied();
        u64::from_be_bytes(bytes.unwrap_or_default())
    }

    /// Whether two secrets are the same, in a time that does not depend on where they differ.
    pub fn same(&self, one: &[u8], other: &[u8]) -> bool {
        hmac::verify(&self.key, one, hmac::sign(&self.key, other).as_ref()).is_ok()
    }
}

/// The `token` parameters of a request that have a value, as sent: a server knows the name however it is encoded.
pub fn tokens(uri: &Uri) -> impl Iterator<Item = &str> {
    let parameters = uri.query().into_iter().flat_map(|query| query.split('&'));
    parameters.filter(|parameter| token_value(parameter).is_some_and(|value| !value.is_empty()))
}

/// The value of a query parameter that carries a credential, as sent.
pub fn token_value(parameter: &str) -> Option<&str> {
    let (name, value) = parameter.split_once('=')?;
    let encoded = || name.contains('%') && percent_decode_str(name).eq(TOKEN.bytes());
    (name == TOKEN || encoded()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::AUTHORIZATION;
    use std::collections::HashSet;

    #[test]
    fn different_credentials_are_different_scopes_and_the_same_ones_the_same() {
        let requests: [(&[(&'static str, &'static str)], &str); 13] = [
            (&[], "/history"),
            (&[("authorization", "a")], "/history"),
            (&[("cookie", "a")], "/history"),
            (&[("x-api-key", "a")], "/history"),
            (&[("comfy-user", "a")], "/history"),
            (&[], "/history?token=a"),
            (&[("x-api-key", "a"), ("comfy-user", "b")], "/history"),
            (&[("x-api-key", "b"), ("comfy-user", "a")], "/history"),
            (&[("x-api-key", "a"), ("x-api-key", "b")], "/history"),
            (&[("x-api-key", "ab")], "/history"),
            (&[("x-api-key", "a")], "/history?x=1&token=a"),
            (&[("x-api-key", "c")], "/history"),
            (&[], "/history?%74ok%65n=a"),
        ];
        let key = ScopeKey::new(&[7; 32]);
        let scope = |(sent, target): &(&[(&'static str, &'static str)], &str)| {
            let mut headers = HeaderMap::new();
            for (name, value) in *sent {
                headers.append(*name, value.parse().expect("a value"));
            }
            headers.insert("user-agent", "not a credential".parse().expect("a value"));
            key.scope(&RequestHead::with(headers, target))
        };
        let scopes: HashSet<Scope> = requests.iter().map(scope).collect();
        assert_eq!(scopes.len(), requests.len());
        assert_eq!(scope(&requests[3]), scope(&(&[("x-api-key", "a")], "/queue?x=1")));
    }

    #[test]
    fn an_empty_credential_is_none() {
        let key = ScopeKey::new(&[7; 32]);
        for (sent, target) in [
            (&[("x-api-key", "")][..], "/history"),
            (&[("authorization", "Bearer ")], "/history"),
            (&[("authorization", "bearer")], "/history"),
            (&[("authorization", ""), ("x-api-key", " ")], "/history?token="),
            (&[], "/history?token="),
            (&[], "/history?%74oken="),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in sent {
                headers.append(*name, value.parse().expect("a value"));
            }
            let mut head = RequestHead::with(headers, target);
            remove_empty(head.headers_mut());
            let scope = key.scope(&head);
            assert!(!is_shown(head.headers(), head.uri()), "{sent:?} {target}");
            assert!(key.is_nobody(&scope), "{sent:?} {target}");
        }
    }

    #[test]
    fn a_client_is_its_credentials_else_its_address() {
        let key = ScopeKey::new(&[7; 32]);
        let client = |authorization: Option<&str>, address: &str| {
            let mut headers = HeaderMap::new();
            if let Some(authorization) = authorization {
                headers.insert(AUTHORIZATION, authorization.parse().expect("a value"));
            }
            let scope = key.scope(&RequestHead::with(headers, "/"));
            key.client(&scope, address.parse().expect("an address"))
        };
        assert_eq!(client(Some("a"), "192.0.2.1"), client(Some("a"), "192.0.2.2"));
        assert_ne!(client(Some("a"), "192.0.2.1"), client(Some("b"), "192.0.2.1"));
        assert_ne!(client(None, "192.0.2.1"), client(None, "192.0.2.2"));
        assert_eq!(client(None, "192.0.2.1"), client(None, "::ffff:192.0.2.1"));
        assert_eq!(client(None, "2001:db8::1"), client(None, "2001:db8::2"));
        assert_ne!(client(None, "2001:db8::1"), client(None, "2001:db8:0:1::1"));
    }

    #[test]
    fn secrets_are_compared_whole() {
        let key = ScopeKey::new(&[1; 32]);
        assert!(key.same(b"secret", b"secret"));
        for wrong in [&b""[..], b"secre", b"secrets", b"Secret"] {
            assert!(!key.same(b"secret", wrong));
        }
    }
}
