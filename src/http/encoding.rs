//! Compression of answers: which one a client takes, and how it is made, whole or as it streams. A stream is one gzip member
//! or one zstd frame: browsers stop after the first.

use crate::http::body::BoxError;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue, header::ACCEPT_ENCODING};
use std::{
    cmp::Ordering,
    io::{self, Write},
};

/// Answers up to this many bytes are sent as they are: they fit in one packet anyway.
pub const NOT_WORTH_IT: usize = 1 << 10;
/// How much of a stream is put in before what came out of it goes on, in bytes: a reader waits no longer than for that.
const PORTION: usize = 64 << 10;

/// How an answer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

impl Encoding {
    /// The value of `Content-Encoding`.
    pub fn name(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }

    /// `text`, compressed.
    pub fn whole(self, text: &[u8]) -> io::Result<Bytes> {
        let mut encoder = Encoder::new(self)?;
        encoder.put(text)?;
        encoder.end()
    }

    /// A stream, compressed as it comes. It breaks where the stream does.
    pub fn stream(
        self,
        pieces: impl Stream<Item = Result<Bytes, BoxError>> + Send + Unpin + 'static,
    ) -> impl Stream<Item = Result<Bytes, BoxError>> + Send + 'static {
        let portions = pieces.flat_map(|piece| {
            let mut left = piece.map(Some);
            stream::iter(std::iter::from_fn(move || match &mut left {
                Ok(rest) => {
                    let rest = rest.as_mut().filter(|rest| !rest.is_empty())?;
                    Some(Ok(rest.split_to(rest.len().min(PORTION))))
                }
                Err(_) => std::mem::replace(&mut left, Ok(None)).err().map(Err),
            }))
        });
        let encoder = Encoder::new(self).map(Some);
        stream::unfold((portions, encoder), |(mut portions, encoder)| async move {
            let mut encoder = match encoder {
                Ok(encoder) => encoder?,
                Err(error) => return Some((Err(error.into()), (portions, Ok(None)))),
            };
            loop {
                let outcome = match portions.next().await {
                    Some(Ok(portion)) => encoder.put(&portion).map(|()| encoder.out()),
                    Some(Err(error)) => return Some((Err(error), (portions, Ok(None)))),
                    None => return Some((encoder.end().map_err(BoxError::from), (portions, Ok(None)))),
                };
                match outcome {
                    Ok(out) if out.is_empty() => {}
                    Ok(out) => return Some((Ok(out), (portions, Ok(Some(encoder))))),
                    Err(error) => return Some((Err(error.into()), (portions, Ok(None)))),
                }
            }
        })
    }
}

/// Which encodings a client takes, with their weights in thousandths (RFC 9110 section 12.5.3); 0 is one that it does not
/// take. Only what is named counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AcceptedEncodings {
    gzip: u16,
    zstd: u16,
}

impl AcceptedEncodings {
    /// What `Accept-Encoding` says.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut accepted = Self::default();
        for value in headers.get_all(ACCEPT_ENCODING) {
            for part in value.to_str().unwrap_or_default().split(',') {
                let (name, weight) = part.split_once(';').unwrap_or((part, ""));
                let name = name.trim();
                let is = |known: &str| name.eq_ignore_ascii_case(known);
                let known = match (is("gzip") || is("x-gzip"), is("zstd")) {
                    (true, _) => &mut accepted.gzip,
                    (_, true) => &mut accepted.zstd,
                    _ => continue,
                };
                *known = thousandths(weight).max(*known);
            }
        }
        accepted
    }

    /// The one that the client would rather have; `favoured` if it takes both alike.
    pub fn best(self, favoured: Encoding) -> Option<Encoding> {
        match self.gzip.cmp(&self.zstd) {
            Ordering::Greater => Some(Encoding::Gzip),
            Ordering::Less => Some(Encoding::Zstd),
            Ordering::Equal => (self.gzip > 0).then_some(favoured),
        }
    }
}

/// A weight as thousandths; 1 where there is none, 0 where it is none.
fn thousandths(text: &str) -> u16 {
    let text = text.trim();
    let Some(number) = text.strip_prefix("q=").or_else(|| text.strip_prefix("Q=")) else {
        return 1000;
    };
    match number.trim().parse::<f32>() {
        Ok(number) if (0.0..=1.0).contains(&number) => (number * 1000.0) as u16,
        _ => 0,
    }
}

