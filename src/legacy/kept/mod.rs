//! Jobs that stay answerable after their server has lost them (`history.keep`).
//!
//! `rows` is how they are stored, `copy` what is known of them without asking the store, `recorder` how they get there, and
//! `watcher` looks after those that have not ended, so that each is kept as soon as it has, and said to be lost where it cannot any
//! more.

mod copy;
mod error;
mod recorder;
mod rows;
mod watcher;

pub use error::KeptError;
pub(super) use error::no_room;

use crate::{
    auth::scope::Scope,
    config::{HistoryConfig, KeepLimits},
    http::buffered::BufferBudget,
    jobs_api::{DialectKind, EndedJob, JobsSession, List, Listed, Run},
    store::{Change, Event, Store, StoreError},
    telemetry::now_ms,
};
use bytes::Bytes;
use copy::{KeptCopy, UnfinishedCopy};
use parking_lot::{Mutex, RwLock};
use recorder::Recorder;
use rows::{CANCELLED, DELETIONS, DETAILS, KEPT, Key, PROMPTS, Parts, UNFINISHED, unpack};
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::task::spawn_blocking;
use watcher::Watch;

/// How many go at a time where there are too many, or where they are deleted.
const SOME: usize = 500;

/// The kept jobs.
pub struct Kept {
    store: Arc<Store>,
    limits: KeepLimits,
    lost_after: Duration,
    copy: Arc<RwLock<KeptCopy>>,
    unfinished: Arc<RwLock<UnfinishedCopy>>,
    deletions: Arc<AtomicU64>,
    recorder: Recorder,
    watch: Arc<Mutex<Watch>>,
    /// Whether some are being taken out for want of room.
    making_room: AtomicBool,
}

/// A moment: what is told of a job after it is kept only if no job was deleted meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeptSince(u64);

/// A kept job with its detail.
pub(super) struct KeptJob {
    pub run: Run,
    /// In which dialect its detail is.
    pub dialect: DialectKind,
    pub detail: Bytes,
    /// What was noted of its prompt.
    pub note: Option<Bytes>,
    /// For how long it is kept.
    pub age: Duration,
}

/// Whose jobs are deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Those of everybody: servers without credentials have one history for all.
    All,
    /// Those of one scope.
    Scope(Scope),
}

impl Kept {
    /// Takes up what is stored; `None` where nothing is to be kept.
    pub(super) fn new(config: &HistoryConfig, store: &Arc<Store>) -> Result<Option<Arc<Self>>, StoreError> {
        let Some(limits) = config.keep else {
            return Ok(None);
        };
        let kept = Self {
            store: Arc::clone(store),
            limits,
            lost_after: config.lost_after,
            copy: Arc::default(),
            unfinished: Arc::default(),
            deletions: Arc::default(),
            recorder: Recorder::default(),
            watch: Arc::default(),
            making_room: AtomicBool::new(false),
        };
        let (copy, unfinished, deletions) = (
            Arc::clone(&kept.copy),
            Arc::clone(&kept.unfinished),
            Arc::clone(&kept.deletions),
        );
        store.follow(&DELETIONS, move |event| {
            let now = match event {
                Event::All(rows) => rows.into_iter().next().map_or(0, |((), mark)| mark),
                Event::Put((), mark) => mark,
                Event::Gone(()) => 0,
            };
            deletions.store(now, SeqCst);
        })?;
        // Who is watched for knows the store, which would otherwise hold itself.
        let (watch, among) = (Arc::downgrade(&kept.watch), Arc::clone(&kept.unfinished));
        store.listen(&CANCELLED, move |ids| {
            // Some may have been missed: it may be any.
            let ids = ids.flatten().unwrap_or_else(|| among.read().ids());
            if let Some(watch) = watch.upgrade() {
                watch.lock().expect_to_vanish(ids);
            }
        })?;
        store.follow(&KEPT, move |event| copy.write().hear(event))?;
        store.follow(&UNFINISHED, move |event| unfinished.write().hear(event))?;
        Ok(Some(Arc::new(kept)))
    }

    /// This moment.
    pub(super) fn now(&self) -> KeptSince {
        KeptSince(self.deletions.load(SeqCst))
    }

