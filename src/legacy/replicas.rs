//! What the other jobshims of a shared store are told of what was done through this one, and what this one hears of them: which
//! jobs a write has touched, which prompts were submitted, and to whom a queued job was shown without its prompt.

use super::{
    hollow::{Hollow, HollowEvent},
    names::{NAMES, Names, Uuid},
    notes::{NOTES, Notes, StoredNotes},
    runs::Runs,
};
use crate::{
    auth::scope::Scope,
    store::{Change, Event, Signal, Store, StoreError},
    telemetry::of_this_request,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::{sync::Arc, time::Duration};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, TryAcquireError},
    time::timeout,
};

/// A write was done: what is remembered of these jobs counts no more; without ids, of any.
const TOUCHED: Signal<Option<Vec<String>>> = Signal::new("touched");
/// A run of this id was, or may have been, submitted; its number, where the server gave it one.
const SUBMITTED: Signal<Submitted> = Signal::new("submitted");
/// What was shown without its prompt, and what came of it.
const HOLLOW: Signal<HollowEvent> = Signal::new("hollow");

#[derive(Debug, Deserialize, Serialize)]
struct Submitted {
    id: String,
    number: Option<f64>,
}

/// How long the answer to a prompt waits until the others know of it.
const PATIENCE: Duration = Duration::from_millis(100);
/// How many prompts may be on their way to the others; of further ones these hear nothing.
const MAX_UNDER_WAY: usize = 64;

/// The other jobshims of the same store.
pub struct Replicas {
    store: Arc<Store>,
    notes: Notes,
    names: Arc<Names>,
    under_way: Arc<Semaphore>,
}

impl Replicas {
    /// Those that share `store`. What is heard of them goes to the rest.
    pub fn new(
        store: Arc<Store>,
        runs: &Arc<Runs>,
        notes: &Notes,
        names: &Arc<Names>,
        hollow: &Arc<Hollow>,
    ) -> Result<Self, StoreError> {
        if store.is_shared() {
            let of_touched = Arc::clone(runs);
            store.listen(&TOUCHED, move |touched| match touched.flatten() {
                Some(ids) => ids.iter().for_each(|id| of_touched.end(id)),
                None => of_touched.end_all(),
            })?;
            let of_submitted = Arc::clone(runs);
            store.listen(&SUBMITTED, move |submitted| match submitted {
                Some(Submitted { id, number }) => of_submitted.submitted(&id, number),
                None => of_submitted.end_all(),
            })?;
            let hollow = Arc::clone(hollow);
            store.listen(&HOLLOW, move |event| {
                if let Some(event) = event {
                    hollow.hear(event);
                }
            })?;
            // They know the store, which would otherwise hold itself.
            let named = Arc::downgrade(names);
            store.follow(&NAMES, move |event| {
                let rows: Vec<(Scope, String)> = match event {
                    Event::All(rows) => rows.into_iter().map(|(key, ())| key).collect(),
                    Event::Put(key, ()) => vec![key],
                    // It is learnt again from the job itself.
                    Event::Gone(_) => Vec::new(),
                };
                if let Some(named) = named.upgrade() {
                    rows.into_iter()
                        .for_each(|(scope, name)| drop(named.hold(scope, &name)));
                }
            })?;
            let noted = notes.clone();
            store.follow(&NOTES, move |event| match event {
                Event::All(rows) => rows
                    .into_iter()
                    .for_each(|((scope, id), of)| noted.hear(scope, &id, of)),
                Event::Put((scope, id), of) => noted.hear(scope, &id, of),
                // It has expired there, as it will here.
                Event::Gone(_) => {}
            })?;
        }
        Ok(Self {
            store,
            notes: notes.clone(),
            names: Arc::clone(names),
            under_way: Arc::new(Semaphore::new(MAX_UNDER_WAY)),
        })
    }

    /// A write has touched these jobs, or any. When this returns, no other answers by what it remembers of them.
    pub async fn touched(&self, ids: Option<Vec<String>>) -> Result<(), StoreError> {
        match self.store.is_shared() {
            true => self.store.commit_async(Change::default().tell(&TOUCHED, &ids)).await,
            false => Ok(()),
        }
    }

    /// A prompt became job `id`, or may have. The others know of it when this returns, unless the store is slow: a prompt does
    /// not wait for that.
    pub async fn submitted(&self, scope: Scope, id: &str, number: Option<f64>) {
        if !self.store.is_shared() {
            return;
        }
        let submitted = Submitted {
            id: id.to_owned(),
            number,
        };
        let mut change = Change::default().tell(&SUBMITTED, &submitted);
        if let Some(noted) = self.notes.stored(scope, id) {
            change = change.put(&NOTES, &(scope, id.to_owned()), &noted);
        }
        if let Some(name) = Uuid::parse(id.as_bytes()).and_then(|uuid| self.names.held(scope, uuid)) {
            change = change.put(&NAMES, &(scope, name.to_string()), &());
        }
        self.tell(change).await;
    }

    /// A prompt may have become job `id`: nobody saw its answer.
    pub fn perhaps_submitted(self: &Arc<Self>, scope: Scope, id: &str) {
        // Without a runtime the program is ending.
        if let (true, Ok(runtime)) = (self.store.is_shared(), Handle::try_current()) {
            let (replicas, id) = (Arc::clone(self), id.to_owned());
            runtime.spawn(async move { replicas.submitted(scope, &id, None).await });
        }
    }

    /// Something was shown without its prompt, or came of that.
    pub async fn hollow(&self, event: HollowEvent) {
        if self.store.is_shared() {
            self.tell(Change::default().tell(&HOLLOW, &event)).await;
        }
    }

    /// Tells the others for as long as nobody minds; the rest is done without being waited for.
    async fn tell(&self, change: Change) {
        let permit = match Arc::clone(&self.under_way).try_acquire_owned() {
            Ok(permit) => permit,
            Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => {
                tracing::warn!("the store is slow: other jobshims hear nothing of a prompt");
                return;
            }
        };
        let store = Arc::clone(&self.store);
        let telling = tokio::spawn(of_this_request(async move {
            if let Err(error) = store.commit_async(change).await {
                tracing::debug!(%error, "other jobshims hear nothing of a prompt");
            }
            drop(permit);
        }));
        if self.store.is_current() {
            let _ = timeout(PATIENCE, telling).await;
        }
    }
}

/// What is noted of a job, as it is stored.
impl Notes {
    fn stored(&self, scope: Scope, id: &str) -> Option<StoredNotes> {
        StoredNotes::of(&self.of(scope, id)?)
    }

    fn hear(&self, scope: Scope, id: &str, stored: StoredNotes) {
        for (number, text) in stored.into_notes() {
            self.keep(scope, id, number, Bytes::from(text));
        }
    }
}
