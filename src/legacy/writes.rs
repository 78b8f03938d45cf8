//! The legacy writes: what each may touch, and what it answers (CONTRACT.md sections 1 and 5).

use super::{
    Legacy, LegacyAnswer, LegacyBody, LegacyError,
    answer::Cached,
    hidden::Cleared,
    json_string,
    orders::{Orders, Target},
    touching::Touching,
};
use crate::{
    headers::carried,
    jobs::{Caller, DialectKind, JobsError, List, Listed, State, Wanted},
    route::LegacyWrite,
    state::{Change, StateError},
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::{collections::HashSet, sync::Arc};
use tokio::sync::oneshot;

impl Legacy {
    /// Does what a write asks for: cancels jobs, or hides them. [`crate::jobs::JobsError::Missing`] when the server
    /// cannot cancel, and nothing was done.
    ///
    /// It is done to its end, also when its client leaves in the middle: a server that has read a request does not ask
    /// either whether somebody still waits. `held` is let go of then.
    pub async fn write(
        self: &Arc<Self>,
        write: &LegacyWrite,
        body: &Bytes,
        caller: &Arc<Caller>,
        held: impl Send + 'static,
    ) -> Result<LegacyAnswer, LegacyError> {
        let (legacy, write, body, caller) = (Arc::clone(self), write.clone(), body.clone(), Arc::clone(caller));
        let touching = Touching::new(self, &write, Some(body.clone()), caller.scope);
        let (tell, told) = oneshot::channel();
        let task = tokio::spawn(async move {
            let outcome = legacy.write_all(&write, &body, &caller).await;
            touching.end().await;
            drop(held);
            match tell.send(outcome) {
                Ok(()) => {}
                Err(Ok(_)) => tracing::info!(?write, "a client left before its write was done; it is done"),
                Err(Err(error)) => {
                    tracing::warn!(?write, %error, "a client left before its write was done, and it failed")
                }
            }
        });
        match told.await {
            Ok(outcome) => outcome,
            // Nothing is said by a task that panicked, and so does whoever waits for it.
            Err(_) => match task.await {
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                _ => Err(StateError::Stopping.into()),
            },
        }
    }

    async fn write_all(
        &self,
        write: &LegacyWrite,
        body: &[u8],
        caller: &Arc<Caller>,
    ) -> Result<LegacyAnswer, LegacyError> {
        let kind = self.jobs.dialect(caller).await?;
        match write {
            LegacyWrite::Queue { api } => self.write_queue(*api, body, caller, kind).await,
            LegacyWrite::Interrupt => self.interrupt(body, caller, kind).await,
            LegacyWrite::JobCancel(id) => self.cancel_job(id, caller, kind).await,
            LegacyWrite::History => self.hide(body, caller, kind).await,
        }
    }

    async fn write_queue(
        &self,
        api: bool,
        body: &[u8],
        caller: &Arc<Caller>,
        kind: DialectKind,
    ) -> Result<LegacyAnswer, LegacyError> {
        let orders = Orders::parse(body, &self.tables.writes.request)?;
        let cloud = self.shows_cloud_items(api, kind);
        let queued = self.jobs.queue(caller, kind).await?;
        let wanted: HashSet<&str> = orders.delete.iter().map(String::as_str).collect();
        if orders.clear {
            queued.lists_all(&[State::Pending])?;
        }
        let touched: &[State] = match cloud {
            true => &[State::Pending, State::Running],
            false => &[State::Pending],
        };
        let named: Vec<&str> = wanted.iter().copied().collect();
        let beyond = queued.beyond(&named, touched)?;
        let cleared = |job: &Listed| orders.clear && job.state == State::Pending;
        // Self-hosted, a running job is not in the queue any more.
        let deleted = |job: &Listed| wanted.contains(&*job.id) && (cloud || job.state == State::Pending);
        let meant = queued.jobs.iter().filter(|job| cleared(job) || deleted(job));
        let ids: Vec<String> = meant.map(|job| job.id.to_string()).chain(beyond).collect();
        let mut cancelled = self.jobs.cancel(caller, kind, &ids).await?;
        cancelled.retain(|id| wanted.contains(id.as_str()));
        Ok(match cloud {
            false => done(queued.headers),
            true => self.cloud_queue(&cancelled, orders.clear, queued.headers),
        })
    }

    fn cloud_queue(&self, deleted: &[String], cleared: bool, upstream_headers: HeaderMap) -> LegacyAnswer {
        let names = &self.tables.writes.cloud_queue;
        let ids: Vec<String> = deleted.iter().map(|id| json_string(id)).collect();
        let body = format!(
            "{{{}: [{}], {}: {cleared}}}",
            json_string(&names.deleted),
            ids.join(", "),
            json_string(&names.cleared)
        );
        LegacyAnswer {
            content_type: names.content_type.clone(),
            body: LegacyBody::Whole(vec![Bytes::from(body)]),
            ..done(upstream_headers)
        }
    }

    async fn interrupt(
        &self,
        body: &[u8],
        caller: &Arc<Caller>,
        kind: DialectKind,
    ) -> Result<LegacyAnswer, LegacyError> {
        let target = Target::parse(body, &self.tables.writes.request)?;
        let meant = |job: &Listed| match &target {
            Target::Any => true,
            Target::One(id) => *job.id == **id,
            Target::Nothing => false,
        };
        let queued = self.jobs.queue(caller, kind).await?;
        let beyond = match &target {
            Target::Any => queued.lists_all(&[State::Running]).map(|()| Vec::new())?,
            Target::One(id) => queued.beyond(&[id], &[State::Running])?,
            Target::Nothing => Vec::new(),
        };
        let running = queued
            .jobs
            .iter()
            .filter(|job| job.state == State::Running && meant(job));
        let ids: Vec<String> = running.map(|job| job.id.to_string()).chain(beyond).collect();
        self.jobs.cancel(caller, kind, &ids).await?;
        Ok(done(queued.headers))
    }

    async fn cancel_job(&self, id: &str, caller: &Arc<Caller>, kind: DialectKind) -> Result<LegacyAnswer, LegacyError> {
        let Some(answer) = self.jobs.cancel_one(caller, kind, id).await? else {
            return Ok(LegacyAnswer {
                asked: false,
                ..LegacyAnswer::not_found(&self.tables.job_status, Arc::default())
            });
        };
        Ok(LegacyAnswer {
            status: answer.status,
            content_type: answer.headers.get(http::header::CONTENT_TYPE).cloned(),
            body: LegacyBody::Whole(vec![answer.body]),
            ..done(answer.headers)
        })
    }

    /// That a clear would be of all that there is: where no job says when it was created, only those that are listed are
    /// known.
    fn may_clear(&self, listed: &List, kind: DialectKind) -> Result<(), JobsError> {
        let unknown = !listed.complete && !listed.jobs.is_empty() && listed.jobs.iter().all(|job| job.created <= 0.0);
        match unknown {
            true => Err(self.jobs.undated(kind)),
            false => Ok(()),
        }
    }

    async fn queued(&self, caller: &Arc<Caller>, kind: DialectKind) -> Result<List, LegacyError> {
        Ok(self.jobs.list(caller, kind, Wanted::Queued, |_| false).await?)
    }

    /// `POST /history` where the server has none: hides those jobs that have ended.
    async fn hide(&self, body: &[u8], caller: &Arc<Caller>, kind: DialectKind) -> Result<LegacyAnswer, LegacyError> {
        let orders = Orders::parse(body, &self.tables.writes.request)?;
        let wanted: HashSet<&str> = orders.delete.iter().map(String::as_str).collect();
        let is_wanted = |job: &&Listed| wanted.contains(&*job.id);
        // A clear needs the newest ones, a delete those that it names.
        let enough = |jobs: &[Listed]| !jobs.is_empty() && jobs.iter().filter(is_wanted).count() == wanted.len();
        let listed = self.jobs.list(caller, kind, Wanted::Newest, enough).await?;
        if orders.clear {
            self.may_clear(&listed, kind)?;
            // After the newest: what is created meanwhile is newer than those, and what is still queued now had not
            // ended when it was cleared.
            let queued = self.queued(caller, kind).await?;
            if let Some(cleared) = Cleared::of(&listed.jobs, &queued.jobs) {
                self.hidden.change(caller.scope, Change::Clear(cleared)).await?;
            }
        }
        // An id that has not ended is not in the history, and will be once it has.
        let ended = |job: &&Listed| job.state == State::Finished;
        let ids: Vec<String> = listed
            .jobs
            .iter()
            .filter(is_wanted)
            .filter(ended)
            .map(|job| job.id.to_string())
            .collect();
        if !ids.is_empty() {
            self.hidden.change(caller.scope, Change::Delete(ids)).await?;
        }
        Ok(done(listed.headers))
    }
}

/// 200 and no body.
fn done(upstream_headers: HeaderMap) -> LegacyAnswer {
    LegacyAnswer {
        status: StatusCode::OK,
        content_type: None,
        body: LegacyBody::Whole(Vec::new()),
        encoding: None,
        upstream_headers: Arc::new(carried(&upstream_headers)),
        asked: true,
        tag: None,
        content_length: None,
        head: None,
        cached: Cached::No,
        empty_for: None,
    }
}
