//! Stores jobs that have ended, many at a time, behind the answers that they were read for.

use super::{
    Kept, KeptSince,
    rows::{DELETIONS, DETAILS, KEPT, KeptRow, Key, PROMPTS, Parts, UNFINISHED, UnfinishedRow, pack},
};
use crate::{
    jobs_api::{self, JobsSession, Listed},
    store::{Change, StoreError},
    telemetry::now_ms,
};
use bytes::Bytes;
use parking_lot::Mutex;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    task::spawn_blocking,
    time::{sleep, timeout},
};

/// How much may wait to be stored, in KiB.
const MAX_WAITING: u32 = 4 << 10;
/// How many jobs.
const MAX_ITEMS: usize = 10_000;
/// How long a job waits for room there. One that finds none is looked up again.
const PATIENCE: Duration = Duration::from_millis(250);
/// How long it is waited until what could not be stored is tried again, at first and at most.
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST_AGAIN: Duration = Duration::from_secs(60);
/// How many are stored at a time.
const BATCH: usize = 64;
/// The most jobs that have not ended, and the bytes that their prompts take.
const MAX_UNFINISHED: usize = 10_000;
const MAX_PROMPTS: u64 = 64 << 20;

/// What waits to be stored.
pub(super) struct Recorder {
    waiting: Mutex<Waiting>,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    /// Somebody stores them.
    at_work: bool,
}

/// What is to be stored.
enum Item {
    /// A job that has ended, or is lost.
    Job(Box<EndedJob>),
    /// A job was submitted.
    Submitted(Key, Option<f64>, Option<(Bytes, OwnedSemaphorePermit)>),
    /// A job has ended that is kept already.
    Ended(Key, Option<f64>),
    /// A job is gone, and was meant to be.
    Cancelled(Key, Option<f64>),
}

/// When what was told of a job is stored.
pub(super) enum Condition {
    Always,
    /// If it is still stored so among those that have not ended, or is not: another jobshim may have kept it, with the note that is
    /// gone since.
    StoredAs(Option<UnfinishedRow>),
}

/// A job that has ended.
pub(super) struct EndedJob {
    pub key: Key,
    /// As a list tells of it.
    pub job: Listed,
    pub detail: Bytes,
    /// What was noted of its prompt.
    pub note: Option<Bytes>,
    pub lost: bool,
    pub condition: Condition,
    /// When it was asked for.
    pub since: KeptSince,
    /// By whom, if it must be asked for again.
    pub session: JobsSession,
    /// Held while it waits to be stored.
    _room: Option<OwnedSemaphorePermit>,
}

impl Default for Recorder {
    fn default() -> Self {
        Self {
            waiting: Mutex::default(),
            room: Arc::new(Semaphore::new(MAX_WAITING as usize)),
        }
    }
}

impl Kept {
    /// Keeps a job that has ended, as its server told of it when it was asked at `since`. It is stored behind the answer.
    pub(in crate::legacy) async fn record(
        self: &Arc<Self>,
        session: &JobsSession,
        detail: &Bytes,
        note: Option<&Bytes>,
        since: KeptSince,
    ) {
        self.record_ended(session, detail, note.cloned(), Condition::Always, since)
            .await;
    }

    /// The same of one whose note was read from the store.
    pub(super) async fn record_ended(
        self: &Arc<Self>,
        session: &JobsSession,
        detail: &Bytes,
        note: Option<Bytes>,
        condition: Condition,
        since: KeptSince,
    ) {
        let Some(job) = session.job_in(detail).filter(Listed::is_finite) else {
            return;
        };
        let key = (session.caller().scope, job.id.to_string());
        if self.has(&key, &job.run) {
            if self.is_lost(key.0, &job.id) {
                self.copy.write().found(key.0, &key.1);
            }
            if self.unfinished.read().get(&key).is_some() {
                self.push(Item::Ended(key, job.run.number()));
            }
            return;
        }
        let ended = EndedJob {
            key,
            job,
            detail: detail.clone(),
            note,
            lost: false,
            condition,
            since,
            session: session.clone(),
            _room: None,
        };
        self.store_ended(ended).await;
    }

    /// Keeps what a lost job is shown as, if it is still stored as `row`.
    pub(super) async fn record_lost(
        self: &Arc<Self>,
        session: &JobsSession,
        key: Key,
        detail: Bytes,
        note: Option<Bytes>,
        row: UnfinishedRow,
        since: KeptSince,
    ) {
        let Some(job) = session.job_in(&detail) else {
            return;
        };
        let ended = EndedJob {
            key,
            job,
            detail,
            note,
            lost: true,
            condition: Condition::StoredAs(Some(row)),
            since,
            session: session.clone(),
            _room: None,
        };
        self.store_ended(ended).await;
    }

