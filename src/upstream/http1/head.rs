//! The head of an answer.

use super::{
    body::Reader,
    error::NotHttp,
    headers::{MAX_HEAD_BYTES, header_map},
};
use bytes::{Buf, BytesMut};
use http::{
    Method, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING},
};
use hyper::ext::ReasonPhrase;
use std::mem::MaybeUninit;

/// The most headers that an answer may have.
const MAX_HEADERS: usize = 100;
/// So many bytes tell HTTP from other protocols.
const TELLING: usize = 16;

/// The head of an answer, and what it says of what follows.
pub struct Head {
    /// Status and headers.
    pub response: Response<()>,
    /// Where the body ends.
    pub body: Reader,
    /// Whether HTTP goes on after it on the same connection (RFC 9112 section 9.3).
    pub keeps_open: bool,
}

/// Takes the head of the answer to a request with `method` from the front of `bytes`, once it is all there. Interim answers
/// before it are passed over (RFC 9110 section 15.2), but for the 101, after which no more HTTP comes. `seen` is how many
/// bytes have been looked at in vain, and 0 at first.
pub fn read_head(bytes: &mut BytesMut, method: &Method, seen: &mut usize) -> Result<Option<Head>, NotHttp> {
    loop {
        // Empty lines before it (RFC 9112 section 2.2) are not looked at twice.
        while let [b'\n', ..] | [b'\r', b'\n', ..] = &bytes[..] {
            bytes.advance(if bytes.starts_with(b"\n") { 1 } else { 2 });
            *seen = 0;
        }
        // A head that comes in drips is not parsed at each one, but at each line: there are not many.
        let fresh = bytes.get(*seen..).unwrap_or_default();
        if bytes.is_empty() || *seen >= TELLING && !fresh.contains(&b'\n') {
            return unfinished(bytes, seen);
        }
        let mut headers = [const { MaybeUninit::uninit() }; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut []);
        let httparse::Status::Complete(length) =
            httparse::ParserConfig::default().parse_response_with_uninit_headers(&mut parsed, bytes, &mut headers)?
        else {
            return unfinished(bytes, seen);
        };
        let status = StatusCode::from_u16(parsed.code.unwrap_or_default()).map_err(|_| httparse::Error::Status)?;
        let version = match parsed.version {
            Some(1) => Version::HTTP_11,
            _ => Version::HTTP_10,
        };
        if status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS {
            bytes.advance(length);
            *seen = 0;
            continue;
        }
        let mut response = Response::new(());
        *response.status_mut() = status;
        *response.version_mut() = version;
        if let Some(reason) = parsed.reason
            && Some(reason) != status.canonical_reason()
            && let Ok(reason) = ReasonPhrase::try_from(reason.as_bytes())
        {
            response.extensions_mut().insert(reason);
        }
        *response.headers_mut() = header_map(parsed.headers)?;
        bytes.advance(length);
        let announced = Reader::announced_by(&response)?;
        let has_none = has_no_body(method, status);
        let body = if has_none { Reader::Sized(0) } else { announced };
        // Some servers send the body that they announce though there is none: it would be taken for the next answer.
        let may_follow = has_none && !matches!(announced, Reader::Sized(0) | Reader::UntilClose);
        let is_switched = status == StatusCode::SWITCHING_PROTOCOLS;
        let keeps_open = keeps_open(&response) && body.ends_by_itself() && !may_follow && !is_switched;
        return Ok(Some(Head {
            response,
            body,
            keeps_open,
        }));
    }
}

fn unfinished(bytes: &BytesMut, seen: &mut usize) -> Result<Option<Head>, NotHttp> {
    *seen = bytes.len();
    match bytes.len() > MAX_HEAD_BYTES {
        true => Err(NotHttp::HeadTooLong),
        false => Ok(None),
    }
}

/// Whether the answer ends with its head (RFC 9112 section 6.3).
fn has_no_body(method: &Method, status: StatusCode) -> bool {
    *method == Method::HEAD
        || status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
}

