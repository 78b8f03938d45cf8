//! The JSON scanner: finds where values begin and end without building a tree.
//!
//! It is iterative (nesting costs one bit a level, so there is no depth limit), checks the grammar of everything it
//! passes over, and takes Python's `NaN`, `Infinity` and `-Infinity` for numbers, because ComfyUI sends them. It does
//! not look at UTF-8: string bytes go out as they came in.

/// The place of one value in a text, as byte offsets; the text itself stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first byte of the value.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
}

impl Span {
    /// The value's text; empty if the span belongs to another text.
    pub fn of<'a>(&self, text: &'a [u8]) -> &'a [u8] {
        text.get(self.start..self.end).unwrap_or_default()
    }
}

/// Where a text stops being JSON, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not JSON at byte {at}: {reason}")]
pub struct ScanError {
    /// Offset of the offending byte, or the length of a text that was cut short.
    pub at: usize,
    /// What was expected there.
    pub reason: &'static str,
}

/// Which containers are open: one bit each, 1 for an object.
#[derive(Default)]
struct Nesting {
    open: u64,
    depth_in_word: u32,
    full_words: Vec<u64>,
}

impl Nesting {
    fn push(&mut self, object: bool) {
        if self.depth_in_word == u64::BITS {
            self.full_words.push(self.open);
            self.depth_in_word = 0;
        }
        self.open = (self.open << 1) | u64::from(object);
        self.depth_in_word += 1;
    }

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
    fn innermost_is_object(&self) -> Option<bool> {
        (self.depth_in_word > 0).then_some(self.open & 1 == 1)
    }
}

