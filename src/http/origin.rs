//! ComfyUI's origin rule: what a web page of another site may not ask (docs/contract.md section 6).
//!
//! The server decides it for whatever it is asked. What jobshim answers without asking, an error or an answer from
//! memory, must not be given where the server would have refused.

use crate::http::{header_flags::HeaderFlags, request_head::FlaggedHeaders};
use http::{
    HeaderName, Uri,
    header::{HOST, ORIGIN},
};
use std::net::IpAddr;

/// What a browser says of the site that asks.
pub const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Whether a self-hosted server would answer 403: the browser says that another site asks, or the host is this
/// machine and the `Origin` another one. Of names, only `localhost` is known to be this machine; the server resolves
/// others too. A server started with `--enable-cors-header` has no such rule: it lets in what is refused here, so where
/// the server can be asked, ask it.
pub fn refuses(headers: FlaggedHeaders<'_>, uri: &Uri) -> bool {
    if headers
        .get(HeaderFlags::FETCH_SITE, &SEC_FETCH_SITE)
        .is_some_and(|site| site == "cross-site")
    {
        return true;
    }
    let Some(origin) = headers.get(HeaderFlags::ORIGIN, &ORIGIN) else {
        return false;
    };
    let host = match headers.all().get(HOST) {
        Some(host) => host.as_bytes(),
        None => uri.authority().map_or("", |host| host.as_str()).as_bytes(),
    };
    let host = Authority::of(host);
    is_loopback(host.name) && !is_same(host, Authority::of(authority(origin.as_bytes())))
}

/// The comparison as the server makes it: a port counts only where both have one, and where one of the two texts is
/// empty, as for `Origin: null`, there is nothing to compare.
fn is_same(host: Authority<'_>, origin: Authority<'_>) -> bool {
    let host_text = if origin.port.is_empty() { host.name } else { host.whole };
    let origin_text = if host.port.is_empty() {
        origin.name
    } else {
        origin.whole
    };
    host_text.is_empty() || origin_text.is_empty() || host_text.eq_ignore_ascii_case(origin_text)
}

/// `[user@]name[:port]`, taken apart.
#[derive(Clone, Copy)]
struct Authority<'a> {
    whole: &'a [u8],
    /// Without the brackets of an IPv6 address.
    name: &'a [u8],
    port: &'a [u8],
}

impl<'a> Authority<'a> {
    fn of(whole: &'a [u8]) -> Self {
        let mut rest = whole;
        if let Some(at) = rest.iter().rposition(|&byte| byte == b'@') {
            rest = rest.split_at(at + 1).1;
        }
        let (name, rest) = match rest.strip_prefix(b"[") {
            Some(inside) => cut(inside, b']'),
            None => cut(rest, b':'),
        };
        let port = match rest.strip_prefix(b":") {
            Some(port) => port,
            None => rest,
        };
        Self { whole, name, port }
    }
}

/// What is before the first `byte`, and what is after it.
fn cut(text: &[u8], byte: u8) -> (&[u8], &[u8]) {
    let at = text.iter().position(|&one| one == byte);
    let (before, after) = text.split_at(at.unwrap_or(text.len()));
    (before, after.strip_prefix(&[byte]).unwrap_or(after))
}

/// The authority of a URL; empty where there is none.
fn authority(url: &[u8]) -> &[u8] {
    let in_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let scheme = url.iter().take_while(|byte| in_scheme(byte)).count();
    let rest = match url.split_at(scheme) {
        (_, [b':', rest @ ..]) => rest,
        _ => url,
    };
    let rest = rest.strip_prefix(b"//").unwrap_or_default();
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    rest.split_at(end.unwrap_or(rest.len())).0
}

fn is_loopback(name: &[u8]) -> bool {
    let Ok(name) = std::str::from_utf8(name) else {
        return false;
    };
    match name.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => is_localhost(name.trim_end_matches('.')),
    }
}

