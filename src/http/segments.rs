//! Dot segments (RFC 3986 section 5.2.4), as the most willing of servers would find them: encoded once or several times,
//! between slashes or backslashes. They would be resolved away somewhere on the way, and ask for another path.

use percent_encoding::percent_decode;
use std::borrow::Cow;

/// How many times over a path may be encoded and still be decoded by somebody.
const MAX_DECODED: usize = 4;

/// Whether `text`, one path segment, would be or become a dot segment, or hold one.
pub fn has_dots(text: &str) -> bool {
    let is_dots = |segment: &[u8]| matches!(segment, b"." | b"..");
    any_reading(text, |path| segments(path).any(is_dots))
}

/// Whether every server on the way takes `text`, one path segment, as it is: there is nothing to encode in it, and it is no
/// dot segment.
pub fn is_plain(text: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    !text.is_empty() && text.bytes().all(is_unreserved) && !has_dots(text)
}

/// Whether `path` leads above its own beginning, where the upstream's base path ends. Empty segments count for nothing,
/// as some servers take them out.
pub fn climbs(path: &str) -> bool {
    any_reading(path, |path| {
        let mut depth = 0_usize;
        segments(path).any(|segment| match segment {
            b"" | b"." => false,
            b".." => match depth.checked_sub(1) {
                Some(less) => {
                    depth = less;
                    false
                }
                None => true,
            },
            _ => {
                depth += 1;
                false
            }
        })
    })
}

fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| matches!(byte, b'/' | b'\\'))
}

/// Whether `is` holds for the text as it stands, or as it reads once decoded, and so on.
fn any_reading(text: &str, mut is: impl FnMut(&[u8]) -> bool) -> bool {
    // Nearly every path: without a look at its segments.
    if memchr::memchr2(b'.', b'%', text.as_bytes()).is_none() {
        return false;
    }
    let mut reading = Cow::Borrowed(text.as_bytes());
    for _ in 0..MAX_DECODED {
        if is(&reading) {
            return true;
        }
        let decoded = match Cow::from(percent_decode(&reading)) {
            Cow::Borrowed(_) => return false,
            Cow::Owned(decoded) => decoded,
        };
        reading = Cow::Owned(decoded);
    }
    is(&reading)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_would_become_another_path_are_known() {
        for id in [
            ".",
            "..",
            "%2e",
            "%2E.",
            ".%2e",
            "%252e%252e",
            "%25252e.",
            "../x",
            "x/..",
            "..\\x",
            "x%2f..%2fy",
            "x%5c..",
            "x/./y",
        ] {
            assert!(has_dots(id), "{id}");
        }
        for id in [
            "",
            "a",
            "...",
            "a.b",
            "..a",
            "a..",
            "a%2eb",
            "%",
            "%zz",
            "a/b",
            "\u{ff0e}\u{ff0e}",
        ] {
            assert!(!has_dots(id), "{id}");
        }
    }

    #[test]
    fn plain_segments_are_known() {
        for text in ["a", "0b6e-11_x.y~z", "...", "a..b"] {
            assert!(is_plain(text), "{text}");
        }
        for text in ["", ".", "..", "a b", "a/b", "a{b", "}", "a%b", "a?b", "\u{e4}", "a\n"] {
            assert!(!is_plain(text), "{text}");
        }
    }

    #[test]
    fn paths_that_lead_above_their_beginning_are_known() {
        for path in [
            "/..",
            "/../x",
            "/a/../../x",
            "/a//../../x",
            "/./../x",
            "/%2e%2e/x",
            "/%2e./x",
            "/..%2fx",
            "/%252e%252e/x",
            "/a%2f..%2f../x",
            "/..\\x",
            "/%5c../x",
            "\\..\\x",
        ] {
            assert!(climbs(path), "{path}");
        }
        for path in [
            "/",
            "/a/../b/./c",
            "/a/..",
            "/...",
            "/a/b/../..",
            "/..a/b",
            "/a%2f../b",
            "//a",
            "/%zz",
            "*",
        ] {
            assert!(!climbs(path), "{path}");
        }
    }
}
