//! The files that jobshim has given names for, uploads and outputs of jobs: in the store, for each scope, by name, with the asset
//! that each is at a server of Comfy API v2. An upload gets a name of its own as ComfyUI gives it.

use crate::{
    auth::scope::Scope,
    mapping::dialect::FilePlace,
    store::{Change, Event, Store, StoreError, Table},
};
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Serialize};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// The most files of one scope. The oldest go first.
const MAX_OF_SCOPE: usize = 20_000;
/// The most files of all scopes.
const MAX_FILES: usize = 100_000;
/// What all of them may take, in bytes.
const MAX_BYTES: usize = 64 << 20;
/// What a file takes besides its texts, in bytes.
const OVERHEAD: usize = 200;
/// The longest id of an asset that is kept, in bytes.
const LONGEST_ASSET: usize = 4 << 10;

/// The files of each scope by place, folder and name.
const FILES: Table<(Scope, String), KnownFile> = Table::new("files", "a file that has a name");

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
    fn bytes(&self) -> usize {
        OVERHEAD + self.asset.len() + self.job.as_ref().map_or(0, String::len)
    }
}

/// What the store has, at hand.
#[derive(Default)]
struct Copy {
    of: HashMap<Scope, HashMap<Arc<str>, Arc<KnownFile>>>,
    files: usize,
    bytes: usize,
}

impl Copy {
    fn get(&self, scope: Scope, key: &str) -> Option<&Arc<KnownFile>> {
        self.of.get(&scope)?.get(key)
    }

    fn put(&mut self, scope: Scope, key: &str, file: KnownFile) {
        self.remove(scope, key);
        self.files += 1;
        self.bytes += key.len() + file.bytes();
        self.of.entry(scope).or_default().insert(key.into(), Arc::new(file));
    }

    fn remove(&mut self, scope: Scope, key: &str) {
        let Some(of) = self.of.get_mut(&scope) else {
            return;
        };
        if let Some(file) = of.remove(key) {
            self.files -= 1;
            self.bytes -= key.len() + file.bytes();
        }
        if of.is_empty() {
            self.of.remove(&scope);
        }
    }

    fn hear(&mut self, event: Event<(Scope, String), KnownFile>) {
        match event {
            Event::All(rows) => {
                *self = Self::default();
                for ((scope, key), file) in rows {
                    self.put(scope, &key, file);
                }
            }
            Event::Put((scope, key), file) => self.put(scope, &key, file),
            Event::Gone((scope, key)) => self.remove(scope, &key),
        }
    }

    /// The oldest files, where `scope` or all together have as many as they may: somewhat more than need go, as they are looked
    /// for among all.
    fn surplus(&self, scope: Scope) -> Vec<(Scope, String)> {
        let of_scope = self.of.get(&scope).map_or(0, HashMap::len);
        let of_all = self.files >= MAX_FILES || self.bytes >= MAX_BYTES;
        if !of_all && of_scope < MAX_OF_SCOPE {
            return Vec::new();
        }
        let scopes = self.of.iter().filter(|(other, _)| of_all || scope == **other);
        let mut files: Vec<(i64, Scope, &Arc<str>)> = scopes
            .flat_map(|(scope, of)| of.iter().map(|(key, file)| (file.made_ms, *scope, key)))
            .collect();
        files.sort_unstable_by_key(|(made, ..)| *made);
        let count = files.len() / 50 + 1;
        let oldest = files.into_iter().take(count);
        oldest.map(|(_, scope, key)| (scope, key.to_string())).collect()
    }
}

/// The files of all scopes.
pub struct KnownFiles {
    store: Arc<Store>,
    copy: Arc<RwLock<Copy>>,
    /// Names of uploads that are under way, with their bytes: one entry for each upload.
    claimed: Mutex<Vec<(Scope, String, ContentHash)>>,
}

/// The name of an upload, which nobody else is given while it is under way.
pub struct Claim {
    files: Arc<KnownFiles>,
    scope: Scope,
    /// Where it is.
    pub file: FilePlace,
    content: ContentHash,
}