/// `localhost` and everything below it (RFC 6761 section 6.3).
fn is_localhost(name: &str) -> bool {
    let at = name.len().saturating_sub("localhost".len());
    let tail = name
        .get(at..)
        .is_some_and(|tail| tail.eq_ignore_ascii_case("localhost"));
    tail && (at == 0 || name.as_bytes().get(at - 1) == Some(&b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderMap;

    fn verdict(host: &str, origin: Option<&str>, site: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        for (name, value) in [(HOST, Some(host)), (ORIGIN, origin), (SEC_FETCH_SITE, site)] {
            if let Some(value) = value {
                headers.insert(name, value.parse().expect("a value"));
            }
        }
        refuses(FlaggedHeaders::scan(&headers), &Uri::from_static("/history"))
    }

    #[test]
    fn what_a_browser_calls_cross_site_is_refused_on_any_host() {
        for host in ["127.0.0.1:8188", "comfy.example"] {
            assert!(verdict(host, None, Some("cross-site")), "{host}");
            for site in ["same-origin", "same-site", "none", "Cross-Site"] {
                assert!(!verdict(host, None, Some(site)), "{host} {site}");
            }
            assert!(!verdict(host, None, None), "{host}");
        }
    }

    /// Expectations worked out by hand from ComfyUI's `create_origin_only_middleware`.
    #[test]
    fn on_a_loopback_host_the_origin_must_be_the_host() {
        for (host, origin, refused) in [
            ("127.0.0.1:8188", "http://127.0.0.1:8188", false),
            ("127.0.0.1:8188", "https://127.0.0.1:8188/", false),
            ("127.0.0.1:8188", "http://evil.example", true),
            ("127.0.0.1:8188", "http://127.0.0.1:8189", true),
            ("127.0.0.1:8188", "http://localhost:8188", true),
            ("127.0.0.1:8188", "http://127.0.0.1", false),
            ("127.0.0.1", "http://127.0.0.1:3000", false),
            ("127.9.9.9:1", "http://evil.example:1", true),
            ("localhost:8188", "http://LOCALHOST:8188", false),
            ("LocalHost", "http://evil.example", true),
            ("localhost.:8188", "http://evil.example", true),
            ("app.localhost:8188", "http://evil.example", true),
            ("notlocalhost:8188", "http://evil.example", false),
            ("[::1]:8188", "http://[::1]:8188", false),
            ("[::1]", "http://[::1]", false),
            // The server compares the bracketed form with the bare one.
            ("[::1]:8188", "http://[::1]", true),
            ("[::1]:8188", "http://evil.example", true),
            ("[::ffff:127.0.0.1]:8188", "http://evil.example", true),
            ("127.0.0.1:8188", "null", false),
            ("127.0.0.1:8188", "127.0.0.1:9", false),
            ("127.0.0.1:8188", "//evil.example", true),
            ("127.0.0.1:8188", "http://127.0.0.1:8188@evil.example", true),
            ("user@127.0.0.1:8188", "http://evil.example", true),
            ("127.0.0.1:8188", "http://evil.example:port", true),
            ("comfy.example", "http://evil.example", false),
            ("192.168.1.4:8188", "http://evil.example", false),
        ] {
            assert_eq!(verdict(host, Some(origin), None), refused, "{host} {origin}");
        }
    }

    #[test]
    fn an_http2_request_has_its_host_in_the_target() {
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, "http://evil.example".parse().expect("a value"));
        let refused = |target| refuses(FlaggedHeaders::scan(&headers), &Uri::from_static(target));
        assert!(refused("http://localhost:8187/history"));
        assert!(!refused("http://evil.example/history"));
        assert!(!refused("/history"));
    }

    #[test]
    fn no_host_or_origin_makes_it_panic() {
        for text in [
            "",
            ":",
            "[",
            "[]",
            "]:",
            "@",
            "a@",
            "[::1",
            "::1",
            "//",
            "http://",
            "http:///x",
            ":80",
            "é",
        ] {
            verdict(text, Some(text), None);
            verdict("127.0.0.1", Some(text), None);
        }
    }
}