/// A position in a text, moved forward value by value.
pub struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// Begins at the first byte.
    pub fn new(text: &'a [u8]) -> Self {
        Self::starting(text, 0)
    }

    /// Begins at byte `at`.
    pub fn starting(text: &'a [u8], at: usize) -> Self {
        Self { text, at }
    }

    /// The offset of the next byte to be read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next byte that is not white space, left unread.
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(&byte) = self.text.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\r' | b'\t') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    fn wrong<T>(&self, reason: &'static str) -> Result<T, ScanError> {
        Err(ScanError { at: self.at, reason })
    }

    /// Reads `byte`, after white space.
    pub fn expect(&mut self, byte: u8, reason: &'static str) -> Result<(), ScanError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        self.wrong(reason)
    }

    /// Reads `byte` if it comes next, after white space.
    pub fn take(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        self.at += usize::from(next);
        next
    }

    /// Checks that nothing but white space is left.
    pub fn end(&mut self) -> Result<(), ScanError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => self.wrong("text after the value"),
        }
    }

    /// Reads an object member's key and colon; the span is the key's, without its quotes.
    pub fn key(&mut self) -> Result<Span, ScanError> {
        if self.peek() != Some(b'"') {
            return self.wrong("expected a key");
        }
        let start = self.at + 1;
        self.string()?;
        let key = Span {
            start,
            end: self.at - 1,
        };
        self.expect(b':', "expected ':'")?;
        Ok(key)
    }

    /// Passes over one value of any kind and depth.
    pub fn value(&mut self) -> Result<Span, ScanError> {
        self.peek();
        let start = self.at;
        let mut nesting = Nesting::default();
        loop {
            let Some(byte) = self.peek() else {
                return self.wrong("expected a value");
            };
            match byte {
                b'{' => {
                    self.at += 1;
                    if !self.take(b'}') {
                        nesting.push(true);
                        self.key()?;
                        continue;
                    }
                }
                b'[' => {
                    self.at += 1;
                    if !self.take(b']') {
                        nesting.push(false);
                        continue;
                    }
                }
                b'"' => self.string()?,
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                b'N' => self.word(b"NaN")?,
                b'I' => self.word(b"Infinity")?,
                _ => self.number()?,
            }
            loop {
                let Some(object) = nesting.innermost_is_object() else {
                    return Ok(Span { start, end: self.at });
                };
                if self.take(b',') {
                    if object {
                        self.key()?;
                    }
                    break;
                }
                self.expect(
                    if object { b'}' } else { b']' },
                    "expected ',' or the end of a container",
                )?;
                nesting.pop();
            }
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), ScanError> {
        if !self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            return self.wrong("expected a value");
        }
        self.at += word.len();
        Ok(())
    }

    fn digits(&mut self) -> Result<(), ScanError> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return self.wrong("expected a digit");
        }
        self.at += count;
        Ok(())
    }

    fn next_is(&self, byte: u8) -> bool {
        self.text.get(self.at) == Some(&byte)
    }

    fn number(&mut self) -> Result<(), ScanError> {
        if self.next_is(b'-') {
            self.at += 1;
            if self.next_is(b'I') {
                return self.word(b"Infinity");
            }
        }
        if self.next_is(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.next_is(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if self.next_is(b'e') || self.next_is(b'E') {
            self.at += 1;
            if self.next_is(b'+') || self.next_is(b'-') {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Reads a string, from its opening quote to past its closing one.
    fn string(&mut self) -> Result<(), ScanError> {
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            self.at += plain_run(rest);
            match self.text.get(self.at) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(_) => return self.wrong("control character in a string"),
                None => return self.wrong("string cut short"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), ScanError> {
        self.at += 1;
        match self.text.get(self.at) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let hex = self.text.get(self.at + 1..self.at + 5);
                if !hex.is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)) {
                    return self.wrong("expected four hex digits");
                }
                self.at += 5;
            }
            _ => return self.wrong("unknown escape"),
        }
        Ok(())
    }
}

/// How many bytes at the start of `text` need no look of their own: no quote, backslash or control character.
/// Eight at a time: workflows are mostly strings, and this is where a long answer's time goes.
fn plain_run(text: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGHS;
    let (words, _) = text.as_chunks::<8>();
    let mut run = 0;
    for chunk in words {
        let word = u64::from_le_bytes(*chunk);
        let quote = has_zero(word ^ (ONES * u64::from(b'"')));
        let backslash = has_zero(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let special = quote | backslash | control;
        if special != 0 {
            return run + special.trailing_zeros() as usize / 8;
        }
        run += 8;
    }
    let rest = text.get(run..).unwrap_or_default();
    run + rest
        .iter()
        .take_while(|&&byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
        .count()
}

/// Passes over one whole text: exactly one value, and nothing after it.
pub fn check(text: &[u8]) -> Result<Span, ScanError> {
    let mut scanner = Scanner::new(text);
    let span = scanner.value()?;
    scanner.end()?;
    Ok(span)
}

/// Calls `visit` with the key (without quotes) and value of every member of the object `text`; does nothing for a
/// value of another kind.
pub fn members<'a>(text: &'a [u8], mut visit: impl FnMut(&'a [u8], &'a [u8])) -> Result<(), ScanError> {
    let mut scanner = Scanner::new(text);
    if !scanner.take(b'{') || scanner.take(b'}') {
        return Ok(());
    }
    loop {
        let key = scanner.key()?;
        let value = scanner.value()?;
        visit(key.of(text), value.of(text));
        if !scanner.take(b',') {
            return scanner.expect(b'}', "expected ',' or '}'");
        }
    }
}

/// Calls `visit` with every element of the array `text`; does nothing for a value of another kind.
pub fn elements<'a>(text: &'a [u8], mut visit: impl FnMut(&'a [u8])) -> Result<(), ScanError> {
    let mut scanner = Scanner::new(text);
    if !scanner.take(b'[') || scanner.take(b']') {
        return Ok(());
    }
    loop {
        visit(scanner.value()?.of(text));
        if !scanner.take(b',') {
            return scanner.expect(b']', "expected ',' or ']'");
        }
    }
}

/// Whether a key's text (without quotes) spells `name`, escapes taken into account.
pub fn key_is(raw: &[u8], name: &str) -> bool {
    raw == name.as_bytes() || (raw.contains(&b'\\') && decode(raw).as_deref() == Some(name))
}

/// The string that `raw` (without quotes) spells; `None` when it is no Unicode text, such as half a surrogate pair.
pub fn decode(raw: &[u8]) -> Option<String> {
    let mut quoted = Vec::with_capacity(raw.len() + 2);
    quoted.push(b'"');
    quoted.extend_from_slice(raw);
    quoted.push(b'"');
    serde_json::from_slice(&quoted).ok()
}

/// The string that a JSON string value spells; `None` for another kind of value.
pub fn string_value(text: &[u8]) -> Option<String> {
    serde_json::from_slice(text).ok()
}