    /// How many there are, and what they take in the store, in bytes.
    pub fn holds(&self) -> (usize, u64) {
        let copy = self.copy.read();
        (copy.count(), copy.bytes())
    }

    /// Adds the jobs that a list lacks, each marked as kept where the server has certainly lost it. Where there are such,
    /// it says for how long they have been kept at most. What they take is held within `budget`.
    pub(super) fn complete(
        &self,
        scope: Scope,
        list: &mut List,
        budget: &BufferBudget,
    ) -> Result<Option<Duration>, KeptError> {
        let (mut missing, since) = self.copy.read().missing_in(scope, &list.jobs);
        if list.complete {
            self.copy.write().note_lost(scope, &missing);
        }
        if missing.is_empty() {
            return Ok(None);
        }
        // Of a part of a list, those that were created before all of it may be in another part.
        let oldest = list.jobs.last().filter(|_| !list.complete).map(|job| job.created);
        for job in &mut missing {
            job.kept = oldest.is_none_or(|oldest| job.created > oldest);
        }
        let any = missing.iter().any(|job| job.kept);
        let mut share = budget.share();
        let room = missing.iter().map(Listed::room).sum();
        share.grow(room).map_err(no_room)?;
        list.shares.push(share);
        list.jobs.append(&mut missing);
        // Of jobs of the same moment the list has the older one first.
        list.jobs.sort_by(|one, other| other.created.total_cmp(&one.created));
        Ok(any.then(|| age(since)))
    }

    /// The kept jobs of a scope that a whole list lacks.
    pub(super) fn missing_in(&self, scope: Scope, list: &List) -> Vec<Arc<str>> {
        let (missing, _) = self.copy.read().missing_in(scope, &list.jobs);
        missing.into_iter().map(|job| job.id).collect()
    }

    /// Whether the last whole list of its scope lacked a job: what is remembered of it is to be marked.
    pub(super) fn is_lost(&self, scope: Scope, id: &Arc<str>) -> bool {
        self.copy.read().is_lost(scope, id)
    }

    /// A kept job, with its detail held within `budget`.
    pub(super) async fn read(
        &self,
        scope: Scope,
        id: &str,
        budget: &BufferBudget,
    ) -> Result<Option<KeptJob>, KeptError> {
        let Some(row) = self.copy.read().get(scope, id) else {
            return Ok(None);
        };
        let Some(Parts { detail, note, .. }) = self.parts(scope, id, false).await? else {
            return Ok(None);
        };
        let held = |text| budget.counted(text).map_err(no_room);
        Ok(Some(KeptJob {
            run: row.run,
            dialect: row.dialect,
            detail: held(detail)?,
            note: match note.is_empty() {
                true => None,
                false => Some(held(note)?),
            },
            age: age(row.since),
        }))
    }

    /// Whether a scope has this kept job, or any at all.
    pub(super) fn has_of(&self, scope: Scope, id: Option<&str>) -> bool {
        let copy = self.copy.read();
        match id {
            Some(id) => copy.get(scope, id).is_some(),
            None => copy.has_of(scope),
        }
    }

    /// The jobs of a scope that a whole list lacks and that are wanted, and for how long the longest kept one has been kept.
    pub(super) fn lost(
        &self,
        scope: Scope,
        listed: &[Listed],
        is_wanted: impl Fn(&EndedJob) -> bool,
    ) -> (Vec<Listed>, Duration) {
        let copy = self.copy.read();
        let (mut missing, since) = copy.missing_in(scope, listed);
        missing.retain(|job| {
            let ended_as = copy.get(scope, &job.id).and_then(|row| row.ended_as);
            ended_as.is_some_and(|ended| is_wanted(&ended))
        });
        (missing, age(since))
    }

    /// What lists of the Jobs API tell of a kept job.
    pub(super) async fn read_entry(&self, scope: Scope, id: &str) -> Result<Option<Bytes>, KeptError> {
        let parts = self.parts(scope, id, true).await?;
        Ok(parts.map(|parts| parts.entry.into()))
    }

