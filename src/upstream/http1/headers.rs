//! Header fields, of a head and of trailers.

use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_LENGTH};

/// The most bytes of the head of an answer.
pub const MAX_HEAD_BYTES: usize = 256 << 10;
/// How many more an answer gets on its way to the client: a map that grows is made anew.
const ADDED: usize = 4;

/// What httparse has found, whose limits on names and values are not narrower than those of `http`.
pub(super) fn header_map(parsed: &[httparse::Header<'_>]) -> Result<HeaderMap, httparse::Error> {
    let mut headers = HeaderMap::with_capacity(parsed.len() + ADDED);
    for header in parsed {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|_| httparse::Error::HeaderName)?;
        let value = match name == CONTENT_LENGTH {
            true => plain(header.value),
            false => header.value,
        };
        let value = HeaderValue::from_bytes(value).map_err(|_| httparse::Error::HeaderValue)?;
        headers.append(name, value);
    }
    Ok(headers)
}

/// A length without zeros before it: some read them as the sign of an octal number.
fn plain(length: &[u8]) -> &[u8] {
    let zeros = length.iter().take_while(|byte| **byte == b'0').count();
    length
        .get(zeros.min(length.len().saturating_sub(1))..)
        .unwrap_or_default()
}
