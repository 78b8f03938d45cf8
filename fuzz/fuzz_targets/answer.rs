//! The bytes of an upstream: what is read of them does not depend on how they were cut, and no more is read than came.
#![no_main]

use bytes::BytesMut;
use http::Method;
use jobshim::upstream::http1::{NotHttp, Piece, read_head};
use libfuzzer_sys::fuzz_target;

/// What there is of an answer: its status and headers, its content, and whether it came to its end.
type Read = Result<Option<(String, Vec<u8>, bool)>, NotHttp>;

fn read(method: &Method, wire: &[u8], step: usize) -> Read {
    let (mut bytes, mut pieces, mut seen) = (BytesMut::new(), wire.chunks(step), 0);
    let mut head = loop {
        if let Some(head) = read_head(&mut bytes, method, &mut seen)? {
            break head;
        }
        match pieces.next() {
            Some(piece) => bytes.extend_from_slice(piece),
            None => return Ok(None),
        }
    };
    let shown = format!("{:?}", head.response);
    let mut content = Vec::new();
    loop {
        match head.body.read(&mut bytes) {
            Ok(Piece::Content(more) | Piece::Gathered(more)) => content.extend_from_slice(&more),
            Ok(Piece::Trailers(_)) => {}
            Ok(Piece::End) => return Ok(Some((shown, content, true))),
            Ok(Piece::More) => match pieces.next() {
                Some(piece) => bytes.extend_from_slice(piece),
                None => return Ok(Some((shown, content, !head.body.ends_by_itself()))),
            },
            // How much came before that is the cut's.
            Err(_) => return Ok(Some((shown, Vec::new(), false))),
        }
    }
}

fuzz_target!(|input: &[u8]| {
    let Some((&first, wire)) = input.split_first() else {
        return;
    };
    let method = if first & 1 == 0 { Method::GET } else { Method::HEAD };
    let whole = read(&method, wire, wire.len().max(1));
    let cut = read(&method, wire, 1 + usize::from(first >> 1) % 16);
    match (&whole, &cut) {
        (Ok(Some((_, _, false))), Ok(Some((_, _, false)))) => {}
        // What is wrong in a line may be seen before its end, or not.
        (Err(_), Err(_) | Ok(None)) => {}
        _ => assert_eq!(whole, cut),
    }
    if let Ok(Some((_, content, _))) = whole {
        assert!(content.len() <= wire.len());
    }
});
