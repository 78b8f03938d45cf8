//! What a write may have touched is dropped from memory when the write is over: with its answer, or because its client has
//! gone, who will not know either what was done.

use super::{
    Legacy, LegacyError,
    kept::Reach,
    write_body::{Target, WriteBody},
};
use crate::{
    auth::scope::Scope,
    jobs_api::{Caller, DialectKind, ListFilter},
    routes::LegacyWrite,
    store::StoreError,
};
use bytes::Bytes;
use http::StatusCode;
use std::{sync::Arc, time::Duration};
use tokio::{runtime::Handle, time::sleep};

/// When it is looked what a delete without an answer has done.
const LOOKS: [Duration; 3] = [Duration::from_secs(1), Duration::from_secs(5), Duration::from_secs(30)];

/// A write under way. When it is dropped before its [`end`](Self::end), what it may have touched is dropped all the same.
pub struct InvalidateOnDrop {
    write: Option<Write>,
}

struct Write {
    legacy: Arc<Legacy>,
    write: LegacyWrite,
    /// What it asks for, where that was seen.
    body: Option<Bytes>,
    scope: Scope,
}

impl InvalidateOnDrop {
    /// Before the write is begun.
    pub fn new(legacy: &Arc<Legacy>, write: &LegacyWrite, body: Option<Bytes>, scope: Scope) -> Self {
        Self {
            write: Some(Write {
                legacy: Arc::clone(legacy),
                write: write.clone(),
                body,
                scope,
            }),
        }
    }

