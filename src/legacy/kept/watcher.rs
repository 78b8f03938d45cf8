//! Looks after jobs that have not ended: one list call for each client that waits for some, with the credentials of that client,
//! which are in memory alone.

use super::{
    Kept, KeptSince,
    recorder::Condition,
    rows::{CANCELLED, Key, PROMPTS, UnfinishedRow, unpack},
};
use crate::{
    auth::scope::Scope,
    jobs_api::{Detail, JobsError, JobsSession, ListFilter, Listed},
    mapping::dialect::State,
    store::{Change, StoreError},
    telemetry::now_ms,
};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, time::sleep};

/// How long it waits between two looks: at first, and where nothing has changed for long.
const SOON: Duration = Duration::from_millis(500);
const LATER: Duration = Duration::from_secs(5);
/// The most clients whose credentials are held.
const MAX_SESSIONS: usize = 1_000;
/// The most jobs that are looked up besides those that were submitted.
const MAX_LOOKED_UP: usize = 1_000;
/// The most cancelled jobs that are remembered.
const MAX_CANCELLED: usize = 10_000;
/// How many looks are under way at once.
const AT_ONCE: usize = 4;
/// After how many refusals in a row credentials are let go.
const MAX_REFUSALS: u32 = 20;
/// How long one is of which nothing is known.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Who waits for what.
#[derive(Default)]
pub(super) struct Watch {
    sessions: HashMap<Scope, Watcher>,
    /// Jobs that have ended and could not be stored.
    looked_up: HashSet<Key>,
    /// Since when lists lack a job.
    missing: HashMap<Key, Instant>,
    /// Jobs that somebody cancelled, and when: such a job may vanish.
    cancelled: HashMap<String, Instant>,
    at_work: bool,
}

/// On whose behalf jobs are looked for.
struct Watcher {
    session: JobsSession,
    /// How many looks in a row have failed.
    failures: u32,
}

