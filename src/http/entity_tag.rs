//! Versions of answers: `ETag`, `If-None-Match`, and 304 for who has it already (RFC 9110 sections 8.8.3 and 13.1.2).
//!
//! A version is a hash of the bytes, so it is the same after a restart and behind another jobshim. It is weak: an
//! answer has one version whatever it is compressed with.

use crate::http::hex::hex;
use http::{HeaderMap, HeaderValue, header::IF_NONE_MATCH};
use twox_hash::XxHash3_128;

/// The version of a text, or of a whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version(u128);

impl Version {
    /// Of these bytes.
    pub fn of(text: &[u8]) -> Self {
        Self(XxHash3_128::oneshot(text))
    }

    /// The value of `ETag`.
    pub fn tag(self) -> HeaderValue {
        let mut tag = *b"W/\"00000000000000000000000000000000\"";
        hex(&mut tag[3..35], &self.0.to_be_bytes());
        HeaderValue::from_bytes(&tag).unwrap_or(HeaderValue::from_static("W/\"\""))
    }

    /// Whether `If-None-Match` says that the client has this version. `*` means any version there is.
    pub fn is_known_to(self, headers: &HeaderMap) -> bool {
        if !headers.contains_key(IF_NONE_MATCH) {
            return false;
        }
        let tag = self.tag();
        let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
        let own = opaque(tag.as_bytes());
        headers.get_all(IF_NONE_MATCH).iter().any(|value| {
            let mut tags = value.as_bytes().split(|&byte| byte == b',');
            tags.any(|tag| tag.trim_ascii() == b"*" || opaque(tag.trim_ascii()) == own)
        })
    }
}

/// Puts the version of a list together from its parts.
#[derive(Default)]
pub struct Versions(XxHash3_128);

impl Versions {
    /// A text that stands between the parts.
    pub fn text(&mut self, text: &[u8]) {
        self.0.write(&text.len().to_le_bytes());
        self.0.write(text);
    }

    /// A part, and its place where it has one.
    pub fn part(&mut self, version: Version, position: usize) {
        self.0.write(&version.0.to_le_bytes());
        self.0.write(&position.to_le_bytes());
    }

    /// Of all of it.
    pub fn whole(&self) -> Version {
        Version(self.0.finish_128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_a_version_when_any_of_its_tags_is_that_one_weak_or_strong() {
        let version = Version::of(b"{}");
        let tag = version.tag();
        let tag = tag.to_str().expect("text");
        let strong = tag.trim_start_matches("W/").to_owned();
        let asks = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IF_NONE_MATCH, value.parse().expect("a value"));
            }
            version.is_known_to(&headers)
        };
        for known in [tag, &strong, "*", &format!("\"x\", {tag}"), &format!("{strong} ,\"y\"")] {
            assert!(asks(&[known]), "{known}");
        }
        assert!(asks(&["\"x\"", tag]));
        for unknown in ["", "\"x\"", "W/\"\"", strong.trim_matches('"')] {
            assert!(!asks(&[unknown]), "{unknown}");
        }
        assert!(!asks(&[]));
    }
}
