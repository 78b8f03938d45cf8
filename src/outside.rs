//! Text from outside in messages and log lines: job ids, paths, JSON keys, headers, what a server says. It begins no line of its
//! own, sends a terminal no command, turns no reading direction around, and is no longer than a reader can use.

use std::fmt::{self, Display, Write};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{
        FormatFields,
        format::{DefaultFields, Writer},
    },
};

/// Characters of one text: longer than any honest id.
const TEXT: usize = 200;
/// Characters of many texts in one.
const TEXTS: usize = 4_000;
/// Characters of all fields of a log line.
const LINE: usize = 16_000;

/// Shows text from outside.
#[derive(Clone, Copy)]
pub struct Outside<T> {
    value: T,
    most: usize,
}

impl<T: Display> Outside<T> {
    /// One text.
    pub fn new(value: T) -> Self {
        Self { value, most: TEXT }
    }

    /// Many texts in one, such as a list of ids or what somebody else's program says.
    pub fn many(value: T) -> Self {
        Self { value, most: TEXTS }
    }
}

impl<T: Display> Display for Outside<T> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut visible = Visible::new(out, self.most);
        write!(visible, "{}", self.value)?;
        visible.end()
    }
}

/// Whether a character can be shown as it is: no control character, line separator, mark of reading direction, or other
/// character without a sign of its own.
pub fn is_visible(character: char) -> bool {
    matches!(character, '"' | '\'' | '\\') || character.escape_debug().len() == 1
}

/// Writes what is visible as it is, and of all else its number, up to a limit.
struct Visible<'a> {
    out: &'a mut dyn Write,
    left: usize,
    more: usize,
}

impl<'a> Visible<'a> {
    fn new(out: &'a mut dyn Write, most: usize) -> Self {
        Self {
            out,
            left: most,
            more: 0,
        }
    }

    fn end(self) -> fmt::Result {
        match self.more {
            0 => Ok(()),
            more => write!(self.out, "... ({more} characters more)"),
        }
    }
}

impl Write for Visible<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Nearly all of it.
        if text.len() <= self.left && text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            self.left -= text.len();
            return self.out.write_str(text);
        }
        for character in text.chars() {
            if self.left == 0 {
                self.more += 1;
                continue;
            }
            self.left -= 1;
            match is_visible(character) {
                true => self.out.write_char(character)?,
                false => write!(self.out, "{}", character.escape_debug())?,
            }
        }
        Ok(())
    }
}

/// The fields of a log line, all of them: the last line of defence, for what nobody thought of.
#[derive(Debug, Default)]
pub struct VisibleFields(DefaultFields);

impl<'writer> FormatFields<'writer> for VisibleFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visible = Visible::new(&mut writer, LINE);
        self.0.format_fields(Writer::new(&mut visible), fields)?;
        visible.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_visible_stays_and_all_else_is_its_number() {
        for (text, shown) in [
            ("3f2a-\u{fc}\u{1f600} \"a\\b'", "3f2a-\u{fc}\u{1f600} \"a\\b'"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{1b}[31m", "\\u{1b}[31m"),
            ("\u{85}\u{2028}\u{9b}", "\\u{85}\\u{2028}\\u{9b}"),
            ("\u{202e}\u{2066}\u{200f}", "\\u{202e}\\u{2066}\\u{200f}"),
            ("\u{feff}\u{0}", "\\u{feff}\\0"),
        ] {
            assert_eq!(Outside::new(text).to_string(), shown);
            assert_eq!(
                Outside::new(Outside::new(text)).to_string(),
                shown,
                "twice is as good as once"
            );
        }
    }

    #[test]
    fn what_is_long_is_cut_and_says_so() {
        let exact = "x".repeat(TEXT);
        assert_eq!(Outside::new(&exact).to_string(), exact);
        let long = "\n".repeat(TEXT + 7);
        let shown = Outside::new(&long).to_string();
        assert_eq!(shown, format!("{}... (7 characters more)", "\\n".repeat(TEXT)));
        assert!(Outside::many("x".repeat(100_000)).to_string().len() < TEXTS + 100);
    }
}
