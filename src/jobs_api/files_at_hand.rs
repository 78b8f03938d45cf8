//! The files that have names, at hand: what of them stays where there are too many.

use crate::{auth::scope::Scope, store::Event};
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// The most files of one scope.
const MAX_OF_SCOPE: usize = 20_000;
/// The most files of all scopes.
const MAX_FILES: usize = 100_000;
/// What all of them may take, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// What a file takes besides its texts, in bytes.
const OVERHEAD: usize = 200;

/// What the bytes of an upload are known by: their SHA-256.
pub type ContentHash = [u8; 32];

/// One file.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct KnownFile {
    /// What the server calls it.
    pub asset: String,
    /// When it was uploaded, or its job was created, in ms since 1970.
    pub made_ms: i64,
    /// Of an upload, what its bytes are known by.
    pub content: Option<ContentHash>,
    /// Of an output, its job.
    pub job: Option<String>,
}

impl KnownFile {
    /// Whether a client has uploaded it.
    pub(super) fn is_upload(&self) -> bool {
        self.content.is_some()
    }

    /// Whether it goes before `other` of the same name. Of two that differ one always does.
    pub(super) fn is_newer_than(&self, other: &Self) -> bool {
        fn order(file: &KnownFile) -> impl Ord {
            (file.made_ms, file.is_upload(), &file.job, &file.asset, &file.content)
        }
        order(self) > order(other)
    }

    fn bytes(&self, key: &str) -> usize {
        OVERHEAD + key.len() + self.asset.len() + self.job.as_ref().map_or(0, String::len)
    }
}

/// Those of one scope.
#[derive(Default)]
struct OfScope {
    files: HashMap<Arc<str>, Arc<KnownFile>>,
    outputs: usize,
    bytes: usize,
}

/// What the store has, and what it would not take.
#[derive(Default)]
pub(super) struct FilesAtHand {
    of: HashMap<Scope, OfScope>,
    files: usize,
    bytes: usize,
    /// What could not be stored: it is known all the same.
    unstored: HashSet<(Scope, Arc<str>)>,
}

impl FilesAtHand {
    pub(super) fn get(&self, scope: Scope, key: &str) -> Option<&Arc<KnownFile>> {
        self.of.get(&scope)?.files.get(key)
    }

    /// The same, as far as it is stored.
    pub(super) fn stored(&self, scope: Scope, key: &str) -> Option<&Arc<KnownFile>> {
        let file = self.get(scope, key)?;
        let is_stored = self.unstored.is_empty() || !self.unstored.contains(&(scope, key.into()));
        is_stored.then_some(file)
    }

    /// Whether there is any file of `scope`.
    pub(super) fn has_any(&self, scope: Scope) -> bool {
        self.of.contains_key(&scope)
    }

    pub(super) fn put(&mut self, scope: Scope, key: &str, file: KnownFile) {
        self.remove(scope, key);
        let bytes = file.bytes(key);
        self.files += 1;
        self.bytes += bytes;
        let of = self.of.entry(scope).or_default();
        of.bytes += bytes;
        of.outputs += usize::from(!file.is_upload());
        of.files.insert(key.into(), Arc::new(file));
    }

    /// As [`FilesAtHand::put`], of what could not be stored.
    pub(super) fn put_unstored(&mut self, scope: Scope, key: &str, file: KnownFile) {
        self.put(scope, key, file);
        self.unstored.insert((scope, key.into()));
    }

    fn remove(&mut self, scope: Scope, key: &str) {
        let Some(of) = self.of.get_mut(&scope) else {
            return;
        };
        if let Some(file) = of.files.remove(key) {
            let bytes = file.bytes(key);
            self.files -= 1;
            self.bytes -= bytes;
            of.bytes -= bytes;
            of.outputs -= usize::from(!file.is_upload());
            if !self.unstored.is_empty() {
                self.unstored.remove(&(scope, key.into()));
            }
        }
        if of.files.is_empty() {
            self.of.remove(&scope);
        }
    }

