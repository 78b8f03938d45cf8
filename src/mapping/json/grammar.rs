//! The grammar of JSON: each function passes over one thing that `rest` begins with, and gives what is left behind it.
//!
//! Plain functions over the rest of a text, which stays in registers all the way through a value: this is where a long
//! answer's time goes. What Python and browsers write, one space or none, is looked for first and by itself.

/// What stands where something else had to.
#[derive(Debug)]
pub(super) struct Wrong {
    /// How much of the text is left there.
    pub left: usize,
    pub reason: &'static str,
}

type Rest<'a> = Result<&'a [u8], Wrong>;

#[cold]
#[inline(never)]
fn wrong(rest: &[u8], reason: &'static str) -> Wrong {
    let left = rest.len();
    Wrong { left, reason }
}

/// Which containers are open: one bit each, 1 for an object, below the highest bit that is set.
struct Nesting {
    open: u64,
    /// Those of all levels above, where there are more than one number has bits.
    full: Vec<u64>,
}

impl Nesting {
    const NONE: Self = Self {
        open: 1,
        full: Vec::new(),
    };

    #[inline(always)]
    fn push(&mut self, object: bool) {
        if self.open.leading_zeros() == 0 {
            self.full.push(self.open);
            self.open = 1;
        }
        self.open = (self.open << 1) | u64::from(object);
    }

    #[inline(always)]
    fn pop(&mut self) {
        self.open >>= 1;
        if self.open == 1 {
            self.open = self.full.pop().unwrap_or(1);
        }
    }

    #[inline(always)]
    fn is_empty(&self) -> bool {
        self.open == 1
    }

    /// Whether the innermost one is an object.
    #[inline(always)]
    fn in_object(&self) -> bool {
        self.open & 1 == 1
    }
}

/// White space, if there is any.
#[inline(always)]
pub(super) fn space(rest: &[u8]) -> &[u8] {
    match rest {
        [..=b' ', ..] => all_space(rest),
        _ => rest,
    }
}

#[inline(never)]
fn all_space(mut rest: &[u8]) -> &[u8] {
    while let [b' ' | b'\n' | b'\r' | b'\t', after @ ..] = rest {
        rest = after;
    }
    rest
}

/// The key of an object's member, and its colon.
pub(super) struct Key<'a> {
    /// What is left behind the opening quote.
    pub inner: &'a [u8],
    /// What is left from the closing quote on.
    pub close: &'a [u8],
    /// What is left behind the colon.
    pub behind: &'a [u8],
}

/// A key and its colon, after white space.
#[inline(always)]
pub(super) fn key(rest: &[u8]) -> Result<Key<'_>, Wrong> {
    match rest {
        [b' ', b'"', inner @ ..] => open_key(inner),
        _ => match space(rest) {
            [b'"', inner @ ..] => open_key(inner),
            rest => Err(wrong(rest, "expected a key")),
        },
    }
}

/// The same from behind the key's opening quote on.
#[inline(always)]
fn open_key(inner: &[u8]) -> Result<Key<'_>, Wrong> {
    let close = plain(inner);
    if let [b'"', b':', b' ', behind @ ..] | [b'"', b':', behind @ ..] = close {
        return Ok(Key { inner, close, behind });
    }
    let close = end_of_string(close)?;
    match space(close.get(1..).unwrap_or_default()) {
        [b':', behind @ ..] => Ok(Key { inner, close, behind }),
        rest => Err(wrong(rest, "expected ':'")),
    }
}

/// One value of any kind and depth, after white space.
pub(super) fn value(mut rest: &[u8]) -> Rest<'_> {
    let mut nesting = Nesting::NONE;
    loop {
        match rest {
            [b'"', after @ ..] => rest = string(after)?,
            [b'{', after @ ..] => match space(after) {
                [b'}', after @ ..] => rest = after,
                after => {
                    nesting.push(true);
                    rest = key(after)?.behind;
                    continue;
                }
            },
            [b'[', after @ ..] => match space(after) {
                [b']', after @ ..] => rest = after,
                after => {
                    nesting.push(false);
                    rest = after;
                    continue;
                }
            },
            // All other cases are behind one, so that the compiler makes no jump table, which would cost more.
            [b'-' | b'0'..=b'9', ..] => rest = number(rest)?,
            _ => match space(rest) {
                after if after.len() < rest.len() => {
                    rest = after;
                    continue;
                }
                _ => rest = word(rest)?,
            },
        }
        loop {
            if nesting.is_empty() {
                return Ok(rest);
            }
            match (rest, nesting.in_object()) {
                ([b',', b' ', b'"', inner @ ..] | [b',', b'"', inner @ ..], true) => {
                    rest = open_key(inner)?.behind;
                    break;
                }
                ([b',', after @ ..], true) => {
                    rest = key(after)?.behind;
                    break;
                }
                ([b',', b' ', after @ ..] | [b',', after @ ..], false) => {
                    rest = after;
                    break;
                }
                ([b'}', after @ ..], true) | ([b']', after @ ..], false) => {
                    rest = after;
                    nesting.pop();
                }
                _ => match space(rest) {
                    after if after.len() < rest.len() => rest = after,
                    _ => return Err(wrong(rest, "expected ',' or the end of a container")),
                },
            }
        }
    }
}