    /// What is stored of a job apart from its row.
    async fn parts(&self, scope: Scope, id: &str, entry_alone: bool) -> Result<Option<Parts<Vec<u8>>>, StoreError> {
        let Some(packed) = self.store.blob_async(&DETAILS, (scope, id.to_owned())).await? else {
            return Ok(None);
        };
        let unpacked = spawn_blocking(move || unpack(&packed, entry_alone)).await;
        unpacked.unwrap_or(Err(StoreError::Stopping)).map(Some)
    }

    /// Deletes jobs for good: those with these ids, or all. When this returns, no jobshim of the same store shows them, and
    /// what was asked before and is answered later is not kept.
    pub(super) async fn delete(&self, reach: Reach, ids: Option<&[Arc<str>]>) -> Result<(), StoreError> {
        let mark = now_ms().max(self.deletions.load(SeqCst) + 1);
        self.store
            .commit_async(Change::default().put(&DELETIONS, &(), &mark))
            .await?;
        // One that has ended, and was not looked up since, is not lost either.
        self.expect_to_vanish(ids).await?;
        let ids: Option<HashSet<&str>> = ids.map(|ids| ids.iter().map(|id| &**id).collect());
        let scope = match reach {
            Reach::All => None,
            Reach::Scope(scope) => Some(scope),
        };
        let keys = self.copy.read().keys(scope, ids.as_ref());
        for keys in keys.chunks(SOME) {
            self.store.commit_async(removal(keys)).await?;
        }
        Ok(())
    }

    /// Takes out what is beyond the limits, unless that is under way; without waiting for it.
    pub fn make_room(self: &Arc<Self>) {
        let since = now_ms().saturating_sub(u64::try_from(self.limits.time.as_millis()).unwrap_or(u64::MAX));
        let is_any = || !self.beyond(since).is_empty() || !self.forgotten(since).is_empty();
        if self.store.is_current() && is_any() && !self.making_room.swap(true, SeqCst) {
            let kept = Arc::clone(self);
            tokio::spawn(async move {
                if let Err(error) = kept.take_out(since).await {
                    tracing::warn!(%error, "there are more kept jobs than history.keep allows");
                }
                kept.making_room.store(false, SeqCst);
            });
        }
    }

    async fn take_out(&self, since: u64) -> Result<(), StoreError> {
        loop {
            let gone = self.beyond(since);
            let forgotten = self.forgotten(since);
            if gone.is_empty() && forgotten.is_empty() {
                return Ok(());
            }
            let change = forgotten.iter().fold(removal(&gone), |change, key| {
                change.remove(&UNFINISHED, key).remove_blob(&PROMPTS, key)
            });
            self.store.commit_async(change).await?;
        }
    }

    fn beyond(&self, since: u64) -> Vec<Key> {
        let KeepLimits { jobs, bytes, .. } = self.limits;
        self.copy.read().beyond(jobs, bytes, since, SOME)
    }

    /// Jobs that were submitted before `since` and that nobody has asked after since then.
    fn forgotten(&self, since: u64) -> Vec<Key> {
        let unfinished = self.unfinished.read();
        let forgotten = unfinished.all().filter(|(_, _, row)| row.since < since);
        forgotten.take(SOME).map(|(scope, id, _)| (scope, id.clone())).collect()
    }

    /// Whether a job is kept, as this run of its id.
    fn has(&self, key: &Key, run: &Run) -> bool {
        let row = self.copy.read().get(key.0, &key.1);
        row.is_some_and(|row| !row.lost && row.run.is_same(run))
    }

    /// Somebody asks who may wait for jobs: they are looked after with these credentials, if they are not yet.
    pub(super) fn adopt(self: &Arc<Self>, session: &JobsSession) {
        let scope = session.caller().scope;
        if self.unfinished.read().of(scope).is_some() {
            self.watch_for(session);
        }
    }
}

/// For how long something is kept that was stored at `since`, in ms.
fn age(since: u64) -> Duration {
    Duration::from_millis(now_ms().saturating_sub(since))
}

fn removal(keys: &[Key]) -> Change {
    keys.iter().fold(Change::default(), |change, key| {
        change.remove(&KEPT, key).remove_blob(&DETAILS, key)
    })
}
