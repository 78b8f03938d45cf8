//! Which proxies in front are believed about their clients.

use super::invalid_value::InvalidValue;
use ipnet::IpNet;
use std::{net::IpAddr, str::FromStr};

/// The proxies in front whose word counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
    /// Whoever comes by a Unix socket.
    unix: bool,
}

impl FromStr for TrustedProxies {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut trusted = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match (word, network(word)) {
                ("unix", _) => trusted.unix = true,
                (_, Some(network)) => trusted.networks.push(network),
                (_, None) => {
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

/// An address, or a network. The address is read as everywhere: one with zeros before a number is none, as others would read
/// such a number as an octal one.
fn network(word: &str) -> Option<IpNet> {
    match word.split_once('/') {
        None => word.parse::<IpAddr>().ok().map(IpNet::from),
        Some((address, prefix)) => IpNet::new(address.parse().ok()?, prefix.parse().ok()?).ok(),
    }
}

impl TrustedProxies {
    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.unix
    }

    /// Whether it is a proxy whose word counts.
    pub fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// Whether those who come by a Unix socket are.
    pub fn trusts_unix(&self) -> bool {
        self.unix
    }
}

pub(crate) fn trusted_proxies(text: &str) -> Result<TrustedProxies, InvalidValue> {
    text.parse().map_err(InvalidValue::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn trusted(text: &str) -> TrustedProxies {
        text.parse().expect("a list")
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
            let network = trusted(&format!("{}/{prefix}", IpAddr::V4(address.into())));
            let shared = (address ^ other).leading_zeros() >= prefix;
            prop_assert_eq!(network.trusts(IpAddr::V4(other.into())), shared);
        }
    }
}
