//! How many connections there may be, all told and from one address.

use parking_lot::{Mutex, MutexGuard};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
};

/// Everyone who is connected.
pub(super) struct ConnectionLimiter {
    most: usize,
    /// 0: no limit of its own.
    most_each: usize,
    present: Mutex<Present>,
}

#[derive(Default)]
struct Present {
    all: usize,
    /// Kept only when there is a limit for each.
    each: HashMap<IpAddr, usize>,
}

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LimitReached {
    /// Too many connections.
    #[error("there are as many as server.max_connections allows")]
    All,
    /// Too many from this address.
    #[error("there are as many of this address as server.max_connections_per_address allows")]
    Address,
}

/// The place of one connection; free again when dropped.
pub(super) struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    /// Whose it is, when that is counted.
    address: Option<IpAddr>,
}

impl ConnectionLimiter {
    /// Nobody is there yet. A limit of 0 for each address is none.
    pub(super) fn new(most: usize, most_each: usize) -> Arc<Self> {
        Arc::new(Self {
            most,
            most_each,
            present: Mutex::default(),
        })
    }

    /// A place for one more connection.
    pub(super) fn enter(self: &Arc<Self>) -> Result<ConnectionPermit, LimitReached> {
        let mut present = self.present();
        if present.all >= self.most {
            return Err(LimitReached::All);
        }
        present.all += 1;
        Ok(ConnectionPermit {
            limiter: Arc::clone(self),
            address: None,
        })
    }

    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock()
    }
}

impl ConnectionPermit {
    /// Counts the place as one that `address` has.
    pub(super) fn belongs_to(&mut self, address: IpAddr) -> Result<(), LimitReached> {
        let most = self.limiter.most_each;
        if most == 0 {
            return Ok(());
        }
        let address = household(address);
        let mut present = self.limiter.present();
        let own = present.each.entry(address).or_default();
        if *own >= most {
            return Err(LimitReached::Address);
        }
        *own += 1;
        self.address = Some(address);
        Ok(())
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut present = self.limiter.present();
        present.all -= 1;
        if let Some(address) = self.address
            && let Some(own) = present.each.get_mut(&address)
        {
            *own -= 1;
            if *own == 0 {
                present.each.remove(&address);
            }
        }
    }
}

/// Of IPv6 the network: whoever has one address has 2^64 of them (RFC 4291 section 2.5.4).
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn enter(limiter: &Arc<ConnectionLimiter>, text: &str) -> Result<ConnectionPermit, LimitReached> {
        let mut place = limiter.enter()?;
        place.belongs_to(address(text))?;
        Ok(place)
    }

    #[test]
    fn a_place_is_free_again_once_it_is_left() {
        let limiter = ConnectionLimiter::new(3, 2);
        let (one, other) = ("192.0.2.1", "2001:db8::1");
        let first = enter(&limiter, one).ok();
        let second = enter(&limiter, one).ok();
        assert!(first.is_some() && second.is_some());
        assert_eq!(enter(&limiter, one).err(), Some(LimitReached::Address));
        // The same address, seen through IPv6.
        assert_eq!(enter(&limiter, "::ffff:192.0.2.1").err(), Some(LimitReached::Address));
        let third = enter(&limiter, other).ok();
        assert!(third.is_some());
        assert_eq!(enter(&limiter, other).err(), Some(LimitReached::All));
        drop((second, third));
        assert!(enter(&limiter, one).is_ok() && enter(&limiter, other).is_ok());
        drop(first);
        let present = limiter.present();
        assert_eq!((present.all, present.each.len()), (0, 0));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_no_limit_counts_nobody() {
        let limiter = ConnectionLimiter::new(10, 1);
        let _place = enter(&limiter, "2001:db8::1");
        assert_eq!(enter(&limiter, "2001:db8::2").err(), Some(LimitReached::Address));
        assert!(enter(&limiter, "2001:db8:0:1::1").is_ok());
        let open = ConnectionLimiter::new(10, 0);
        let places: Vec<_> = (0..10).map(|_| enter(&open, "192.0.2.1")).collect();
        assert!(places.iter().all(Result::is_ok) && open.present().each.is_empty());
    }
}
