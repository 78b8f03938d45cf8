//! Kept jobs as they are stored: what lists need of each, and apart from that its detail.

use crate::{
    auth::scope::Scope,
    jobs_api::{DialectKind, EndedJob, Listed, Run},
    mapping::dialect::State,
    store::{Blobs, Signal, StoreError, Table},
};
use bytes::Bytes;
use flate2::{Compression, Decompress, FlushDecompress, write::DeflateEncoder};
use serde::{Deserialize, Serialize};
use std::{io::Write, sync::Arc};

/// Whose job it is, and its id.
pub(super) type Key = (Scope, String);

/// Each kept job but for its detail.
pub(super) const KEPT: Table<Key, KeptRow> = Table::new("kept", "a kept job");
/// Their details, and what was noted of their prompts.
pub(super) static DETAILS: Blobs<Key> = Blobs::new("kept_details");
/// Each job that was submitted, and is not known to have ended.
pub(super) const UNFINISHED: Table<Key, UnfinishedRow> = Table::new("unfinished", "a job that has not ended");
/// What was noted of their prompts.
pub(super) static PROMPTS: Blobs<Key> = Blobs::new("unfinished_prompts");
/// How often jobs were deleted. What was asked for before a deletion and answered after it is not kept.
pub(super) const DELETIONS: Table<(), u64> = Table::new("kept_deletions", "how often kept jobs were deleted");

/// Jobs that somebody has cancelled or deleted: that they vanish is no loss. None: any.
pub(super) const CANCELLED: Signal<Option<Vec<String>>> = Signal::new("kept_cancelled");

/// A kept job but for its detail.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct KeptRow {
    pub number: f64,
    /// These are in ms.
    pub created: f64,
    pub started: f64,
    pub ended: f64,
    pub run: Run,
    /// In which dialect its detail is.
    pub dialect: DialectKind,
    /// When it was stored, in ms.
    pub since: u64,
    /// What its detail takes in the store.
    pub bytes: u64,
    /// Its server lost it before it had ended.
    pub lost: bool,
    /// What lists of the Jobs API are filtered by, where those are completed.
    pub ended_as: Option<EndedJob>,
}

/// A job that has not ended.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct UnfinishedRow {
    /// The number that the server gave it.
    pub number: Option<f64>,
    /// When it was submitted, in ms.
    pub since: u64,
    /// What its prompt takes in the store.
    pub bytes: u64,
}

impl KeptRow {
    /// What a list tells of it.
    pub(super) fn listed(&self, id: &Arc<str>) -> Listed {
        Listed {
            id: Arc::clone(id),
            state: State::Finished,
            number: self.number,
            created: self.created,
            started: self.started,
            ended: self.ended,
            run: self.run,
            text: Bytes::new(),
            kept: true,
        }
    }

    /// When it ended as far as that is known, in ms: by this the oldest one is told.
    pub(super) fn age_mark(&self) -> u64 {
        let ended = self.ended.max(self.created);
        match ended > 0.0 {
            true => ended as u64,
            false => self.since,
        }
    }
}

/// Of a stored text; what is sealed begins otherwise.
const FORM: u8 = b'J';
/// The form, and the length of each part.
const HEAD: usize = 1 + 3 * 4;

/// What is stored of a job apart from its row.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parts<T> {
    /// What lists of the Jobs API tell of it.
    pub entry: T,
    /// Its detail.
    pub detail: T,
    /// What was noted of its prompt.
    pub note: T,
}

/// What is stored of a job, compressed; `None` where it is too long.
pub(super) fn pack(parts: Parts<&[u8]>) -> Option<Vec<u8>> {
    let parts = [parts.entry, parts.detail, parts.note];
    let mut out = vec![FORM];
    for part in parts {
        out.extend_from_slice(&u32::try_from(part.len()).ok()?.to_be_bytes());
    }
    let mut encoder = DeflateEncoder::new(out, Compression::fast());
    for part in parts {
        encoder.write_all(part).ok()?;
    }
    encoder.finish().ok()
}

/// The same as it was; the entry alone where nothing else is needed.
///
/// # Errors
/// It is none that [`pack`] makes.
pub(super) fn unpack(packed: &[u8], entry_alone: bool) -> Result<Parts<Vec<u8>>, StoreError> {
    let damaged = || StoreError::Damaged("of kept jobs".to_owned(), "a job's detail cannot be read".to_owned());
    let (head, packed) = packed.split_first_chunk::<HEAD>().ok_or_else(damaged)?;
    let (form, lengths) = head.split_first().ok_or_else(damaged)?;
    let mut lengths = lengths
        .as_chunks::<4>()
        .0
        .iter()
        .map(|length| usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX));
    let (Some(entry), Some(detail), Some(note), FORM) = (lengths.next(), lengths.next(), lengths.next(), *form) else {
        return Err(damaged());
    };
    let (detail, note) = if entry_alone { (0, 0) } else { (detail, note) };
    let whole = entry.checked_add(detail).and_then(|both| both.checked_add(note));
    // Deflate makes of a byte no more than 1,032.
    let whole = whole
        .filter(|whole| whole / 1_032 <= packed.len())
        .ok_or_else(damaged)?;
    let mut text = Vec::with_capacity(whole);
    let mut inflate = Decompress::new(false);
    let outcome = inflate.decompress_vec(packed, &mut text, FlushDecompress::None);
    outcome.map_err(|_| damaged())?;
    if text.len() < whole {
        return Err(damaged());
    }
    text.truncate(whole);
    let note = text.split_off(entry + detail);
    let detail = text.split_off(entry);
    Ok(Parts {
        entry: text,
        detail,
        note,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_packed_is_unpacked(detail in prop::collection::vec(any::<u8>(), 0..400), note in ".{0,40}", entry in ".{0,9}") {
            let parts = Parts { entry: entry.as_bytes(), detail: &detail[..], note: note.as_bytes() };
            let packed = pack(parts).expect("packed");
            let entry_alone = unpack(&packed, true).expect("unpacked");
            prop_assert_eq!(entry_alone, Parts { entry: entry.clone().into_bytes(), ..Parts::default() });
            let all = Parts { entry: entry.into_bytes(), detail, note: note.into_bytes() };
            prop_assert_eq!(unpack(&packed, false).expect("unpacked"), all);
        }

        #[test]
        fn anything_is_unpacked_or_refused(text in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = unpack(&text, false);
            let _ = unpack(&[&[FORM, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0][..], &text].concat(), false);
        }
    }

    #[test]
    fn a_length_that_nothing_can_have_is_refused() {
        let mut packed = pack(Parts {
            detail: b"detail",
            ..Parts::default()
        })
        .expect("packed");
        packed[1] = 0xff;
        assert!(unpack(&packed, false).is_err());
    }
}
