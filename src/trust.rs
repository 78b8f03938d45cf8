//! What a request says of where it came from: believed from proxies that the configuration names, and from nobody else.

use crate::{forward::Peer, marks::Marks};
use http::{HeaderMap, HeaderName, HeaderValue};
use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The proxies in front whose word counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    /// Whoever comes by a Unix socket.
    unix: bool,
}

/// Addresses that begin with the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    fn contains(&self, other: IpAddr) -> bool {
        let same = |one: u128, other: u128, bits: u32| {
            // With no bit to compare, all are the same; shifting by all bits would be an overflow.
            self.prefix == 0 || (one ^ other) >> (bits - self.prefix) == 0
        };
        match (self.address, other.to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => same(one.to_bits().into(), other.to_bits().into(), 32),
            (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, prefix) = text
            .split_once('/')
            .map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(drop)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse().map_err(drop)?,
            None => bits,
        };
        (prefix <= bits).then_some(Self { address, prefix }).ok_or(())
    }
}

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut trusted = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match (word, word.parse()) {
                ("unix", _) => trusted.unix = true,
                (_, Ok(network)) => trusted.networks.push(network),
                (_, Err(())) => {
                    return Err(format!(
                        "{word:?} is no network: addresses and networks are expected, such as 127.0.0.1, 10.0.0.0/8, fd00::/8, \
                         or unix for all who come by the socket"
                    ));
                }
            }
        }
        Ok(trusted)
    }
}

impl TrustedProxies {
    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// Whether it is a proxy whose word counts.
    pub fn trusts(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(address))
    }

    /// Whether those who come by a Unix socket are.
    pub fn trusts_unix(&self) -> bool {
        self.unix
    }

    /// Takes away what a stranger says of where it came from; a trusted proxy's word stays, and says who the client is.
    /// `marks` are the request's.
    pub fn settle(&self, marks: Marks, headers: &mut HeaderMap, peer: &mut Peer) {
        if marks.has(Marks::CLAIM) {
            self.weigh(headers, peer);
        }
        if peer.secure {
            headers
                .entry(FORWARDED_PROTO)
                .or_insert(HeaderValue::from_static("https"));
        }
    }

    fn weigh(&self, headers: &mut HeaderMap, peer: &mut Peer) {
        let trusted = match peer.unix {
            true => self.unix,
            false => self.trusts(peer.address.ip()),
        };
        if trusted {
            peer.client = self.client(headers).unwrap_or(peer.client);
            return;
        }
        let claims: Vec<HeaderName> = headers.keys().filter(|name| is_claim(name)).cloned().collect();
        for name in claims {
            headers.remove(name);
        }
    }

    /// The last address of the chain that no trusted proxy has; the one before what cannot be read.
    fn client(&self, headers: &HeaderMap) -> Option<IpAddr> {
        let chain = headers
            .get_all(&FORWARDED_FOR)
            .iter()
            .filter_map(|value| value.to_str().ok());
        let hops: Vec<&str> = chain.flat_map(|value| value.split(',')).map(str::trim).collect();
        let mut client = None;
        for hop in hops.into_iter().rev() {
            let Some(address) = address_of(hop) else { break };
            client = Some(address);
            if !self.trusts(address) {
                break;
            }
        }
        client
    }
}

/// Whether it is a header by which proxies say whom a request comes from.
pub fn is_claim(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("x-forwarded-") || matches!(name, "forwarded" | "x-real-ip")
}

fn address_of(hop: &str) -> Option<IpAddr> {
    let with_port = || hop.parse::<SocketAddr>().map(|address| address.ip()).ok();
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(with_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trusted(text: &str) -> TrustedProxies {
        text.parse().expect("a list")
    }

    fn settled(trusted: &TrustedProxies, peer: &str, sent: &[(&'static str, &'static str)]) -> (HeaderMap, IpAddr) {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, HeaderValue::from_static(value));
        }
        let mut peer = Peer::new(peer.parse().expect("an address"));
        trusted.settle(Marks::of(&headers), &mut headers, &mut peer);
        (headers, peer.client)
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

    #[test]
    fn what_is_no_network_is_refused() {
        for text in [
            "10.0.0.0/33",
            "::/129",
            "10.0.0",
            "10.0.0.0/-1",
            "10.0.0.0/",
            "example.org",
            "/8",
        ] {
            assert!(text.parse::<TrustedProxies>().is_err(), "{text}");
        }
        assert!(trusted(" , ").is_empty());
        assert!(trusted("0.0.0.0/0").trusts("203.0.113.9".parse().expect("an address")));
        assert!(trusted("127.0.0.0/8").trusts("::ffff:127.0.0.1".parse().expect("an address")));
        assert!(!trusted("0.0.0.0/0").trusts("2001:db8::1".parse().expect("an address")));
    }

    proptest! {
        #[test]
        fn a_network_holds_what_shares_its_bits(address: u32, other: u32, prefix in 0_u32..=32) {
            let network = Network { address: IpAddr::V4(address.into()), prefix };
            let shared = (address ^ other).leading_zeros() >= prefix;
            prop_assert_eq!(network.contains(IpAddr::V4(other.into())), shared);
        }
    }
}