    /// The write has an answer: when this returns, nothing that it may have touched is in memory, here or on another jobshim of
    /// the same store.
    ///
    /// # Errors
    /// The others could not be told that jobs were deleted from the history. That they show for a while what was known of
    /// others is no reason to refuse what is done.
    pub async fn end(mut self) -> Result<(), StoreError> {
        match self.write.take() {
            Some(write) if write.write == LegacyWrite::History => write.drop_touched().await,
            Some(write) => {
                write.drop_touched_or_say_so().await;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// As [`end`](Self::end), of a write that the server itself has answered: its answer stands, whoever hears of it.
    pub async fn end_passed(mut self) {
        if let Some(write) = self.write.take() {
            write.drop_touched_or_say_so().await;
        }
    }
}

impl Drop for InvalidateOnDrop {
    fn drop(&mut self) {
        // Without a runtime the program is ending, and its memory with it.
        if let (Some(write), Ok(runtime)) = (self.write.take(), Handle::try_current()) {
            runtime.spawn(async move { write.drop_touched_or_say_so().await });
        }
    }
}

impl Write {
    async fn drop_touched_or_say_so(&self) {
        if let Err(error) = self.drop_touched().await {
            tracing::warn!(%error, "a write was done, and other jobshims hear nothing of it");
        }
    }

    async fn drop_touched(&self) -> Result<(), StoreError> {
        let body = self.body.as_deref();
        self.legacy.drop_touched(&self.write, body, self.scope).await
    }
}

impl Legacy {
    /// Drops from memory what a write may have touched, done by whomever; `body` is what it asked for, where that was
    /// seen.
    async fn drop_touched(&self, write: &LegacyWrite, body: Option<&[u8]>, scope: Scope) -> Result<(), StoreError> {
        let names = &self.tables.writes.request;
        let ids: Vec<Arc<str>> = match write {
            LegacyWrite::JobCancel(id) => vec![Arc::clone(id)],
            LegacyWrite::Interrupt => match body.map(|body| Target::parse(body, names)) {
                Some(Ok(Target::One(id))) => vec![id.into()],
                // Whichever ran: what is kept of it says nothing of that.
                _ => Vec::new(),
            },
            LegacyWrite::Queue { .. } | LegacyWrite::History => match body.map(|body| WriteBody::parse(body, names)) {
                Some(Ok(write_body)) if !write_body.clear => write_body.delete.into_iter().map(Arc::from).collect(),
                // All of them, or what the server may have understood better.
                _ => {
                    self.memory.forget_all();
                    return self.replicas.touched(None).await;
                }
            },
        };
        for id in &ids {
            self.memory.forget(scope, id);
        }
        match ids.is_empty() {
            true => Ok(()),
            false => {
                self.replicas
                    .touched(Some(ids.iter().map(<_>::to_string).collect()))
                    .await
            }
        }
    }

    /// A write was done: what was kept of the jobs that it deleted is deleted for good, within `reach`, and that those vanish which
    /// it cancelled is no loss. `body` is what it asked for, where that was seen.
    ///
    /// # Errors
    /// The store takes no change: what was deleted may be shown again.
    pub async fn written(&self, write: &LegacyWrite, body: Option<&[u8]>, reach: Reach) -> Result<(), StoreError> {
        let Some(kept) = &self.kept else {
            return Ok(());
        };
        let named = self.named_in(body);
        match write {
            LegacyWrite::History => kept.delete(reach, named.as_deref()).await,
            LegacyWrite::Queue { .. } => kept.expect_to_vanish(named.as_deref()).await,
            LegacyWrite::JobCancel(id) => kept.expect_to_vanish(Some(std::slice::from_ref(id))).await,
            // What ran ends.
            LegacyWrite::Interrupt => Ok(()),
        }
    }

    /// The jobs that a body names; `None` where it is of all, or was not seen.
    fn named_in(&self, body: Option<&[u8]>) -> Option<Vec<Arc<str>>> {
        match WriteBody::parse(body?, &self.tables.writes.request) {
            Ok(body) if !body.clear => Some(body.delete.into_iter().map(Arc::from).collect()),
            _ => None,
        }
    }

    /// Whose jobs the server's own endpoint deletes: self-hosted, those of everybody.
    pub fn reach_of_server(&self, scope: Scope) -> Reach {
        match self.jobs.known_dialect() {
            Some(DialectKind::Comfyui) => Reach::All,
            _ => Reach::Scope(scope),
        }
    }

    /// What is to be deleted by the server's own endpoint, where jobs are kept.
    pub fn pending_delete(
        self: &Arc<Self>,
        write: &LegacyWrite,
        body: Option<Bytes>,
        caller: &Arc<Caller>,
    ) -> Option<PendingDelete> {
        let is_meant = self.kept.is_some() && *write == LegacyWrite::History && !caller.is_foreign();
        is_meant.then(|| PendingDelete {
            legacy: Some(Arc::clone(self)),
            body,
            caller: Arc::clone(caller),
        })
    }

    /// Deletes what was kept of jobs that a client wanted deleted, and that the server does not have.
    async fn delete_gone(&self, body: Option<&[u8]>, caller: &Arc<Caller>) -> Result<(), LegacyError> {
        let Some(kept) = &self.kept else {
            return Ok(());
        };
        let session = self.jobs.on_behalf_of(caller, self.jobs.dialect(caller).await?);
        let list = session.list(ListFilter::All, |_| false).await?;
        let mut gone = kept.missing_in(caller.scope, &list);
        if let Some(named) = self.named_in(body) {
            gone.retain(|id| named.contains(id));
        }
        match gone.is_empty() {
            true => Ok(()),
            false => Ok(kept.delete(self.reach_of_server(caller.scope), Some(&gone)).await?),
        }
    }
}

/// A delete under way to the server's own endpoint. When it is dropped, nobody knows whether it was done: what is kept of its jobs
/// is deleted where the server does not have them.
pub struct PendingDelete {
    legacy: Option<Arc<Legacy>>,
    body: Option<Bytes>,
    caller: Arc<Caller>,
}

impl PendingDelete {
    /// The server has answered.
    ///
    /// # Errors
    /// It has deleted jobs, and the store takes no change: they may be shown again.
    pub async fn answered(mut self, status: StatusCode) -> Result<(), StoreError> {
        match &self.legacy {
            Some(legacy) if status.is_success() => {
                let reach = legacy.reach_of_server(self.caller.scope);
                legacy
                    .written(&LegacyWrite::History, self.body.as_deref(), reach)
                    .await?;
                self.legacy = None;
            }
            // What it refuses is refused.
            _ if status.is_client_error() => self.legacy = None,
            _ => {}
        }
        Ok(())
    }
}

impl Drop for PendingDelete {
    fn drop(&mut self) {
        // Without a runtime the program is ending.
        let (Some(legacy), Ok(runtime)) = (self.legacy.take(), Handle::try_current()) else {
            return;
        };
        let (body, caller) = (self.body.take(), Arc::clone(&self.caller));
        runtime.spawn(async move {
            for pause in LOOKS {
                sleep(pause).await;
                match legacy.delete_gone(body.as_deref(), &caller).await {
                    Ok(()) => return,
                    Err(error) => tracing::debug!(%error, "what a delete has done is not known yet"),
                }
            }
            tracing::warn!(
                "a delete has no answer, and what it has done could not be found out: kept jobs may still be shown"
            );
        });
    }
}
