use super::{FormError, FormReader, Piece};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use proptest::prelude::*;

fn reader(boundary: &str) -> FormReader {
    let value = HeaderValue::try_from(format!("multipart/form-data; boundary=\"{boundary}\"")).expect("a value");
    FormReader::new(&HeaderMap::from_iter([(CONTENT_TYPE, value)])).expect("a form")
}

/// The name, the file's name and the content of each part.
type Parts = Vec<(Option<String>, Option<String>, Vec<u8>)>;

fn read(boundary: &str, chunks: &[&[u8]]) -> Result<Parts, FormError> {
    let mut reader = reader(boundary);
    let (mut parts, mut is_open) = (Parts::new(), false);
    for chunk in chunks {
        reader.push(Bytes::copy_from_slice(chunk));
        while let Some(piece) = reader.next_piece()? {
            match piece {
                Piece::Part(head) => {
                    assert!(!is_open, "a part in a part");
                    is_open = true;
                    parts.push((head.disposition.name, head.disposition.filename, Vec::new()));
                }
                Piece::Data(data) => {
                    assert!(is_open && !data.is_empty(), "{data:?}");
                    parts.last_mut().expect("a part").2.extend_from_slice(&data);
                }
                Piece::PartEnd => {
                    assert!(is_open, "the end of no part");
                    is_open = false;
                }
                Piece::End => assert!(!is_open, "an end in a part"),
            }
        }
    }
    reader.finish().map(|()| parts)
}

fn written(boundary: &str, contents: &[Vec<u8>]) -> Vec<u8> {
    let mut text = b"a preamble".to_vec();
    for (nth, content) in contents.iter().enumerate() {
        let head = format!("\r\n--{boundary} \r\nContent-Disposition: form-data; name=\"{nth}\"; filename=f\r\n\r\n");
        text.extend_from_slice(head.as_bytes());
        text.extend_from_slice(content);
    }
    text.extend_from_slice(format!("\r\n--{boundary}--\r\nan epilogue").as_bytes());
    text
}

proptest! {
    #[test]
    fn parts_come_out_as_they_went_in_however_they_are_cut(
        contents in prop::collection::vec(prop::collection::vec(prop::sample::select(b"\r\n-bBx".to_vec()), 0..60), 0..4),
        cuts in prop::collection::vec(0_usize..600, 0..12),
    ) {
        let boundary = "bB-bB";
        let delimiter = format!("\r\n--{boundary}");
        prop_assume!(contents.iter().all(|content| memchr::memmem::find(content, delimiter.as_bytes()).is_none()));
        let text = written(boundary, &contents);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|ends| &text[ends[0]..ends[1]]).collect();
        let parts = read(boundary, &chunks).expect("a form");
        let wanted: Parts = contents
            .into_iter()
            .enumerate()
            .map(|(nth, content)| (Some(nth.to_string()), Some("f".to_owned()), content))
            .collect();
        prop_assert_eq!(parts, wanted);
    }

    #[test]
    fn nothing_that_comes_ends_in_a_panic(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8)) {
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        let _ = read("b", &chunks);
    }
}

#[test]
fn a_form_that_is_cut_anywhere_is_none() {
    let text = b"--b\r\nContent-Disposition: form-data; name=n\r\n\r\ncontent\r\n--b--";
    let whole = read("b", &[text]).expect("a form");
    assert_eq!(whole, [(Some("n".to_owned()), None, b"content".to_vec())]);
    for end in 0..text.len() {
        assert_eq!(read("b", &[&text[..end]]), Err(FormError::Cut), "{end}");
    }
}

#[test]
fn what_is_malformed_or_too_much_is_refused() {
    let malformed = |text: &[u8]| match read("b", &[text]) {
        Err(FormError::Malformed(_)) => {}
        other => panic!("{:?}: {other:?}", String::from_utf8_lossy(text)),
    };
    malformed(b"--bX\r\n\r\n");
    malformed(b"--b\rX");
    malformed(b"--b\r\nno header\r\n\r\n");
    malformed(b"--b\r\nA: b\r\n c\r\n\r\n");
    malformed(b"--b\r\nContent-Disposition: \xff\r\n\r\n");
    malformed(b"--b\r\nContent-Disposition: form-data; name=\"a\nb\"\r\n\r\n");
    malformed(b"--b\r\nContent-Transfer-Encoding: base64\r\n\r\n");
    malformed(b"--b\r\nContent-Encoding: gzip\r\n\r\n");
    let many = "--b\r\n\r\n\r\n".repeat(65);
    assert_eq!(read("b", &[many.as_bytes()]), Err(FormError::TooMany));
    let long = format!("--b\r\nX: {}", "x".repeat(9_000));
    assert_eq!(read("b", &[long.as_bytes()]), Err(FormError::LongHead));
    assert_eq!(FormReader::new(&HeaderMap::new()).err(), Some(FormError::NoForm));
}
