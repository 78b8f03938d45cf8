//! `multipart/form-data`, as far as an upload needs it: the body is there whole, and its parts are few.

use bytes::Bytes;
use memchr::memmem;

/// The most parts of a body.
const MAX_PARTS: usize = 64;
/// The most bytes of the header lines of a part.
const MAX_HEAD: usize = 8 << 10;

/// One part.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub name: String,
    pub content_type: Option<String>,
    pub body: Bytes,
}

/// The parts of a body with this `Content-Type`; `None` where it is malformed, or has too many.
pub(super) fn parse(content_type: &str, body: &Bytes) -> Option<Vec<Part>> {
    let boundary = parameter(content_type, "boundary").filter(|boundary| (1..=70).contains(&boundary.len()))?;
    let delimiter = format!("\r\n--{boundary}");
    // The first delimiter has no line before it, unless there is a preamble.
    let first = delimiter.as_bytes().get(2..)?;
    let mut at = match body.starts_with(first) {
        true => first.len(),
        false => memmem::find(body, delimiter.as_bytes())? + delimiter.len(),
    };
    let mut parts = Vec::new();
    loop {
        let rest = body.get(at..)?;
        if rest.starts_with(b"--") {
            return Some(parts);
        }
        if !rest.starts_with(b"\r\n") || parts.len() == MAX_PARTS {
            return None;
        }
        // The empty line after the header lines, of which there may be none.
        let window = rest.get(..rest.len().min(MAX_HEAD))?;
        let head_end = memmem::find(window, b"\r\n\r\n")?;
        let head = std::str::from_utf8(rest.get(2..head_end.max(2))?).ok()?;
        let start = at + head_end + 4;
        let end = start + memmem::find(body.get(start..)?, delimiter.as_bytes())?;
        if let Some(part) = part(head, body.slice(start..end)) {
            parts.push(part);
        }
        at = end + delimiter.len();
    }
}

/// A part without a name says nothing.
fn part(head: &str, body: Bytes) -> Option<Part> {
    let header = |wanted: &str| {
        let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
        let found = lines.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
        found.map(|(_, value)| value.trim())
    };
    Some(Part {
        name: parameter(header("content-disposition")?, "name")?,
        content_type: header("content-type").map(str::to_owned),
        body,
    })
}

/// A parameter of a header's value, quoted or not.
fn parameter(value: &str, wanted: &str) -> Option<String> {
    let (_, mut rest) = value.split_once(';')?;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (text, next) = match after.strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let (text, next) = after.split_once(';').unwrap_or((after, ""));
                (text.trim().to_owned(), next)
            }
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(text);
        }
        rest = next.trim_start().trim_start_matches(';');
    }
}

/// A text up to its closing quotation mark, and what comes after it.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return Some((text, letters.as_str())),
            '\\' => text.push(letters.next()?),
            _ => text.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{Part, parse};
    use bytes::Bytes;

    const TYPE: &str = "multipart/form-data; charset=utf-8; boundary=\"a b\"";

    fn parts(body: &'static str) -> Option<Vec<Part>> {
        parse(TYPE, &Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn parts_come_out_as_they_went_in() {
        let body = "--a b\r\nContent-Disposition: form-data; filename=\"x;name=\\\"y\\\".png\"; name=\"file\"\r\n\
                    content-type: image/png\r\n\r\n\r\n--a \r\n\r\n--a b\r\nContent-Disposition: form-data; name=tags\r\n\r\n\
                    one\r\n--a b\r\nX: no name\r\n\r\n\r\n--a b--\r\n";
        let part = |name: &str, content_type: Option<&str>, body: &'static str| Part {
            name: name.to_owned(),
            content_type: content_type.map(str::to_owned),
            body: Bytes::from_static(body.as_bytes()),
        };
        let wanted = vec![
            part("file", Some("image/png"), "\r\n--a \r\n"),
            part("tags", None, "one"),
        ];
        assert_eq!(parts(body), Some(wanted));
    }

    #[test]
    fn what_is_cut_or_malformed_is_refused() {
        let whole = "--a b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nbody\r\n--a b--";
        assert!(parts(whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(parts(whole.get(..end).expect("ASCII")), None, "{end}");
        }
        assert_eq!(
            parse("multipart/form-data", &Bytes::from_static(whole.as_bytes())),
            None
        );
        let many = "--b\r\nContent-Disposition: form-data; name=f\r\n\r\n\r\n".repeat(65);
        assert_eq!(
            parse("multipart/form-data; boundary=b", &Bytes::from(many + "--b--")),
            None
        );
    }
}
