//! Base64 with the common alphabet (RFC 4648 section 4), as it stands in JSON.

/// The bytes that `text` spells, with or without padding; `None` where it is no Base64.
pub fn from_base64(text: &[u8]) -> Option<Vec<u8>> {
    let (first, second) = (text.strip_suffix(b"="), text.strip_suffix(b"=="));
    let digits = second.or(first).unwrap_or(text);
    let is_padded = digits.len() != text.len();
    if digits.len() % 4 == 1 || (is_padded && !text.len().is_multiple_of(4)) {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for place in 0..4 {
            let digit = group.get(place).map_or(Some(0), |letter| value(*letter))?;
            bits = bits << 6 | u32::from(digit);
        }
        let [_, whole @ ..] = bits.to_be_bytes();
        bytes.extend(whole.iter().take(group.len() - 1));
    }
    Some(bytes)
}

fn value(letter: u8) -> Option<u8> {
    Some(match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::from_base64;

    #[test]
    fn the_vectors_of_the_rfc_are_read_and_what_is_none_is_refused() {
        let vectors = [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
            ("Zm9vYg", "foob"),
        ];
        for (text, bytes) in vectors {
            assert_eq!(
                from_base64(text.as_bytes()).as_deref(),
                Some(bytes.as_bytes()),
                "{text}"
            );
        }
        assert_eq!(from_base64(b"+/+/"), Some(vec![0xfb, 0xff, 0xbf]));
        for text in ["Z", "Zg=", "Zm9v=", "Zm9v====", "Zm 9", "Zm9-", "=", "Z=g="] {
            assert_eq!(from_base64(text.as_bytes()), None, "{text}");
        }
    }
}