    async fn store_ended(self: &Arc<Self>, ended: EndedJob) {
        let bytes = ended.detail.len() + ended.note.as_ref().map_or(0, Bytes::len);
        let room = Arc::clone(&self.recorder.room).acquire_many_owned(kib(bytes));
        match timeout(PATIENCE, room).await {
            Ok(Ok(room)) => self.push(Item::Job(Box::new(EndedJob {
                _room: Some(room),
                ..ended
            }))),
            _ => {
                tracing::debug!("a job waits to be kept: the store is slow");
                self.look_up(&ended.session, &ended.key.1);
            }
        }
    }

    /// A job was submitted, and is looked after until it has ended.
    pub fn submitted(self: &Arc<Self>, session: &JobsSession, id: &str, number: Option<f64>, note: Option<Bytes>) {
        let key = (session.caller().scope, id.to_owned());
        let (count, bytes) = self.unfinished.read().size();
        if count >= MAX_UNFINISHED {
            tracing::warn!(
                most = MAX_UNFINISHED,
                "a job is not looked after: too many have not ended"
            );
            return;
        }
        // A note is of use, and no job fails for want of it.
        let note = note.filter(|note| bytes + note.len() as u64 <= MAX_PROMPTS);
        let note = note.and_then(|note| {
            let room = Arc::clone(&self.recorder.room).try_acquire_many_owned(kib(note.len()));
            Some((note, room.ok()?))
        });
        self.push(Item::Submitted(key, number, note));
        // It may be looked for before it is stored that it is to be.
        self.look_up(session, id);
    }

    /// A job that has not ended will not be heard of again: that is what its client wanted.
    pub(super) fn cancelled(self: &Arc<Self>, key: Key, number: Option<f64>) {
        self.push(Item::Cancelled(key, number));
    }

