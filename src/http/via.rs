//! `Via` (RFC 9110 section 7.6.3): each request says that it came through this very jobshim, so that one which comes back
//! is known: `upstream.url` leads round to jobshim itself, by whatever name.

use http::{HeaderMap, HeaderValue, header::VIA};
use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
};

/// What the names of all of them begin with.
const JOBSHIM: &str = "jobshim-";

/// The name of one running jobshim.
pub struct Name {
    pseudonym: String,
    value: HeaderValue,
}

impl Name {
    /// A name that no other has.
    pub fn new() -> Self {
        // Chance, not secrecy, is what it takes.
        let pseudonym = format!("{JOBSHIM}{:016x}", RandomState::new().build_hasher().finish());
        let value = HeaderValue::from_str(&format!("1.1 {pseudonym}"));
        Self {
            pseudonym,
            value: value.unwrap_or(HeaderValue::from_static("1.1 jobshim")),
        }
    }

    /// Signs a request.
    pub fn sign(&self, headers: &mut HeaderMap) {
        headers.append(VIA, self.value.clone());
    }

    /// Whether a request has been here before.
    pub fn has_signed(&self, headers: &HeaderMap) -> bool {
        hops(headers).any(|name| name == self.pseudonym)
    }
}

/// Whether a request came through a jobshim, this one or another.
pub fn has_any_signed(headers: &HeaderMap) -> bool {
    hops(headers).any(|name| name.starts_with(JOBSHIM))
}

/// The names of who passed a request on.
fn hops(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let said = headers.get_all(VIA).iter().filter_map(|value| value.to_str().ok());
    said.flat_map(|value| value.split(','))
        .filter_map(|hop| hop.split_whitespace().nth(1))
}

impl Default for Name {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_known_among_others_and_by_its_owner_alone() {
        let (name, other) = (Name::new(), Name::new());
        let mut headers = HeaderMap::new();
        assert!(!name.has_signed(&headers));
        headers.append(
            VIA,
            HeaderValue::from_static("1.0 fred, 1.1 p.example.net (Apache/1.1)"),
        );
        assert!(!name.has_signed(&headers) && !has_any_signed(&headers));
        name.sign(&mut headers);
        assert!(name.has_signed(&headers) && has_any_signed(&headers));
        assert!(!other.has_signed(&headers));
        let folded = format!("1.1 one, {}, 1.1 two", name.value.to_str().expect("text"));
        let folded = HeaderMap::from_iter([(VIA, HeaderValue::from_str(&folded).expect("a value"))]);
        assert!(name.has_signed(&folded));
    }
}
