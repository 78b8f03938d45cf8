//! The files that jobshim has given names for, uploads and outputs of jobs: in the store, for each scope, by name, with the asset
//! that each is at a server of Comfy API v2. An upload gets a name of its own as ComfyUI gives it.

use super::{
    asked_jobs::AskedJobs,
    files_at_hand::{ContentHash, FilesAtHand, KnownFile},
};
use crate::{
    auth::scope::Scope,
    mapping::dialect::FilePlace,
    store::{Change, Store, StoreError, Table},
};
use parking_lot::{Mutex, RwLock};
use std::{collections::HashSet, sync::Arc};

/// The longest id of an asset that is kept, in bytes.
pub(super) const LONGEST_ASSET: usize = 4 << 10;
/// How often an upload is given another name where others took the one that it had.
const MOST_NAMES: usize = 8;

/// The files of each scope by place, folder and name.
const FILES: Table<(Scope, String), KnownFile> = Table::new("files", "a file that has a name");

/// The files of all scopes.
pub struct KnownFiles {
    store: Arc<Store>,
    copy: Arc<RwLock<FilesAtHand>>,
    /// Names of uploads that are under way, with their bytes: one entry for each upload.
    claimed: Mutex<Vec<(Scope, String, ContentHash)>>,
    asked: Mutex<AskedJobs>,
}

/// The name of an upload, which nobody else is given while it is under way.
pub struct Claim {
    files: Arc<KnownFiles>,
    scope: Scope,
    wanted: FilePlace,
    /// The number behind its name; 0 for none.
    number: usize,
    /// Where it is.
    pub file: FilePlace,
    content: ContentHash,
    overwrite: bool,
}

impl Claim {
    /// The upload is the server's `asset` from now on. When this returns, no crash makes it unknown. Where another jobshim of
    /// the same store has given its name away meanwhile, it has another one then.
    ///
    /// # Errors
    /// It could not be stored; it is known all the same until the program ends. With [`StoreError::Changed`] it has no name:
    /// others took each that it could have.
    pub async fn uploaded(&mut self, asset: &str, now_ms: i64) -> Result<(), StoreError> {
        let file = KnownFile {
            asset: asset.to_owned(),
            made_ms: now_ms,
            content: Some(self.content),
            job: None,
        };
        let mut gone = Vec::new();
        for _ in 0..MOST_NAMES {
            let (change, before) = self.files.storing(self, &file, &mut gone);
            let stored = match change {
                Some(change) => self.files.store.commit_async(change).await,
                None => Err(StoreError::Changed),
            };
            match stored {
                // It was heard of.
                Ok(()) => return Ok(()),
                Err(StoreError::Changed) => self.take_another(before).await?,
                Err(error) => {
                    let (key, mut copy) = (self.file.key(), self.files.copy.write());
                    // It may have been stored all the same.
                    if copy.get(self.scope, &key).is_none_or(|known| **known != file) {
                        copy.put_unstored(self.scope, &key, file);
                    }
                    return Err(error);
                }
            }
        }
        Err(StoreError::Changed)
    }

    /// Its name is another's, and what was known there was `before`.
    async fn take_another(&mut self, before: Option<Arc<KnownFile>>) -> Result<(), StoreError> {
        // Who has it is heard of by then, or is not heard of now.
        let _ = self.files.store.confirm().await;
        let is_news = self.files.copy.read().get(self.scope, &self.file.key()) != before.as_ref();
        let first = if is_news { 0 } else { self.number + 1 };
        let wanted = self.wanted.clone();
        let other = self
            .files
            .claim_from(self.scope, wanted, self.content, self.overwrite, first);
        *self = other.ok_or(StoreError::Changed)?;
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let key = self.file.key();
        let mut claimed = self.files.claimed.lock();
        let mut all = claimed.iter();
        if let Some(at) =
            all.position(|(scope, of, content)| *scope == self.scope && *of == key && *content == self.content)
        {
            claimed.swap_remove(at);
        }
    }
}

impl KnownFiles {
    /// Those that `store` has.
    ///
    /// # Errors
    /// What is stored cannot be read.
    pub fn new(store: Arc<Store>) -> Result<Self, StoreError> {
        let copy = Arc::<RwLock<FilesAtHand>>::default();
        let hearing = Arc::clone(&copy);
        store.follow(&FILES, move |event| hearing.write().hear(event))?;
        Ok(Self {
            store,
            copy,
            claimed: Mutex::default(),
            asked: Mutex::default(),
        })
    }

    /// The asset of a file of `scope`.
    pub fn asset(&self, scope: Scope, file: &FilePlace) -> Option<String> {
        let copy = self.copy.read();
        Some(copy.get(scope, &file.key())?.asset.clone())
    }

    /// The asset of a file of `scope`, if that was uploaded.
    pub fn upload(&self, scope: Scope, file: &FilePlace) -> Option<String> {
        let copy = self.copy.read();
        let file = copy.get(scope, &file.key())?;
        file.is_upload().then(|| file.asset.clone())
    }

