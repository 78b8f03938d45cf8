//! Parameters of `Content-Disposition` and `Content-Type`, read as aiohttp reads them, which is what ComfyUI sees.

use percent_encoding::percent_decode_str;

/// What a part is called, and its file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Disposition {
    /// The part's name.
    pub name: Option<String>,
    /// The name of the file that it is.
    pub filename: Option<String>,
}

impl Disposition {
    /// Reads the value of a `Content-Disposition`. `filename*` counts before `filename`, and of a repeated one the first.
    pub(super) fn parse(value: &str) -> Self {
        let mut found = Self::default();
        let (mut plain, mut extended) = (None, None);
        for (name, value) in parameters(value, Strip::Slashes) {
            match name.to_ascii_lowercase().as_str() {
                "name" => found.name = found.name.or(Some(value.text)),
                "filename" => plain = plain.or(Some(value.text)),
                "filename*" if !value.is_quoted => extended = extended.or_else(|| decoded(&value.text)),
                _ => {}
            }
        }
        found.filename = extended.or(plain);
        found
    }
}

/// The boundary that a `Content-Type` names, if it is one of a form.
pub(super) fn boundary(value: &str) -> Option<String> {
    let kind = value.split(';').next()?.trim();
    let mut named = parameters(value, Strip::Nothing).filter(|(name, _)| name.eq_ignore_ascii_case("boundary"));
    let boundary = named.next()?.1.text;
    let is_alone = named.next().is_none() && boundary.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    (kind.eq_ignore_ascii_case("multipart/form-data") && is_alone).then_some(boundary)
}

/// The value of a parameter.
struct Value {
    text: String,
    is_quoted: bool,
}

/// What does not count at the beginning of a quoted value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strip {
    Nothing,
    /// Slashes of both kinds: old browsers sent whole paths.
    Slashes,
}

/// The parameters behind the first word, as far as they are well formed.
fn parameters(value: &str, strip: Strip) -> impl Iterator<Item = (&str, Value)> {
    let mut rest = value.split_once(';').map_or("", |(_, rest)| rest);
    std::iter::from_fn(move || {
        let (name, after) = rest.split_once('=')?;
        let after = after.trim_start();
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => unquoted(quoted, strip)?,
            None => {
                let (text, next) = after.split_once(';').unwrap_or((after, ""));
                let value = Value {
                    text: text.trim().to_owned(),
                    is_quoted: false,
                };
                (value, next)
            }
        };
        rest = next;
        Some((name.trim_start_matches([';', ' ', '\t']).trim(), value))
    })
}

/// A text up to its closing quotation mark, and what comes after it.
fn unquoted(quoted: &str, strip: Strip) -> Option<(Value, &str)> {
    let mut is_escaped = false;
    let end = quoted.find(|letter| {
        let is_end = letter == '"' && !is_escaped;
        is_escaped = letter == '\\' && !is_escaped;
        is_end
    })?;
    let (quoted, after) = quoted.split_at_checked(end)?;
    let next = after.split_once(';').map_or("", |(_, next)| next);
    let quoted = match strip {
        Strip::Nothing => quoted,
        // Before escapes are looked at: what one of these is before stays.
        Strip::Slashes => quoted.trim_start_matches(['\\', '/']),
    };
    let mut text = String::with_capacity(quoted.len());
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some(escaped) if escaped.is_ascii() => text.push(escaped),
                other => text.extend(['\\'].into_iter().chain(other)),
            },
            _ => text.push(letter),
        }
    }
    Some((Value { text, is_quoted: true }, next))
}

/// What an extended value (RFC 5987) says: `UTF-8'en'text`, in percent encoding.
fn decoded(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let (_language, text) = rest.split_once('\'')?;
    let bytes = percent_decode_str(text);
    match charset.to_ascii_lowercase().as_str() {
        "utf-8" | "" => bytes.decode_utf8().ok().map(Into::into),
        "iso-8859-1" => Some(bytes.map(char::from).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Disposition, boundary};

    #[test]
    fn names_are_read_as_the_legacy_server_reads_them() {
        for (value, name, filename) in [
            ("form-data; name=\"image\"; filename=\"a.png\"", "image", "a.png"),
            ("form-data; filename=a.png; name=image", "image", "a.png"),
            (
                r#"form-data; name="image"; filename="a \"b\"; c.png""#,
                "image",
                "a \"b\"; c.png",
            ),
            (
                r#"form-data; name="image"; filename="/\\tmp/a.png""#,
                "image",
                "tmp/a.png",
            ),
            (r#"form-data; name="image"; filename="\"x\".png""#, "image", "\"x\".png"),
            (r#"form-data; name="/image"; filename="a\\""#, "image", "a\\"),
            (
                "form-data; name=\"image\"; filename=\"Grüße 猫.png\"",
                "image",
                "Grüße 猫.png",
            ),
            (
                "form-data; name=\"image\"; filename=\"a%22b.png\"",
                "image",
                "a%22b.png",
            ),
            (
                "form-data; name=\"image\"; filename=\"_.png\"; filename*=UTF-8''%e7%8c%ab%20.png",
                "image",
                "猫 .png",
            ),
            (
                "form-data; filename*=iso-8859-1'de'Gr%FC%DFe; name=image",
                "image",
                "Grüße",
            ),
            (
                "form-data; name=image; filename*=utf-8''%ff; filename=\"x\"",
                "image",
                "x",
            ),
            ("form-data; name=image; filename*=utf-7''x; filename=y", "image", "y"),
            ("form-data; NAME=image; FileName=\"x\"; filename=\"y\"", "image", "x"),
        ] {
            let read = Disposition::parse(value);
            let wanted = Disposition {
                name: Some(name.to_owned()),
                filename: Some(filename.to_owned()),
            };
            assert_eq!(read, wanted, "{value}");
        }
        for value in ["form-data", "", "form-data; name", "form-data; name=\"open"] {
            assert_eq!(Disposition::parse(value), Disposition::default(), "{value}");
        }
    }

    #[test]
    fn a_boundary_is_one_of_a_form() {
        for (value, wanted) in [
            ("multipart/form-data; boundary=abc", Some("abc")),
            ("Multipart/Form-Data; charset=utf-8; Boundary=\"a b\"", Some("a b")),
            ("multipart/form-data; boundary=\"/abc\"", Some("/abc")),
            (r#"multipart/form-data; boundary="\"a""#, Some("\"a")),
            ("multipart/mixed; boundary=abc", None),
            ("multipart/form-data; boundary=a; boundary=b", None),
            ("multipart/form-data; boundary=ü", None),
            ("multipart/form-data", None),
        ] {
            assert_eq!(boundary(value).as_deref(), wanted, "{value}");
        }
    }
}
