//! Jobs in their legacy shape: details fetched side by side, written by a table.

use super::{Legacy, LegacyError};
use crate::{
    jobs::{Caller, Detail, DialectKind},
    mapping::{Context, Table},
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::HeaderMap;

/// One job that a list shows: its id and its place, counted from 1.
pub struct Wanted<'a> {
    pub id: &'a str,
    pub position: usize,
}

impl Legacy {
    /// The entries of `wanted`, in that order. A job that is gone by now is left out; any other failure fails the
    /// whole, as a short list must never look complete (CONTRACT.md section 4).
    pub(super) async fn entries<'a>(
        &self,
        caller: &Caller,
        kind: DialectKind,
        table: &Table,
        wanted: impl IntoIterator<Item = Wanted<'a>>,
    ) -> Result<Vec<(&'a str, Bytes)>, LegacyError> {
        let fetched: Vec<Option<(&str, Bytes)>> = stream::iter(wanted)
            .map(|job| async move {
                match self.jobs.detail(caller, kind, job.id).await? {
                    Detail::Absent(_) => Ok::<_, LegacyError>(None),
                    Detail::Found { body, .. } => {
                        let entry = self.entry(caller, kind, table, &job, &body).await?;
                        Ok(Some((job.id, entry)))
                    }
                }
            })
            .buffered(self.concurrency)
            .try_collect()
            .await?;
        Ok(fetched.into_iter().flatten().collect())
    }

    /// One job, whose detail is `body`, as `table` shows it.
    pub(super) async fn entry(
        &self,
        caller: &Caller,
        kind: DialectKind,
        table: &Table,
        job: &Wanted<'_>,
        body: &[u8],
    ) -> Result<Bytes, LegacyError> {
        let unfit = |reason| LegacyError::Render {
            id: job.id.to_owned(),
            table: table.name.clone(),
            reason,
        };
        let reading = table.plan.read(body).map_err(|error| unfit(error.into()))?;
        let needed = table
            .plan
            .classes_needed(&reading)
            .map_err(|error| unfit(error.into()))?;
        let classes = self.jobs.classes(caller, kind, needed).await?;
        let context = Context {
            position: job.position,
            classes: &classes,
        };
        let mut entry = Vec::with_capacity(body.len() + 256);
        table
            .plan
            .write(&reading, &context, &mut entry)
            .map_err(unfit)?;
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
                state,
                body,
                headers,
            } if state == crate::jobs::State::Finished => {
                let job = Wanted { id, position: 1 };
                let entry = self.entry(caller, kind, table, &job, &body).await?;
                Ok((Some(entry), headers))
            }
            Detail::Found { headers, .. } | Detail::Absent(headers) => Ok((None, headers)),
        }
    }
}
