//! The body of an answer: which of the bytes that come are its content, and where it ends.

use super::{error::NotHttp, headers::header_map};
use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;

/// The most bytes of a chunk's size with its extensions, and of all trailers, in bytes; and the most trailers.
const MAX_LINE: usize = 4096;
const MAX_TRAILER_BYTES: usize = 16 << 10;
const MAX_TRAILERS: usize = 64;

/// Content that comes in pieces of at most so many bytes is copied out of what it was read into, which would otherwise be kept
/// as long as any piece of it waits for a client: a byte that came alone would keep 8 KiB.
const SMALL: usize = 512;
/// The most bytes of small chunks that become one piece.
const MAX_TOGETHER: usize = 8 << 10;

/// Reads a body of one of the three kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// So many bytes are still to come.
    Sized(u64),
    /// In chunks.
    Chunked(Chunk),
    /// All that comes until the connection ends.
    UntilClose,
}

/// Where in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk {
    /// Before a chunk's size.
    Size,
    /// So many bytes before a chunk's end.
    Content(u64),
    /// Before the line break that ends a chunk.
    Break,
    /// After the last chunk.
    Trailers,
    /// After everything.
    Over,
}

/// The next piece of a body.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    /// Content.
    Content(Bytes),
    /// Content of small chunks, copied together.
    Gathered(Bytes),
    /// What comes after the content.
    Trailers(HeaderMap),
    /// Nothing more comes.
    End,
    /// More must come first.
    More,
}

impl Reader {
    pub(super) fn chunked() -> Self {
        Self::Chunked(Chunk::Size)
    }

    /// Whether the end of the body is told by the body.
    pub fn ends_by_itself(self) -> bool {
        self != Self::UntilClose
    }

    /// Whether nothing more comes.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Sized(0) | Self::Chunked(Chunk::Over))
    }

    /// How many bytes are still to come, if that is known.
    pub fn left(self) -> Option<u64> {
        match self {
            Self::Sized(left) => Some(left),
            Self::Chunked(Chunk::Over) => Some(0),
            Self::Chunked(_) | Self::UntilClose => None,
        }
    }

    /// Takes the next piece from the front of `bytes`.
    pub fn read(&mut self, bytes: &mut BytesMut) -> Result<Piece, NotHttp> {
        let chunk = match self {
            Self::Sized(0) => return Ok(Piece::End),
            Self::Sized(left) => return Ok(content(left, bytes)),
            Self::UntilClose => {
                let mut endless = u64::MAX;
                return Ok(content(&mut endless, bytes));
            }
            Self::Chunked(chunk) => chunk,
        };
        let mut together = Vec::new();
        loop {
            let is_here = chunk.go_on(bytes);
            match (is_here, &mut *chunk) {
                (Ok(true), Chunk::Content(left)) => {
                    let here = here(*left, bytes);
                    if here > SMALL && together.is_empty() {
                        return Ok(content(left, bytes));
                    }
                    if here > SMALL || together.len() + here > MAX_TOGETHER {
                        return Ok(Piece::Gathered(together.into()));
                    }
                    together.extend_from_slice(bytes.get(..here).unwrap_or_default());
                    bytes.advance(here);
                    *left -= here as u64;
                }
                // What comes after the small chunks is for the next time, an error too: nothing of it is taken yet.
                _ if !together.is_empty() => return Ok(Piece::Gathered(together.into())),
                (Err(error), _) => return Err(error),
                (Ok(_), Chunk::Trailers) => {
                    let Some(trailers) = trailers(bytes)? else {
                        return Ok(Piece::More);
                    };
                    *chunk = Chunk::Over;
                    return Ok(match trailers.is_empty() {
                        true => Piece::End,
                        false => Piece::Trailers(trailers),
                    });
                }
                (Ok(_), Chunk::Over) => return Ok(Piece::End),
                (Ok(_), _) => return Ok(Piece::More),
            }
        }
    }
}

impl Chunk {
    /// Goes on to the next content, or to the trailers; whether some content is there.
    fn go_on(&mut self, bytes: &mut BytesMut) -> Result<bool, NotHttp> {
        loop {
            *self = match self {
                Self::Size => match size(bytes)? {
                    None => return Ok(false),
                    Some(0) => Self::Trailers,
                    Some(size) => Self::Content(size),
                },
                Self::Content(0) => Self::Break,
                Self::Content(_) => return Ok(!bytes.is_empty()),
                Self::Break => match &bytes[..] {
                    [b'\r', b'\n', ..] => {
                        bytes.advance(2);
                        Self::Size
                    }
                    [] | [b'\r'] => return Ok(false),
                    _ => return Err(NotHttp::Chunk),
                },
                Self::Trailers | Self::Over => return Ok(false),
            };
        }
    }
}