impl Kept {
    /// Looks after the jobs of a client from now on.
    pub(super) fn watch_for(self: &Arc<Self>, session: &JobsSession) {
        // The server refuses a page of another site, whoever waits for the job.
        if session.caller().is_foreign() {
            return;
        }
        let begins = {
            let mut watch = self.watch.lock();
            let scope = session.caller().scope;
            if watch.sessions.len() >= MAX_SESSIONS && !watch.sessions.contains_key(&scope) {
                tracing::debug!(
                    most = MAX_SESSIONS,
                    "a client's jobs are not looked after: too many clients wait"
                );
                return;
            }
            // The latest credentials, where those before have not served.
            let serves = watch.sessions.get(&scope).is_some_and(|watcher| watcher.failures == 0);
            if !serves {
                let session = session.beside();
                watch.sessions.insert(scope, Watcher { session, failures: 0 });
            }
            !std::mem::replace(&mut watch.at_work, true)
        };
        if !begins {
            return;
        }
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(look_after(Arc::downgrade(self)))),
            // The program is ending.
            Err(_) => self.watch.lock().at_work = false,
        }
    }

    /// Looks up a job that has ended, and is not stored yet.
    pub(super) fn look_up(self: &Arc<Self>, session: &JobsSession, id: &str) {
        {
            let mut watch = self.watch.lock();
            if watch.looked_up.len() >= MAX_LOOKED_UP {
                return;
            }
            watch.looked_up.insert((session.caller().scope, id.to_owned()));
        }
        self.watch_for(session);
    }

    /// Somebody has cancelled these jobs, or any: that they vanish is no loss, whichever jobshim looks after them.
    pub(in crate::legacy) async fn expect_to_vanish(&self, ids: Option<&[Arc<str>]>) -> Result<(), StoreError> {
        let ids: Option<Vec<String>> = ids.map(|ids| ids.iter().map(ToString::to_string).collect());
        self.store.commit_async(Change::default().tell(&CANCELLED, &ids)).await
    }

    /// One look for each client; whether there is anything left to look for.
    async fn look(self: &Arc<Self>) -> bool {
        let sessions: Vec<JobsSession> = {
            let watch = self.watch.lock();
            watch.sessions.values().map(|watcher| watcher.session.clone()).collect()
        };
        let looks = stream::iter(sessions).map(|session| {
            let kept = Arc::clone(self);
            async move { kept.look_once(session).await }
        });
        looks.buffer_unordered(AT_ONCE).collect::<()>().await;
        let unfinished = self.unfinished.read();
        let ids: HashSet<&str> = unfinished.all().map(|(_, id, _)| id.as_str()).collect();
        let mut watch = self.watch.lock();
        let is_of_use = |id: &String, at: &mut Instant| at.elapsed() < REMEMBERED || ids.contains(id.as_str());
        watch.cancelled.retain(is_of_use);
        watch.at_work = !watch.sessions.is_empty();
        if !watch.at_work {
            watch.looked_up.clear();
            watch.missing.clear();
        }
        watch.at_work
    }

    async fn look_once(self: &Arc<Self>, session: JobsSession) {
        let scope = session.caller().scope;
        let wanted = self.wanted(scope);
        if wanted.is_empty() {
            self.watch.lock().sessions.remove(&scope);
            return;
        }
        let outcome = self.look_for(&session, &wanted).await;
        let mut watch = self.watch.lock();
        let Some(watcher) = watch.sessions.get_mut(&scope) else {
            return;
        };
        let Err(error) = outcome else {
            watcher.failures = 0;
            return;
        };
        tracing::debug!(%error, jobs = wanted.len(), "jobs that have not ended could not be looked up");
        watcher.failures += 1;
        // Credentials that are refused again and again are not held on to; the next ones of the client are taken.
        if watcher.failures >= MAX_REFUSALS && matches!(error, JobsError::Refused { .. }) {
            watch.sessions.remove(&scope);
        }
    }

    /// The jobs that are looked for on behalf of a scope, and what is known of each.
    fn wanted(&self, scope: Scope) -> HashMap<String, Option<UnfinishedRow>> {
        let unfinished = self.unfinished.read();
        let of_scope = unfinished.of(scope).into_iter().flatten();
        let mut wanted: HashMap<String, Option<UnfinishedRow>> =
            of_scope.map(|(id, row)| (id.clone(), Some(*row))).collect();
        for (of, id) in &self.watch.lock().looked_up {
            if *of == scope {
                wanted.entry(id.clone()).or_default();
            }
        }
        wanted
    }

    async fn look_for(
        self: &Arc<Self>,
        session: &JobsSession,
        wanted: &HashMap<String, Option<UnfinishedRow>>,
    ) -> Result<(), JobsError> {
        let session = &session.renewed().await?;
        let (since, asked) = (self.now(), Instant::now());
        let is_wanted = |job: &&Listed| wanted.contains_key(&*job.id);
        let enough = |jobs: &[Listed]| {
            let seen: HashSet<&str> = jobs.iter().filter(is_wanted).map(|job| &*job.id).collect();
            seen.len() == wanted.len()
        };
        let list = session.list(ListFilter::Newest, enough).await?;
        let scope = session.caller().scope;
        for (id, row) in wanted {
            let key = (scope, id.clone());
            let is_it = |job: &&Listed| {
                let numbers = (job.run.number(), row.and_then(|row| row.number));
                *job.id == **id && !matches!(numbers, (Some(one), Some(other)) if one != other)
            };
            match list.jobs.iter().find(is_it) {
                Some(job) if job.state == State::Finished => drop(self.found(session, &key, *row, since).await?),
                Some(_) => self.watch.lock().seen(&key, asked),
                // A part of a list says nothing of what it lacks.
                None if list.complete => self.miss(session, key, *row).await?,
                None => {}
            }
        }
        Ok(())
    }

    /// Asks for a job that has ended, and was stored as `row`, and keeps it; whether the server has it in any state.
    async fn found(
        self: &Arc<Self>,
        session: &JobsSession,
        key: &Key,
        row: Option<UnfinishedRow>,
        since: KeptSince,
    ) -> Result<bool, JobsError> {
        match session.detail(&key.1).await? {
            Detail::Found {
                state: State::Finished,
                body,
                ..
            } => {
                let note = self.note(key).await;
                self.watch.lock().forget(key);
                self.record_ended(session, body.text(), note, Condition::StoredAs(row), since)
                    .await;
                Ok(true)
            }
            Detail::Found { .. } => Ok(true),
            Detail::Absent(_) | Detail::NoSuchPath(..) => Ok(false),
        }
    }

    /// A list lacks a job.
    async fn miss(
        self: &Arc<Self>,
        session: &JobsSession,
        key: Key,
        row: Option<UnfinishedRow>,
    ) -> Result<(), JobsError> {
        let Some(row) = row else {
            // It had ended, and was deleted since.
            self.watch.lock().forget(&key);
            return Ok(());
        };
        let (missing, is_cancelled) = {
            let mut watch = self.watch.lock();
            let since = *watch.missing.entry(key.clone()).or_insert_with(Instant::now);
            (since.elapsed(), watch.cancelled.contains_key(&key.1))
        };
        if is_cancelled {
            self.cancelled(key, row.number);
        } else if missing >= self.lost_after {
            let since = self.now();
            // It may be in a state that no list has.
            if self.found(session, &key, Some(row), since).await? {
                return Ok(());
            }
            self.watch.lock().forget(&key);
            let note = self.note(&key).await;
            match session.lost_detail(&key.1, row.since, row.number, now_ms()) {
                Some(detail) => {
                    tracing::warn!(
                        lost_after_s = self.lost_after.as_secs(),
                        "a job is lost: its server does not list it any more, and has not said that it ended"
                    );
                    self.record_lost(session, key, detail, note, row, since).await;
                }
                None => self.cancelled(key, row.number),
            }
        }
        Ok(())
    }

    /// What was noted of the prompt of a job that has not ended.
    async fn note(&self, key: &Key) -> Option<Bytes> {
        let packed = self.store.blob_async(&PROMPTS, key.clone()).await;
        let packed = packed
            .inspect_err(|error| tracing::debug!(%error, "a prompt cannot be read"))
            .ok()??;
        let note = unpack(&packed, false).ok()?.note;
        (!note.is_empty()).then(|| note.into())
    }
}