fn keeps_open(response: &Response<()>) -> bool {
    let is_default = response.version() == Version::HTTP_11;
    if !response.headers().contains_key(CONNECTION) {
        return is_default;
    }
    let names = |wanted: &[u8]| {
        let options = response.headers().get_all(CONNECTION).iter();
        let mut tokens = options.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        tokens.any(|token| token.trim_ascii().eq_ignore_ascii_case(wanted))
    };
    !names(b"close") && (is_default || names(b"keep-alive"))
}

impl Reader {
    /// Where the body of an answer ends that has one (RFC 9112 section 6.3). A length that makes no sense is refused even
    /// where there is no body: it is handed on.
    fn announced_by(response: &Response<()>) -> Result<Self, NotHttp> {
        let headers = response.headers();
        let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        let whole = match (codings.next(), lengths.next()) {
            (None, None) => Self::UntilClose,
            (None, Some(length)) => {
                let digits = length
                    .to_str()
                    .ok()
                    .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
                Self::Sized(digits.and_then(|digits| digits.parse().ok()).ok_or(NotHttp::Length)?)
            }
            (Some(coding), None)
                if response.version() == Version::HTTP_11 && coding.as_bytes().eq_ignore_ascii_case(b"chunked") =>
            {
                Self::chunked()
            }
            (Some(_), _) => return Err(NotHttp::Coding),
        };
        if codings.next().is_some() {
            return Err(NotHttp::Coding);
        }
        if lengths.next().is_some() {
            return Err(NotHttp::Length);
        }
        Ok(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head_of(method: &Method, text: &str) -> Result<Option<Head>, NotHttp> {
        read_head(&mut BytesMut::from(text), method, &mut 0)
    }

    fn get(text: &str) -> Result<Head, NotHttp> {
        head_of(&Method::GET, text).map(|head| head.expect("a whole head"))
    }

    #[test]
    fn where_the_body_ends() {
        let chunked = Reader::chunked();
        for (head, body) in [
            ("HTTP/1.1 200 OK\r\n", Reader::UntilClose),
            ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n", Reader::Sized(5)),
            ("HTTP/1.0 200 OK\r\nContent-Length: 5\r\n", Reader::Sized(5)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n", chunked),
            ("HTTP/1.1 204 No Content\r\n", Reader::Sized(0)),
            (
                "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n",
                Reader::Sized(0),
            ),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n", Reader::Sized(0)),
            ("HTTP/1.1 101 Switching Protocols\r\n", Reader::Sized(0)),
        ] {
            assert_eq!(get(&format!("{head}\r\n")).map(|head| head.body), Ok(body), "{head}");
        }
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        let head = head_of(&Method::HEAD, text).expect("HTTP").expect("a head");
        assert_eq!(head.body, Reader::Sized(0));
        assert_eq!(head.response.headers()["content-length"], "5");
    }

    #[test]
    fn an_end_that_readers_could_disagree_about_is_refused() {
        for (headers, refused) in [
            ("Content-Length: 5\r\nContent-Length: 5\r\n", NotHttp::Length),
            ("Content-Length: 5\r\nContent-Length: 6\r\n", NotHttp::Length),
            ("Content-Length: 5, 5\r\n", NotHttp::Length),
            ("Content-Length: +5\r\n", NotHttp::Length),
            ("Content-Length: 0x5\r\n", NotHttp::Length),
            ("Content-Length: -1\r\n", NotHttp::Length),
            ("Content-Length: 5 5\r\n", NotHttp::Length),
            ("Content-Length:\r\n", NotHttp::Length),
            ("Content-Length: 99999999999999999999\r\n", NotHttp::Length),
            ("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", NotHttp::Coding),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", NotHttp::Coding),
            ("Transfer-Encoding: gzip, chunked\r\n", NotHttp::Coding),
            ("Transfer-Encoding: chunked, chunked\r\n", NotHttp::Coding),
            (
                "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                NotHttp::Coding,
            ),
            ("Transfer-Encoding: gzip\r\n", NotHttp::Coding),
            ("Transfer-Encoding: xchunked\r\n", NotHttp::Coding),
            ("Transfer-Encoding:\r\n", NotHttp::Coding),
        ] {
            for method in [Method::GET, Method::HEAD] {
                let outcome = head_of(&method, &format!("HTTP/1.1 200 OK\r\n{headers}\r\n"));
                assert_eq!(outcome.err(), Some(refused), "{method} {headers}");
            }
        }
        let old = get("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(old.err(), Some(NotHttp::Coding));
    }

    #[test]
    fn whether_the_connection_stays_open() {
        for (head, stays) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", true),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n",
                true,
            ),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n", false),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x, close\r\nConnection: keep-alive\r\n",
                false,
            ),
            ("HTTP/1.1 200 OK\r\n", false),
            ("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n", false),
            (
                "HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n",
                true,
            ),
            // Nothing may follow, and the body that is announced may follow.
            ("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n", false),
            ("HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n", false),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n", false),
            ("HTTP/1.1 204 No Content\r\n", true),
            ("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n", true),
            ("HTTP/1.1 304 Not Modified\r\n", true),
            // What follows is another protocol, whoever asked for it.
            ("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n", false),
        ] {
            assert_eq!(
                get(&format!("{head}\r\n")).map(|head| head.keeps_open),
                Ok(stays),
                "{head}"
            );
        }
    }

    #[test]
    fn interim_answers_are_passed_over_and_a_reason_is_kept() {
        let interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n";
        let head = get(&format!(
            "{interim}HTTP/1.1 200 As You Like\r\nX: 1\r\nX: 2\r\n\r\nbody"
        ))
        .expect("HTTP");
        assert_eq!(head.response.status(), 200);
        assert!(!head.response.headers().contains_key("link"));
        assert_eq!(
            head.response.headers().get_all("x").iter().collect::<Vec<_>>(),
            ["1", "2"]
        );
        let reason = head.response.extensions().get::<ReasonPhrase>().expect("a reason");
        assert_eq!(reason.as_bytes(), b"As You Like");
    }

    #[test]
    fn a_head_is_the_same_however_it_was_cut_and_what_follows_stays() {
        for text in [
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
            "\r\n\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        ] {
            for step in [1, 2, 3, 7] {
                let (mut bytes, mut seen, mut found) = (BytesMut::new(), 0, None);
                for piece in text.as_bytes().chunks(step) {
                    bytes.extend_from_slice(piece);
                    if found.is_none() {
                        found = read_head(&mut bytes, &Method::GET, &mut seen).expect("HTTP");
                    }
                }
                assert_eq!(
                    found.map(|head| head.body),
                    Some(Reader::Sized(2)),
                    "{text:?} in steps of {step}"
                );
                assert_eq!(&bytes[..], b"ok", "{text:?} in steps of {step}");
            }
        }
    }

    #[test]
    fn what_is_no_http_is_refused_at_once_and_a_head_without_end_in_time() {
        for text in [
            "\u{15}\u{3}\u{1}",
            "SSH-2.0",
            "HTTP/2 200",
            "HTTP/1.1 2000",
            "HTTP/1.1 099 \r\n\r\n",
        ] {
            assert!(head_of(&Method::GET, text).is_err(), "{text:?}");
        }
        for text in [
            "HTTP/1.1 200 OK\r\nX : y\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX\r\n\r\n",
        ] {
            assert!(head_of(&Method::GET, text).is_err(), "{text:?}");
        }
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(101));
        assert_eq!(
            head_of(&Method::GET, &many).err(),
            Some(NotHttp::Head(httparse::Error::TooManyHeaders))
        );
        let endless = format!("HTTP/1.1 200 OK\r\nX: {}", "y".repeat(MAX_HEAD_BYTES));
        assert_eq!(head_of(&Method::GET, &endless).err(), Some(NotHttp::HeadTooLong));
    }
}
