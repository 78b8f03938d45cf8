//! The grammar of JSON: each function passes over one thing in `text` that begins at byte `at`, and tells where it ends.
//!
//! Plain functions over offsets, as the place stays in a register all the way through a value: this is where a long
//! answer's time goes.

use super::scanner::ScanError;

type End = Result<usize, ScanError>;

#[cold]
pub(super) fn wrong<T>(at: usize, reason: &'static str) -> Result<T, ScanError> {
    Err(ScanError { at, reason })
}

/// Which containers are open: one bit each, 1 for an object.
#[derive(Default)]
struct Nesting {
    open: u64,
    depth_in_word: u32,
    full_words: Vec<u64>,
}

impl Nesting {
    #[inline(always)]
    fn push(&mut self, object: bool) {
        if self.depth_in_word == u64::BITS {
            self.full_words.push(self.open);
            self.depth_in_word = 0;
        }
        self.open = (self.open << 1) | u64::from(object);
        self.depth_in_word += 1;
    }

    #[inline(always)]
    fn pop(&mut self) {
        self.open >>= 1;
        self.depth_in_word = self.depth_in_word.saturating_sub(1);
        if self.depth_in_word == 0
            && let Some(word) = self.full_words.pop()
        {
            self.open = word;
            self.depth_in_word = u64::BITS;
        }
    }

    /// Whether the innermost open container is an object; `None` when none is open.
    #[inline(always)]
    fn innermost_is_object(&self) -> Option<bool> {
        (self.depth_in_word > 0).then_some(self.open & 1 == 1)
    }
}

/// White space, if there is any.
#[inline(always)]
pub(super) fn space(text: &[u8], mut at: usize) -> usize {
    while let Some(b' ' | b'\n' | b'\r' | b'\t') = text.get(at) {
        at += 1;
    }
    at
}

/// An object member's key and colon, after white space; also where the key begins and ends, without its quotes.
#[inline(always)]
pub(super) fn key(text: &[u8], at: usize) -> Result<(usize, usize, usize), ScanError> {
    let at = space(text, at);
    if text.get(at) != Some(&b'"') {
        return wrong(at, "expected a key");
    }
    let end = string(text, at)?;
    let colon = space(text, end);
    if text.get(colon) != Some(&b':') {
        return wrong(colon, "expected ':'");
    }
    Ok((at + 1, end - 1, colon + 1))
}

/// One value of any kind and depth, which begins at `at`.
pub(super) fn value(text: &[u8], mut at: usize) -> End {
    let mut nesting = Nesting::default();
    loop {
        at = space(text, at);
        match text.get(at) {
            Some(b'"') => at = string(text, at)?,
            Some(b'{') => {
                at = space(text, at + 1);
                if text.get(at) != Some(&b'}') {
                    nesting.push(true);
                    (_, _, at) = key(text, at)?;
                    continue;
                }
                at += 1;
            }
            Some(b'[') => {
                at = space(text, at + 1);
                if text.get(at) != Some(&b']') {
                    nesting.push(false);
                    continue;
                }
                at += 1;
            }
            Some(b'-' | b'0'..=b'9') => at = number(text, at)?,
            Some(b't') => at = word(text, at, b"true")?,
            Some(b'f') => at = word(text, at, b"false")?,
            Some(b'n') => at = word(text, at, b"null")?,
            Some(b'N') => at = word(text, at, b"NaN")?,
            Some(b'I') => at = word(text, at, b"Infinity")?,
            _ => return wrong(at, "expected a value"),
        }
        loop {
            let Some(object) = nesting.innermost_is_object() else {
                return Ok(at);
            };
            at = space(text, at);
            match (text.get(at), object) {
                (Some(b','), true) => {
                    (_, _, at) = key(text, at + 1)?;
                    break;
                }
                (Some(b','), false) => {
                    at += 1;
                    break;
                }
                (Some(b'}'), true) | (Some(b']'), false) => {
                    at += 1;
                    nesting.pop();
                }
                _ => return wrong(at, "expected ',' or the end of a container"),
            }
        }
    }
}

fn word(text: &[u8], at: usize, word: &'static [u8]) -> End {
    match text.get(at..).is_some_and(|rest| rest.starts_with(word)) {
        true => Ok(at + word.len()),
        false => wrong(at, "expected a value"),
    }
}

#[inline(always)]
fn digits(text: &[u8], start: usize) -> End {
    let mut at = start;
    while let Some(b'0'..=b'9') = text.get(at) {
        at += 1;
    }
    match at == start {
        true => wrong(at, "expected a digit"),
        false => Ok(at),
    }
}

#[inline(always)]
fn number(text: &[u8], mut at: usize) -> End {
    if text.get(at) == Some(&b'-') {
        at += 1;
        if text.get(at) == Some(&b'I') {
            return word(text, at, b"Infinity");
        }
    }
    at = match text.get(at) {
        Some(b'0') => at + 1,
        _ => digits(text, at)?,
    };
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = digits(text, at)?;
    }
    Ok(at)
}

/// A string, from its opening quote to past its closing one.
#[inline(always)]
fn string(text: &[u8], at: usize) -> End {
    let mut at = at + 1;
    loop {
        at = plain_run(text, at);
        match text.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = escape(text, at)?,
            Some(_) => return wrong(at, "control character in a string"),
            None => return wrong(at, "string cut short"),
        }
    }
}

#[inline(never)]
fn escape(text: &[u8], at: usize) -> End {
    match text.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') => {
            let hex = text.get(at + 2..at + 6);
            match hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
                true => Ok(at + 6),
                false => wrong(at + 1, "expected four hex digits"),
            }
        }
        _ => wrong(at + 1, "unknown escape"),
    }
}

/// To the next byte that needs a look of its own: a quote, a backslash or a control character. Sixteen at a time, as
/// most strings of a workflow are shorter than that.
#[inline(always)]
pub(super) fn plain_run(text: &[u8], mut at: usize) -> usize {
    while let Some((low, high)) = words(text, at) {
        let (low, high) = (special(low), special(high));
        if low != 0 {
            return at + low.trailing_zeros() as usize / 8;
        }
        if high != 0 {
            return at + 8 + high.trailing_zeros() as usize / 8;
        }
        at += 16;
    }
    while let Some(&byte) = text.get(at) {
        if byte < 0x20 || byte == b'"' || byte == b'\\' {
            break;
        }
        at += 1;
    }
    at
}

#[inline(always)]
fn words(text: &[u8], at: usize) -> Option<(u64, u64)> {
    let both = u128::from_le_bytes(*text.get(at..)?.first_chunk()?);
    Some((both as u64, (both >> 64) as u64))
}

/// The lowest set bit is the highest of the first special byte; what is set above that means nothing.
#[inline(always)]
fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let below = |word: u64, least: u64| word.wrapping_sub(ONES * least) & !word & HIGHS;
    let is = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    is(b'"') | is(b'\\') | below(word, 0x20)
}