    /// Whether there is any file of `scope`.
    pub fn has_any(&self, scope: Scope) -> bool {
        self.copy.read().has_any(scope)
    }

    /// Job `id` of `scope` was asked for its files after its end: it will have no others.
    pub(super) fn asked(&self, scope: Scope, id: &str) {
        self.asked.lock().add(scope, id);
    }

    /// Whether that is so.
    pub(super) fn was_asked(&self, scope: Scope, id: &str) -> bool {
        self.asked.lock().has(scope, id)
    }

    /// The name under which an upload of `scope` goes: `wanted`, or the first with a number behind that where no other bytes
    /// are; `None` where such a name is too long. With `overwrite` what is there goes.
    pub fn claim(
        self: &Arc<Self>,
        scope: Scope,
        wanted: FilePlace,
        content: ContentHash,
        overwrite: bool,
    ) -> Option<Claim> {
        self.claim_from(scope, wanted, content, overwrite, 0)
    }

    /// The same from this number on.
    fn claim_from(
        self: &Arc<Self>,
        scope: Scope,
        wanted: FilePlace,
        content: ContentHash,
        overwrite: bool,
        first: usize,
    ) -> Option<Claim> {
        let copy = self.copy.read();
        let mut claimed = self.claimed.lock();
        let under_way = claimed
            .iter()
            .filter(|(of, _, other)| *of == scope && *other != content);
        let under_way: HashSet<&str> = under_way.map(|(_, name, _)| name.as_str()).collect();
        let is_other = |key: &str| {
            let known = copy.get(scope, key).is_some_and(|file| file.content != Some(content));
            known || under_way.contains(key)
        };
        let mut number = first;
        let file = loop {
            let file = match number {
                0 => wanted.clone(),
                number => wanted.numbered(number)?,
            };
            if overwrite || !is_other(&file.key()) {
                break file;
            }
            number += 1;
        };
        claimed.push((scope, file.key(), content));
        Some(Claim {
            files: Arc::clone(self),
            scope,
            wanted,
            number,
            file,
            content,
            overwrite,
        })
    }

    /// What stores an upload, if its name is still its own; and what is known there now. What has `gone` before goes with it.
    fn storing(
        &self,
        claim: &Claim,
        file: &KnownFile,
        gone: &mut Vec<(Scope, String)>,
    ) -> (Option<Change>, Option<Arc<KnownFile>>) {
        let (scope, key) = (claim.scope, claim.file.key());
        let mut copy = self.copy.write();
        let known = copy.get(scope, &key).cloned();
        let is_other = |known: &Arc<KnownFile>| known.content != file.content;
        if !claim.overwrite && known.as_ref().is_some_and(is_other) {
            return (None, None);
        }
        let stored = copy.stored(scope, &key).cloned();
        let (going, _) = copy.make_room(scope, &key, file);
        drop(copy);
        gone.extend(going);
        let key = (scope, key);
        let mut change = without(Change::default(), gone);
        if !claim.overwrite {
            change = change.expect(&FILES, &key, stored.as_deref());
        }
        (Some(change.put(&FILES, &key, file)), known)
    }

    /// A job of `scope` has files of these names. Of two jobs' files of one name, the one of the newer job is known. It is
    /// stored beside whatever goes on: where that fails, the job is asked for again after a restart.
    pub(super) fn made(&self, scope: Scope, files: Vec<(FilePlace, KnownFile)>) {
        let mut change = Change::default();
        let mut copy = self.copy.write();
        for (place, file) in files {
            let key = place.key();
            let known = copy.get(scope, &key);
            if file.asset.len() > LONGEST_ASSET || known.is_some_and(|known| !file.is_newer_than(known)) {
                continue;
            }
            // An upload that is stored meanwhile stays.
            let expected = match known {
                Some(known) if !known.is_upload() => None,
                _ => Some(copy.stored(scope, &key).cloned()),
            };
            let (gone, fits) = copy.make_room(scope, &key, &file);
            change = without(change, &gone);
            if !fits {
                continue;
            }
            copy.put(scope, &key, file.clone());
            let key = (scope, key);
            if let Some(expected) = expected {
                change = change.expect(&FILES, &key, expected.as_deref());
            }
            change = change.put(&FILES, &key, &file);
        }
        drop(copy);
        if change.is_empty() {
            return;
        }
        let store = Arc::clone(&self.store);
        tokio::spawn(async move {
            if let Err(error) = store.commit_async(change).await {
                tracing::debug!(%error, "the names of a job's files could not be stored");
            }
        });
    }
}

