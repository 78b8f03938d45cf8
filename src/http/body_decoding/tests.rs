//! Bodies as clients send them, and what the server reads in them.

use super::*;
use flate2::{
    Compression,
    write::{DeflateEncoder, GzEncoder, ZlibEncoder},
};
use std::io::Write;

const TEXT: &str = r#"{"prompt_id": "é"}"#;
const LIMIT: usize = 1 << 10;

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("written");
    encoder.finish().expect("gzip")
}

fn zlib(text: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("written");
    encoder.finish().expect("zlib")
}

fn raw(text: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).expect("written");
    encoder.finish().expect("deflate")
}

fn said(headers: &[(&'static str, &str)], body: impl AsRef<[u8]>) -> Result<String, DecodeError> {
    let mut map = HeaderMap::new();
    for &(name, value) in headers {
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
    }
    let body = Bytes::copy_from_slice(body.as_ref());
    decode(&map, &body, LIMIT, &BufferBudget::new(4 * LIMIT))
        .map(|text| String::from_utf8(text.to_vec()).expect("UTF-8"))
}

fn coded(codings: &[&str], body: impl AsRef<[u8]>) -> Result<String, DecodeError> {
    let headers: Vec<_> = codings.iter().map(|coding| ("content-encoding", *coding)).collect();
    said(&headers, body)
}

fn utf16(text: &str, bytes: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

#[test]
fn a_coding_that_the_server_undoes_is_undone() {
    let text = TEXT.as_bytes();
    let (first, second) = text.split_at(5);
    for (codings, body) in [
        (&[][..], text.to_vec()),
        (&["identity"], text.to_vec()),
        (&[""], text.to_vec()),
        (&["utf-8"], text.to_vec()),
        (&["gzip"], gzip(text)),
        (&["GZip "], gzip(text)),
        (&["gzip"], [gzip(first), gzip(second)].concat()),
        (&["deflate"], zlib(text)),
        (&["deflate"], raw(text)),
    ] {
        assert_eq!(coded(codings, &body).as_deref(), Ok(TEXT), "{codings:?}");
    }
    for coding in ["gzip", "br", "nonsense"] {
        assert_eq!(
            coded(&[coding], "").as_deref(),
            Ok(""),
            "no bytes say nothing: {coding}"
        );
    }
    assert_eq!(coded(&["gzip"], gzip(b"")).as_deref(), Ok(""));
}

#[test]
fn a_coding_that_the_server_does_not_undo_is_an_error() {
    for codings in [
        &["br"][..],
        &["zstd"],
        &["x-gzip"],
        &["compress"],
        &["nonsense"],
        &["gzip, gzip"],
        &["gzip", "gzip"],
        &["gzip, br"],
        &["identity", "gzip"],
        &["gzip, identity"],
        &["é"],
    ] {
        for body in [gzip(&gzip(TEXT.as_bytes())), TEXT.into()] {
            assert_eq!(coded(codings, body), Err(DecodeError::Coding), "{codings:?}");
        }
    }
}

#[test]
fn what_is_not_what_its_coding_says_or_breaks_off_is_an_error() {
    let (gzip, zlib, raw) = (gzip(TEXT.as_bytes()), zlib(TEXT.as_bytes()), raw(TEXT.as_bytes()));
    for (coding, body) in [("gzip", &gzip), ("deflate", &zlib), ("deflate", &raw)] {
        for end in 1..body.len() {
            let cut = coded(&[coding], &body[..end]);
            assert_eq!(cut, Err(DecodeError::Corrupt), "{coding}, {end} of {}", body.len());
        }
        let longer = [body.as_slice(), b"more"].concat();
        assert_eq!(coded(&[coding], longer), Err(DecodeError::Corrupt), "{coding} and more");
        assert_eq!(
            coded(&[coding], TEXT),
            Err(DecodeError::Corrupt),
            "plain, said to be {coding}"
        );
    }
    assert_eq!(coded(&["deflate"], &gzip), Err(DecodeError::Corrupt));
    assert_eq!(coded(&["gzip"], &zlib), Err(DecodeError::Corrupt));
    let mut wrong_sum = gzip.clone();
    let at = wrong_sum.len() - 6;
    wrong_sum[at] ^= 1;
    assert_eq!(coded(&["gzip"], wrong_sum), Err(DecodeError::Corrupt));
}

#[test]
fn the_limit_counts_decoded_bytes() {
    let (fits, over) = (vec![b' '; LIMIT], vec![b' '; LIMIT + 1]);
    let bomb = vec![b' '; 64 << 20];
    let too_large = Err(DecodeError::TooLarge { limit: LIMIT });
    for (coding, code) in [
        ("gzip", gzip as fn(&[u8]) -> Vec<u8>),
        ("deflate", zlib),
        ("deflate", raw),
    ] {
        assert_eq!(
            coded(&[coding], code(&fits)).map(|text| text.len()),
            Ok(LIMIT),
            "{coding}"
        );
        assert_eq!(coded(&[coding], code(&over)), too_large, "{coding}");
        assert_eq!(coded(&[coding], code(&bomb)), too_large, "{coding}");
    }
    // Two bytes in UTF-8 for one.
    let latin1 = [("content-type", "text/plain; charset=latin1")];
    assert_eq!(said(&latin1, vec![0xe9; LIMIT / 2]).map(|text| text.len()), Ok(LIMIT));
    assert_eq!(said(&latin1, vec![0xe9; LIMIT / 2 + 1]), too_large);
}

#[test]
fn characters_are_read_as_the_charset_says() {
    let big = utf16(TEXT, u16::to_be_bytes);
    let little = utf16(TEXT, u16::to_le_bytes);
    let marked = [b"\xef\xbb\xbf", TEXT.as_bytes()].concat();
    let latin1: Vec<u8> = TEXT.chars().map(|character| character as u8).collect();
    for (charset, body) in [
        ("", TEXT.into()),
        ("utf-8", TEXT.into()),
        ("UTF_8", TEXT.into()),
        ("\"utf-8\"", TEXT.into()),
        ("'utf8'", TEXT.into()),
        ("utf-8-sig", TEXT.into()),
        ("utf-8-sig", marked),
        ("utf-16", little.clone()),
        ("UTF-16", [b"\xff\xfe", little.as_slice()].concat()),
        ("utf-16", [b"\xfe\xff", big.as_slice()].concat()),
        ("utf-16le", little.clone()),
        ("UTF_16_BE", big),
        ("iso-8859-1", latin1.clone()),
        ("latin1", latin1.clone()),
        ("windows-1252", latin1),
        ("gbk", b"{\"prompt_id\": \"\xa8\xa6\"}".to_vec()),
    ] {
        let content_type = format!("application/json; charset={charset}");
        let headers = [("content-type", content_type.as_str())];
        assert_eq!(said(&headers, &body).as_deref(), Ok(TEXT), "{charset}");
        let headers = [headers[0], ("content-encoding", "gzip")];
        assert_eq!(said(&headers, gzip(&body)).as_deref(), Ok(TEXT), "{charset} in gzip");
    }
    for content_type in [
        "application/json;charset=utf-16",
        "application/json ; CHARSET = utf-16",
        "application/json; x=1; charset=\"utf\\-16\"; y=2;",
        "application/json; charset=utf-16; charset=utf-8",
        "application/json;; x=\"; charset=utf-8\"; charset=utf-16",
        "; charset=utf-16",
    ] {
        assert_eq!(
            said(&[("content-type", content_type)], &little).as_deref(),
            Ok(TEXT),
            "{content_type}"
        );
    }
    for content_type in [
        "application/json",
        "charset=utf-16",
        "application/json, charset=utf-16",
        "é",
    ] {
        assert_eq!(
            said(&[("content-type", content_type)], TEXT).as_deref(),
            Ok(TEXT),
            "{content_type}"
        );
    }
}

#[test]
fn a_charset_that_is_not_known_is_an_error() {
    for content_type in [
        "application/json; charset=nonsense",
        "application/json; charset=utf-7",
        "application/json; charset=utf-32",
        "application/json; charset=unicode",
        "application/json; charset=x-user-defined",
        "application/json; charset=iso-2022-kr",
        "application/json; charset*=us-ascii''utf-16",
        "application/json; charset*0=utf; charset*1=-16",
    ] {
        let headers = [("content-type", content_type)];
        assert_eq!(said(&headers, TEXT), Err(DecodeError::Charset), "{content_type}");
    }
    let twice = [
        ("content-type", "application/json"),
        ("content-type", "application/json"),
    ];
    assert_eq!(said(&twice, TEXT), Err(DecodeError::Charset));
}

#[test]
fn bytes_that_are_not_in_the_charset_are_an_error() {
    for (charset, body) in [
        ("utf-8", &b"\xff"[..]),
        ("utf-8", b"\"\xed\xa0\x80\""),
        ("utf-8", b"\xff\xfe{\0}\0"),
        ("ascii", TEXT.as_bytes()),
        ("utf-16", b"{\0}"),
        ("utf-16le", b"\x3d\xd8"),
        ("gbk", b"\"\xff\""),
    ] {
        let content_type = format!("application/json; charset={charset}");
        let headers = [("content-type", content_type.as_str())];
        assert_eq!(said(&headers, body), Err(DecodeError::NotText), "{charset} {body:?}");
    }
}

#[test]
fn headers_are_made_those_of_a_decoded_body() {
    for (before, after) in [
        (None, None),
        (Some("text/plain"), Some("text/plain")),
        (Some("text/plain; charset=utf-8"), Some("text/plain; charset=utf-8")),
        (
            Some("text/plain; charset=utf-16"),
            Some("application/json; charset=utf-8"),
        ),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.extend(before.map(|value| (CONTENT_TYPE, HeaderValue::from_static(value))));
        set_decoded(&mut headers);
        let expected: Vec<_> = after.into_iter().collect();
        let found: Vec<_> = headers.values().filter_map(|value| value.to_str().ok()).collect();
        assert_eq!(found, expected);
    }
}
