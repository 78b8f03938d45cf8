//! Ids as servers since 0.25 want them (docs/contract.md section 6): lowercase UUIDs with hyphens.

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use std::fmt;

/// Where the hyphens are.
const HYPHENS: [usize; 4] = [8, 13, 18, 23];

/// A UUID (RFC 9562).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Uuid(u128);

impl Uuid {
    /// How many bytes one has as text.
    pub const LENGTH: usize = 36;

    /// Reads the form that servers take, and no other.
    pub fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != Self::LENGTH {
            return None;
        }
        let mut value = 0;
        for (at, &byte) in text.iter().enumerate() {
            let digit = match byte {
                b'-' if HYPHENS.contains(&at) => continue,
                _ if HYPHENS.contains(&at) => return None,
                b'0'..=b'9' => byte - b'0',
                b'a'..=b'f' => byte - b'a' + 10,
                _ => return None,
            };
            value = value << 4 | u128::from(digit);
        }
        Some(Self(value))
    }

    /// The UUID of `name` in a namespace (version 5, RFC 9562 section 5.5). Its hash need not be a strong one: nobody is let
    /// in by it.
    pub fn named(namespace: &[u8; 16], name: &str) -> Self {
        let mut hash = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
        hash.update(namespace);
        hash.update(name.as_bytes());
        let hash = hash.finish();
        let value = u128::from_be_bytes(hash.as_ref().first_chunk().copied().unwrap_or_default());
        let (version, variant) = (0xf << 76, 0b11 << 62);
        Self(value & !version & !variant | 5 << 76 | 0b10 << 62)
    }

    /// Whether it was made from a name.
    pub fn is_named(self) -> bool {
        self.0 >> 76 & 0xf == 5
    }
}

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        for (at, digit) in digits.chars().enumerate() {
            if matches!(at, 8 | 12 | 16 | 20) {
                f.write_str("-")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_uuid_of_rfc_9562() {
        // Appendix A.4: www.example.com in the namespace of DNS.
        let dns = 0x6ba7b810_9dad_11d1_80b4_00c04fd430c8_u128.to_be_bytes();
        let uuid = Uuid::named(&dns, "www.example.com");
        assert_eq!(uuid.to_string(), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
        assert_eq!(Uuid::parse(uuid.to_string().as_bytes()), Some(uuid));
        assert!(uuid.is_named());
    }

    #[test]
    fn only_lowercase_uuids_with_hyphens_are_read() {
        assert!(Uuid::parse(b"00000000-0000-4000-8000-00000000000a").is_some_and(|uuid| !uuid.is_named()));
        for other in [
            "",
            "my job/1",
            "00000000-0000-4000-8000-00000000000A",
            "00000000000040008000000000000000abcd",
            "000000000000-4000-8000-0000-0000000a",
            "{0000000-0000-4000-8000-00000000000}",
            "00000000-0000-4000-8000-00000000000a ",
            "00000000-0000-4000-8000-00000000000-",
        ] {
            assert_eq!(Uuid::parse(other.as_bytes()), None, "{other}");
        }
    }
}