#[inline(never)]
fn word(rest: &[u8]) -> Rest<'_> {
    const WORDS: [&str; 5] = ["true", "false", "null", "NaN", "Infinity"];
    let after = WORDS.iter().find_map(|word| rest.strip_prefix(word.as_bytes()));
    after.ok_or_else(|| wrong(rest, "expected a value"))
}

#[inline(always)]
fn digits(rest: &[u8]) -> Rest<'_> {
    match rest {
        [b'0'..=b'9', after @ ..] => Ok(more_digits(after)),
        _ => Err(wrong(rest, "expected a digit")),
    }
}

#[inline(always)]
fn more_digits(mut rest: &[u8]) -> &[u8] {
    while let [b'0'..=b'9', after @ ..] = rest {
        rest = after;
    }
    rest
}

#[inline(always)]
fn number(mut rest: &[u8]) -> Rest<'_> {
    if let [b'-', after @ ..] = rest {
        rest = after;
        if let [b'I', ..] = rest {
            return word(rest);
        }
    }
    rest = match rest {
        [b'0', after @ ..] => after,
        _ => digits(rest)?,
    };
    if let [b'.', after @ ..] = rest {
        rest = digits(after)?;
    }
    if let [b'e' | b'E', after @ ..] = rest {
        rest = match after {
            [b'+' | b'-', after @ ..] => digits(after)?,
            _ => digits(after)?,
        };
    }
    Ok(rest)
}

/// A string whose opening quote has been passed, to past its closing one.
#[inline(always)]
fn string(rest: &[u8]) -> Rest<'_> {
    match plain(rest) {
        [b'"', after @ ..] => Ok(after),
        rest => Ok(end_of_string(rest)?.get(1..).unwrap_or_default()),
    }
}

/// From somewhere in a string to its closing quote.
#[inline(never)]
fn end_of_string(mut rest: &[u8]) -> Rest<'_> {
    loop {
        rest = plain(rest);
        match rest {
            [b'"', ..] => return Ok(rest),
            [b'\\', ..] => rest = escape(rest)?,
            [_, ..] => return Err(wrong(rest, "control character in a string")),
            [] => return Err(wrong(rest, "string cut short")),
        }
    }
}

fn escape(rest: &[u8]) -> Rest<'_> {
    match rest {
        [_, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', after @ ..] => Ok(after),
        [_, b'u', hex @ ..] => match hex.split_first_chunk::<4>() {
            Some((hex, after)) if hex.iter().all(u8::is_ascii_hexdigit) => Ok(after),
            _ => Err(wrong(rest.get(1..).unwrap_or_default(), "expected four hex digits")),
        },
        _ => Err(wrong(rest.get(1..).unwrap_or_default(), "unknown escape")),
    }
}

/// From the next byte on that needs a look of its own: a quote, a backslash or a control character. Eight at a time, as
/// most strings of a workflow are shorter than that.
#[inline(always)]
pub(super) fn plain(mut rest: &[u8]) -> &[u8] {
    while let Some((word, after)) = rest.split_first_chunk() {
        let special = special(u64::from_le_bytes(*word));
        if special != 0 {
            return rest.get(special.trailing_zeros() as usize / 8..).unwrap_or_default();
        }
        rest = after;
    }
    while let [byte, after @ ..] = rest {
        if *byte < 0x20 || *byte == b'"' || *byte == b'\\' {
            break;
        }
        rest = after;
    }
    rest
}

/// The lowest set bit is the highest of the first special byte; what is set above that means nothing.
#[inline(always)]
fn special(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    // With its bit for 2 turned over, a quote comes right behind the control characters.
    let quote_or_control = (word ^ (ONES * 0x02)).wrapping_sub(ONES * 0x21);
    let backslash = (word ^ (ONES * u64::from(b'\\'))).wrapping_sub(ONES);
    (quote_or_control | backslash) & !word & HIGHS
}
