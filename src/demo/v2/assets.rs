//! What was uploaded: assets, each of one owner. The same bytes again are the same asset.

use super::{jobs::Ids, multipart};
use bytes::Bytes;
use std::collections::VecDeque;
use twox_hash::XxHash3_128;

/// The most assets, and the most bytes of them all; the oldest make room.
const MAX_ASSETS: usize = 10_000;
const MAX_BYTES: usize = 1 << 30;

/// One upload.
#[derive(Clone, Debug)]
pub(super) struct Asset {
    pub id: String,
    pub owner: String,
    /// Looks like a BLAKE3 hash, and is none.
    pub hash: String,
    pub content_type: String,
    /// What stands for it where a workflow names a file.
    pub file_path: String,
    /// In µs.
    pub created: i64,
    pub bytes: Bytes,
}

/// All uploads, oldest first.
#[derive(Default)]
pub(super) struct Assets {
    all: VecDeque<Asset>,
    bytes: usize,
}

impl Assets {
    pub(super) fn get(&self, owner: &str, id: &str) -> Option<&Asset> {
        self.all.iter().find(|asset| asset.id == id && asset.owner == owner)
    }

    pub(super) fn of_any_owner(&self, id: &str) -> Option<&Asset> {
        self.all.iter().find(|asset| asset.id == id)
    }

    pub(super) fn has_file(&self, owner: &str, file_path: &str) -> bool {
        let mut own = self.all.iter().filter(|asset| asset.owner == owner);
        own.any(|asset| asset.file_path == file_path)
    }

    /// Takes an upload: the asset, and whether it is new. Otherwise the status, the code and the message of the refusal.
    pub(super) fn take(
        &mut self,
        owner: &str,
        content_type: &str,
        body: &Bytes,
        ids: &mut Ids,
        now: i64,
    ) -> Result<(&Asset, bool), (u16, &'static str, &'static str)> {
        let refused = |message| (422, "invalid_request", message);
        if !content_type.to_ascii_lowercase().starts_with("multipart/") {
            return Err(refused("Expected multipart/form-data."));
        }
        let parts = multipart::parse(content_type, body).ok_or(refused("Malformed multipart body."))?;
        let text = |name: &str| {
            let part = parts.iter().find(|part| part.name == name)?;
            let text = std::str::from_utf8(&part.body).ok()?.trim();
            (!text.is_empty()).then(|| text.to_owned())
        };
        let file = parts.iter().find(|part| part.name == "file");
        let file = file.ok_or(refused("Missing 'file' part."))?;
        let file_path = text("file_path").ok_or(refused("Missing 'file_path'."))?;
        let leads_out = |part: &str| matches!(part, "" | "." | "..");
        if file_path.len() > 1_024 || file_path.contains('\\') || file_path.split('/').any(leads_out) {
            return Err(refused("'file_path' must be a relative path below the input folder."));
        }
        let file_path = file_path.strip_prefix("input/").unwrap_or(&file_path).to_owned();
        let hash = XxHash3_128::oneshot(&file.body);
        let hash = format!("blake3:{hash:032x}{:032x}", !hash);
        if text("expected_hash").is_some_and(|expected| !expected.eq_ignore_ascii_case(&hash)) {
            let reason = "Client-declared hash does not match the received bytes.";
            return Err((409, "hash_mismatch", reason));
        }
        let is_same = |asset: &Asset| asset.owner == owner && asset.hash == hash;
        let known = self.all.iter().position(is_same);
        let place = known.unwrap_or_else(|| {
            let content_type = text("content_type").or_else(|| file.content_type.clone());
            self.add(Asset {
                id: ids.uuid(),
                owner: owner.to_owned(),
                hash,
                content_type: content_type.unwrap_or_else(|| "application/octet-stream".to_owned()),
                file_path,
                created: now,
                bytes: file.body.clone(),
            })
        });
        let taken = self.all.get(place);
        taken
            .map(|asset| (asset, known.is_none()))
            .ok_or((500, "upstream_error", "It is gone."))
    }

    fn add(&mut self, asset: Asset) -> usize {
        self.bytes += asset.bytes.len();
        self.all.push_back(asset);
        while (self.all.len() > MAX_ASSETS || self.bytes > MAX_BYTES) && self.all.len() > 1 {
            let oldest = self.all.pop_front();
            self.bytes -= oldest.map_or(0, |asset| asset.bytes.len());
        }
        self.all.len() - 1
    }
}

/// What a `Range` header asks for of `length` bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ranged {
    /// All of it, or a range that is not understood.
    Whole,
    /// From, and up to but without.
    Part(usize, usize),
    /// Nothing that there is.
    Outside,
}

/// Reads `bytes=from-to`; several ranges count as none.
pub(super) fn range(header: Option<&str>, length: usize) -> Ranged {
    let asked = header.and_then(|header| header.strip_prefix("bytes=")?.split_once('-'));
    let Some((from, to)) = asked else {
        return Ranged::Whole;
    };
    let number = |text: &str| text.trim().parse::<usize>().ok();
    match (number(from), number(to)) {
        (None, Some(last)) if from.trim().is_empty() => match last.min(length) {
            0 => Ranged::Outside,
            last => Ranged::Part(length - last, length),
        },
        (Some(from), _) if from >= length => Ranged::Outside,
        (Some(from), Some(to)) if to >= from => Ranged::Part(from, length.min(to.saturating_add(1))),
        (Some(from), None) if to.trim().is_empty() => Ranged::Part(from, length),
        _ => Ranged::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::{Ranged, range};

    #[test]
    fn ranges_are_read_as_they_are_meant() {
        for (header, wanted) in [
            ("bytes=0-3", Ranged::Part(0, 4)),
            ("bytes=2-", Ranged::Part(2, 10)),
            ("bytes=-3", Ranged::Part(7, 10)),
            ("bytes=-30", Ranged::Part(0, 10)),
            ("bytes=5-99", Ranged::Part(5, 10)),
            ("bytes=10-", Ranged::Outside),
            ("bytes=-0", Ranged::Outside),
            ("bytes=3-2", Ranged::Whole),
            ("bytes=0-1,4-5", Ranged::Whole),
            ("lines=0-1", Ranged::Whole),
        ] {
            assert_eq!(range(Some(header), 10), wanted, "{header}");
        }
        assert_eq!(range(None, 10), Ranged::Whole);
    }
}