    pub(super) fn hear(&mut self, event: Event<(Scope, String), KnownFile>) {
        match event {
            Event::All(rows) => {
                let before = std::mem::take(self);
                for ((scope, key), file) in rows {
                    self.put(scope, &key, file);
                }
                for (scope, key) in &before.unstored {
                    let file = before.get(*scope, key);
                    let file = file.filter(|file| {
                        let stored = self.get(*scope, key);
                        stored.is_none_or(|stored| file.is_newer_than(stored))
                    });
                    if let Some(file) = file {
                        self.put_unstored(*scope, key, (**file).clone());
                    }
                }
            }
            Event::Put((scope, key), file) => self.put(scope, &key, file),
            Event::Gone((scope, key)) => self.remove(scope, &key),
        }
    }

    /// Makes room for a file of `scope`: what goes for it, and whether there is room now. Outputs go first, as they can be
    /// asked for again, and for an output no upload goes; of the same kind the oldest go. Where all scopes together have too
    /// much, the one with the most gives.
    pub(super) fn make_room(&mut self, scope: Scope, key: &str, file: &KnownFile) -> (Vec<(Scope, String)>, bool) {
        let bytes = file.bytes(key);
        let mut gone = Vec::new();
        loop {
            let of_scope = self.of.get(&scope).map_or(0, |of| of.files.len());
            let from = if of_scope >= MAX_OF_SCOPE {
                Some(scope)
            } else if self.files >= MAX_FILES {
                self.largest(file, |of| of.files.len())
            } else if self.bytes + bytes > MAX_BYTES {
                self.largest(file, |of| of.bytes)
            } else {
                return (gone, true);
            };
            let given = from.map_or_else(Vec::new, |from| self.give(from, file));
            if given.is_empty() {
                return (gone, false);
            }
            gone.extend(given);
        }
    }

    /// The scope that has the most of what may go for `file`.
    fn largest(&self, file: &KnownFile, of: impl Fn(&OfScope) -> usize) -> Option<Scope> {
        let may_give = self.of.iter().filter(|(_, of)| file.is_upload() || of.outputs > 0);
        let largest = may_give.max_by_key(|(scope, files)| (of(files), scope.0));
        largest.map(|(scope, _)| *scope)
    }