    fn push(self: &Arc<Self>, item: Item) {
        let begins = {
            let mut waiting = self.recorder.waiting.lock();
            if waiting.items.len() >= MAX_ITEMS {
                tracing::warn!(
                    most = MAX_ITEMS,
                    "what has become of a job is not stored: the store is slow"
                );
                return;
            }
            waiting.items.push_back(item);
            !std::mem::replace(&mut waiting.at_work, true)
        };
        if !begins {
            return;
        }
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(Arc::clone(self).store_all())),
            // The program is ending.
            Err(_) => self.recorder.waiting.lock().at_work = false,
        }
    }

    /// Stores what waits until nothing does.
    async fn store_all(self: Arc<Self>) {
        let mut pause = AGAIN;
        loop {
            let batch: Vec<Item> = {
                let mut waiting = self.recorder.waiting.lock();
                let some = waiting.items.len().min(BATCH);
                waiting.at_work = some > 0;
                waiting.items.drain(..some).collect()
            };
            if batch.is_empty() {
                break;
            }
            let kept = Arc::clone(&self);
            match spawn_blocking(move || kept.store_batch(batch)).await {
                Ok(left) if left.is_empty() => pause = AGAIN,
                Ok(left) => {
                    {
                        let mut waiting = self.recorder.waiting.lock();
                        left.into_iter().rev().for_each(|item| waiting.items.push_front(item));
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_AGAIN);
                }
                Err(_) => tracing::warn!("jobs that have ended are not kept: storing them failed"),
            }
            self.make_room();
        }
    }

    /// Stores a batch. Gives what is to be tried again; jobs that have ended are looked up again instead.
    fn store_batch(self: &Arc<Self>, batch: Vec<Item>) -> Vec<Item> {
        let mut marks = Vec::new();
        let mut jobs = Vec::new();
        for item in batch {
            match item {
                Item::Job(job) => jobs.push(job),
                mark => marks.push(mark),
            }
        }
        let mut submitted = HashMap::new();
        let change = marks.iter().fold(Change::default(), |change, mark| {
            self.marked(change, mark, &mut submitted)
        });
        if !change.is_empty()
            && let Err(error) = self.store.commit(change)
        {
            tracing::warn!(%error, jobs = marks.len(), "jobs that have not ended could not be noted; it is tried again");
            self.look_up_all(&jobs);
            return marks;
        }
        let now = self.now();
        // What was deleted meanwhile may be one of the others.
        let (jobs, again): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.since == now);
        self.look_up_all(&again);
        self.store_jobs(now, &jobs);
        Vec::new()
    }

    /// Stores jobs that were asked for `now`; those that cannot be stored are looked up again.
    fn store_jobs(self: &Arc<Self>, now: KeptSince, jobs: &[Box<EndedJob>]) {
        if jobs.is_empty() {
            return;
        }
        let change = match now.0 {
            0 => Change::default().expect(&DELETIONS, &(), None),
            mark => Change::default().expect(&DELETIONS, &(), Some(&mark)),
        };
        let keys: HashSet<&Key> = jobs.iter().map(|job| &job.key).collect();
        let outcome = match keys.len() == jobs.len() {
            true => self
                .store
                .commit(jobs.iter().fold(change, |change, job| self.kept(change, job))),
            // What is expected of the second of one key depends on the first.
            false => Err(StoreError::Changed),
        };
        match outcome {
            Ok(()) => return,
            // It may be one of them alone.
            Err(StoreError::Changed) if jobs.len() > 1 => {
                jobs.chunks(1).for_each(|job| self.store_jobs(now, job));
                return;
            }
            Err(StoreError::Changed) => {}
            Err(error) => {
                tracing::warn!(%error, jobs = jobs.len(), "jobs that have ended could not be kept; they are looked up again");
            }
        }
        self.look_up_all(jobs);
    }

    fn look_up_all(self: &Arc<Self>, jobs: &[Box<EndedJob>]) {
        jobs.iter().for_each(|job| self.look_up(&job.session, &job.key.1));
    }

    /// What is stored of a job that has not ended, or not any more.
    fn marked(&self, change: Change, mark: &Item, submitted: &mut HashMap<Key, Option<f64>>) -> Change {
        match mark {
            Item::Submitted(key, number, note) => {
                let packed = note.as_ref().and_then(|(note, _)| {
                    pack(Parts {
                        note: &note[..],
                        ..Parts::default()
                    })
                });
                let row = UnfinishedRow {
                    number: *number,
                    since: now_ms(),
                    bytes: packed.as_ref().map_or(0, |packed| packed.len() as u64),
                };
                submitted.insert(key.clone(), *number);
                let change = change.put(&UNFINISHED, key, &row);
                match packed {
                    Some(packed) => change.put_blob(&PROMPTS, key, packed),
                    None => change.remove_blob(&PROMPTS, key),
                }
            }
            Item::Ended(key, number) | Item::Cancelled(key, number) => self.ended(change, submitted, key, *number),
            Item::Job(_) => change,
        }
    }

    /// What is stored of a job that has ended.
    fn kept(&self, change: Change, job: &EndedJob) -> Change {
        let (entry, ended_as) = job.session.list_entry(&job.detail).unzip();
        let packed = pack(Parts {
            entry: entry.as_deref().unwrap_or_default(),
            detail: &job.detail,
            note: job.note.as_deref().unwrap_or_default(),
        });
        let Some(packed) = packed else {
            tracing::warn!(bytes = job.detail.len(), "a job is too long to be kept");
            return change;
        };
        let row = row_of(job, packed.len() as u64, ended_as);
        let change = match &job.condition {
            Condition::Always => change,
            Condition::StoredAs(row) => change.expect(&UNFINISHED, &job.key, row.as_ref()),
        };
        let change = change.put(&KEPT, &job.key, &row).put_blob(&DETAILS, &job.key, packed);
        self.ended(change, &HashMap::new(), &job.key, job.job.run.number())
    }

    /// The run of a job with this number is not looked after any more.
    fn ended(&self, change: Change, submitted: &HashMap<Key, Option<f64>>, key: &Key, number: Option<f64>) -> Change {
        let of_store = || self.unfinished.read().get(key).map(|row| row.number);
        let waits_for = submitted.get(key).copied().or_else(of_store);
        match waits_for {
            None => change,
            // A later run has the same id.
            Some(Some(other)) if number.is_some_and(|number| number != other) => change,
            Some(_) => change.remove(&UNFINISHED, key).remove_blob(&PROMPTS, key),
        }
    }
}

/// What so many bytes take of the room, in KiB.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes / 1024 + 1).unwrap_or(MAX_WAITING).min(MAX_WAITING)
}

fn row_of(job: &EndedJob, bytes: u64, ended_as: Option<jobs_api::EndedJob>) -> KeptRow {
    let Listed {
        number,
        created,
        started,
        ended,
        run,
        ..
    } = job.job;
    KeptRow {
        number,
        created,
        started,
        ended,
        run,
        dialect: job.session.kind(),
        since: now_ms(),
        bytes,
        lost: job.lost,
        ended_as,
    }
}
