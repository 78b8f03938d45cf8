//! The legacy writes: what each may touch, and what it answers (docs/contract.md sections 1 and 5).

use super::{
    Legacy, LegacyAnswer, LegacyBody, LegacyError,
    answer::Cached,
    hidden::{Change, Cleared},
    hollow::HollowEvent,
    invalidate::InvalidateOnDrop,
    json_string,
    kept::Reach,
    write_body::{Target, WriteBody},
};
use crate::{
    http::headers::carried,
    jobs_api::{Caller, DialectKind, JobsError, JobsSession, List, ListFilter, Listed},
    mapping::dialect::State,
    routes::LegacyWrite,
    store::StoreError,
    telemetry::of_this_request,
};
use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use std::{collections::HashSet, sync::Arc};
use tokio::sync::oneshot;

impl Legacy {
    /// Does what a write asks for: cancels jobs, or hides them. [`crate::jobs_api::JobsError::Missing`] when the server
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
        let invalidation = InvalidateOnDrop::new(self, &write, Some(body.clone()), caller.scope);
        let (sender, outcome) = oneshot::channel();
        let task = tokio::spawn(of_this_request(async move {
            let outcome = legacy.write_all(&write, &body, &caller).await;
            let told = invalidation.end().await;
            let is_done = outcome.is_ok() && told.is_ok();
            let told = match is_done {
                // Jobs are hidden from their client alone.
                true => legacy.written(&write, Some(&body), Reach::Scope(caller.scope)).await,
                false => told,
            };
            // What was deleted, and is not known to all, is not said to be done.
            let outcome = outcome.and_then(|answer| Ok(told.map(|()| answer)?));
            drop(held);
            match sender.send(outcome) {
                Ok(()) => {}
                Err(Ok(_)) => tracing::info!(
                    route = write.name().as_str(),
                    "a client left before its write was done; it is done"
                ),
                Err(Err(error)) => {
                    tracing::warn!(route = write.name().as_str(), %error, "a client left before its write was done, and it failed")
                }
            }
        }));
        match outcome.await {
            Ok(outcome) => outcome,
            // Nothing is said by a task that panicked, and so does whoever waits for it.
            Err(_) => match task.await {
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                _ => Err(StoreError::Stopping.into()),
            },
        }
    }

    async fn write_all(
        &self,
        write: &LegacyWrite,
        body: &[u8],
        caller: &Arc<Caller>,
    ) -> Result<LegacyAnswer, LegacyError> {
        let session = &self.jobs.on_behalf_of(caller, self.jobs.dialect(caller).await?);
        match write {
            LegacyWrite::Queue { api } => self.write_queue(*api, body, session).await,
            LegacyWrite::Interrupt => self.interrupt(body, session).await,
            LegacyWrite::JobCancel(id) => self.cancel_job(id, session).await,
            LegacyWrite::History => self.hide(body, session).await,
        }
    }

    async fn write_queue(&self, api: bool, body: &[u8], session: &JobsSession) -> Result<LegacyAnswer, LegacyError> {
        let write_body = WriteBody::parse(body, &self.tables.writes.request)?;
        let cloud = self.shows_cloud_items(api, session.kind());
        let queued = session.queue().await?;
        let wanted: HashSet<&str> = write_body.delete.iter().map(String::as_str).collect();
        if write_body.clear {
            queued.lists_all(&[State::Pending])?;
        }
        let touched: &[State] = match cloud {
            true => &[State::Pending, State::Running],
            false => &[State::Pending],
        };
        let named: Vec<&str> = wanted.iter().copied().collect();
        let beyond = queued.beyond(&named, touched)?;
        let cleared = |job: &Listed| write_body.clear && job.state == State::Pending;
        // Self-hosted, a running job is not in the queue any more.
        let deleted = |job: &Listed| wanted.contains(&*job.id) && (cloud || job.state == State::Pending);
        let meant = queued.jobs.iter().filter(|job| cleared(job) || deleted(job));
        let meant: Vec<&Listed> = meant.collect();
        let running: HashSet<&Arc<str>> = by_state(&queued.jobs, State::Running).map(|job| &job.id).collect();
        let is_twin = |job: &&&Listed| job.state == State::Pending && running.contains(&job.id);
        if let Some(twin) = meant.iter().find(is_twin) {
            let id = twin.id.to_string();
            return Err(LegacyError::Twin { id });
        }
        let named = meant.iter().filter(|job| deleted(job) && !cleared(job));
        let named = named.map(|job| &job.id).chain(&beyond);
        let ids = self.hollow.unsure(session.caller().scope, named);
        if !ids.is_empty() {
            let refused = HollowEvent::Refused(session.caller().scope, ids.clone());
            self.replicas.hollow(refused).await;
            return Err(LegacyError::Hollow { ids });
        }
        // Of an id that waits more than once a clear takes all, and a delete one, as the server does.
        let mut seen = HashSet::new();
        let once = meant.iter().filter(|job| write_body.clear || seen.insert(&job.id));
        let ids: Vec<String> = once.map(|job| &job.id).chain(&beyond).map(<_>::to_string).collect();
        let mut cancelled = session.cancel(&ids).await?;
        cancelled.retain(|id| wanted.contains(id.as_str()));
        Ok(match cloud {
            false => done(queued.headers),
            true => self.cloud_queue(&cancelled, write_body.clear, queued.headers),
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

    async fn interrupt(&self, body: &[u8], session: &JobsSession) -> Result<LegacyAnswer, LegacyError> {
        let target = Target::parse(body, &self.tables.writes.request)?;
        let queued = session.queue().await?;
        let beyond = match &target {
            Target::Any => queued.lists_all(&[State::Running]).map(|()| Vec::new())?,
            Target::One(id) => queued.beyond(&[id], &[State::Running])?,
            Target::Nothing => Vec::new(),
        };
        let running = queued.jobs.iter().filter(|job| job.state == State::Running);
        let meant: Vec<&Listed> = match &target {
            // An account of the cloud runs several jobs at once, and one of them is meant (docs/contract.md section 5).
            Target::Any if session.kind() == DialectKind::Cloud => first_active(&queued.jobs).into_iter().collect(),
            Target::Any => running.collect(),
            Target::One(id) => running.filter(|job| *job.id == **id).collect(),
            Target::Nothing => Vec::new(),
        };
        let ids = meant.into_iter().map(|job| &job.id).chain(&beyond);
        let ids: Vec<String> = ids.map(<_>::to_string).collect();
        session.cancel(&ids).await?;
        Ok(done(queued.headers))
    }

    async fn cancel_job(&self, id: &str, session: &JobsSession) -> Result<LegacyAnswer, LegacyError> {
        let Some(answer) = session.cancel_one(id).await? else {
            return Ok(LegacyAnswer {
                asked: false,
                ..LegacyAnswer::not_found(&self.tables.answers.job_status, Arc::default())
            });
        };
        Ok(LegacyAnswer {
            status: answer.status,
            content_type: answer.headers.get(http::header::CONTENT_TYPE).cloned(),
            body: LegacyBody::Whole(vec![answer.body]),
            ..done(answer.headers)
        })
    }

    async fn queued(&self, session: &JobsSession) -> Result<List, LegacyError> {
        Ok(session.list(ListFilter::Queued, |_| false).await?)
    }

    /// `POST /history` where the server has none: hides those jobs that have ended.
    async fn hide(&self, body: &[u8], session: &JobsSession) -> Result<LegacyAnswer, LegacyError> {
        let write_body = WriteBody::parse(body, &self.tables.writes.request)?;
        let wanted: HashSet<&str> = write_body.delete.iter().map(String::as_str).collect();
        // An id that has not ended is not in the history, and will be once it has. Of those that have there is one an id.
        let is_wanted = |job: &&Listed| job.state == State::Finished && wanted.contains(&*job.id);
        // A clear needs the newest ones, a delete those that it names.
        let enough = |jobs: &[Listed]| !jobs.is_empty() && jobs.iter().filter(is_wanted).count() == wanted.len();
        let listed = session.list(ListFilter::Newest, enough).await?;
        if write_body.clear {
            may_clear(&listed, session)?;
            // After the newest: what is created meanwhile is newer than those, and what is still queued now had not
            // ended when it was cleared.
            let queued = self.queued(session).await?;
            if let Some(cleared) = Cleared::of(&listed.jobs, &queued.jobs) {
                self.hidden
                    .change(session.caller().scope, Change::Clear(cleared))
                    .await?;
            }
        }
        let as_of = |job: &Listed| (job.id.to_string(), Some(job.created).filter(|created| *created > 0.0));
        let jobs: Vec<_> = listed.jobs.iter().filter(is_wanted).map(as_of).collect();
        if !jobs.is_empty() {
            self.hidden.change(session.caller().scope, Change::Delete(jobs)).await?;
        }
        Ok(done(listed.headers))
    }
}

/// That a clear would be of all that there is: where no job says when it was created, only those that are listed are
/// known.
fn may_clear(listed: &List, session: &JobsSession) -> Result<(), JobsError> {
    let unknown = !listed.complete && !listed.jobs.is_empty() && listed.jobs.iter().all(|job| job.created <= 0.0);
    match unknown {
        true => Err(session.undated()),
        false => Ok(()),
    }
}

fn by_state(jobs: &[Listed], state: State) -> impl Iterator<Item = &Listed> {
    jobs.iter().filter(move |job| job.state == state)
}

/// What runs, the oldest first; where nothing runs, what waits longest.
fn first_active(jobs: &[Listed]) -> Option<&Listed> {
    // Of jobs of the same moment the list has the older one first.
    let oldest = |state: State, since: fn(&Listed) -> f64| {
        let jobs = jobs.iter().filter(|job| job.state == state);
        jobs.min_by(|one, other| since(one).total_cmp(&since(other)))
    };
    oldest(State::Running, |job| job.started).or_else(|| oldest(State::Pending, |job| job.created))
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
        kept_for: None,
    }
}
