//! What a request says of where it came from: believed from proxies that the configuration names, and from nobody else.

use crate::http::request_head::RequestHead;
use crate::{
    config::TrustedProxies,
    http::{
        header_flags::{HeaderFlags, is_claim},
        peer::Peer,
    },
};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::net::{IpAddr, SocketAddr};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Takes away what a stranger says of where it came from; a trusted proxy's word stays, and says who the client is.
pub fn settle(trusted: &TrustedProxies, head: &mut RequestHead, peer: &mut Peer) {
    if head.has(HeaderFlags::CLAIM) {
        weigh(trusted, head.headers_mut(), peer);
    }
    if peer.secure {
        head.headers_mut()
            .entry(FORWARDED_PROTO)
            .or_insert(HeaderValue::from_static("https"));
    }
}

fn weigh(trusted: &TrustedProxies, headers: &mut HeaderMap, peer: &mut Peer) {
    let is_trusted = match peer.unix {
        true => trusted.trusts_unix(),
        false => trusted.trusts(peer.address.ip()),
    };
    if is_trusted {
        peer.client = client(trusted, headers).unwrap_or(peer.client);
        return;
    }
    let claims: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name)).cloned().collect();
    for name in claims {
        headers.remove(name);
    }
}

/// The last address of the chain that no trusted proxy has; the one before what cannot be read.
fn client(trusted: &TrustedProxies, headers: &HeaderMap) -> Option<IpAddr> {
    let chain = headers
        .get_all(&FORWARDED_FOR)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let hops: Vec<&str> = chain.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut client = None;
    for hop in hops.into_iter().rev() {
        let Some(address) = address_of(hop) else { break };
        client = Some(address);
        if !trusted.trusts(address) {
            break;
        }
    }
    client
}

fn address_of(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse::<SocketAddr>().map(|address| address.ip()).ok();
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusted(text: &str) -> TrustedProxies {
        text.parse().expect("a list")
    }

    fn settled(trusted: &TrustedProxies, peer: &str, sent: &[(&'static str, &'static str)]) -> (HeaderMap, IpAddr) {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let mut peer = Peer::new(peer.parse().expect("an address"));
        let mut head = RequestHead::with(headers, "/");
        settle(trusted, &mut head, &mut peer);
        (head.headers().clone(), peer.client)
    }

    #[test]
    fn a_stranger_cannot_say_who_it_is() {
        let claims = [
            ("x-forwarded-for", "10.9.9.9"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "bank.example"),
            ("x-forwarded-port", "1"),
            ("forwarded", "for=10.9.9.9"),
            ("x-real-ip", "10.9.9.9"),
            ("x-forward", "stays"),
        ];
        for trusted in [trusted(""), trusted("10.0.0.0/8, fd00::/8"), trusted("unix")] {
            let (headers, client) = settled(&trusted, "192.0.2.7:1000", &claims);
            assert_eq!(client.to_string(), "192.0.2.7");
            assert_eq!(
                headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(),
                ["x-forward"]
            );
        }
    }

    #[test]
    fn a_trusted_proxy_says_who_the_client_is() {
        let trusted = trusted("127.0.0.1,10.0.0.0/8,2001:db8::/32");
        for (chain, client) in [
            (&["192.0.2.1"][..], "192.0.2.1"),
            (&["1.1.1.1, 192.0.2.1, 10.1.2.3"], "192.0.2.1"),
            (&["1.1.1.1", "192.0.2.1:443, 10.1.2.3"], "192.0.2.1"),
            (&["[2001:db9::1]:80, [2001:db8::1]"], "2001:db9::1"),
            (&["10.1.1.1, 10.1.2.3"], "10.1.1.1"),
            (&["192.0.2.1, unknown, 10.1.2.3"], "10.1.2.3"),
            (&["not an address"], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            let sent: Vec<_> = chain.iter().map(|value| ("x-forwarded-for", *value)).collect();
            let (headers, found) = settled(&trusted, "10.0.0.1:5000", &sent);
            assert_eq!(found.to_string(), client, "{chain:?}");
            assert_eq!(headers.get_all("x-forwarded-for").iter().count(), chain.len());
        }
    }
}
