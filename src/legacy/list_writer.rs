//! Writes a list from its pieces: as text, or as one gzip member, which takes up what is packed as it is.

use super::entry::PlainEntry;
use crate::{
    http::{
        encoding::Encoding,
        entity_tag::{Version, Versions},
        gzip::{GzipWriter, PackedText},
    },
    mapping::View,
};
use bytes::Bytes;

/// A part of a list, when it is known.
pub(super) enum Piece {
    Text(Bytes),
    /// An entry, and its place, counted from 1.
    Entry(PlainEntry, usize),
    /// One that is packed, of a list that has no places.
    Packed(PackedEntry),
    /// The job is gone by now: it is left out (docs/contract.md section 4).
    Gone,
}

/// What a list needs of an entry that is packed.
pub(super) struct PackedEntry {
    pub(super) text: PackedText,
    /// Of the text, in bytes.
    pub(super) length: usize,
    pub(super) version: Version,
    pub(super) position: usize,
}

/// Puts commas between entries, and counts.
pub(super) struct ListWriter {
    view: View,
    /// No entry since the last text.
    first: bool,
    gzip: Option<GzipWriter>,
    versions: Versions,
    /// How much text was written, in bytes.
    length: usize,
}

impl View {
    /// Whether its lists are made of `"id": entry`, which is kept packed.
    pub(super) fn has_members(self) -> bool {
        self == Self::History
    }
}

impl ListWriter {
    pub(super) fn new(view: View, is_packed: bool) -> Self {
        Self {
            view,
            first: true,
            gzip: is_packed.then(GzipWriter::default),
            versions: Versions::default(),
            length: 0,
        }
    }

    /// How much text was written, in bytes, however short it is when it is compressed.
    pub(super) fn length(&self) -> usize {
        self.length
    }

    /// The version of what was written.
    pub(super) fn version(&self) -> Version {
        self.versions.whole()
    }

    /// How all of it is compressed, where that is certain before its end.
    pub(super) fn encoding(&self) -> Option<Encoding> {
        self.gzip.is_some().then_some(Encoding::Gzip)
    }

    /// Adds what `piece` is to `out`.
    pub(super) fn write(&mut self, piece: Piece, out: &mut Vec<Bytes>) {
        match piece {
            Piece::Gone => {}
            Piece::Text(text) => {
                self.versions.text(&text);
                self.put(text, out);
                self.first = true;
            }
            Piece::Entry(plain, position) => {
                self.versions.part(plain.entry().version, position);
                self.part(out);
                if self.view.has_members() {
                    self.put(plain.member(), out);
                } else {
                    plain.item(position).for_each(|text| self.put(text, out));
                }
            }
            Piece::Packed(packed) => {
                self.versions.part(packed.version, packed.position);
                self.part(out);
                self.length += packed.length;
                if let Some(gzip) = &mut self.gzip {
                    gzip.inside_of(&packed.text, out);
                }
            }
        }
    }

    /// The end, and how all of it is compressed: not at all where it is too short for that.
    pub(super) fn end(&mut self, out: &mut Vec<Bytes>) -> Option<Encoding> {
        match self.gzip.take()?.end(out) {
            Ok(()) => Some(Encoding::Gzip),
            Err(text) => {
                out.push(text);
                None
            }
        }
    }

    fn part(&mut self, out: &mut Vec<Bytes>) {
        if !std::mem::replace(&mut self.first, false) {
            self.put(Bytes::from_static(b", "), out);
        }
    }

    fn put(&mut self, text: Bytes, out: &mut Vec<Bytes>) {
        self.length += text.len();
        match &mut self.gzip {
            Some(gzip) => gzip.text(&text, out),
            None => out.push(text),
        }
    }
}
