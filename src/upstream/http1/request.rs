//! The bytes of a request.

use bytes::{BufMut, Bytes};
use http::{
    header::{CONTENT_LENGTH, TRANSFER_ENCODING},
    request::Parts,
};
use std::io::Write;

/// How the body of a request is marked off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Upload {
    /// So many bytes are still to be sent.
    Sized(u64),
    /// In chunks.
    Chunked,
}

/// Writes the head of a request whose body has `length` bytes, or is of unknown length, in origin form (RFC 9112 section
/// 3.2.1), and says how the body is to be marked off: by its true length, whatever the headers say of it. Neither a header
/// nor a target can hold a line break: their types see to that.
pub fn write_head(head: &Parts, length: Option<u64>, out: &mut Vec<u8>) -> Upload {
    out.reserve(128 + head.headers.len() * 32);
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    for part in [head.method.as_str(), " ", target, " HTTP/1.1\r\n"] {
        out.put_slice(part.as_bytes());
    }
    let announced = match length {
        None => head.headers.get(CONTENT_LENGTH),
        Some(_) => None,
    };
    let announced = announced.and_then(|length| length.to_str().ok()?.parse().ok());
    let upload = length.or(announced).map_or(Upload::Chunked, Upload::Sized);
    let mut is_said = false;
    for (name, value) in &head.headers {
        match (name, upload) {
            (&CONTENT_LENGTH, Upload::Sized(length)) if !is_said => {
                is_said = true;
                put(out, format_args!("content-length: {length}\r\n"));
            }
            (&CONTENT_LENGTH | &TRANSFER_ENCODING, _) => {}
            _ => {
                out.put_slice(name.as_str().as_bytes());
                out.put_slice(b": ");
                out.put_slice(value.as_bytes());
                out.put_slice(b"\r\n");
            }
        }
    }
    match upload {
        Upload::Chunked => out.put_slice(b"transfer-encoding: chunked\r\n"),
        // A request without a body need not say so.
        Upload::Sized(0) => {}
        Upload::Sized(length) if !is_said => put(out, format_args!("content-length: {length}\r\n")),
        Upload::Sized(_) => {}
    }
    out.put_slice(b"\r\n");
    upload
}

impl Upload {
    /// Marks off the next piece of the body: what is to be sent is `out` and then what comes back. `None` if the body is
    /// longer than was said.
    pub fn write(&mut self, content: Bytes, out: &mut Vec<u8>) -> Option<Bytes> {
        match self {
            Self::Sized(left) => {
                *left = left.checked_sub(content.len() as u64)?;
                Some(content)
            }
            // An empty chunk would be the end.
            Self::Chunked if content.is_empty() => Some(content),
            Self::Chunked => {
                put(out, format_args!("{:x}\r\n", content.len()));
                out.put_slice(&content);
                out.put_slice(b"\r\n");
                Some(Bytes::new())
            }
        }
    }

    /// Marks the end of the body; whether it may end here.
    pub fn end(self, out: &mut Vec<u8>) -> bool {
        if self == Self::Chunked {
            out.put_slice(b"0\r\n\r\n");
        }
        matches!(self, Self::Sized(0) | Self::Chunked)
    }
}

fn put(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // Memory does not refuse to be written to.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    /// The bytes of a request with these headers and a body of these pieces, whose length is known or not.
    fn written(headers: &[(&str, &str)], length: Option<u64>, pieces: &[&'static str]) -> Option<String> {
        let mut request = Request::post("/x?y");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (head, ()) = request.body(()).expect("a request").into_parts();
        let mut out = Vec::new();
        let mut upload = write_head(&head, length, &mut out);
        for piece in pieces {
            let content = upload.write(Bytes::from_static(piece.as_bytes()), &mut out)?;
            out.extend_from_slice(&content);
        }
        upload.end(&mut out).then(|| String::from_utf8(out).expect("text"))
    }

    #[test]
    fn a_body_is_marked_off_by_its_true_length() {
        let wanted = Some("POST /x?y HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello".to_owned());
        for (headers, length) in [
            (&[][..], Some(5)),
            (&[("content-length", "5")], Some(5)),
            (&[("content-length", "9")], Some(5)),
            (&[("content-length", "5")], None),
            (&[("transfer-encoding", "chunked")], Some(5)),
            (&[("transfer-encoding", "chunked"), ("content-length", "7")], Some(5)),
        ] {
            assert_eq!(
                written(headers, length, &["he", "", "llo"]),
                wanted,
                "{headers:?} {length:?}"
            );
        }
        assert_eq!(
            written(&[("x", "1")], None, &["hello", "", "0123456789abcdef"]).as_deref(),
            Some(
                "POST /x?y HTTP/1.1\r\nx: 1\r\ntransfer-encoding: chunked\r\n\r\n\
                 5\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
            )
        );
    }

    #[test]
    fn a_length_is_said_once() {
        let twice = [("content-length", "5"), ("content-length", "6")];
        for length in [Some(5), None] {
            assert_eq!(
                written(&twice, length, &["hello"]).as_deref(),
                Some("POST /x?y HTTP/1.1\r\ncontent-length: 5\r\n\r\nhello"),
                "{length:?}"
            );
        }
    }

    #[test]
    fn no_body_says_nothing_unless_the_client_did() {
        assert_eq!(
            written(&[], Some(0), &[]).as_deref(),
            Some("POST /x?y HTTP/1.1\r\n\r\n")
        );
        assert_eq!(
            written(&[("content-length", "0")], Some(0), &[]).as_deref(),
            Some("POST /x?y HTTP/1.1\r\ncontent-length: 0\r\n\r\n")
        );
    }

    #[test]
    fn a_body_of_another_length_than_was_said_is_no_request() {
        for pieces in [&["hell"][..], &["hello", "!"], &[]] {
            assert_eq!(written(&[], Some(5), pieces), None, "{pieces:?}");
        }
    }
}
