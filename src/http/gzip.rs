//! gzip members (RFC 1952) put together from parts that were compressed before: what never changes is compressed once,
//! whichever answers it is sent in.
//!
//! A member is a row of deflate blocks (RFC 1951). Here a part's blocks refer to nothing before them and end at a byte, so
//! they can stand in any member. The checksum of a whole is worked out from those of its parts.

use crate::http::encoding::NOT_WORTH_IT;
use bytes::Bytes;
use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress};
use std::sync::Arc;

/// The header of a member without name and time (RFC 1952 section 2.3), from an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
/// What a stored block (RFC 1951 section 3.2.4) adds to its bytes, where it begins at a byte.
const STORED_HEADER: usize = 5;
/// Checksum and length.
const TRAILER: usize = 8;
/// The most that one stored block takes, in bytes.
const STORED_MOST: usize = u16::MAX as usize;
/// Texts up to this many bytes are stored: blocks of their own would hardly be shorter.
const STORED_RATHER: usize = 64;
/// The level of compression: the first that fits its codes to the text.
const LEVEL: u32 = 2;
/// How much text is compressed at a time, in bytes.
const PORTION: usize = 64 << 10;

/// A text as a gzip member, of which all but the text's first and last byte has blocks of its own: of `{"id": entry}` the
/// whole is an answer, and the inside a part of a list.
#[derive(Clone, Debug)]
pub struct PackedText {
    member: Bytes,
    /// Checksum and length of the inside.
    inside_checksum: Arc<Crc>,
    /// The first and the last byte.
    ends: [u8; 2],
}

impl PackedText {
    /// `text`, compressed; `None` if it has no inside.
    pub fn of(text: &[u8]) -> Option<Self> {
        let [first, inside @ .., last] = text else {
            return None;
        };
        let mut member = Vec::with_capacity(text.len() / 8 + 256);
        member.extend(HEADER);
        store(&[*first], &mut member);
        Deflater::default().add(inside, &mut member);
        let inside_checksum = checksum(inside);
        let mut whole = checksum(&[*first]);
        whole.combine(&inside_checksum);
        whole.update(&[*last]);
        put_end(&[*last], &whole, &mut member);
        Some(Self {
            // No more than it takes is held.
            member: member.into_boxed_slice().into(),
            inside_checksum: Arc::new(inside_checksum),
            ends: [*first, *last],
        })
    }

    /// All of it.
    pub fn member(&self) -> &Bytes {
        &self.member
    }

    /// The blocks of the inside.
    fn inside(&self) -> Bytes {
        let begin = HEADER.len() + STORED_HEADER + 1;
        let end = self.member.len().saturating_sub(STORED_HEADER + 1 + TRAILER);
        self.member.slice(begin.min(end)..end)
    }

    /// The text, of `length` bytes. `None` if that is not what comes out.
    pub fn text(&self, length: usize) -> Option<Vec<u8>> {
        let mut text = Vec::with_capacity(length);
        text.push(self.ends[0]);
        let blocks = self.inside();
        let mut inflate = Decompress::new(false);
        inflate.decompress_vec(&blocks, &mut text, FlushDecompress::Sync).ok()?;
        text.push(self.ends[1]);
        (text.len() == length).then_some(text)
    }
}

/// Writes one member.
#[derive(Debug, Default)]
pub struct GzipWriter {
    /// Text that is not compressed yet.
    pending: Vec<u8>,
    /// Of what is compressed.
    checksum: Crc,
    deflater: Deflater,
    has_begun: bool,
}

impl GzipWriter {
    /// Adds text.
    pub fn text(&mut self, text: &[u8], out: &mut Vec<Bytes>) {
        self.pending.extend_from_slice(text);
        if self.pending.len() >= PORTION {
            self.flush(out);
        }
    }

    /// Adds the inside of a packed text, as it is.
    pub fn inside_of(&mut self, packed: &PackedText, out: &mut Vec<Bytes>) {
        self.flush(out);
        self.checksum.combine(&packed.inside_checksum);
        out.push(packed.inside());
    }

    /// The end; the text as it is, if it is so short that it is not worth it.
    pub fn end(mut self, out: &mut Vec<Bytes>) -> Result<(), Bytes> {
        if !self.has_begun && self.pending.len() <= NOT_WORTH_IT {
            return Err(self.pending.into());
        }
        self.flush(out);
        let mut end = Vec::with_capacity(STORED_HEADER + TRAILER);
        put_end(&[], &self.checksum, &mut end);
        out.push(end.into());
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<Bytes>) {
        let mut blocks = Vec::new();
        if !std::mem::replace(&mut self.has_begun, true) {
            blocks.extend(HEADER);
        }
        self.checksum.update(&self.pending);
        self.deflater.add(&self.pending, &mut blocks);
        self.pending.clear();
        if !blocks.is_empty() {
            out.push(blocks.into());
        }
    }
}

