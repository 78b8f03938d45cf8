//! What a write may have touched is dropped from memory when the write is over: with its answer, or because its client has
//! gone, who will not know either what was done.

use super::{
    Legacy,
    kept::Reach,
    write_body::{Target, WriteBody},
};
use crate::{auth::scope::Scope, jobs_api::DialectKind, routes::LegacyWrite, store::StoreError};
use bytes::Bytes;
use std::sync::Arc;
use tokio::runtime::Handle;

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

    /// A write was done: what was kept of the jobs that it deleted is deleted for good, and that those vanish which it cancelled
    /// is no loss. `body` is what it asked for, where that was seen.
    ///
    /// # Errors
    /// The store takes no change: what was deleted may be shown again.
    pub async fn written(&self, write: &LegacyWrite, body: Option<&[u8]>, scope: Scope) -> Result<(), StoreError> {
        let Some(kept) = &self.kept else {
            return Ok(());
        };
        let parsed = body.map(|body| WriteBody::parse(body, &self.tables.writes.request));
        let named: Option<Vec<Arc<str>>> = match parsed {
            Some(Ok(body)) if !body.clear => Some(body.delete.into_iter().map(Arc::from).collect()),
            _ => None,
        };
        match write {
            LegacyWrite::History => {
                let reach = match self.jobs.known_dialect() {
                    Some(DialectKind::Cloud) => Reach::Scope(scope),
                    _ => Reach::All,
                };
                kept.delete(reach, named.as_deref()).await
            }
            LegacyWrite::Queue { .. } => {
                kept.expect_to_vanish(named.as_deref());
                Ok(())
            }
            LegacyWrite::JobCancel(id) => {
                kept.expect_to_vanish(Some(std::slice::from_ref(id)));
                Ok(())
            }
            // What ran ends.
            LegacyWrite::Interrupt => Ok(()),
        }
    }
}