impl Claim {
    /// The upload is the server's `asset` from now on. When this returns, no crash makes it unknown.
    ///
    /// # Errors
    /// It could not be stored; it is known all the same until the program ends.
    pub async fn uploaded(&self, asset: &str, now_ms: i64) -> Result<(), StoreError> {
        let file = KnownFile {
            asset: asset.to_owned(),
            made_ms: now_ms,
            content: Some(self.content),
            job: None,
        };
        self.files.put(self.scope, vec![(self.file.key(), file)]).await
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
        let copy = Arc::<RwLock<Copy>>::default();
        let hearing = Arc::clone(&copy);
        store.follow(&FILES, move |event| hearing.write().hear(event))?;
        Ok(Self {
            store,
            copy,
            claimed: Mutex::default(),
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
        file.content.is_some().then(|| file.asset.clone())
    }

    /// Whether there is any file of `scope`.
    pub fn has_any(&self, scope: Scope) -> bool {
        self.copy.read().of.contains_key(&scope)
    }

    /// Those of `jobs` of `scope` that no file is known of.
    pub fn without_files<T>(&self, scope: Scope, jobs: Vec<T>, id: impl Fn(&T) -> &str) -> Vec<T> {
        let copy = self.copy.read();
        let files = copy.of.get(&scope).into_iter().flat_map(HashMap::values);
        let known: HashSet<&str> = files.filter_map(|file| file.job.as_deref()).collect();
        jobs.into_iter().filter(|job| !known.contains(id(job))).collect()
    }

    /// The name under which an upload of `scope` goes: `wanted`, or the first with a number behind that where no other bytes
    /// are. With `overwrite` what is there goes.
    pub fn claim(self: &Arc<Self>, scope: Scope, wanted: FilePlace, content: ContentHash, overwrite: bool) -> Claim {
        let copy = self.copy.read();
        let mut claimed = self.claimed.lock();
        let is_other = |key: &str| {
            let known = copy.get(scope, key).is_some_and(|file| file.content != Some(content));
            let mut under_way = claimed.iter().filter(|(of, name, _)| *of == scope && name == key);
            known || under_way.any(|(.., other)| *other != content)
        };
        let mut file = wanted.clone();
        let mut number = 0;
        while !overwrite && is_other(&file.key()) {
            number += 1;
            file = wanted.numbered(number);
        }
        claimed.push((scope, file.key(), content));
        Claim {
            files: Arc::clone(self),
            scope,
            file,
            content,
        }
    }

    /// A job of `scope` has files of these names. Of two jobs' files of one name, the one of the newer job is known. It is
    /// stored beside whatever goes on: where that fails, the job is asked for again after a restart.
    pub(super) fn made(self: &Arc<Self>, scope: Scope, files: Vec<(FilePlace, KnownFile)>) {
        let copy = self.copy.read();
        let is_news = |key: &str, file: &KnownFile| match copy.get(scope, key) {
            None => true,
            Some(known) => **known != *file && known.made_ms <= file.made_ms,
        };
        let files = files.into_iter().map(|(place, file)| (place.key(), file));
        let files: Vec<_> = files
            .filter(|(key, file)| file.asset.len() <= LONGEST_ASSET && is_news(key, file))
            .collect();
        drop(copy);
        if files.is_empty() {
            return;
        }
        let known = Arc::clone(self);
        let storing = known.put_at_once(scope, files);
        tokio::spawn(async move {
            if let Err(error) = known.store.commit_async(storing).await {
                tracing::debug!(%error, "the names of a job's files could not be stored");
            }
        });
    }

    async fn put(&self, scope: Scope, files: Vec<(String, KnownFile)>) -> Result<(), StoreError> {
        let change = self.put_at_once(scope, files);
        self.store.commit_async(change).await
    }

    /// Files are known at once; the change is what is to be stored.
    fn put_at_once(&self, scope: Scope, files: Vec<(String, KnownFile)>) -> Change {
        let mut change = Change::default();
        let mut copy = self.copy.write();
        for (key, file) in files {
            for (scope, key) in copy.surplus(scope) {
                copy.remove(scope, &key);
                change = change.remove(&FILES, &(scope, key));
            }
            change = change.put(&FILES, &(scope, key.clone()), &file);
            copy.put(scope, &key, file);
        }
        change
    }
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
        let first = files.claim(ONE, place("a.png"), [1; 32], false);
        assert_eq!(first.file.name, "a.png");
        let meanwhile = files.claim(ONE, place("a.png"), [2; 32], false);
        assert_eq!(meanwhile.file.name, "a (1).png", "another is under way");
        drop(meanwhile);
        first.uploaded("asset", 5).await.expect("stored");
        drop(first);
        let name = |scope, content: u8, overwrite| {
            let claim = files.claim(scope, place("a.png"), [content; 32], overwrite);
            claim.file.name.clone()
        };
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
        assert_eq!(files.without_files(ONE, vec!["b", "c"], |id| id), ["b"]);
    }

    #[test]
    fn the_oldest_go_once_there_are_too_many() {
        let mut copy = Copy::default();
        for nth in 0..MAX_OF_SCOPE as i64 {
            assert_eq!(copy.surplus(ONE), []);
            let file = KnownFile {
                asset: String::new(),
                made_ms: nth,
                content: None,
                job: None,
            };
            copy.put(ONE, &nth.to_string(), file);
        }
        let surplus = copy.surplus(ONE);
        assert_eq!(surplus.first().map(|(_, key)| key.as_str()), Some("0"));
        assert_eq!(copy.surplus(OTHER), [], "another scope's files stay");
        for (scope, key) in surplus {
            copy.remove(scope, &key);
        }
        assert!(copy.files < MAX_OF_SCOPE && copy.surplus(ONE).is_empty());
    }
}
