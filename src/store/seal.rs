//! Values that only who has `state.key` can read. Keys of rows stay as they are: the hash that a scope is, and the id of a job.

use super::{StoreError, table::Unreadable};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf::{HKDF_SHA256, KeyType, Salt},
    hmac,
};

/// What a sealed value begins with: no JSON does.
const SEALED: u8 = 1;

/// Seals values and opens them. The same value in the same row is sealed to the same bytes, so that a row can be compared; and
/// no nonce comes twice for two values.
pub(super) struct Seal {
    key: LessSafeKey,
    nonces: hmac::Key,
}

/// As many bytes as both keys have.
struct Bytes32;

impl KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

impl Seal {
    /// By this secret.
    pub(super) fn new(secret: &str) -> Result<Self, StoreError> {
        let extracted = Salt::new(HKDF_SHA256, b"jobshim state").extract(secret.as_bytes());
        let derived = |purpose: &'static [u8]| -> Result<[u8; 32], ring::error::Unspecified> {
            let mut bytes = [0; 32];
            extracted.expand(&[purpose], Bytes32)?.fill(&mut bytes)?;
            Ok(bytes)
        };
        let keys = || Ok((derived(b"values")?, derived(b"nonces")?));
        let (values, nonces) = keys().map_err(|ring::error::Unspecified| StoreError::Random)?;
        let key = UnboundKey::new(&AES_256_GCM, &values).map_err(|ring::error::Unspecified| StoreError::Random)?;
        Ok(Self {
            key: LessSafeKey::new(key),
            nonces: hmac::Key::new(hmac::HMAC_SHA256, &nonces),
        })
    }

    /// What belongs to a value without being in it: its row. A value that is put into another row is no value there.
    fn row(table: &str, key: &[u8]) -> Vec<u8> {
        let length = (table.len() as u64).to_be_bytes();
        [&length[..], table.as_bytes(), key].concat()
    }

    /// Seals a value of a row.
    pub(super) fn seal(&self, table: &str, key: &[u8], value: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let row = Self::row(table, key);
        let mut hash = hmac::Context::with_key(&self.nonces);
        hash.update(&(row.len() as u64).to_be_bytes());
        hash.update(&row);
        hash.update(&value);
        let tag = hash.sign();
        let nonce: [u8; NONCE_LEN] = tag.as_ref().first_chunk().copied().unwrap_or_default();
        let mut sealed = value;
        let outcome =
            self.key
                .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(&row), &mut sealed);
        outcome.map_err(|ring::error::Unspecified| StoreError::Random)?;
        Ok([&[SEALED][..], &nonce, &sealed].concat())
    }

    /// Opens it again.
    fn open(&self, table: &str, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, rest) = sealed.strip_prefix(&[SEALED])?.split_first_chunk()?;
        let mut rest = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self
            .key
            .open_in_place(nonce, Aad::from(Self::row(table, key)), &mut rest)
            .ok()?;
        Some(opened.to_vec())
    }
}

/// A value of a row as it was before it was sealed, if values are.
pub(super) fn opened(seal: Option<&Seal>, table: &str, key: &[u8], value: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let is_sealed = value.first() == Some(&SEALED);
    match (seal, is_sealed) {
        (None, false) => Ok(value.to_vec()),
        (Some(seal), true) => seal.open(table, key, value).ok_or(Unreadable::OtherKey),
        (None, true) => Err(Unreadable::NoKey),
        (Some(_), false) => Err(Unreadable::NotSealed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_value_is_opened_in_its_row_by_its_secret_alone() {
        let seal = Seal::new(SECRET).expect("a seal");
        let sealed = seal.seal("words", b"a", b"\"value\"".to_vec()).expect("sealed");
        assert!(!sealed.windows(5).any(|part| part == b"value"));
        assert_eq!(seal.seal("words", b"a", b"\"value\"".to_vec()).expect("sealed"), sealed);
        assert_eq!(opened(Some(&seal), "words", b"a", &sealed), Ok(b"\"value\"".to_vec()));
        assert_eq!(opened(Some(&seal), "words", b"b", &sealed), Err(Unreadable::OtherKey));
        assert_eq!(opened(Some(&seal), "other", b"a", &sealed), Err(Unreadable::OtherKey));
        let other = Seal::new(&SECRET.replace('0', "1")).expect("a seal");
        assert_eq!(opened(Some(&other), "words", b"a", &sealed), Err(Unreadable::OtherKey));
        assert_eq!(opened(None, "words", b"a", &sealed), Err(Unreadable::NoKey));
        assert_eq!(
            opened(Some(&seal), "words", b"a", b"\"value\""),
            Err(Unreadable::NotSealed)
        );
        for length in 0..sealed.len() {
            assert!(
                opened(Some(&seal), "words", b"a", &sealed[..length]).is_err(),
                "{length}"
            );
        }
        for at in 0..sealed.len() {
            let mut flipped = sealed.clone();
            flipped[at] ^= 1;
            assert!(opened(Some(&seal), "words", b"a", &flipped).is_err(), "{at}");
        }
    }

    #[test]
    fn other_values_have_other_nonces() {
        let seal = Seal::new(SECRET).expect("a seal");
        let nonce = |value: &[u8]| seal.seal("words", b"a", value.to_vec()).expect("sealed")[1..13].to_vec();
        assert_ne!(nonce(b"1"), nonce(b"2"));
        assert_ne!(nonce(b""), nonce(b"1"));
    }
}