enum Encoder {
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
}

impl Encoder {
    /// The fastest level of each: whoever polls waits for it.
    fn new(encoding: Encoding) -> io::Result<Self> {
        Ok(match encoding {
            Encoding::Gzip => Self::Gzip(Box::new(GzEncoder::new(Vec::new(), Compression::fast()))),
            Encoding::Zstd => Self::Zstd(Box::new(zstd::stream::write::Encoder::new(Vec::new(), 1)?)),
        })
    }

    fn put(&mut self, text: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(text),
            Self::Zstd(encoder) => encoder.write_all(text),
        }
    }

    /// What has come out so far.
    fn out(&mut self) -> Bytes {
        let out = match self {
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Zstd(encoder) => encoder.get_mut(),
        };
        std::mem::take(out).into()
    }

    fn end(self) -> io::Result<Bytes> {
        Ok(match self {
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
        }
        .into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn the_best_encoding_that_a_client_takes_is_chosen() {
        use Encoding::{Gzip, Zstd};
        let accepted = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, value.parse().expect("a value"));
            AcceptedEncodings::of(&headers)
        };
        for (value, expected) in [
            ("gzip, deflate", Some(Gzip)),
            ("zstd", Some(Zstd)),
            ("zstd;q=0.5, gzip", Some(Gzip)),
            ("gzip;q=0.5, zstd;q=0.6", Some(Zstd)),
            ("zstd;q=0, GZIP;q=0.1", Some(Gzip)),
            ("gzip;q=0, x-gzip;q=0.1", Some(Gzip)),
            ("gzip;q=0", None),
            ("gzip;q=x", None),
            ("identity", None),
            ("*", None),
            ("br", None),
            ("", None),
        ] {
            for favoured in [Gzip, Zstd] {
                assert_eq!(accepted(value).best(favoured), expected, "{value}");
            }
        }
        for both in ["gzip, deflate, br, zstd", "zstd;q=0.5, gzip;q=0.5"] {
            for favoured in [Gzip, Zstd] {
                assert_eq!(accepted(both).best(favoured), Some(favoured), "{both}");
            }
        }
        assert_eq!(AcceptedEncodings::of(&HeaderMap::new()).best(Gzip), None);
    }

    fn unfolded(encoding: Encoding, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match encoding {
            // Not the decoder for several members: what follows the first is lost to browsers.
            Encoding::Gzip => flate2::read::GzDecoder::new(text).read_to_end(&mut out).expect("gzip"),
            Encoding::Zstd => zstd::stream::read::Decoder::new(text)
                .expect("a decoder")
                .single_frame()
                .read_to_end(&mut out)
                .expect("zstd"),
        };
        out
    }

    #[tokio::test]
    async fn a_stream_is_one_member_and_comes_out_as_it_went_in() {
        let pieces: Vec<Bytes> = [0, 1, 70_000, 0, 300_000]
            .iter()
            .map(|length| {
                (0..*length)
                    .map(|at: usize| (at % 251) as u8)
                    .collect::<Vec<u8>>()
                    .into()
            })
            .collect();
        let all = pieces.concat();
        for encoding in [Encoding::Gzip, Encoding::Zstd] {
            let stream = stream::iter(pieces.clone().into_iter().map(Ok));
            let out: Vec<_> = encoding.stream(stream).collect().await;
            let out = out
                .into_iter()
                .collect::<Result<Vec<Bytes>, _>>()
                .expect("no failure")
                .concat();
            assert!(unfolded(encoding, &out) == all, "{encoding:?}");
            assert!(
                unfolded(encoding, &encoding.whole(&all).expect("compressed")) == all,
                "{encoding:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_stream_that_breaks_does_not_end_well() {
        let pieces = stream::iter([Ok(Bytes::from_static(b"begun")), Err("broken".into())]);
        let out: Vec<Result<Bytes, BoxError>> = Encoding::Gzip.stream(pieces).collect().await;
        assert!(out.last().is_some_and(Result::is_err), "{out:?}");
    }
}