    /// Takes out the oldest files of `scope` that may go for `file`: some at once, as they are looked for among all.
    fn give(&mut self, scope: Scope, file: &KnownFile) -> Vec<(Scope, String)> {
        let Some(of) = self.of.get(&scope) else {
            return Vec::new();
        };
        let uploads = of.outputs == 0;
        if uploads && !file.is_upload() {
            return Vec::new();
        }
        let files = of.files.iter().filter(|(_, file)| file.is_upload() == uploads);
        let mut files: Vec<(i64, &Arc<str>)> = files.map(|(key, file)| (file.made_ms, key)).collect();
        files.sort_unstable();
        let count = files.len() / 50 + 1;
        let oldest: Vec<_> = files.into_iter().take(count).map(|(_, key)| key.to_string()).collect();
        for key in &oldest {
            self.remove(scope, key);
        }
        oldest.into_iter().map(|key| (scope, key)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Scope = Scope([1; 32]);
    const OTHER: Scope = Scope([2; 32]);

    fn output(made_ms: i64) -> KnownFile {
        KnownFile {
            asset: String::new(),
            made_ms,
            content: None,
            job: None,
        }
    }

    fn upload(made_ms: i64) -> KnownFile {
        KnownFile {
            content: Some([0; 32]),
            ..output(made_ms)
        }
    }

    fn filled(files: &mut FilesAtHand, scope: Scope, count: usize, file: impl Fn(i64) -> KnownFile) {
        for nth in 0..count {
            let file = file(nth as i64);
            let key = format!("{} {nth}", file.is_upload());
            files.put(scope, &key, file);
        }
    }

    /// What goes for one more file: how many outputs, how many uploads, and whether there is room.
    fn goes(files: &mut FilesAtHand, scope: Scope, file: &KnownFile) -> (usize, usize, bool) {
        let before = (files.outputs(), files.files);
        let (gone, fits) = files.make_room(scope, "new", file);
        let outputs = before.0 - files.outputs();
        assert_eq!(gone.len(), before.1 - files.files, "what goes is told");
        (outputs, gone.len() - outputs, fits)
    }

    impl FilesAtHand {
        fn outputs(&self) -> usize {
            self.of.values().map(|of| of.outputs).sum()
        }
    }

    #[test]
    fn the_oldest_outputs_of_a_scope_go_before_its_uploads_and_no_upload_goes_for_an_output() {
        let mut files = FilesAtHand::default();
        filled(&mut files, ONE, MAX_OF_SCOPE - 10, upload);
        filled(&mut files, ONE, 10, output);
        assert_eq!(
            goes(&mut files, OTHER, &upload(0)),
            (0, 0, true),
            "another scope's stay"
        );
        assert_eq!(goes(&mut files, ONE, &upload(0)), (1, 0, true));
        assert!(files.get(ONE, "false 0").is_none() && files.get(ONE, "false 1").is_some());
        filled(&mut files, ONE, MAX_OF_SCOPE, upload);
        for nth in 0..10 {
            files.remove(ONE, &format!("false {nth}"));
        }
        assert_eq!(goes(&mut files, ONE, &output(i64::MAX)), (0, 0, false));
        let (outputs, uploads, fits) = goes(&mut files, ONE, &upload(i64::MAX));
        assert!(outputs == 0 && (1..1_000).contains(&uploads) && fits, "{uploads}");
        assert!(files.get(ONE, "true 0").is_none(), "the oldest goes");
    }

    #[test]
    fn where_all_have_too_many_the_scope_with_the_most_gives() {
        let mut files = FilesAtHand::default();
        for nth in 2..6 {
            filled(&mut files, Scope([nth; 32]), MAX_OF_SCOPE - 1, output);
        }
        let rest = MAX_FILES - files.files - 100;
        filled(&mut files, ONE, rest, upload);
        filled(&mut files, ONE, 100, |nth| output(nth - 1_000));
        let before = files.of[&ONE].files.len();
        let most = (2..6).map(|nth| files.of[&Scope([nth; 32])].files.len()).max();
        assert!(most < Some(before));
        assert_eq!(
            goes(&mut files, Scope([7; 32]), &upload(0)),
            (3, 0, true),
            "its outputs"
        );
        assert_eq!(files.of[&ONE].files.len(), before - 3);
    }

    #[test]
    fn it_goes_on_until_there_is_room_for_the_bytes() {
        let mut files = FilesAtHand::default();
        let long = |nth: i64| KnownFile {
            asset: "x".repeat(4_000),
            ..output(nth)
        };
        while files.bytes + 5_000 < MAX_BYTES {
            let nth = files.files as i64;
            // Many that are small, and then those that are large.
            let file = if nth < 5_000 { output(nth) } else { long(nth) };
            files.put(ONE, &nth.to_string(), file);
        }
        let huge = KnownFile {
            asset: "x".repeat(MAX_BYTES / 2),
            ..upload(0)
        };
        let (_, uploads, fits) = goes(&mut files, OTHER, &huge);
        assert!(fits && uploads == 0);
        assert!(files.bytes <= MAX_BYTES / 2, "{}", files.bytes);
    }

    #[test]
    fn what_could_not_be_stored_stays_known_when_all_is_heard_anew() {
        let mut files = FilesAtHand::default();
        files.put(ONE, "stored", upload(1));
        files.put_unstored(ONE, "unstored", upload(2));
        files.put_unstored(ONE, "older", upload(3));
        assert!(files.stored(ONE, "unstored").is_none());
        let key = |key: &str| (ONE, key.to_owned());
        let again = |files: &mut FilesAtHand| {
            files.hear(Event::All(vec![(key("older"), upload(4)), (key("other"), upload(5))]));
            let made = |key| files.get(ONE, key).map(|file| file.made_ms);
            ["stored", "unstored", "older", "other"].map(made)
        };
        let wanted = [None, Some(2), Some(4), Some(5)];
        assert_eq!(again(&mut files), wanted);
        assert_eq!(again(&mut files), wanted, "and once more");
        files.hear(Event::Put(key("unstored"), upload(6)));
        assert_eq!(
            again(&mut files),
            [None, None, Some(4), Some(5)],
            "it was stored meanwhile"
        );
    }

    #[test]
    fn of_two_files_one_is_newer() {
        let named = |asset: &str, made| KnownFile {
            asset: asset.to_owned(),
            ..output(made)
        };
        for (one, other) in [
            (named("b", 2), named("a", 3)),
            (named("a", 2), named("b", 2)),
            (named("b", 2), upload(2)),
            (upload(1), named("a", 2)),
        ] {
            assert!(
                other.is_newer_than(&one) && !one.is_newer_than(&other),
                "{one:?} {other:?}"
            );
            assert!(!one.is_newer_than(&one));
        }
    }
}