/// The change that also takes these files out.
fn without(change: Change, gone: &[(Scope, String)]) -> Change {
    gone.iter().fold(change, |change, key| change.remove(&FILES, key))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Scope = Scope([1; 32]);
    const OTHER: Scope = Scope([2; 32]);

    fn files() -> (Arc<Store>, Arc<KnownFiles>) {
        let store = Arc::new(Store::in_memory().expect("a store"));
        let files = Arc::new(KnownFiles::new(Arc::clone(&store)).expect("files"));
        (store, files)
    }

    fn place(name: &str) -> FilePlace {
        FilePlace {
            place: "input".to_owned(),
            folder: "sub".to_owned(),
            name: name.to_owned(),
        }
    }

    #[tokio::test]
    async fn an_upload_gets_a_name_that_no_other_bytes_have() {
        let (store, files) = files();
        let claim = |scope, content, overwrite| {
            let claim = files.claim(scope, place("a.png"), [content; 32], overwrite);
            claim.expect("a name")
        };
        let mut first = claim(ONE, 1, false);
        assert_eq!(first.file.name, "a.png");
        let meanwhile = claim(ONE, 2, false);
        assert_eq!(meanwhile.file.name, "a (1).png", "another is under way");
        drop(meanwhile);
        first.uploaded("asset", 5).await.expect("stored");
        drop(first);
        let name = |scope, content: u8, overwrite| claim(scope, content, overwrite).file.name.clone();
        assert_eq!(name(ONE, 1, false), "a.png", "the same bytes");
        assert_eq!(name(ONE, 2, false), "a (1).png");
        assert_eq!(name(ONE, 2, true), "a.png");
        assert_eq!(name(OTHER, 2, false), "a.png", "another scope's");
        let again = Arc::new(KnownFiles::new(store).expect("files"));
        assert_eq!(again.upload(ONE, &place("a.png")).as_deref(), Some("asset"));
        assert_eq!(again.asset(OTHER, &place("a.png")), None);
        assert!(files.claimed.lock().is_empty());
    }

    #[tokio::test]
    async fn of_two_jobs_files_of_one_name_the_newer_is_known() {
        let (_store, files) = files();
        let output = |asset: &str, made_ms| KnownFile {
            asset: asset.to_owned(),
            made_ms,
            content: None,
            job: Some(asset.to_owned()),
        };
        for (asset, made) in [("b", 2), ("a", 1), ("c", 3), ("b", 2)] {
            files.made(ONE, vec![(place("a.png"), output(asset, made))]);
        }
        assert_eq!(files.asset(ONE, &place("a.png")).as_deref(), Some("c"));
        assert_eq!(files.upload(ONE, &place("a.png")), None, "it is no upload");
        files.made(ONE, vec![(place("a.png"), output("d", 3))]);
        files.made(ONE, vec![(place("a.png"), output("c", 3))]);
        assert_eq!(
            files.asset(ONE, &place("a.png")).as_deref(),
            Some("d"),
            "of the same time, always the same"
        );
    }

    #[tokio::test]
    async fn an_output_takes_the_name_of_an_upload_only_where_it_is_newer() {
        let (_store, files) = files();
        let mut claim = files.claim(ONE, place("a.png"), [1; 32], false).expect("a name");
        claim.uploaded("upload", 5).await.expect("stored");
        let output = |made_ms| KnownFile {
            asset: "output".to_owned(),
            made_ms,
            content: None,
            job: Some("zzz".to_owned()),
        };
        for (made_ms, upload) in [(4, Some("upload")), (5, Some("upload")), (6, None)] {
            files.made(ONE, vec![(place("a.png"), output(made_ms))]);
            assert_eq!(files.upload(ONE, &place("a.png")).as_deref(), upload, "{made_ms}");
        }
    }

    #[tokio::test]
    async fn two_that_share_a_store_give_no_name_twice() {
        let (store, one) = files();
        let [other, third] = [(), ()].map(|()| Arc::new(KnownFiles::new(Arc::clone(&store)).expect("files")));
        // One that has not heard of anything yet.
        let deaf = Arc::new(KnownFiles {
            store,
            copy: Arc::default(),
            claimed: Mutex::default(),
            asked: Mutex::default(),
        });
        let claim = |files: &Arc<KnownFiles>, content, overwrite| {
            let claim = files.claim(ONE, place("a.png"), [content; 32], overwrite);
            claim.expect("a name")
        };
        let claims = [
            (claim(&one, 1, false), "a.png"),
            (claim(&other, 2, false), "a (1).png"),
            (claim(&third, 1, false), "a.png"),
            (claim(&deaf, 3, false), "a (2).png"),
            (claim(&deaf, 4, true), "a.png"),
        ];
        for (nth, (mut claim, name)) in claims.into_iter().enumerate() {
            assert_eq!(claim.file.name, "a.png", "all want the same");
            claim.uploaded(&nth.to_string(), 5).await.expect("stored");
            assert_eq!(claim.file.name, name);
            assert_eq!(one.upload(ONE, &place(name)), Some(nth.to_string()));
        }
        assert!(deaf.claimed.lock().is_empty());
    }

    #[test]
    fn an_upload_gets_no_name_that_is_too_long() {
        let (_store, files) = files();
        let long = |content| files.claim(ONE, place(&"x".repeat(255)), [content; 32], false);
        let first = long(1).expect("a name");
        assert!(long(2).is_none(), "a number makes it too long");
        drop(first);
        assert!(long(2).is_some());
    }
}
