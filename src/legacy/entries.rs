//! Jobs in their legacy shape: details fetched side by side, written by a table.

use super::{Legacy, LegacyError};
use crate::{
    jobs::{Caller, Detail, DialectKind, Listed, State},
    mapping::{Context, Searched, Table},
};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt, stream};
use http::HeaderMap;

/// One job that a list shows: its id and its place, counted from 1.
pub struct Wanted {
    pub id: String,
    pub position: usize,
}

/// All of `jobs`, each with its place.
pub fn in_order(jobs: &[Listed]) -> Vec<Wanted> {
    let places = jobs.iter().zip(1..);
    let wanted = places.map(|(job, position)| Wanted {
        id: job.id.clone(),
        position,
    });
    wanted.collect()
}

impl Legacy {
    /// The entries of `wanted`, in that order, each with its job's id. A job that is gone by now is left out; any
    /// other failure fails the whole, as a short list must never look complete (CONTRACT.md section 4).
    pub(super) async fn entries(
        &self,
        caller: &Caller,
        kind: DialectKind,
        table: &Table,
        wanted: Vec<Wanted>,
    ) -> Result<Vec<(String, Bytes)>, LegacyError> {
        let fetched: Vec<Option<(String, Bytes)>> = stream::iter(wanted)
            .map(|job| self.fetch(caller, kind, table, job).boxed())
            .buffered(self.concurrency)
            .try_collect()
            .await?;
        Ok(fetched.into_iter().flatten().collect())
    }

    async fn fetch(
        &self,
        caller: &Caller,
        kind: DialectKind,
        table: &Table,
        job: Wanted,
    ) -> Result<Option<(String, Bytes)>, LegacyError> {
        match self.jobs.detail(caller, kind, &job.id).await? {
            Detail::Absent(_) => Ok(None),
            Detail::Found { body, .. } => {
                let entry = self.entry(caller, kind, table, &job, &body).await?;
                Ok(Some((job.id, entry)))
            }
        }
    }

    /// One job, whose detail is `body`, as `table` shows it.
    pub(super) async fn entry(
        &self,
        caller: &Caller,
        kind: DialectKind,
        table: &Table,
        job: &Wanted,
        body: &Searched,
    ) -> Result<Bytes, LegacyError> {
        let unfit = |reason| LegacyError::Render {
            id: job.id.clone(),
            table: table.name.clone(),
            reason,
        };
        let noted = self.notes.get(caller.scope, &job.id).await;
        let reading = table
            .plan
            .read_searched(body, noted.as_deref())
            .map_err(|error| unfit(error.into()))?;
        let needed = table.plan.classes_needed(&reading);
        let classes = self.jobs.classes(caller, kind, needed).await?;
        let context = Context {
            position: job.position,
            classes: &classes,
        };
        let mut entry = Vec::with_capacity(body.text.len() + 256);
        table.plan.write(&reading, &context, &mut entry).map_err(unfit)?;
        if let Some(noted) = &noted {
            // Of all tables history shows the most of a note: when it needs none, the job's own detail says it all.
            let most = &self.tables.history.plan;
            let reading = most
                .read_searched(body, Some(noted))
                .map_err(|error| unfit(error.into()))?;
            if !most.uses_observed(&reading) {
                self.notes.forget(caller.scope, &job.id).await;
            }
        }
        Ok(entry.into())
    }

    /// The finished job `id` as `table` shows it; `None` when there is none, or it is not finished.
    pub(super) async fn finished_entry(
        &self,
        id: &str,
        caller: &Caller,
        kind: DialectKind,
        table: &Table,
    ) -> Result<(Option<Bytes>, HeaderMap), LegacyError> {
        match self.jobs.detail(caller, kind, id).await? {
            Detail::Found {
                state: State::Finished,
                created,
                body,
                headers,
            } if !self.hidden.is_hidden(caller.scope, id, created) => {
                let job = Wanted {
                    id: id.to_owned(),
                    position: 1,
                };
                let entry = self.entry(caller, kind, table, &job, &body).await?;
                Ok((Some(entry), headers))
            }
            Detail::Found { headers, .. } | Detail::Absent(headers) => Ok((None, headers)),
        }
    }
}