/// How many of the bytes to come are at the front of `bytes`.
fn here(left: u64, bytes: &BytesMut) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len())
}

fn content(left: &mut u64, bytes: &mut BytesMut) -> Piece {
    let here = here(*left, bytes);
    *left -= here as u64;
    match here {
        0 => Piece::More,
        1..=SMALL => {
            let piece = Bytes::copy_from_slice(bytes.get(..here).unwrap_or_default());
            bytes.advance(here);
            Piece::Content(piece)
        }
        _ => Piece::Content(bytes.split_to(here).freeze()),
    }
}

/// The size of the chunk at the front of `bytes`, which is taken away with its extensions: nobody knows any.
fn size(bytes: &mut BytesMut) -> Result<Option<u64>, NotHttp> {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        // What cannot become a size is not waited for.
        let hopeless = bytes.first().is_some_and(|first| !first.is_ascii_hexdigit());
        return match hopeless || bytes.len() > MAX_LINE {
            true => Err(NotHttp::Chunk),
            false => Ok(None),
        };
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r"));
    let line = line.filter(|line| line.len() <= MAX_LINE && !line.contains(&b'\r'));
    let line = line.ok_or(NotHttp::Chunk)?;
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at(digits);
    let is_extension = rest.trim_ascii_start().first().is_none_or(|first| *first == b';');
    let size = std::str::from_utf8(digits).ok().filter(|digits| digits.len() <= 16);
    let size = size.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    match size {
        Some(size) if is_extension => {
            bytes.advance(end + 1);
            Ok(Some(size))
        }
        _ => Err(NotHttp::Chunk),
    }
}

fn trailers(bytes: &mut BytesMut) -> Result<Option<HeaderMap>, NotHttp> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_TRAILERS];
    match httparse::parse_headers(bytes, &mut headers) {
        // httparse takes a bare line feed for a line's end, which others read on over.
        Ok(httparse::Status::Complete((length, parsed))) if !has_bare_line_feed(bytes, length) => {
            let trailers = header_map(parsed).map_err(|_| NotHttp::Trailers)?;
            bytes.advance(length);
            Ok(Some(trailers))
        }
        Ok(httparse::Status::Partial) if bytes.len() <= MAX_TRAILER_BYTES => Ok(None),
        _ => Err(NotHttp::Trailers),
    }
}

