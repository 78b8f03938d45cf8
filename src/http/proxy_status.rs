//! `Proxy-Status` (RFC 9209): whether an error came from jobshim or from the upstream.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// The header.
pub const PROXY_STATUS: HeaderName = HeaderName::from_static("proxy-status");

/// Says that jobshim made the answer, and why, as an error type of RFC 9209 section 2.3.
pub fn own(headers: &mut HeaderMap, error_type: &str) {
    headers.remove(&PROXY_STATUS);
    append(headers, &format!("jobshim; error={error_type}"), "");
}

/// Says that the upstream answered with `status`; `details` is for people.
pub fn received(headers: &mut HeaderMap, status: StatusCode, details: &str) {
    // What a jobshim or another proxy further on said comes first (RFC 9209 section 2).
    let said = format!("jobshim; received-status={}", status.as_u16());
    append(headers, &said, details);
}

fn append(headers: &mut HeaderMap, said: &str, details: &str) {
    let text = match details {
        "" => said.to_owned(),
        _ => format!("{said}; details={}", quoted(details)),
    };
    if let Ok(value) = HeaderValue::from_str(&text) {
        headers.append(PROXY_STATUS, value);
    }
}

/// A string of structured fields (RFC 9651 section 3.3.3): printable ASCII, `"` and `\` escaped.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            ' '..='~' => out.push(character),
            _ => out.push('?'),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_one_quoted_string_whatever_they_hold() {
        assert_eq!(quoted("say \"a\\b\"\r\nü"), r#""say \"a\\b\"???""#);
    }
}
