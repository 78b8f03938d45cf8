//! `GET /queue` and `GET /api/queue`: running and pending jobs, in the order of the surface that is shown.

use super::{Legacy, LegacyAnswer, LegacyError, answer, entries::in_order, json_string};
use crate::{
    jobs::{Caller, DialectKind, Listed, State},
    mapping::Table,
};
use bytes::Bytes;

impl Legacy {
    pub(super) async fn queue(
        &self,
        api: bool,
        caller: &Caller,
        kind: DialectKind,
    ) -> Result<LegacyAnswer, LegacyError> {
        let cloud_items = self.shows_cloud_items(api, kind);
        let table = if cloud_items {
            &self.tables.queue_cloud
        } else {
            &self.tables.queue
        };
        let filter = self.jobs.names(kind).queued_filter();
        let list = self.jobs.list(caller, kind, Some(filter), |_| false).await?;
        let (mut running, mut pending): (Vec<Listed>, Vec<Listed>) = (Vec::new(), Vec::new());
        for job in list.jobs {
            match job.state {
                State::Running => running.push(job),
                State::Pending => pending.push(job),
                State::Finished => {}
            }
        }
        running.sort_by(|one, other| one.started.total_cmp(&other.started));
        // Of jobs created in the same moment the list has the older one first.
        pending.sort_by(|one, other| one.created.total_cmp(&other.created));
        if !cloud_items {
            pending.sort_by(|one, other| one.number.total_cmp(&other.number));
        }
        let mut body = Vec::new();
        let names = [&table.answer.running, &table.answer.pending];
        for ((name, jobs), lead) in names.into_iter().zip([running, pending]).zip(["{", "], "]) {
            let name = json_string(name.as_deref().unwrap_or_default());
            body.push(Bytes::from(format!("{lead}{name}: [")));
            self.items(caller, kind, table, &jobs, &mut body).await?;
        }
        body.push(Bytes::from_static(b"]}"));
        Ok(answer(table, body, list.headers))
    }

    async fn items(
        &self,
        caller: &Caller,
        kind: DialectKind,
        table: &Table,
        jobs: &[Listed],
        body: &mut Vec<Bytes>,
    ) -> Result<(), LegacyError> {
        let items = self.entries(caller, kind, table, in_order(jobs)).await?;
        for (nth, (_, item)) in items.into_iter().enumerate() {
            if nth > 0 {
                body.push(Bytes::from_static(b", "));
            }
            body.push(item);
        }
        Ok(())
    }
}