/// Makes blocks that stand for themselves. What it works with is kept from one text to the next.
#[derive(Debug, Default)]
struct Deflater(Option<Compress>);

impl Deflater {
    /// Adds `text` to `out`.
    fn add(&mut self, text: &[u8], out: &mut Vec<u8>) {
        let begin = out.len();
        if text.len() <= STORED_RATHER || !self.deflate(text, out) {
            out.truncate(begin);
            store(text, out);
        }
    }

    /// Whether all of it was compressed, up to a byte's end.
    fn deflate(&mut self, text: &[u8], out: &mut Vec<u8>) -> bool {
        let deflate = self
            .0
            .get_or_insert_with(|| Compress::new(Compression::new(LEVEL), false));
        deflate.reset();
        loop {
            let taken = deflate.total_in() as usize;
            let rest = text.get(taken..).unwrap_or_default();
            out.reserve(rest.len() / 8 + 256);
            if deflate.compress_vec(rest, out, FlushCompress::Sync).is_err() {
                return false;
            }
            // There was room for more than there was to say.
            if deflate.total_in() as usize == text.len() && out.len() < out.capacity() {
                return true;
            }
        }
    }
}

/// Adds stored blocks with `text`.
fn store(text: &[u8], out: &mut Vec<u8>) {
    for part in text.chunks(STORED_MOST) {
        put_stored(part, false, out);
    }
}

/// Adds the last block, with `text`, and the trailer of a member.
fn put_end(text: &[u8], checksum: &Crc, out: &mut Vec<u8>) {
    put_stored(text, true, out);
    out.extend(checksum.sum().to_le_bytes());
    out.extend(checksum.amount().to_le_bytes());
}

fn put_stored(text: &[u8], is_last: bool, out: &mut Vec<u8>) {
    let length = text.len() as u16;
    out.push(u8::from(is_last));
    out.extend(length.to_le_bytes());
    out.extend((!length).to_le_bytes());
    out.extend(text);
}

fn checksum(text: &[u8]) -> Crc {
    let mut checksum = Crc::new();
    checksum.update(text);
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::bufread::GzDecoder;
    use proptest::prelude::*;
    use std::io::Read;

    /// What comes out of the one member that there is, with nothing behind it.
    fn decoded(bytes: &[u8]) -> Vec<u8> {
        let mut decoder = GzDecoder::new(bytes);
        let mut text = Vec::new();
        decoder.read_to_end(&mut text).expect("a whole member");
        assert!(decoder.into_inner().is_empty(), "something follows the member");
        text
    }

    fn written(parts: &[(bool, Vec<u8>)]) -> Vec<u8> {
        let (mut writer, mut out) = (GzipWriter::default(), Vec::new());
        for (is_packed, text) in parts {
            match PackedText::of(text).filter(|_| *is_packed) {
                Some(packed) => writer.inside_of(&packed, &mut out),
                None => writer.text(text, &mut out),
            }
        }
        match writer.end(&mut out) {
            Ok(()) => decoded(&out.concat()),
            Err(text) => {
                assert!(out.is_empty() && text.len() <= NOT_WORTH_IT);
                text.into()
            }
        }
    }

    fn text() -> impl Strategy<Value = Vec<u8>> {
        let noise = prop::collection::vec(any::<u8>(), 0..3000);
        let repeats = (prop::collection::vec(any::<u8>(), 1..50), 0_usize..6000).prop_map(|(part, times)| {
            let mut text = part.repeat(times);
            text.truncate(200_000);
            text
        });
        prop_oneof![noise, repeats]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_packed_text_is_a_member_and_comes_out_as_it_went_in(text in text()) {
            match PackedText::of(&text) {
                Some(packed) => {
                    prop_assert!(decoded(packed.member()) == text);
                    prop_assert!(packed.text(text.len()).as_ref() == Some(&text));
                    prop_assert!(packed.text(text.len() + 1).is_none());
                }
                None => prop_assert!(text.len() < 2),
            }
        }

        #[test]
        fn whatever_is_put_together_is_one_member(parts in prop::collection::vec((any::<bool>(), text()), 0..12)) {
            let expected: Vec<u8> = parts.iter().flat_map(|(is_packed, text)| match text.as_slice() {
                [_, inside @ .., _] if *is_packed => inside,
                text => text,
            }).copied().collect();
            prop_assert!(written(&parts) == expected);
        }
    }

    #[test]
    fn a_text_longer_than_a_stored_block_that_cannot_be_compressed_is_whole() {
        let mut noise = 1_u64;
        let text: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (noise >> 56) as u8
        })
        .take(300_000)
        .collect();
        let packed = PackedText::of(&text).expect("an inside");
        assert!(decoded(packed.member()) == text);
        let mut stored = Vec::new();
        store(&text, &mut stored);
        assert_eq!(stored.len(), text.len() + 5 * STORED_HEADER);
    }
}