impl Watch {
    /// These may vanish.
    pub(super) fn expect_to_vanish(&mut self, ids: Vec<String>) {
        let now = Instant::now();
        if self.cancelled.len() + ids.len() > MAX_CANCELLED {
            self.cancelled.retain(|_, at| at.elapsed() < REMEMBERED);
        }
        let room = MAX_CANCELLED.saturating_sub(self.cancelled.len());
        self.cancelled.extend(ids.into_iter().take(room).map(|id| (id, now)));
    }

    /// A list that was asked for at `asked` has a job, which has not ended.
    fn seen(&mut self, key: &Key, asked: Instant) {
        self.missing.remove(key);
        // Whoever cancelled it has not.
        if self.cancelled.get(&key.1).is_some_and(|cancelled| *cancelled < asked) {
            self.cancelled.remove(&key.1);
        }
    }

    fn forget(&mut self, key: &Key) {
        self.looked_up.remove(key);
        self.missing.remove(key);
        self.cancelled.remove(&key.1);
    }
}

/// Looks again and again, for as long as there is something to look for and somebody who wants to know.
async fn look_after(kept: std::sync::Weak<Kept>) {
    let mut pause = SOON;
    loop {
        sleep(pause).await;
        pause = (pause * 3 / 2).min(LATER);
        let Some(kept) = kept.upgrade() else {
            return;
        };
        if !kept.look().await {
            return;
        }
    }
}
