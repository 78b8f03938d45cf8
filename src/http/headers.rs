//! Header hygiene: what a proxy must remove and add on the way.

use http::{
    HeaderMap, HeaderName, HeaderValue, Uri,
    header::{
        AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
        COOKIE, HOST, MAX_FORWARDS, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VARY,
    },
};
use std::net::IpAddr;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
/// Goes with `Upgrade: h2c` (RFC 7540 section 3.2.1).
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What of an upstream's answer every answer made from it carries: browsers need its CORS headers, and caches need to
/// know what it varies by (docs/contract.md section 6).
pub fn carried(headers: &HeaderMap) -> HeaderMap {
    let carried = |name: &HeaderName| name.as_str().starts_with("access-control-") || *name == VARY;
    let carried = headers.iter().filter(|(name, _)| carried(name));
    carried.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What a `Connection` header may not take away: the server decides by these who asks and where a message ends.
const END_TO_END: [&str; 9] = [
    "host",
    "authorization",
    "cookie",
    "origin",
    "sec-fetch-site",
    "content-length",
    "content-type",
    "x-api-key",
    "comfy-user",
];

/// What is meant for one connection only (RFC 9110 section 7.6.1); others are named by `Connection`, or belong to these.
const HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What comes of the trailers behind a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailers {
    /// They end here.
    Dropped,
    /// They go on, without those that must not stand there.
    Passed,
}

impl Trailers {
    /// Of the answer to a request with these headers: most servers and clients know nothing of trailers, so they are for
    /// who says `TE: trailers` (RFC 9110 sections 6.5.1 and 10.1.4).
    pub fn wanted_by(headers: &HeaderMap) -> Self {
        let values = headers.get_all(TE).iter();
        let mut codings = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        match codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers")) {
            true => Self::Passed,
            false => Self::Dropped,
        }
    }
}

/// What decides before the content how a message is read, where it goes and who asks, and so comes too late behind it
/// (RFC 9110 section 6.5.1).
const NOT_BEHIND: [HeaderName; 10] = [
    AUTHORIZATION,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    CONTENT_TYPE,
    HOST,
    MAX_FORWARDS,
    SET_COOKIE,
    TRAILER,
];

/// Removes from trailers what must not stand there, or is meant for one connection.
pub fn clean_trailers(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers, Trailers::Dropped);
    trailers.remove(TE);
    for name in NOT_BEHIND {
        trailers.remove(name);
    }
}

/// Removes what is meant for this connection only, and `Trailer` where no trailers follow. `TE: trailers` stays.
pub fn remove_hop_by_hop(headers: &mut HeaderMap, trailers: Trailers) {
    // Most messages have one of it at most, and one pass sees which.
    let mut there = HOP_BY_HOP.map(|_| false);
    for name in headers.keys() {
        for (there, hop) in there.iter_mut().zip(&HOP_BY_HOP) {
            *there |= name == hop;
        }
    }
    let [connection, _, _, te, _, _, upgrade] = there;
    if connection {
        for name in named_by_connection(headers) {
            headers.remove(name);
        }
    }
    if upgrade && headers.remove(UPGRADE).is_some() {
        headers.remove(HTTP2_SETTINGS);
    }
    let te_stays = te && headers.get(TE).is_some_and(|te| te == "trailers");
    for (_, name) in there.iter().zip(HOP_BY_HOP).filter(|(there, _)| **there) {
        let stays = match name {
            TE => te_stays,
            TRAILER => trailers == Trailers::Passed,
            _ => false,
        };
        if !stays {
            headers.remove(name);
        }
    }
}

/// What else `Connection` says is meant for this connection, as far as it may say so.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).iter();
    let names = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim);
    names
        // What nearly all say, and it goes anyway.
        .filter(|name| !name.eq_ignore_ascii_case("keep-alive"))
        .filter_map(|name| name.parse().ok())
        .filter(|name: &HeaderName| !END_TO_END.contains(&name.as_str()) && !name.as_str().starts_with("x-forwarded-"))
        .collect()
}

/// Gives an HTTP/2 request the headers that HTTP/1.1 expects: a `Host`, and one `Cookie` (RFC 9113 sections 8.3.1
/// and 8.2.3).
pub fn complete_for_http1(headers: &mut HeaderMap, uri: &Uri) {
    // HTTP/1.1 has a host and hardly any cookies: one pass sees both.
    let (mut has_host, mut has_cookies) = (false, false);
    for name in headers.keys() {
        has_host |= *name == HOST;
        has_cookies |= *name == COOKIE;
    }
    if !has_host
        && let Some(host) = uri
            .authority()
            .and_then(|host| HeaderValue::from_str(host.as_str()).ok())
    {
        headers.insert(HOST, host);
    }
    if !has_cookies || headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(whole) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, whole);
    }
}

/// Says who asked and how: `X-Forwarded-For` grows by the client's address; an earlier proxy's word on the scheme and
/// the host stays.
pub fn add_forwarded(headers: &mut HeaderMap, client: IpAddr) {
    // What is there already is seen in one pass: most requests have nothing but a host.
    let mut chain = String::with_capacity(64);
    let (mut host, mut has_chain, mut has_proto, mut has_host) = (None, false, false, false);
    for (name, value) in &*headers {
        if *name == HOST {
            host = host.or_else(|| Some(value.clone()));
        } else if *name == FORWARDED_FOR {
            has_chain = true;
            if let Ok(address) = value.to_str() {
                chain.push_str(address);
                chain.push_str(", ");
            }
        } else {
            has_proto |= *name == FORWARDED_PROTO;
            has_host |= *name == FORWARDED_HOST;
        }
    }
    write_address(client.to_canonical(), &mut chain);
    if let Ok(chain) = HeaderValue::try_from(chain) {
        match has_chain {
            true => drop(headers.insert(FORWARDED_FOR, chain)),
            false => drop(headers.append(FORWARDED_FOR, chain)),
        }
    }
    if !has_proto {
        headers.append(FORWARDED_PROTO, HeaderValue::from_static("http"));
    }
    if let Some(host) = host.filter(|_| !has_host) {
        headers.append(FORWARDED_HOST, host);
    }
}

/// An IPv4 address digit by digit: its `Display` takes a thousand instructions, and each request needs it.
pub fn write_address(address: IpAddr, out: &mut String) {
    let IpAddr::V4(address) = address else {
        return out.push_str(&address.to_string());
    };
    let mut lead = None;
    for octet in address.octets() {
        out.extend(lead);
        for unit in [100, 10, 1] {
            if octet >= unit || unit == 1 {
                out.push(char::from(b'0' + octet / unit % 10));
            }
        }
        lead = Some('.');
    }
}

/// Writes the upstream's own name into `Host`.
pub fn set_host(headers: &mut HeaderMap, upstream: &str) {
    if let Ok(upstream) = HeaderValue::from_str(upstream) {
        headers.insert(HOST, upstream);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn an_address_is_written_as_the_standard_library_writes_it() {
        for octet in 0..=255 {
            for address in [[octet, 0, 10, 100], [1, octet, 255, octet], [99, 109, 9, octet]] {
                let address = IpAddr::from(Ipv4Addr::from(address));
                let mut written = String::new();
                write_address(address, &mut written);
                assert_eq!(written, address.to_string());
            }
        }
        let mut written = String::new();
        write_address(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]), &mut written);
        assert_eq!(written, "2001:db8::1");
    }
}
