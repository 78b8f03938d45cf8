//! What Python's `int`, `float`, `str` and `bool` make of a JSON value, as its `json.dumps` writes the result.
//!
//! ComfyUI converts the inputs of a prompt with these four before it queues it, so they decide what its queue shows.

use crate::mapping::{
    inputs::ValueType,
    json::{Scanner, decode},
};
use std::{borrow::Cow, fmt::Write};

/// The most digits of a text that Python reads as an integer.
const MAX_DIGITS: usize = 4_300;

/// The zeros of the decimal digits that are not ASCII (Unicode's Nd); the nine others follow each.
const ZEROS: [u32; 67] = [
    0x0660, 0x06f0, 0x07c0, 0x0966, 0x09e6, 0x0a66, 0x0ae6, 0x0b66, 0x0be6, 0x0c66, 0x0ce6, 0x0d66, 0x0de6, 0x0e50,
    0x0ed0, 0x0f20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0, 0x1c40, 0x1c50,
    0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136,
    0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730, 0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0,
    0x11f50, 0x16a60, 0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6, 0x1e140, 0x1e2f0, 0x1e4f0,
    0x1e950, 0x1fbf0,
];

/// `value`, which is JSON, as the type `to`; `None` where Python raises an exception.
pub(super) fn convert(value: &[u8], to: ValueType) -> Option<Cow<'_, [u8]>> {
    let literal = Literal::read(value)?;
    let text = match to {
        ValueType::Integer => literal.int()?,
        ValueType::Float => json_float(literal.float()?),
        ValueType::Boolean => literal.bool().to_string().into(),
        ValueType::Text => match literal {
            Literal::Text(_) => return Some(Cow::Borrowed(value)),
            other => json_string(&other.repr()?).into(),
        },
    };
    Some(match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    })
}

/// A JSON value as Python reads it.
enum Literal<'a> {
    Null,
    Bool(bool),
    Int(&'a str),
    Float(f64),
    /// Without its quotes.
    Text(&'a [u8]),
    /// An object or a list.
    Container(&'a [u8]),
}

impl<'a> Literal<'a> {
    fn read(text: &'a [u8]) -> Option<Self> {
        Some(match text {
            b"null" => Self::Null,
            b"true" => Self::Bool(true),
            b"false" => Self::Bool(false),
            b"NaN" => Self::Float(f64::NAN),
            b"Infinity" => Self::Float(f64::INFINITY),
            b"-Infinity" => Self::Float(f64::NEG_INFINITY),
            [b'"', inner @ .., b'"'] => Self::Text(inner),
            [b'{' | b'[', ..] => Self::Container(text),
            _ => {
                let number = std::str::from_utf8(text).ok()?;
                match number {
                    "-0" => Self::Int("0"),
                    _ if number.contains(['.', 'e', 'E']) => Self::Float(number.parse().ok()?),
                    _ => Self::Int(number),
                }
            }
        })
    }

    fn int(&self) -> Option<Cow<'a, str>> {
        Some(match *self {
            Self::Bool(flag) => if flag { "1" } else { "0" }.into(),
            Self::Int(number) => number.into(),
            Self::Float(number) if number.is_finite() => match number.trunc() {
                0.0 => "0".into(),
                // Exact, however large.
                whole => format!("{whole:.0}").into(),
            },
            Self::Text(raw) => read_int(&decode(raw)?)?.into(),
            Self::Float(_) | Self::Null | Self::Container(_) => return None,
        })
    }

    fn float(&self) -> Option<f64> {
        match *self {
            Self::Bool(flag) => Some(if flag { 1.0 } else { 0.0 }),
            // An integer that is too large raises; a fraction that is too large is infinite.
            Self::Int(number) => number.parse().ok().filter(|number: &f64| number.is_finite()),
            Self::Float(number) => Some(number),
            Self::Text(raw) => read_float(&decode(raw)?),
            Self::Null | Self::Container(_) => None,
        }
    }

    fn bool(&self) -> bool {
        match *self {
            Self::Null => false,
            Self::Bool(flag) => flag,
            Self::Int(number) => number != "0",
            Self::Float(number) => number != 0.0,
            Self::Text(raw) => !raw.is_empty(),
            Self::Container(text) => {
                let inside = text.get(1..).unwrap_or_default().trim_ascii_start();
                !inside.starts_with(b"}") && !inside.starts_with(b"]")
            }
        }
    }

    fn repr(&self) -> Option<String> {
        Some(match *self {
            Self::Null => "None".to_owned(),
            Self::Bool(flag) => if flag { "True" } else { "False" }.to_owned(),
            Self::Int(number) => number.to_owned(),
            Self::Float(number) => repr_float(number),
            Self::Text(raw) => repr_text(raw),
            Self::Container(text) => repr_container(text)?,
        })
    }
}

/// As `int` reads a text: spaces around, a sign, digits of any script, single underscores between them.
fn read_int(text: &str) -> Option<String> {
    let text = ascii_digits(text);
    let text = text.trim();
    let (minus, digits) = match text.strip_prefix(['+', '-']) {
        Some(digits) => (text.starts_with('-'), digits),
        None => (false, text),
    };
    if !digits
        .split('_')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return None;
    }
    let digits = digits.replace('_', "");
    if digits.len() > MAX_DIGITS {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    Some(match (significant, minus) {
        ("", _) => "0".to_owned(),
        (significant, true) => format!("-{significant}"),
        (significant, false) => significant.to_owned(),
    })
}

/// As `float` reads a text: Rust's grammar for numbers is Python's, but for spaces, underscores and other scripts' digits.
fn read_float(text: &str) -> Option<f64> {
    let text = ascii_digits(text);
    let text = text.trim();
    if !text.contains('_') {
        return text.parse().ok();
    }
    let parts: Vec<&str> = text.split('_').collect();
    let between_digits = parts.windows(2).all(|pair| match pair {
        [before, behind] => {
            before.ends_with(|end: char| end.is_ascii_digit())
                && behind.starts_with(|start: char| start.is_ascii_digit())
        }
        _ => true,
    });
    between_digits.then(|| parts.concat().parse().ok()).flatten()
}

/// A text with the digits of other scripts as ASCII ones.
fn ascii_digits(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let ascii = |letter: char| {
        let point = u32::from(letter);
        let before = ZEROS.partition_point(|zero| *zero <= point).checked_sub(1);
        let zero = before.and_then(|at| ZEROS.get(at));
        zero.and_then(|zero| char::from_digit(point - zero, 10))
            .unwrap_or(letter)
    };
    text.chars().map(ascii).collect()
}

fn json_float(number: f64) -> Cow<'static, str> {
    if number.is_nan() {
        return "NaN".into();
    }
    match number {
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        _ => repr_float(number).into(),
    }
}