fn has_bare_line_feed(bytes: &[u8], length: usize) -> bool {
    let lines = bytes
        .get(..length)
        .unwrap_or_default()
        .split_inclusive(|byte| *byte == b'\n');
    lines.into_iter().any(|line| !line.ends_with(b"\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is read of `wire`, which comes in pieces of these lengths: the content, the trailers, and what is left.
    fn read(mut reader: Reader, wire: &[u8], pieces: &[usize]) -> Result<(Vec<u8>, HeaderMap, Vec<u8>), NotHttp> {
        let (mut content, mut trailers, mut bytes) = (Vec::new(), HeaderMap::new(), BytesMut::new());
        let mut cuts = pieces.iter().copied().chain(std::iter::repeat(wire.len().max(1)));
        let mut rest = wire;
        loop {
            match reader.read(&mut bytes)? {
                Piece::Content(more) | Piece::Gathered(more) => content.extend_from_slice(&more),
                Piece::Trailers(more) => trailers = more,
                Piece::End => break,
                Piece::More if rest.is_empty() => break,
                Piece::More => {
                    let cut = cuts.next().unwrap_or(1).clamp(1, rest.len());
                    let (now, later) = rest.split_at(cut);
                    bytes.extend_from_slice(now);
                    rest = later;
                }
            }
        }
        bytes.extend_from_slice(rest);
        Ok((content, trailers, bytes.to_vec()))
    }

    fn chunks(wire: &str) -> Result<(Vec<u8>, HeaderMap, Vec<u8>), NotHttp> {
        read(Reader::chunked(), wire.as_bytes(), &[])
    }

    #[test]
    fn the_size_of_a_chunk_is_hexadecimal_and_nothing_else() {
        for size in ["5", "05", "0000000000000005", "5;a=b", "5 ; a", "5\t;x", "5;\"quoted\""] {
            let (content, _, rest) = chunks(&format!("{size}\r\nhello\r\n0\r\n\r\nrest")).expect(size);
            assert_eq!((&content[..], &rest[..]), (&b"hello"[..], &b"rest"[..]), "{size}");
        }
        let long = format!("5;{}", "x".repeat(5000));
        for size in [
            "",
            " 5",
            "+5",
            "-5",
            "0x5",
            "5 5",
            "5h",
            "00000000000000005",
            "g",
            "5\n",
            "5\r",
            "5;\r",
            ";5",
            "5;a\rb",
            &long,
        ] {
            let outcome = chunks(&format!("{size}\r\nhello\r\n0\r\n\r\n"));
            assert_eq!(outcome, Err(NotHttp::Chunk), "{size:?}");
        }
        assert_eq!(chunks("5\nhello\r\n0\r\n\r\n"), Err(NotHttp::Chunk), "a bare line feed");
    }

    #[test]
    fn a_chunk_ends_where_its_size_says() {
        for wire in [
            "5\r\nhelloo\r\n0\r\n\r\n",
            "5\r\nhell\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhello0\r\n\r\n",
        ] {
            assert_eq!(chunks(wire), Err(NotHttp::Chunk), "{wire:?}");
        }
    }

    #[test]
    fn what_is_no_size_is_not_waited_for() {
        for wire in ["x", "\r", "<html>"] {
            assert_eq!(chunks(wire), Err(NotHttp::Chunk), "{wire:?}");
        }
        assert_eq!(chunks(&"1".repeat(5000)), Err(NotHttp::Chunk), "digits without end");
    }

    #[test]
    fn trailers_are_headers_and_bounded() {
        let (content, trailers, rest) = chunks("1\r\na\r\n0\r\nX-Sum: 7\r\nX-Sum: 8\r\n\r\nrest").expect("a body");
        assert_eq!((&content[..], &rest[..]), (&b"a"[..], &b"rest"[..]));
        assert_eq!(trailers.get_all("x-sum").iter().collect::<Vec<_>>(), ["7", "8"]);
        let many = "X: y\r\n".repeat(65);
        let long = "y".repeat(17 << 10);
        for bad in [
            "X : y\r\n",
            "X: y\r\n z\r\n",
            ": y\r\n",
            "X\r\n",
            &many,
            &format!("X: {long}"),
        ] {
            assert_eq!(chunks(&format!("0\r\n{bad}\r\n")), Err(NotHttp::Trailers), "{bad:.20?}");
        }
    }

    #[test]
    fn a_body_of_known_length_leaves_what_follows() {
        let (content, _, rest) = read(Reader::Sized(5), b"hello world", &[3, 1]).expect("a body");
        assert_eq!((&content[..], &rest[..]), (&b"hello"[..], &b" world"[..]));
    }

    #[test]
    fn small_chunks_are_one_piece_and_large_ones_are_not_copied() {
        let mut wire = BytesMut::from(&*"1\r\nx\r\n".repeat(10_000));
        let (mut reader, mut pieces) = (Reader::chunked(), Vec::new());
        while let Piece::Content(piece) | Piece::Gathered(piece) = reader.read(&mut wire).expect("a body") {
            pieces.push(piece.len());
        }
        assert_eq!(pieces, [MAX_TOGETHER, 10_000 - MAX_TOGETHER]);
        let mut wire = BytesMut::from(&*format!("1000\r\n{}\r\n1\r\nx\r\n0\r\n\r\n", "x".repeat(4096)));
        let place = wire.as_ptr();
        let Ok(Piece::Content(large)) = Reader::chunked().read(&mut wire) else {
            panic!("no content");
        };
        assert_eq!((large.len(), large.as_ptr()), (4096, place.wrapping_add(6)));
    }

    proptest! {
        #[test]
        fn a_chunked_body_is_the_same_however_it_was_cut(
            content in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8),
            pieces in prop::collection::vec(1_usize..30, 0..40),
        ) {
            let mut wire = Vec::new();
            for chunk in &content {
                wire.extend(format!("{:X};x=y\r\n", chunk.len()).bytes());
                wire.extend(chunk);
                wire.extend(b"\r\n");
            }
            wire.extend(b"0\r\nX-End: 1\r\n\r\nHTTP/1.1");
            let (read, trailers, rest) = read(Reader::chunked(), &wire, &pieces).expect("a body");
            prop_assert_eq!(read, content.concat());
            prop_assert_eq!(trailers.len(), 1);
            prop_assert_eq!(rest, b"HTTP/1.1");
        }

        #[test]
        fn no_bytes_make_it_panic_or_depend_on_how_they_were_cut(
            wire in "[0-9a-f;x\\r\\n :]{0,60}",
            pieces in prop::collection::vec(1_usize..9, 0..30),
        ) {
            let (whole, cut) = (chunks(&wire), read(Reader::chunked(), wire.as_bytes(), &pieces));
            prop_assert_eq!(whole, cut);
        }
    }
}
