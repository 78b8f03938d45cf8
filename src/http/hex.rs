//! Bytes as hexadecimal digits, without the formatting machinery: every answer carries some.

use ring::rand::{SecureRandom, SystemRandom};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes the digits of `bytes` into `text`, two for each byte, as far as there is room.
pub fn hex(text: &mut [u8], bytes: &[u8]) {
    for (digits, byte) in text.chunks_exact_mut(2).zip(bytes) {
        for (digit, half) in digits.iter_mut().zip([byte >> 4, byte & 15]) {
            #[expect(clippy::indexing_slicing, reason = "half a byte is less than 16")]
            let shown = DIGITS[usize::from(half)];
            *digit = shown;
        }
    }
}

/// A name that nobody else has; `None` where the system has no chance to give.
pub fn random_name() -> Option<String> {
    let (mut bytes, mut digits) = ([0; 16], [0; 32]);
    SystemRandom::new().fill(&mut bytes).ok()?;
    hex(&mut digits, &bytes);
    Some(String::from_utf8_lossy(&digits).into_owned())
}

#[cfg(test)]
mod tests {
    use super::hex;

    #[test]
    fn each_byte_is_two_digits() {
        let mut text = *b"........";
        hex(&mut text[..6], &[0x00, 0x9a, 0xff]);
        assert_eq!(&text, b"009aff..");
    }
}
