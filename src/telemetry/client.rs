//! Who calls: told apart by what a request shows, without keeping who somebody is.

use crate::http::{outside::is_visible, peer::Peer};
use http::{HeaderValue, header::USER_AGENT, request::Parts};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use twox_hash::XxHash3_64;

/// Characters kept of a user agent.
pub(super) const LONGEST_AGENT: usize = 120;
/// A client, as far as it can be told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientId {
    /// Its user agent; empty when it sends none.
    pub agent: String,
    /// The block of its address: /24 or /48; `unix` for a Unix socket.
    pub addresses: String,
    /// A short keyed hash of its credential, if it has one.
    pub credential: Option<String>,
}

/// What a request shows of its client.
#[derive(Clone, Debug)]
pub struct ClientFingerprint {
    pub(super) agent: Option<HeaderValue>,
    /// `None` by a Unix socket.
    pub(super) address: Option<IpAddr>,
    /// If it carries a credential.
    pub(super) credential: Option<[u8; 32]>,
}

impl ClientFingerprint {
    /// By the request of `head`; `credential` is the hash of what it carries.
    pub fn of(head: &Parts, credential: Option<[u8; 32]>, peer: &Peer) -> Self {
        Self {
            agent: head.headers.get(USER_AGENT).cloned(),
            address: (!peer.unix).then_some(peer.client),
            credential,
        }
    }

    fn agent(&self) -> &[u8] {
        self.agent.as_ref().map_or(b"", |agent| agent.as_bytes())
    }

    /// All of it in one number, which is the same for the same client as long as the program runs; `seed` is known to
    /// nobody, so that nobody can look like another.
    pub(super) fn number(&self, seed: u64) -> u64 {
        let mut rest = [0; 25];
        match self.address.map(|address| network(address).0) {
            None => {}
            Some(IpAddr::V4(network)) => {
                rest[0] = 4;
                rest[1..5].copy_from_slice(&network.octets());
            }
            Some(IpAddr::V6(network)) => {
                rest[0] = 6;
                rest[1..17].copy_from_slice(&network.octets());
            }
        }
        rest[17..].copy_from_slice(
            &self
                .credential
                .map_or([0; 8], |hash| hash.first_chunk().copied().unwrap_or_default()),
        );
        XxHash3_64::oneshot_with_seed(XxHash3_64::oneshot_with_seed(seed, &rest), self.agent())
    }

    pub(super) fn who(&self) -> ClientId {
        let agent = String::from_utf8_lossy(self.agent());
        ClientId {
            // It is shown on terminals and pages.
            agent: agent
                .chars()
                .filter(|letter| is_visible(*letter))
                .take(LONGEST_AGENT)
                .collect(),
            addresses: self.address.map_or("unix".to_owned(), block),
            credential: self
                .credential
                .map(|[a, b, c, d, ..]| format!("{a:02x}{b:02x}{c:02x}{d:02x}")),
        }
    }
}

impl ClientId {
    /// Everyone who came when there were [`MAX_CLIENTS`] already.
    pub(super) fn others() -> Self {
        Self {
            agent: "(all others)".to_owned(),
            addresses: "any".to_owned(),
            credential: None,
        }
    }
}

/// The addresses that belong together: most networks are a /24, most sites a /48.
fn network(address: IpAddr) -> (IpAddr, &'static str) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            ([a, b, c, 0].into(), "/24")
        }
        IpAddr::V6(address) => {
            let [a, b, c, ..] = address.segments();
            ([a, b, c, 0, 0, 0, 0, 0].into(), "/48")
        }
    }
}

pub(super) fn block(address: IpAddr) -> String {
    let (network, bits) = network(address);
    format!("{network}{bits}")
}