/// The shortest digits that mean this number, with an exponent where Python writes one.
fn repr_float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let shortest = format!("{number:e}");
    let exponent: i32 = shortest
        .split_once('e')
        .and_then(|(_, exponent)| exponent.parse().ok())
        .unwrap_or(0);
    if (-4..16).contains(&exponent) {
        return format!("{number:?}");
    }
    let digits = shortest.split_once('e').map_or(shortest.as_str(), |(digits, _)| digits);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// An object or a list, token by token. Of a repeated key both are shown.
fn repr_container(text: &[u8]) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut scanner = Scanner::new(text);
    while let Some(byte) = scanner.peek() {
        match byte {
            b'{' | b'}' | b'[' | b']' => out.push(char::from(byte)),
            b',' => out.push_str(", "),
            b':' => out.push_str(": "),
            _ => {
                let leaf = scanner.value().ok()?;
                out.push_str(&Literal::read(leaf.of(text))?.repr()?);
                continue;
            }
        }
        scanner.take(byte);
    }
    Some(out)
}

/// A text in quotes: single ones, unless only those are in it.
fn repr_text(raw: &[u8]) -> String {
    let points = code_points(raw);
    let has = |quote: char| points.contains(&u32::from(quote));
    let quote = if has('\'') && !has('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(raw.len() + 2);
    out.push(quote);
    for point in points {
        match char::from_u32(point) {
            Some('\n') => out.push_str("\\n"),
            Some('\r') => out.push_str("\\r"),
            Some('\t') => out.push_str("\\t"),
            Some('\\') => out.push_str("\\\\"),
            Some(letter) if letter == quote => out.extend(['\\', letter]),
            Some(letter) if is_printable(letter) => out.push(letter),
            _ => {
                // No text fails to be written.
                let _ = match point {
                    ..=0xff => write!(out, "\\x{point:02x}"),
                    0x100..=0xffff => write!(out, "\\u{point:04x}"),
                    _ => write!(out, "\\U{point:08x}"),
                };
            }
        }
    }
    out.push(quote);
    out
}

/// As Python's `isprintable`: the standard library leaves alone what is, unless it stands first.
fn is_printable(letter: char) -> bool {
    match letter {
        ' '..='~' => true,
        '\0'..='\x7f' => false,
        _ => ['a', letter].iter().collect::<String>().escape_debug().count() == 2,
    }
}

/// What a JSON string spells, halves of surrogate pairs as they are.
fn code_points(raw: &[u8]) -> Vec<u32> {
    let text = String::from_utf8_lossy(raw);
    let mut rest = text.as_ref();
    let mut points = Vec::with_capacity(text.len());
    while let Some(letter) = rest.chars().next() {
        let (point, length) = match letter {
            '\\' => escape(rest),
            _ => (u32::from(letter), letter.len_utf8()),
        };
        points.push(point);
        rest = rest.get(length..).unwrap_or_default();
    }
    points
}

/// What the escape that `text` begins with spells, and how long it is.
fn escape(text: &str) -> (u32, usize) {
    let unit = |text: &str| {
        let digits = text.strip_prefix("\\u")?.get(..4)?;
        u32::from_str_radix(digits, 16).ok()
    };
    if let Some(first) = unit(text) {
        let second = text.get(6..).and_then(unit);
        return match (first, second) {
            (0xd800..0xdc00, Some(second @ 0xdc00..0xe000)) => {
                (0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00), 12)
            }
            _ => (first, 6),
        };
    }
    let point = match text.as_bytes().get(1) {
        Some(b'n') => u32::from('\n'),
        Some(b'r') => u32::from('\r'),
        Some(b't') => u32::from('\t'),
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(byte) => u32::from(*byte),
        None => u32::from('\\'),
    };
    (point, 2)
}

/// A text in JSON that is all ASCII, as Python writes it.
fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(letter),
            _ => {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    // No text fails to be written.
                    let _ = write!(out, "\\u{unit:04x}");
                }
            }
        }
    }
    out.push('"');
    out
}
